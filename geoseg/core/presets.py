"""Legends that many data sets share."""

from typing import Any, NamedTuple

from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.errors import LegendError

BINARY = "binary:"
"""``binary:building``: 0 is other, 1 (or else 255) is building, and so is every polygon."""

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

ISPRS_1TO6: list[Row] = [(value + 1, name, color) for value, name, color in ISPRS]


class Preset(NamedTuple):
    """A legend by name, and what to know of it."""

    rows: list[Row]
    """Value, name and colour of each class."""

    ignore: tuple[int | str, ...]
    """What is unlabelled."""

    about: str
    """For people, in lines."""


PRESETS: dict[str, Preset] = {
    "isprs": Preset(
        ISPRS,
        ("#000000",),
        "ISPRS 2D semantic labelling (Vaihingen, Potsdam): the colours, or values 0 to 5.\n"
        "Black is the border of the eroded references. Of values 1 to 6 with 0 = border: "
        "isprs-1to6.",
    ),
    "isprs-1to6": Preset(
        ISPRS_1TO6,
        (0, "#000000"),
        "ISPRS 2D semantic labelling (Vaihingen, Potsdam): the colours, or values 1 to 6.\n"
        "0 and black are the border of the eroded references. Of values 0 to 5: isprs.",
    ),
    "landcover-ai": Preset(LANDCOVER_AI, (), "LandCover.ai, values of version 1."),
    "voc": Preset(VOC, (255, "#e0e0c0"), "PASCAL VOC 2012; 255 and #e0e0c0 are contours."),
}
"""Presets by name."""

BINARY_ABOUT = (
    "One class and all else: 0 is other, 1 the class, and so is 255 in a raster without 1.\n"
    "Of 255 = unlabelled: take the alternative out, and write ignore = [255] above the classes.\n"
    "In a picture white is the class and black other. Of polygons, each is of the class."
)


def preset(name: str) -> Legend | None:
    """The legend of a preset, or None if there is none of that name.

    Raises:
        LegendError: If ``binary:`` names no class.
    """
    if name.startswith(BINARY):
        return _binary(name.removeprefix(BINARY).strip())
    if name not in PRESETS:
        return None
    rows, ignore, _ = PRESETS[name]
    return Legend.from_dict({"name": name, "ignore": list(ignore), "class": _tables(rows)})


def about_preset(name: str) -> str:
    """What to know of a preset."""
    return BINARY_ABOUT if name.startswith(BINARY) else PRESETS[name].about


def _binary(name: str) -> Legend:
    if not name or name == "other":
        raise LegendError("name the class, as in `binary:building`")
    other, own = _tables([(0, "other", "#d9d9d9"), (1, name, "#d7301f")])
    own["alternative"] = IGNORE
    return Legend.from_dict({"name": name, "background": "other", "class": [other, own]})


def _tables(rows: list[Row]) -> list[dict[str, Any]]:
    return [{"value": value, "name": name, "color": color} for value, name, color in rows]
