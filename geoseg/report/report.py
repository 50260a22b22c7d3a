"""A page of maps and metrics: one HTML file that holds everything, or served to this computer."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET6
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import geoseg
from geoseg.errors import GeosegError, InputError
from geoseg.labels.reference import REFERENCE, ReferenceOptions
from geoseg.labels.style import BandOptions
from geoseg.options import CALL, nested, option, threads_option
from geoseg.raster.atomic import refuse_existing, staged, without_nan
from geoseg.raster.reader import INPUT
from geoseg.raster.threads import core_count, reading_pool
from geoseg.report.inputs import Named, ShowOptions, sort_inputs
from geoseg.report.scenes import Scene, count_classes, opened_scenes, pyramid, read_tile
from geoseg.report.sections import (
    Section,
    as_text,
    bundle_section,
    data_uri,
    evaluation_section,
    run_section,
    words,
)

ASSETS = files("geoseg.report") / "assets"
"""Template, style and script, and Leaflet with its licence."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'"
"""Sources that a page alone may load: itself."""

SERVED_POLICY = POLICY.replace("img-src", "img-src 'self'") + "; connect-src 'self'"
"""Sources that a page may load that is served: itself and its server."""


def render_page(
    *,
    title: str,
    scenes: Sequence[Scene],
    areas: Sequence[Sequence[Mapping[str, Any]] | None],
    sections: Sequence[Section] = (),
    notes: Sequence[str] = (),
    tiles: Mapping[str, Any],
    policy: str = POLICY,
) -> str:
    """The page as HTML.

    Args:
        title: Title of the page.
        scenes: Scenes to show as maps.
        areas: `Scene.area_table` of each scene; None: the page asks for it.
        sections: Sections of metrics.
        notes: Sentences above all.
        tiles: Source of tiles for the script: ``{"data": {"0/map/0/0/0": data URI}}`` or
            ``{"server": ""}``.
        policy: Sources that the browser may load.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"as_text": as_text, "words": words}
    template = environment.from_string(_asset("report.html.j2"))
    described = [scene.for_page() for scene in scenes]
    for number, (scene, area) in enumerate(zip(described, areas, strict=True)):
        scene |= {"number": number, "areas": area}
    return template.render(
        title=title,
        version=geoseg.__version__,
        policy=policy,
        scenes=described,
        records=[{"map": scene.name, "made of": scene.provenance} for scene in scenes],
        sections=sections,
        notes=notes,
        style=Markup(_asset("leaflet/leaflet.css") + _asset("report.css")),  # noqa: S704 our own
        scripts=[Markup(_script("leaflet/leaflet.js")), Markup(_script("report.js"))],  # noqa: S704
        data=_json_for_script({"scenes": described, "tiles": tiles}),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script(name: str) -> str:
    """A script without the comment that makes debuggers ask for another file."""
    lines = _asset(name).splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL"))


def _json_for_script(content: Any) -> Markup:
    """JSON that cannot end the element it stands in, whatever names are in it."""
    text = json.dumps(content, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 escaped above


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page shows besides its inputs, and how maps and references are read."""

    orthos: tuple[Path, ...] = option(
        (),
        group=INPUT,
        names=("--ortho",),
        help="Orthophoto to show with the maps on it; repeat for more.",
    )
    bands: BandOptions = field(default_factory=BandOptions)
    references: tuple[Path, ...] = option(
        (),
        group=REFERENCE,
        names=("--reference", "-r"),
        help="Reference of the maps: one for each, or one for all.",
    )
    without_reference: bool = option(
        False,
        group=REFERENCE,
        names=("--no-reference",),
        help="Leave out the references that evaluations tell of.",
    )
    reference: ReferenceOptions = nested(ReferenceOptions, without=("resample",))
    aoi: Path | None = option(
        None, group=REFERENCE, help="Polygons; references are not shown outside of them."
    )
    workers: int | None = threads_option(CALL)

    @property
    def threads(self) -> int:
        """How many threads read and encode."""
        return self.workers or core_count()


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How a page is written."""

    title: str | None = option(None, group=CALL, help="Title of the page.")
    size: int = option(
        2048,
        min=64,
        max=16384,
        group=CALL,
        names=("--max-size",),
        help="Longest side of images, about, in pixels.",
    )
    threads: int = 2
    """Threads that read and encode."""


Watch = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written: scenes as maps, sections of metrics, and what is missing or reduced."""

    output: Path
    maps: int
    sections: int
    bytes: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return vars(self) | {"output": str(self.output), "notes": list(self.notes)}


