"""The proxy that makes trouble passes on what it should, and makes the trouble that it counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from support import flaky_proxy
from support.flaky_proxy import KINDS, FlakyProxy

ANSWER = b"0123456789"


class Echo(BaseHTTPRequestHandler):
    """Answers with what it got; remembers every body."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes]

    def do_GET(self) -> None:
        """Ten bytes."""
        self._answer(ANSWER)

    def do_HEAD(self) -> None:
        """Their length."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()

    def do_PUT(self) -> None:
        """The body and the Host header, in chunks."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(body)
        told = json.dumps({"host": self.headers["Host"], "body": body.decode()}).encode()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(told), told))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Echo,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"127.0.0.1:{server.server_port}"


def test_everything_passes_without_faults(server: ThreadingHTTPServer) -> None:
    with FlakyProxy(address(server)) as proxy, requests.Session() as session:
        for i in range(5):
            told = session.put(f"{proxy.url}/a", data=f"body {i}", timeout=10).json()
            assert told == {"host": f"127.0.0.1:{proxy.port}", "body": f"body {i}"}
        assert session.get(f"{proxy.url}/a?list-type=2&prefix=a", timeout=10).content == ANSWER
        assert session.head(f"{proxy.url}/a", timeout=10).headers["Content-Length"] == "10"
        assert proxy.counts() == {
            "requests": 7,
            "by_method": {"PUT": 5, "LIST": 1, "HEAD": 1},
            "faults": 0,
            "by_kind": {},
            "unreachable": 0,
        }


@pytest.mark.parametrize(
    ("kind", "arrived"), [("drop", 0), ("lose", 1), ("cut", 1), ("slowdown", 0), ("delay", 1)]
)
def test_each_fault_does_what_it_is_named_after(server: ThreadingHTTPServer, kind: str, arrived: int) -> None:
    with FlakyProxy(address(server), faults=1.0, kinds=[kind], delay_s=0.05) as proxy:
        if kind in {"drop", "lose", "cut"}:
            with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
                requests.put(f"{proxy.url}/a", data="body", timeout=10)
        else:
            answer = requests.put(f"{proxy.url}/a", data="body", timeout=10)
            assert answer.status_code == (503 if kind == "slowdown" else 200)
            assert ("SlowDown" in answer.text) == (kind == "slowdown")
        assert proxy.counts()["by_kind"] == {kind: 1}
    assert len(server.RequestHandlerClass.seen) == arrived  # type: ignore[attr-defined]


def test_a_seed_gives_the_same_faults(server: ThreadingHTTPServer) -> None:
    def run(seed: int) -> list[bool]:
        with FlakyProxy(address(server), faults=0.3, seed=seed, kinds=["slowdown"]) as proxy:
            return [requests.get(proxy.url, timeout=10).status_code == 503 for _ in range(60)]

    first = run(1)
    assert 5 < sum(first) < 35
    assert run(1) == first
    assert run(2) != first


def test_a_store_that_is_down_is_a_dropped_connection() -> None:
    with FlakyProxy("127.0.0.1:1") as proxy:
        with pytest.raises(requests.ConnectionError):
            requests.get(proxy.url, timeout=10)
        assert proxy.counts()["unreachable"] == 1


def test_it_runs_as_a_process_and_tells_its_counts(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    file, script = tmp_path / "counts.json", flaky_proxy.__file__
    options = ["--to", address(server), "--faults", "1", "--kinds", "slowdown", "--counts", str(file)]
    with subprocess.Popen([sys.executable, script, *options], stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        url = proxy.stdout.readline().split()[-1]
        assert requests.get(url, timeout=10).status_code == 503
        proxy.send_signal(signal.SIGTERM)
        said = json.loads(proxy.communicate(timeout=20)[0])
    assert said["requests"] == said["by_kind"]["slowdown"] == 1
    assert json.loads(file.read_text(encoding="utf-8")) == said
    assert set(KINDS) >= set(said["by_kind"])
