"""Prefect's server for the length of one run, where none is configured; its database is the user's own.

Prefect starts one itself, but leaves it running if the flow is killed; this one ends with its parent. What
lies around does not reach it: no setting, proxy or file of the folder where the user stands.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl(2)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OF_THE_DATABASE = (
    "PREFECT_HOME",
    "PREFECT_API_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)
_NICE = 10
"""Niceness of the server: it yields to the run."""
_END_S = 20
"""Time for the server to end once it is asked to."""


class NoServer(Exception):  # noqa: N818 - says what is so; the run goes on
    """There is no Prefect server to tell of a run, and why."""


@dataclass(frozen=True)
class OwnServer:
    """The process of a server that was started and may not answer yet."""

    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def url(self, seconds: float) -> str:
        """Address of its API, once it answers.

        Raises
        ------
        NoServer
            It ended.
        TimeoutError
            It does not answer within ``seconds``.
        """
        line = _first_line(self.process, seconds)
        if line is None:
            raise TimeoutError
        if not line.isdecimal():
            raise NoServer(f"its own server did not start: {line or 'it was ended'}")
        return f"http://127.0.0.1:{line}/api"


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Start a server, which ends with the block; it is not waited for.

    Raises
    ------
    NoServer
        No process can be started.
    """
    try:
        # A session of its own: Ctrl-C is for the flow, which still needs its server to end in order.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.prefect_server.server", str(os.getpid())],
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise NoServer(f"its own server cannot be started: {error.strerror or error}") from error
    try:
        yield OwnServer(process)
    finally:
        if process.stdout is not None:
            process.stdout.close()
        # It writes down what it was told and ends; nobody needs to wait for that.
        process.terminate()
        threading.Thread(target=process.wait, name="server's end", daemon=True).start()


@contextmanager
def loopback_past_proxies(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Let requests to this machine itself go past proxies in the block; all others take them."""
    before = {name: environment.get(name) for name in ("no_proxy", "NO_PROXY")}
    listed = [part.strip() for part in (before["no_proxy"] or before["NO_PROXY"] or "").split(",")]
    hosts = [part for part in listed if part]
    if "*" not in hosts:
        without_proxy = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])
        environment.update(dict.fromkeys(before, without_proxy))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value


def free_port() -> int:
    """A port of this machine's loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Variables for the server: where its database is, no proxy, and this package on the path."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name in _OF_THE_DATABASE or not (name.startswith("PREFECT_") or name.lower().endswith("_proxy"))
    }
    for name in ("PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONINSPECT"):
        kept.pop(name, None)
    package = str(Path(__file__).resolve().parents[2])
    path = [package, *(part for part in inherited.get("PYTHONPATH", "").split(os.pathsep) if part)]
    return kept | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUTF8": "1"}


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str | None:
    """The first line that the process writes, empty where it ends without; None if none comes in time."""
    pipe, line = process.stdout, b""
    assert pipe is not None
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while b"\n" not in line:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            more = os.read(pipe.fileno(), 4096)
            if not more:
                break
            line += more
    return line.decode(errors="replace").partition("\n")[0].strip()


def serve(parent: int) -> None:
    """Serve Prefect's API on loopback until process ``parent`` is gone.

    The port, or the reason why there is none, is the one line that is written.
    """
    answer = os.fdopen(os.dup(1), "w")
    try:
        _end_with(parent)
        os.nice(_NICE)
        with tempfile.TemporaryDirectory(prefix="spinenet-prefect-") as folder:
            # Prefect reads .env, prefect.toml and pyproject.toml where it stands.
            os.chdir(folder)
            _serve(answer)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        with suppress(OSError):
            answer.write(f"{type(error).__name__}: {first}\n")
            answer.flush()
        raise SystemExit(1) from error


def _serve(answer: Any) -> None:
    os.environ |= {
        "PREFECT_UI_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    import uvicorn
    from prefect.server.api.server import create_app

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            answer.write(f"{listening.getsockname()[1]}\n")
            answer.flush()

        def handle_exit(self, number: int, frame: FrameType | None) -> None:
            signal.alarm(_END_S)
            super().handle_exit(number, frame)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(), log_level="critical", lifespan="on", timeout_graceful_shutdown=2
        )
        Announced(config).run(sockets=[listening])


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
