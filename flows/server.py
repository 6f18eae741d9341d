"""A Prefect server for the length of one run, where none is configured.

Prefect starts one itself, but leaves it running if the flow is killed, and takes 15 seconds to build
its database each time; this one ends with its parent, and starts from a copy of a database built before.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from spinenet.errors import RunError

_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl(2)


@contextmanager
def prefect_api(patience: float = 120.0) -> Iterator[None]:
    """Run the block against the configured Prefect server, or a temporary one.

    Raises
    ------
    RunError
        The configured server cannot be reached, or the temporary one does not start.
    """
    from prefect.settings import PREFECT_API_URL

    from flows.observer import observed_by

    configured = PREFECT_API_URL.value()
    if configured:
        _reach(str(configured))
        with observed_by(str(configured)):
            yield
        return
    port = free_port()
    command = [sys.executable, "-m", "flows.server", str(port), str(os.getpid())]
    # A session of its own: Ctrl-C is for the flow, which still needs its server to end in order.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}/api"
        _wait_until_healthy(process, url, patience)
        with observed_by(url):
            yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of this machine's loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reach(url: str) -> None:
    """Prefect itself would start the flow first, and then say where in its code it found nobody."""
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=20)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RunError(f"Prefect's server cannot be reached, see PREFECT_API_URL: {error}") from error


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, patience: float) -> None:
    import httpx

    deadline = time.monotonic() + patience
    # one client for all tries: a new one loads all certificates first, which takes longer than to ask
    with httpx.Client(timeout=5) as client:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/health").status_code == 200:
                    return
            time.sleep(0.1)
    raise RunError(
        "the temporary Prefect server did not start; run with --debug, or set PREFECT_API_URL to one"
    )


def serve(port: int, parent: int) -> None:
    """Serve Prefect's API on loopback until told to end, or until process ``parent`` is gone."""
    _end_with(parent)
    with tempfile.TemporaryDirectory(prefix="spinenet-prefect-") as folder:
        database = Path(folder) / "prefect.db"
        os.environ |= {
            "PREFECT_HOME": folder,
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
            "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
            "PREFECT_UI_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        }
        import prefect
        import uvicorn
        from prefect.server.api.server import create_app

        kept = platformdirs.user_cache_path("spinenet") / f"prefect-{prefect.__version__}.db"
        if kept.exists():
            shutil.copyfile(kept, database)
        else:
            _keep_new_database(database, kept)
        uvicorn.run(create_app(), host="127.0.0.1", port=port, log_level="critical", lifespan="on")


def _keep_new_database(database: Path, kept: Path) -> None:
    """Build the tables once and keep an empty copy; a read-only home only costs the time again."""
    import asyncio

    from prefect.server.database import provide_database_interface

    async def build() -> None:
        interface = provide_database_interface()
        await interface.create_db()
        await (await interface.engine()).dispose()

    asyncio.run(build())
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copyfile(database, temporary)
        temporary.replace(kept)


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
