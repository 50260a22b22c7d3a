"""`geoseg view`: a page served to this computer, whose tiles are made on request."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET6
from typing import Any, NamedTuple

from geoseg.errors import GeosegError, InputError
from geoseg.raster.atomic import without_nan
from geoseg.raster.threads import reading_pool
from geoseg.report.inputs import ShowOptions, sort_inputs
from geoseg.report.report import render_page, sections_of, title_of
from geoseg.report.scenes import Scene, count_classes, opened_scenes, read_tile

TILE = re.compile(r"/tiles/([0-9]{1,4})/([a-z]+[0-9]{0,4})/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,6})")

AREAS = re.compile(r"/areas/([0-9]{1,4})")
"""What may be asked for besides the page: numbers and roles, never a path."""

CACHED_TILES = 1024
"""Encoded tiles that are kept: some tens of megabytes."""

TIMEOUT_S = 60
"""Time for which a connection may be silent."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Host names of requests from this computer."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "script-src 'unsafe-inline'; connect-src 'self'"
)
"""Sources that the page may load: itself and this server."""


class Answer(NamedTuple):
    """An HTTP response."""

    status: HTTPStatus
    """Status code."""

    mime: str
    """Type of the content."""

    content: bytes
    """Content, or why there is none."""


class Viewer:
    """The page of some scenes, its tiles and areas, and nothing else.

    Its own few threads read files: handles would pile up with the threads of connections.

    Args:
        scenes: Open scenes.
        page: HTML.
        threads: Threads that read.
        warn: Called with errors.
    """

    def __init__(
        self, scenes: Sequence[Scene], page: str, *, threads: int, warn: Callable[[str], None]
    ) -> None:
        self._scenes = scenes
        self._page = page.encode()
        self._pool = reading_pool(threads)
        self._warn = warn
        self._tile = lru_cache(CACHED_TILES)(self._read_tile)
        self._areas = lru_cache(None)(self._count)

    def answer(self, path: str) -> Answer:
        """The response to a path of a URL."""
        if path == "/":
            return Answer(HTTPStatus.OK, "text/html; charset=utf-8", self._page)
        try:
            if found := TILE.fullmatch(path):
                scene, role, *place = found.groups()
                return self._tile(int(scene), role, *map(int, place))
            if found := AREAS.fullmatch(path):
                return self._areas(int(found[1]))
        except GeosegError as error:
            self._warn(str(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", str(error).encode())
        return _nothing()

    def _read_tile(self, number: int, role: str, level: int, row: int, col: int) -> Answer:
        if number >= len(self._scenes) or role not in self._scenes[number].layers:
            return _nothing()
        scene = self._scenes[number]
        read = self._pool.submit(read_tile, scene.layers[role], scene.frame, level, row, col)
        tile = read.result()
        return _nothing() if tile is None else Answer(HTTPStatus.OK, tile.mime, tile.content)

    def _count(self, number: int) -> Answer:
        if number >= len(self._scenes):
            return _nothing()
        scene = self._scenes[number]
        areas = scene.area_table(self._pool.submit(count_classes, scene).result())
        content = json.dumps(without_nan(areas)).encode()
        return Answer(HTTPStatus.OK, "application/json", content)

    def close(self) -> None:
        """Wait until no thread reads."""
        self._pool.shutdown(cancel_futures=True)


class Server(ThreadingHTTPServer):
    """A viewer over HTTP.

    Args:
        place: Host and port; port 0 takes a free one.
        viewer: Gives the answers.
    """

    daemon_threads = True
    request_queue_size = 128  # a page asks for many tiles at a time, from several tabs

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers cancel requests; any other error is a bug and keeps its traceback."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def __init__(self, place: tuple[str, int], viewer: Viewer) -> None:
        if ":" in place[0]:
            self.address_family = AF_INET6
        super().__init__(place, partial(_Handler, viewer))

    @property
    def is_local(self) -> bool:
        """Whether it serves this computer alone."""
        return ip_address(str(self.server_address[0])).is_loopback

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    """Sends the answers of a viewer."""

    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    server: Server

    def __init__(self, viewer: Viewer, *arguments: object) -> None:
        self._viewer = viewer
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer."""
        answer = self._answer()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.mime)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def do_HEAD(self) -> None:
        """Answer without the content."""
        self.do_GET()

    def _answer(self) -> Answer:
        """Refuse other host names: another site's name may resolve to this computer."""
        host = re.sub(r":[0-9]*$", "", self.headers.get("Host", "")).strip("[]")
        if self.server.is_local and host not in LOCAL_NAMES:
            return Answer(HTTPStatus.FORBIDDEN, "text/plain", b"unknown host name")
        return self._viewer.answer(self.path)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


@contextmanager
def serving(
    inputs: Sequence[Path],
    show: ShowOptions,
    *,
    place: tuple[str, int],
    threads: int,
    warn: Callable[[str], None],
) -> Iterator[Server]:
    """A server of a page of maps, evaluations, trainings and models; closed when the block ends.

    Args:
        inputs: Rasters, and folders that geoseg wrote.
        show: What else is shown, and how maps and references are read.
        place: Host and port to bind.
        threads: Threads that read.
        warn: Called with errors while reading.

    Raises:
        GeosegError: If an input cannot be read or understood.
        InputError: If host and port cannot be bound.
    """
    named = sort_inputs(inputs, show)
    with opened_scenes(named.scenes) as scenes:
        page = render_page(
            title=title_of(named),
            scenes=scenes,
            areas=[None] * len(scenes),
            sections=sections_of(named),
            notes=named.missing,
            tiles={"server": ""},
            policy=POLICY,
        )
        viewer = Viewer(scenes, page, threads=threads, warn=warn)
        try:
            with _bound(place, viewer) as server:
                yield server
        finally:
            viewer.close()


def _bound(place: tuple[str, int], viewer: Viewer) -> Server:
    try:
        return Server(place, viewer)
    except (OSError, OverflowError) as error:
        host, port = place
        raise InputError(f"{host}:{port} cannot be served: {error}; name another --port") from error


def _nothing() -> Answer:
    return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"not found")
