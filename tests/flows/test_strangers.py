"""Only its owner gets into a cluster: others of this machine are refused, and nothing listens elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest
from distributed import Client, Security
from distributed.core import rpc

from flows.clusters.address import CPU, GPU, Cluster, cluster_address, connected, nanny
from flows.clusters.certificates import write_certificates
from spinenet.errors import RunError
from support.cohorts import command, small_scan, write

LOOPBACK = {"127.0.0.1", "::1"}


def both_classes() -> dict[str, object]:
    return {"cpu-0": nanny(1, {CPU: 1}, {}), "gpu-0": nanny(1, {GPU: 1}, {})}


@pytest.fixture(scope="module")
def local() -> Iterator[tuple[Cluster, Client]]:
    with cluster_address("local", both_classes) as cluster, connected(cluster) as client:
        yield cluster, client


def addresses(cluster: Cluster, client: Client) -> list[str]:
    """Of the scheduler, the workers and their nannies."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return [cluster.address, *workers, *(worker["nanny"] for worker in workers.values())]


def answer(address: str, security: Security) -> object:
    """What a process there says to somebody with these certificates."""

    async def ask() -> object:
        async with rpc(address, connection_args=security.get_connection_args("client"), timeout=5) as there:
            return await asyncio.wait_for(there.identity(), 10)

    return asyncio.run(ask())


def unverified(own: Security | None) -> Security:
    """A stranger's, who believes any server, with a certificate of his own or with none."""

    class Stranger(Security):
        def get_connection_args(self, role: str) -> Mapping[str, object]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if own is not None:
                context.load_cert_chain(*files)
            return {"ssl_context": context, "require_encryption": True, "extra_conn_args": {}}

    files: tuple[str, str] = ("", "")
    if own is not None:
        written = write_certificates(own, Path(os.environ["STRANGER"]))
        prefix = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__"
        files = (written[prefix + "CERT"], written[prefix + "KEY"])
    return Stranger()  # type: ignore[no-untyped-call]


def test_strangers_are_refused_by_scheduler_workers_and_nannies(
    local: tuple[Cluster, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, client = local
    monkeypatch.setenv("STRANGER", str(tmp_path))
    places = addresses(cluster, client)
    assert len(places) == 5
    assert all(place.startswith("tls://127.0.0.1:") for place in places)
    assert cluster.security is not None
    for place in places:
        assert answer(place, cluster.security)
        for stranger in (unverified(None), unverified(Security.temporary()), Security.temporary()):
            with pytest.raises((OSError, asyncio.TimeoutError)):
                answer(place, stranger)
        with pytest.raises((OSError, asyncio.TimeoutError)):
            answer(place.replace("tls://", "tcp://"), Security(require_encryption=False))


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Where a process and its children can be reached, and nobody else of this machine's is asked."""
    return [
        (each.laddr.ip, each.laddr.port)
        for one in (process, *process.children(recursive=True))
        for each in one.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]


def test_the_pages_of_dask_say_nothing(local: tuple[Cluster, Client]) -> None:
    own = {int(place.rpartition(":")[2]) for place in addresses(*local)}
    pages = [port for _, port in listening(psutil.Process()) if port not in own]
    answered = 0
    for port in pages:
        for page in ("", "info/main/workers.html", "health", "metrics", "json/counts.json"):
            try:
                said = httpx.get(f"http://127.0.0.1:{port}/{page}", timeout=5, trust_env=False)
            except httpx.HTTPError:
                continue
            answered += 1
            assert said.status_code == 404, page
    assert answered


def test_all_processes_of_a_run_listen_at_loopback_only(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, small_scan(1), name)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("scan_id,path\na,a\nb,b\n", encoding="utf-8")
    seen: set[tuple[str, int]] = set()
    with subprocess.Popen(
        command("run", manifest, tmp_path / "out", "--weights", "synthetic"), stderr=subprocess.PIPE
    ) as run:
        process = psutil.Process(run.pid)
        while run.poll() is None:
            try:
                seen.update(listening(process))
            except psutil.Error:
                continue
            time.sleep(0.5)
        said = run.stderr.read() if run.stderr else b""
    assert run.returncode == 0, said
    assert len(seen) >= 8, "scheduler, two nannies and two workers, pages and Prefect"
    assert {host for host, _ in seen} <= LOOPBACK


def test_an_address_with_tls_needs_certificates() -> None:
    with pytest.raises(RunError, match="needs certificates"), connected(Cluster("tls://127.0.0.1:1")):
        pass


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("tcp://scheduler.example:8786", True),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
        ("tls://10.0.0.1:8786", False),
    ],
)
def test_an_open_scheduler_elsewhere_is_warned_of(
    address: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "spinenet"), cluster_address(address) as cluster:
        assert cluster.address == address
    assert [("tls://" in message, address in message) for message in caplog.messages] == [
        (True, True)
    ] * warned
