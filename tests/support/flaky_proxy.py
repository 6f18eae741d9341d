"""A proxy before an HTTP object store that drops, loses, cuts, delays and refuses some of the requests.

Requests go through as they came, the Host header too, so that signatures made for the proxy's address hold.
As a process of its own:

    python tests/support/flaky_proxy.py --listen 9200 --to 127.0.0.1:9103 --faults 0.05 --counts counts.json

It says where it listens on one line, and its counts as one line of JSON when it is told to end (SIGTERM).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import threading
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

KINDS = ("drop", "lose", "cut", "delay", "slowdown")
"""Faults: the connection is dropped before forwarding; dropped after forwarding, the answer lost; dropped
in the midst of the answer's body (or of its head where it has none); answered late; answered 503 SlowDown."""

DELAY_S = 1.0
WRITE_COUNTS_EVERY_S = 0.2
LIMIT = 1 << 20
"""Longest head of a message in bytes."""

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>'
)


@dataclass(frozen=True)
class Message:
    """A request or an answer, as its bytes: first line, headers (lower-case names), head and body."""

    first: str
    headers: dict[str, str]
    head: bytes
    body: bytes


class FlakyProxy:
    """The proxy in a thread of this process, for ``with``.

    Parameters
    ----------
    to
        host:port of the store.
    faults
        Share of the requests that meet a fault, 0 to 1; may be set anew while it runs.
    seed
        Of the choice which requests, and of the kind.
    kinds
        Faults to choose from, each as often.
    listen
        Port on loopback; 0 for any free one.
    delay_s
        Longest delay in seconds.
    """

    def __init__(
        self,
        to: str,
        *,
        faults: float = 0.0,
        seed: int = 0,
        kinds: Sequence[str] = KINDS,
        listen: int = 0,
        delay_s: float = DELAY_S,
    ) -> None:
        unknown = set(kinds) - set(KINDS)
        if unknown or not kinds:
            raise ValueError(f"faults are {', '.join(KINDS)}, not {', '.join(sorted(unknown)) or 'none'}")
        host, port = to.removeprefix("http://").rstrip("/").rsplit(":", 1)
        self.faults = faults
        self.requests: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.unreachable = 0
        self.port = 0
        self._to, self._listen, self._delay_s = (host, int(port)), listen, delay_s
        self._kinds, self._random = tuple(kinds), random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="flaky-proxy", daemon=True)
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    def __enter__(self) -> FlakyProxy:
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Endpoint for clients."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> dict[str, Any]:
        """Requests, by method with LIST apart, and faults by kind, up to now."""
        return {
            "requests": self.requests.total(),
            "by_method": dict(self.requests.copy()),
            "faults": self.met.total(),
            "by_kind": dict(self.met.copy()),
            "unreachable": self.unreachable,
        }

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except OSError as error:
            self._failed = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _main(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", self._listen, limit=LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            # The client has gone, or the proxy is to end; neither is of any interest to the other side.
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection is still open."""
        head = await _head(reader)
        if "100-continue" in head.headers.get("expect", "").lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Message(head.first, head.headers, head.head, await _body(reader, head.headers, False))
        self.requests[_method(request.first)] += 1
        fault = self._random.choice(self._kinds) if self._random.random() < self.faults else None
        if fault is not None:
            self.met[fault] += 1
        if fault == "drop":
            return False
        if fault == "slowdown":
            length = f"content-length: {len(SLOW_DOWN)}\r\ncontent-type: application/xml\r\n\r\n"
            body = b"" if request.first.startswith("HEAD ") else SLOW_DOWN
            writer.write(b"HTTP/1.1 503 Slow Down\r\n" + length.encode() + body)
            await writer.drain()
            return True
        if fault == "delay":
            await asyncio.sleep(self._random.uniform(0.1, 1) * self._delay_s)
        try:
            answer = await self._forwarded(request)
        except (OSError, EOFError):
            self.unreachable += 1
            return False
        if fault == "lose":
            return False
        if fault == "cut":
            writer.write(
                answer.head + answer.body[: len(answer.body) // 2] if answer.body else answer.head[:8]
            )
            await writer.drain()
            return False
        writer.write(answer.head + answer.body)
        await writer.drain()
        return "close" not in answer.headers.get("connection", "").lower()

    async def _forwarded(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection(*self._to, limit=LIMIT)
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            head = await _head(reader)
            while head.first.split(" ", 2)[1].startswith("1"):
                head = await _head(reader)
            bodiless = request.first.startswith("HEAD ") or head.first.split(" ", 2)[1] in {"204", "304"}
            body = b"" if bodiless else await _body(reader, head.headers, True)
            return Message(head.first, head.headers, head.head, body)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Message(first, {name.strip().lower(): value.strip() for name, _, value in pairs}, head, b"")


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], to_the_end: bool) -> bytes:
    """The body as on the wire; one of no told length goes on to the end of an answer, a request has none."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts = []
        while True:
            size = await reader.readuntil(b"\r\n")
            n = int(size.split(b";")[0], 16)
            parts.append(size)
            if n == 0:
                break
            parts.append(await reader.readexactly(n + 2))
        # Trailers, and the empty line that ends them.
        while parts[-1] != b"\r\n":
            parts.append(await reader.readuntil(b"\r\n"))
        return b"".join(parts)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if to_the_end else b""


def _method(first: str) -> str:
    method, target = first.split(" ", 2)[:2]
    query = urllib.parse.urlsplit(target).query
    listing = "list-type=" in query or "prefix=" in query or "comp=list" in query
    return "LIST" if method == "GET" and listing else method


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A proxy before an object store that makes trouble.")
    parser.add_argument("--listen", type=int, default=0, help="port on 127.0.0.1; 0 for any")
    parser.add_argument("--to", required=True, help="host:port of the store")
    parser.add_argument("--faults", type=float, default=0.05, help="share of the requests, 0 to 1")
    parser.add_argument("--kinds", default=",".join(KINDS), help="faults to choose from, by commas")
    parser.add_argument("--delay", type=float, default=DELAY_S, help="longest delay in seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", type=Path, help="file that always holds the counts as JSON")
    given = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    proxy = FlakyProxy(
        given.to,
        faults=given.faults,
        seed=given.seed,
        kinds=given.kinds.split(","),
        listen=given.listen,
        delay_s=given.delay,
    )
    with proxy:
        _say(f"listening at {proxy.url}")
        while not stop.wait(WRITE_COUNTS_EVERY_S):
            _write(given.counts, proxy.counts())
    _write(given.counts, proxy.counts())
    _say(json.dumps(proxy.counts()))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _write(file: Path | None, counts: dict[str, Any]) -> None:
    if file is not None:
        beside = file.with_name(file.name + ".new")
        beside.write_text(json.dumps(counts) + "\n", encoding="utf-8")
        beside.replace(file)


if __name__ == "__main__":
    main()
