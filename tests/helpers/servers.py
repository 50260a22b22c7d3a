"""A server that gives ranges of files, well or badly; in a process of its own.

rasterio keeps Python's lock in some of its calls, in which a server of the same process could
not answer. Each shelf is a folder with its own faults; `Server.shelf` makes one.
"""

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

DATE = 1_700_000_000
"""When all files were changed, as servers say."""


class Shelf:
    """Files of a folder, as a server gives them."""

    def __init__(self, url: str) -> None:
        self.url = url

    def set(self, **faults: Any) -> None:
        """Change what goes wrong, as in `Server.shelf`."""
        with urlopen(f"{self.url}?set", json.dumps(faults).encode()) as answer:  # noqa: S310
            answer.read()

    def log(self) -> list[tuple[str, str, int, int]]:
        """Method, name, status and bytes of all answers so far."""
        with urlopen(f"{self.url}?log") as answer:  # noqa: S310
            return [tuple(each) for each in json.load(answer)]

    def name(self, file: str) -> str:
        """The name by which GDAL opens a file."""
        return f"/vsicurl/{self.url}/{file}"


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._shelves = 0

    def shelf(self, folder: Path, **faults: Any) -> Shelf:
        """Files of a folder under a URL of their own.

        Args:
            folder: Where they are.
            faults: ``status`` instead of each GET from number ``after`` on, if its number is a
                multiple of ``every``; ``close`` such a connection after so many bytes; ``times``
                that anything goes wrong; ``delay`` in seconds; ``etag``, or another ``etag2``
                from GET ``after`` on; ``ranges`` false; ``password`` that a query must hold;
                ``head`` for a status of each HEAD; ``date`` of the last change, in seconds.
        """
        self._shelves += 1
        shelf = Shelf(f"{self.url}/{self._shelves}")
        shelf.set(folder=str(folder), **faults)
        return shelf


class _State:
    def __init__(self) -> None:
        self.faults: dict[str, Any] = {}
        self.log: list[tuple[str, str, int, int]] = []
        self.gets = self.wrong = 0
        self.lock = threading.Lock()

    def fault(self) -> tuple[int, bool]:
        """Number of a GET, and whether it goes wrong."""
        known = self.faults
        with self.lock:
            number, self.gets = self.gets, self.gets + 1
            counts = "status" in known or "close" in known
            wrong = (
                counts
                and number >= known.get("after", 0)
                and number % known.get("every", 1) == known.get("every", 1) - 1
                and self.wrong < known.get("times", 1_000_000)
            )
            self.wrong += wrong
            return number, wrong


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    states: dict[str, _State]

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        key = urlsplit(self.path).path.strip("/")
        state = self.states.setdefault(key, _State())
        state.faults |= json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(200, b"")

    def do_HEAD(self) -> None:
        self._answer(is_get=False)

    def do_GET(self) -> None:
        if urlsplit(self.path).query == "log":
            self._send(
                200, json.dumps(self.states[urlsplit(self.path).path.strip("/")].log).encode()
            )
        else:
            self._answer(is_get=True)

    def _answer(self, *, is_get: bool) -> None:
        place = urlsplit(self.path)
        key, _, name = place.path.strip("/").partition("/")
        state = self.states[key]
        known = state.faults
        time.sleep(known.get("delay", 0))
        path = Path(known["folder"], name)
        there = path.is_file() and bool(name)
        allowed = known.get("password", "") in place.query
        number, wrong = state.fault() if is_get and there else (state.gets, False)
        if not there or not allowed:
            status = 403 if there else 404
        elif is_get:
            status = known["status"] if wrong and "status" in known else 0
        else:
            status = known.get("head", 0)
        if status:
            state.log.append((self.command, name, status, 0))
            self._send(status, b"", body=is_get)
            return
        size = path.stat().st_size
        wanted = self.headers.get("Range") if known.get("ranges", True) and is_get else None
        start, _, last = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        first, stop = int(start), min(int(last or size) + 1, size)
        etag = known.get("etag", '"one"')
        if "etag2" in known and number >= known.get("after", 0):
            etag = known["etag2"]
        headers = {"Last-Modified": formatdate(known.get("date", DATE), usegmt=True)}
        headers |= {"ETag": etag} if etag else {}
        headers |= {"Accept-Ranges": "bytes"} if known.get("ranges", True) else {}
        headers |= {"Content-Range": f"bytes {first}-{stop - 1}/{size}"} if wanted else {}
        status = 206 if wanted else 200
        state.log.append((self.command, name, status, (stop - first) if is_get else 0))
        with path.open("rb") as file:
            file.seek(first)
            body = file.read(stop - first) if is_get else b""
        close = known["close"] if wrong and "close" in known else None
        with suppress(OSError):
            self._send(status, body, headers, length=stop - first, close=close)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
        body: bool = True,
        close: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:close])
        self.wfile.flush()
        self.close_connection |= close is not None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Connections that clients give up are no news."""


def main(certificate: str | None = None) -> None:
    """Serve until stdin ends; the first line of stdout is the port."""
    server = _Server(("127.0.0.1", 0), type("Own", (_Handler,), {"states": {}}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201
    sys.stdin.read()


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Server]:
    """A server on a free port of this machine; with a certificate (and key) it speaks TLS."""
    words = [sys.executable, __file__, *([str(certificate)] if certificate else [])]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        port = int(process.stdout.readline())
        try:
            yield Server(f"http{'s' if certificate else ''}://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
