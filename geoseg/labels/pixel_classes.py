"""Classes of a raster's pixels, in references and class maps of any program.

The rule, for `tile`, `evaluate`, `report`, `sample-points`, `mosaic` and `postprocess` alike. A
pixel is unlabelled

* where the file has no data: its nodata value, mask band, alpha or NaN;
* where the legend's ``ignore`` names its value or colour;
* where it is 255 in a class map or mask of geoseg's own, known by its tag, by a palette in which
  255 is transparent, or by ``--coding map``.

Every other value, 255 included, has the class that the legend gives; values without a class are
refused with their counts. If a class has an alternative (``binary:NAME``: 1, or else 255), a
raster with both is refused as ambiguous.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ADD_TO_LEGEND, MAX_CODES, InputError, LegendError, UnknownCodeError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import parse_color, to_hex
from geoseg.labels.tags import CLASS_MAP, CONFIDENCE, SCORES, read_tags
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import has_transparent_255, lossy_compression, opened, reading
from geoseg.raster.window import blocks

Coding = Literal["auto", "values", "colors", "map"]
"""Coding of classes in pixels: source values, source colours, or values of geoseg's class maps.

``auto``: ``map`` if the tag says so and the classes are the legend's; ``colors`` for three bands or
a palette with other values than the legend's; else ``values``.
"""

LOSSLESS = "labels stored without loss (PNG, GeoTIFF)"

MAX_LOSSY_STEP = 60
"""Largest change of values by lossy compression, usually."""

SIMILAR_COLOR_DISTANCE = 40
"""RGB distance within which an unknown colour looks like a damaged known one."""


NO_CLASSES = "Values with a fraction are no classes: name the raster that holds classes"

UNCOVERED = "ground without a polygon"
"""Code of what no polygon of a reference covers."""


class Meaning(NamedTuple):
    """How a raster codes classes, for people and records."""

    coding: str
    """Name of the coding, such as ``values``."""

    classes: dict[str, tuple[str, ...]]
    unlabelled: tuple[str, ...]

    @property
    def fills_gaps(self) -> bool:
        """Whether ground without a polygon has a class."""
        return any(UNCOVERED in codes for codes in self.classes.values())

    def fits(self, other: Self) -> bool:
        """Whether it agrees with another one in which alternatives are still open."""
        codes = zip(self.classes.values(), other.classes.values(), strict=True)
        apart = (self.coding, self.unlabelled) != (other.coding, other.unlabelled)
        by_value = self.coding == "values"
        return by_value and not apart and all(set(mine) <= set(its) for mine, its in codes)

    def __str__(self) -> str:
        """One line, such as ``values 0 = other, 255 = building; unlabelled: nodata 7``."""
        coded = []
        for name, codes in self.classes.items():
            more = f" or {len(codes) - MAX_CODES} more" if len(codes) > MAX_CODES else ""
            coded += [f"{' or '.join(codes[:MAX_CODES])}{more} = {name}"] if codes else []
        ignored = f"; unlabelled: {', '.join(self.unlabelled)}" if self.unlabelled else ""
        return f"{self.coding} {', '.join(coded)}{ignored}"


def counted_meanings(meanings: Sequence[Meaning]) -> dict[str, int]:
    """Number of rasters per meaning, as text.

    A raster with neither of two alternatives counts with those that have one.
    """
    counts = Counter(map(str, meanings))
    kinds = {str(each): each for each in meanings}
    for said, one in kinds.items():
        same = [other for text, other in kinds.items() if text != said and other.fits(one)]
        if same:
            counts[str(same[0])] += counts.pop(said)
    return dict(counts)


def doubts_of_codings(meanings: Sequence[Meaning], legend: Legend) -> list[str]:
    """Messages on classes with their value in some references and the alternative in others."""
    by_value = [each for each in meanings if each.coding == "values"]
    found = []
    for one in legend.classes:
        if one.alternative is None:
            continue
        first, other = str(one.value), str(one.alternative)
        count = Counter(each.classes[one.name] for each in by_value)
        if count[(first,)] and count[(other,)]:
            found.append(
                f"{one.name!r} is {first} in {count[(first,)]} references and {other} in "
                f"{count[(other,)]}; if {other} is unlabelled there, write a legend with "
                f"ignore = [{other}]"
            )
    return found


def hints_at_other_coding(meanings: Sequence[Meaning], legend: Legend) -> list[str]:
    """Messages on values that may be the other coding of ISPRS."""
    if legend.name != "isprs" or all(each.coding != "values" for each in meanings):
        return []
    hint = "--legend isprs reads values 0 to 5; if yours are 1 to 6 and 0 is the border"
    return [f"{hint}: --legend isprs-1to6"]


class PixelClasses:
    """Class indices of one raster's pixels; safe for threads.

    The tolerance is one for colours, and for values that are far enough apart.

    Raises:
        RasterError: If the raster cannot be read.
        LegendError: If a tolerance is wider than the values of the legend lie apart.
    """

    def __init__(
        self,
        path: Path,
        legend: Legend,
        coding: Coding = "auto",
        *,
        tolerance: float = 0,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.legend = path, legend
        self._own = _own_classes(read_tags(path) if tags is None else tags)
        with opened(path) as dataset, reading(path):
            self._lossy = lossy_compression(dataset)
            self._is_own = self._own is not None or has_transparent_255(dataset)
        with RasterReader(path, palette_index=True) as reader:
            self.coding = self._guess(reader) if coding == "auto" else coding
            self._nodata, self._bands = reader.nodata, reader.bands
        self._tolerance = self._tolerance_of(tolerance)
        self._given_tolerance = tolerance
        self._seen: set[int] = set()
        self._recode: NDArray[np.uint8] | None = None

    @classmethod
    def of_map(cls, path: Path, legend: Legend) -> Self:
        """Classes of a class map of geoseg, or of another program with the legend's map values.

        Where geoseg's own names none but classes of the legend, they have the values named there.

        Raises:
            InputError: If the raster is something else of geoseg's own, such as scores.
            RasterError: If it cannot be read.
        """
        tags = read_tags(path)
        if (kind := tags.get("kind")) in (SCORES, CONFIDENCE):
            raise InputError(
                f"{path}: holds {kind}, not classes; name the class map that was made with it"
            )
        with RasterReader(path, palette_index=True) as reader:
            in_colors = reader.bands >= 3  # noqa: PLR2004 red, green, blue
        own, indices = legend.of_map, legend.indices_of_map
        carried = _own_classes(tags)
        if not in_colors and carried is not None:
            if carried != own.names_by_value and carried and {*carried.values()} <= {*own.names}:
                indices = indices[[own.names.index(name) for name in carried.values()]]
                own = _with_values(own, carried)
            classes = cls(path, own, "map", tags=tags)
        else:
            coding: Coding = "colors" if in_colors else "values"
            classes = cls(path, own.of_maps(), coding, tags=tags)
        if own is not legend:  # merged with a reference's, or the map's values are others
            classes._recode = np.full(IGNORE + 1, IGNORE, np.uint8)
            classes._recode[: len(own)] = indices
        return classes

    @property
    def by_index(self) -> bool:
        """Whether a palette image is read by index rather than colour."""
        return self.coding != "colors"

    def encode(self, image: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Class indices of pixels.

        Args:
            image: (bands, height, width).
            valid: (height, width).

        Returns:
            (height, width); `IGNORE` where unlabelled.

        Raises:
            LegendError: If a value or colour has no class in the legend, with its count in the
                whole raster, or if two codings are mixed.
        """
        if self._is_own and self.coding != "colors":
            valid = valid & (image[0] != IGNORE)
        if not valid.any():
            return np.full(valid.shape, IGNORE, np.uint8)
        hidden = not valid.all()
        if hidden:
            row, col = np.unravel_index(int(valid.argmax()), valid.shape)
            image = np.where(valid, image, image[:, row, col][:, None, None])
        try:
            indices = self._encode(image)
        except UnknownCodeError as error:
            raise self._refusal(error) from error
        except LegendError as error:
            raise LegendError(f"{self.path}: {error}") from error
        if hidden:
            indices[~valid] = IGNORE
        return indices if self._recode is None else self._recode[indices]

    @property
    def meaning(self) -> Meaning:
        """Codes of the classes; alternatives are decided by the values read so far."""
        legend = self.legend
        if self.coding == "colors":
            of_index: dict[int, list[str]] = {}
            for color, index in legend.known_colors.items():
                of_index.setdefault(index, []).append(to_hex(color))
            classes = {name: tuple(of_index.get(i, ())) for i, name in enumerate(legend.names)}
            ignored = tuple(of_index.get(IGNORE, ()))
            return Meaning(f"colours{self._within}", classes, (*self._no_data, *ignored))
        if self.coding == "map":
            classes = {each.name: (str(each.value),) for each in legend.classes}
            return Meaning("values", classes, (str(IGNORE),))
        classes = {c.name: tuple(map(str, self._values_of(c))) for c in legend.classes}
        own = (str(IGNORE),) if self._is_own else ()
        ignored = tuple(map(str, legend.ignored_values))
        ignored = tuple(dict.fromkeys((*self._no_data, *own, *ignored)))
        return Meaning(f"values{self._within}", classes, ignored)

    @property
    def _within(self) -> str:
        return f" (within {self._tolerance:g} of)" if self._tolerance else ""

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on the pixels read so far."""
        return list(self._notes())

    def _guess(self, reader: RasterReader) -> Coding:
        same = self._own == self.legend.names_by_value
        if same and self.legend.merge is None:
            return "map"
        if reader.bands >= 3:  # noqa: PLR2004 red, green, blue
            return "colors"
        if reader.palette and not self.legend.fits_palette(reader.palette):
            return "colors"
        return "values"

    def _tolerance_of(self, tolerance: float) -> float:
        """The effective tolerance; 0 for values too close to each other."""
        if self.coding == "colors" or not tolerance:
            return tolerance
        if self.coding == "map" or self.legend.spacing() > 2 * tolerance:
            return tolerance if self.coding == "values" else 0
        if self._lossy:
            raise LegendError(
                f"{self.path}: is {self._lossy}, which changes values, and those of the legend's "
                f"classes lie {self.legend.spacing():g} apart: --color-tolerance {tolerance:g} "
                f"cannot tell them apart; store the labels without loss (PNG, GeoTIFF)"
            )
        return 0

    def _encode(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        if self.coding == "map":
            return self.legend.encode_map(image[0])
        if self.coding == "colors":
            return self.legend.encode_colors(image, tolerance=self._tolerance)
        indices = self.legend.encode_values(image[0], tolerance=self._tolerance)
        if not self._tolerance:
            self._refuse_mixed(image[0])
            return indices
        for index, each in enumerate(self.legend.classes):
            if each.alternative is not None and (indices == index).any():
                self._seen.add(each.alternative)
        return indices

    def _refuse_mixed(self, values: NDArray[Any]) -> None:
        """Refuse a raster with both the value and the alternative of a class."""
        for each in self.legend.classes:
            if each.alternative is None:
                continue
            known = set(each.known_values)
            self._seen |= {v for v in known - self._seen if (values == v).any()}
            firsts = self._seen & set(each.source_values)
            if firsts and each.alternative in self._seen:
                if self._lossy:
                    what = f"holds {min(firsts)} and {each.alternative}"
                    raise LegendError(f"{what}. {self._blame_compression(MAX_LOSSY_STEP)}")
                raise LegendError(
                    f"holds {min(firsts)} and {each.alternative}, and each may mean "
                    f"{each.name!r}: say in a legend of your own (`geoseg legend {self.path} -o "
                    f"legend.toml`) what {each.alternative} is, a class or ignore = "
                    f"[{each.alternative}]"
                )

    def _values_of(self, each: Any) -> tuple[int, ...]:
        """Values of a class; of alternatives the one read so far."""
        if each.alternative is None:
            return tuple(each.source_values)
        if self._tolerance:
            return (each.alternative,)
        seen = tuple(value for value in each.known_values if value in self._seen)
        return seen or tuple(each.known_values)

    @property
    def _no_data(self) -> tuple[str, ...]:
        return () if self._nodata is None else (f"nodata {self._nodata:g}",)

    def _notes(self) -> Iterator[str]:
        if (read := min(self._bands, 3 if self.coding == "colors" else 1)) < self._bands:
            first = "first band is" if read == 1 else "first three bands are"
            yield (
                f"{self.path}: has {self._bands} bands, of which the {first} read; if the last is "
                f"an alpha, declare it (gdal_edit.py -colorinterp_{self._bands} alpha)"
            )
        if self.coding != "values" or self._is_own:
            return
        if self._tolerance:
            for each in self.legend.classes:
                if each.alternative is not None and each.alternative not in self._seen:
                    yield (
                        f"{self.path}: no pixel is near {each.alternative}, so none is "
                        f"{each.name!r}: with --color-tolerance {each.source_values[0]} is not "
                        f"told from its neighbours"
                    )
        for each in self.legend.classes if self._nodata is not None else ():
            if self._nodata in each.source_values or (
                self._nodata == each.alternative and not self._seen & set(each.source_values)
            ):
                yield (
                    f"{self.path}: its nodata is {self._nodata:g}, which means {each.name!r} in "
                    f"the legend; these pixels count as unlabelled. If they are {each.name!r}: "
                    f"gdal_edit.py -unsetnodata {self.path}"
                )
        if self._lossy and not self._tolerance and self.legend.spacing() < SIMILAR_COLOR_DISTANCE:
            yield (
                f"{self.path}: is {self._lossy}, which changes values: where classes meet labels "
                f"are wrong; store them without loss (PNG, GeoTIFF)"
            )

    def _refusal(self, error: UnknownCodeError) -> UnknownCodeError:
        """The error with all unknown codes of the whole raster, and how to mend it."""
        counts = Counter[str]()
        with RasterReader(self.path, palette_index=self.by_index) as reader:
            height, width = reader.grid.height, reader.grid.width
            for window in blocks(height, width, rows=512, cols=4096):
                image, valid = reader.read(window)
                counts += self._unknown(image[:, valid][:, None])
        counts = counts or Counter(error.counts)
        most = [code for code, _ in counts.most_common()]
        is_measured = self.coding == "values" and any(float(code) % 1 for code in most)
        advice = NO_CLASSES if is_measured and not self._lossy else self._advice(most)
        return UnknownCodeError(f"{self.path}: {error.kind}", counts, advice)

    def _unknown(self, pixels: NDArray[Any]) -> Counter[str]:
        if pixels.size and self._is_own and self.coding != "colors":
            pixels = pixels[:, :, pixels[0, 0] != IGNORE]
        try:
            if pixels.size:
                self._encode(pixels)
        except UnknownCodeError as error:
            return Counter(error.counts)
        return Counter()

    def _advice(self, codes: Sequence[str]) -> str:
        """How to mend unknown codes, judged by what they look like."""
        if self.coding == "colors":
            if all(code[1:3] == code[3:5] == code[5:7] for code in codes):
                return f"The image is grey: read its values with --coding values. {ADD_TO_LEGEND}"
            steps = _farness([parse_color(c) for c in codes], list(self.legend.known_colors))
            is_near = np.median(steps) < SIMILAR_COLOR_DISTANCE
            looks_damaged = len(codes) > len(self.legend) and is_near
        else:
            numbers = [float(code) for code in codes]
            steps = _farness([[n] for n in numbers], [[v] for v in self.legend.values])
            looks_damaged = False
            others = {c.alternative for c in self.legend.classes if c.alternative is not None}
            if self._lossy and others and max(numbers) < min(others) - MAX_LOSSY_STEP:
                return f"The file is {self._lossy}, which changes values: use {LOSSLESS}"
        if self._lossy or looks_damaged:
            return self._blame_compression(float(steps.max()))
        if self.legend.name == "isprs" and list(codes) == ["6"]:
            return "Values 1 to 6 with 0 = border are those of --legend isprs-1to6"
        if self.legend.merge is not None:
            return "Give each a row in the legend map, the other side empty if it is unlabelled"
        what = "colors" if self.coding == "colors" else "values"
        codes = [code if what == "values" else f'"{code}"' for code in codes[:MAX_CODES]]
        return (
            f"Add them to a class of the legend (`{what}`), or, if they are unlabelled, ignore = "
            f"[{', '.join(codes)}]; `geoseg legend {self.path} -o legend.toml` writes a legend to "
            f"edit"
        )

    def _blame_compression(self, farthest: float) -> str:
        if self.coding != "colors" and self.legend.spacing() <= SIMILAR_COLOR_DISTANCE:
            return f"The file is {self._lossy}, which changes values: use {LOSSLESS}"
        kind = "colours" if self.coding == "colors" else "values"
        what = "They look like those of the legend after compression or resampling"
        if self._lossy:
            what = f"The file is {self._lossy}, which changes {kind}"
        now = f" (now {self._given_tolerance:g})" if self._given_tolerance else ""
        return (
            f"{what}: use {LOSSLESS}, or take the nearest class with --color-tolerance "
            f"{int(np.ceil(farthest))}{now}"
        )


def _farness(found: Sequence[Sequence[float]], known: Sequence[Sequence[float]]) -> Any:
    """(found,) distance of each code to the nearest known one."""
    steps = np.array(found, float)[:, None] - np.array(known, float)
    return np.sqrt((steps**2).sum(axis=2)).min(axis=1)


def _with_values(legend: Legend, named: Mapping[int, str]) -> Legend:
    """The classes that a class map names, with their values there."""
    known = dict(zip(legend.names, legend.classes, strict=True))
    classes = (
        replace(known[name], value=value, values=(), alternative=None)
        for value, name in named.items()
    )
    return Legend(classes=tuple(classes), name=legend.name)


def _own_classes(tags: Mapping[str, Any]) -> dict[int, str] | None:
    """Class names by value of a class map of geoseg with such tags; None for other rasters."""
    if tags.get("kind") != CLASS_MAP:
        return None
    try:
        return {each["value"]: each["name"] for each in tags["legend"]["class"]}
    except (LookupError, TypeError):
        return {}
