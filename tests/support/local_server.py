"""A real HTTP server on loopback that serves a folder with ranges and tags, and can break off."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class LocalServer:
    """The running server.

    Attributes
    ----------
    folder
        What is served.
    url
        Where.
    requests
        Path and Range header of each request so far.
    break_after
        For a path, the numbers of bytes after which its next answers are broken off.
    seconds_per_answer
        How long every answer waits.
    """

    folder: Path
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    break_after: dict[str, list[int]] = field(default_factory=dict)
    seconds_per_answer: float = 0.0

    def asked_for(self, path: str) -> list[str | None]:
        """Range headers of the requests for one path."""
        return [span for name, span in self.requests if name == path]


@contextmanager
def serve(folder: Path) -> Iterator[LocalServer]:
    """Serve ``folder`` until the block ends."""
    state = LocalServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, span = self.path.lstrip("/"), self.headers.get("Range")
            state.requests.append((name, span))
            time.sleep(state.seconds_per_answer)
            path = state.folder / name
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            start = 0
            if span is not None and self.headers.get("If-Range") == tag:
                start = int(span.removeprefix("bytes=").rstrip("-"))
            if start and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            breaks = state.break_after.get(name)
            stop = start + breaks.pop(0) if breaks else len(data)
            with suppress(ConnectionError):  # the client may hang up
                self.wfile.write(data[start:stop])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
