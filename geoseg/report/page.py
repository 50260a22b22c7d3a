"""The HTML of a page: a template with map library, script and style inside."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import geoseg
from geoseg.report.scenes import Scene
from geoseg.report.sections import Section
from geoseg.report.tables import as_text, words

ASSETS = files("geoseg.report") / "assets"
"""Template, style and script, and Leaflet with its licence."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'"
"""Sources that a page alone may load: itself."""


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
