"""Legends that many data sets share."""

from geoseg.core.legend import Legend
from geoseg.errors import LegendError

BINARY = "binary:"
"""``binary:building``: 0 is other, 1 is building, and so is every polygon."""

Row = tuple[int, str, str]

ISPRS: list[Row] = [
    (0, "impervious surface", "#ffffff"),
    (1, "building", "#0000ff"),
    (2, "low vegetation", "#00ffff"),
    (3, "tree", "#00ff00"),
    (4, "car", "#ffff00"),
    (5, "clutter", "#ff0000"),
]
"""ISPRS 2D semantic labelling, Vaihingen and Potsdam."""

LANDCOVER_AI: list[Row] = [
    (0, "other", "#c8c8c8"),
    (1, "building", "#d7301f"),
    (2, "woodland", "#1b7837"),
    (3, "water", "#2c7fb8"),
    (4, "road", "#7f7f7f"),
]
"""LandCover.ai, values of version 1; the colours are ours."""

VOC: list[Row] = [
    (0, "background", "#000000"),
    (1, "aeroplane", "#800000"),
    (2, "bicycle", "#008000"),
    (3, "bird", "#808000"),
    (4, "boat", "#000080"),
    (5, "bottle", "#800080"),
    (6, "bus", "#008080"),
    (7, "car", "#808080"),
    (8, "cat", "#400000"),
    (9, "chair", "#c00000"),
    (10, "cow", "#408000"),
    (11, "dining table", "#c08000"),
    (12, "dog", "#400080"),
    (13, "horse", "#c00080"),
    (14, "motorbike", "#408080"),
    (15, "person", "#c08080"),
    (16, "potted plant", "#004000"),
    (17, "sheep", "#804000"),
    (18, "sofa", "#00c000"),
    (19, "train", "#80c000"),
    (20, "tv monitor", "#004080"),
]
"""PASCAL VOC 2012."""

PRESETS: dict[str, tuple[list[Row], tuple[int | str, ...]]] = {
    "isprs": (ISPRS, ("#000000",)),
    "landcover-ai": (LANDCOVER_AI, ()),
    "voc": (VOC, (255, "#e0e0c0")),
}
"""Classes, and what is unlabelled (ISPRS: eroded borders; VOC: contours)."""


def preset(name: str) -> Legend | None:
    """The legend of a preset, or None if there is none of that name.

    Raises:
        LegendError: If ``binary:`` names no class.
    """
    if name.startswith(BINARY):
        return _binary(name.removeprefix(BINARY))
    if name not in PRESETS:
        return None
    rows, ignore = PRESETS[name]
    return _legend(name, rows, ignore=ignore)


def _binary(name: str) -> Legend:
    if not name or name == "other":
        raise LegendError("name the class, as in `binary:building`")
    rows = [(0, "other", "#d9d9d9"), (1, name, "#d7301f")]
    return _legend(name, rows, background="other")


def _legend(
    name: str,
    rows: list[Row],
    *,
    ignore: tuple[int | str, ...] = (),
    background: str | None = None,
) -> Legend:
    tables = [{"value": value, "name": each, "color": color} for value, each, color in rows]
    record = {"name": name, "class": tables, "ignore": list(ignore)}
    return Legend.from_dict(record | ({"background": background} if background else {}))