def write_report(
    inputs: Sequence[Path],
    output: Path,
    show: ShowOptions,
    options: ReportOptions,
    *,
    overwrite: bool,
    watch: Watch,
) -> Report:
    """Write a page of maps, evaluations, trainings and models.

    Raises:
        GeosegError: If an input cannot be read or understood, or the page not written.
    """
    refuse_existing(output, overwrite=overwrite)
    named = sort_inputs(inputs, show)
    sections = _sections_of(named)
    with opened_scenes(named.scenes, size=options.size, exact=True) as scenes:
        areas = [
            scene.area_table(count_classes(scene, threads=options.threads)) for scene in scenes
        ]
        notes = [*named.missing, *_shrunk_notes(scenes)]
        layers = [
            (f"{number}/{role}", scene, layer)
            for number, scene in enumerate(scenes)
            for role, layer in scene.layers.items()
        ]
        tiles = {
            f"{name}/{tile.name}": data_uri(tile.mime, tile.content)
            for name, scene, layer in watch(layers, len(layers))
            for tile in pyramid(layer, scene.frame, threads=options.threads)
        }
        page = render_page(
            title=options.title or _title_of(named),
            scenes=scenes,
            areas=areas,
            sections=sections,
            notes=notes,
            tiles={"data": tiles},
        )
        with staged(output, overwrite=overwrite) as file:
            file.write_text(page, encoding="utf-8", newline="\n")
    return Report(
        output=output,
        maps=len(named.scenes),
        sections=len(sections),
        bytes=output.stat().st_size,
        notes=tuple(notes),
    )


def _sections_of(named: Named) -> list[Section]:
    return [
        *(evaluation_section(folder) for folder in named.evaluations),
        *(run_section(folder) for folder in named.runs),
        *(bundle_section(folder) for folder in named.bundles),
    ]


def _title_of(named: Named) -> str:
    folders = [*named.evaluations, *named.runs, *named.bundles]
    names = [folder.resolve().name for folder in folders] or [scene.name for scene in named.scenes]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _shrunk_notes(scenes: Sequence[Scene]) -> list[str]:
    return [
        f"{scene.name} is shown at 1/{scene.frame.shrink} of its {scene.frame.grid.width} x "
        f"{scene.frame.grid.height} pixels; metrics are of all of them. --max-size shows more, "
        f"geoseg view all."
        for scene in scenes
        if scene.frame.shrink > 1
    ]


TILE = re.compile(r"/tiles/([0-9]{1,4})/([a-z]+[0-9]{0,4})/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,6})")

AREAS = re.compile(r"/areas/([0-9]{1,4})")
"""What may be asked for besides the page: numbers and roles, never a path."""

CACHED_TILES = 1024
"""Encoded tiles that are kept: some tens of megabytes."""

TIMEOUT_S = 60
"""Time for which a connection may be silent."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Host names of requests from this computer."""


class Answer(NamedTuple):
    """An HTTP response; its content is why there is none, if so."""

    status: HTTPStatus
    mime: str
    content: bytes


class Viewer:
    """The page of some scenes, its tiles and areas, and nothing else.

    Its own few threads read files: handles would pile up with the threads of connections.
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
    """A viewer over HTTP at a host and port; port 0 takes a free one."""

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

    Raises:
        GeosegError: If an input cannot be read or understood.
        InputError: If host and port cannot be bound.
    """
    named = sort_inputs(inputs, show)
    with opened_scenes(named.scenes) as scenes:
        page = render_page(
            title=_title_of(named),
            scenes=scenes,
            areas=[None] * len(scenes),
            sections=_sections_of(named),
            notes=named.missing,
            tiles={"server": ""},
            policy=SERVED_POLICY,
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
