"""A page served to this computer: tiles are made when they are asked for."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from geoseg.report.inputs import ShowOptions, sort_inputs
from geoseg.report.page import render_page
from geoseg.report.report import sections_of, title_of
from geoseg.report.scenes import Scene, count_classes, opened_scenes
from geoseg.report.tiles import read_tile

TILE = re.compile(r"/tiles/([0-9]{1,4})/([a-z]+[0-9]{0,4})/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,6})")

AREAS = re.compile(r"/areas/([0-9]{1,4})")
"""What may be asked for besides the page: numbers and roles, never a path."""

KEPT = 1024
"""Tiles that are kept, encoded: some tens of megabytes."""

PATIENCE = 60
"""Seconds that a connection may be silent, or slow to take an answer."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""By which a browser on this computer calls it."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "script-src 'unsafe-inline'; connect-src 'self'"
)
"""What the page may load: itself and what this server gives."""


class Answer(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    """Whether it was found."""

    mime: str
    """Type of the content."""

    content: bytes
    """What was asked for, or why it is not there."""


class Viewer:
    """The page of some scenes, its tiles and areas; nothing else can be had from it.

    Files are read by a few threads of its own, so that handles do not pile up with the
    threads of connections.

    Args:
        scenes: Open.
        page: HTML.
        threads: That read.
        warn: Told what goes wrong.
    """

    def __init__(
        self, scenes: Sequence[Scene], page: str, *, threads: int, warn: Callable[[str], None]
    ) -> None:
        self._scenes = scenes
        self._page = page.encode()
        self._pool = ThreadPoolExecutor(threads)
        self._warn = warn
        self._tile = lru_cache(KEPT)(self._read_tile)
        self._areas = lru_cache(None)(self._count)

    def answer(self, path: str) -> Answer:
        """What is to be sent for a path of a URL."""
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
        """Wait until no thread reads any more."""
        self._pool.shutdown(cancel_futures=True)


class Server(ThreadingHTTPServer):
    """Answers of a viewer over HTTP.

    Args:
        place: Host and port; port 0 takes a free one.
        viewer: Answers.
    """

    daemon_threads = True
    request_queue_size = 128  # a page asks for many tiles at a time, from several tabs

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers break off what they no longer want; all else is a bug, and told as one."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def __init__(self, place: tuple[str, int], viewer: Viewer) -> None:
        if ":" in place[0]:
            self.address_family = AF_INET6
        super().__init__(place, partial(_Handler, viewer))

    @property
    def is_local(self) -> bool:
        """Whether only this computer is served."""
        return ip_address(str(self.server_address[0])).is_loopback

    @property
    def url(self) -> str:
        """Of the page."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    """Sends what a viewer answers."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
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
        """A page elsewhere may have its own name lead here: such a name is not answered."""
        host = re.sub(r":[0-9]*$", "", self.headers.get("Host", "")).strip("[]")
        if self.server.is_local and host not in LOCAL_NAMES:
            return Answer(HTTPStatus.FORBIDDEN, "text/plain", b"not by this name")
        return self._viewer.answer(self.path)

    def log_message(self, *_: object) -> None:
        """Requests are not worth telling."""


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
        inputs: What is to be shown: rasters, or folders of geoseg's.
        show: What else is to be shown.
        place: Host and port to bind.
        threads: That read.
        warn: Told what is missing or goes wrong.

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
