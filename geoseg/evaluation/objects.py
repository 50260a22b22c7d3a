"""Objects of a map against those of its reference, in strips."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.core.objects import (
    CONNECTIVITY,
    Connectivity,
    Labels,
    Matches,
    Numbered,
    ObjectMatcher,
)
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, blocks
from geoseg.evaluation.class_map import COLUMNS, ROWS, ClassMap
from geoseg.io.numbered import NumberedPolygons
from geoseg.io.reference import Reference
from geoseg.io.score_map import ScoreMap

PIXELS = 1 << 20
"""Of a strip, which is as wide as the map, that is labelled at a time."""


def match_objects(
    mapped: ClassMap,
    truth: Reference,
    classes: Sequence[int],
    *,
    polygons: Mapping[int, NumberedPolygons] | None = None,
    scores: ScoreMap | None = None,
    connectivity: Connectivity = CONNECTIVITY,
    watch: Callable[[Iterable[Window], int], Iterable[Window]] = lambda rows, _: rows,
) -> dict[int, Matches]:
    """Objects of a class in the map and in the reference that are the same.

    Those of the map are connected pixels, those of the reference too, or polygons. Only pixels
    that both know belong to objects: unlabelled ground, nodata and the edge of an area cut them.

    Args:
        mapped: The map.
        truth: The reference.
        classes: Indices of the classes whose objects are wanted.
        polygons: The reference's objects of each of these classes, if they are polygons.
        scores: Of the map; an object's score is the mean of its class's over its pixels.
        connectivity: Whether pixels that touch only at a corner are connected.
        watch: Shows progress over rows.

    Raises:
        GeosegError: What is wrong with the files.
    """
    if not classes:
        return {}
    drawn = polygons or {}
    matchers = {
        index: ObjectMatcher(Numbered() if index in drawn else None, connectivity)
        for index in classes
    }
    height, width = mapped.grid.height, mapped.grid.width
    slabs = list(blocks(height, width, rows=ROWS, cols=width))
    for slab in watch(slabs, len(slabs)):
        found, reference, scored = _read(mapped, truth, slab, classes, scores)
        known = (found != IGNORE) & (reference != IGNORE)
        for strip in blocks(slab.height, width, rows=max(PIXELS // width, 1), cols=width):
            few = strip.slices
            for index, matcher in matchers.items():
                objects = (
                    _kept(drawn[index], strip.moved(slab.row_off, 0), known[few])
                    if index in drawn
                    else known[few] & (reference[few] == index)
                )
                own = scored[index][few] if scores else None
                matcher.add(objects, known[few] & (found[few] == index), own)
    found_all = {index: matcher.matches() for index, matcher in matchers.items()}
    return {
        index: _left_out(each, drawn[index]) if index in drawn else each
        for index, each in found_all.items()
    }


def _left_out(matches: Matches, polygons: NumberedPolygons) -> Matches:
    """The same, with those polygons counted that have no pixel that counts."""
    counts = matches.counts
    return matches._replace(counts=replace(counts, left_out=polygons.on_grid - counts.reference))


def _read(
    mapped: ClassMap,
    truth: Reference,
    slab: Window,
    classes: Sequence[int],
    scores: ScoreMap | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[int, NDArray[np.float32]]]:
    """Rows of the map and of the reference, and the scores of some classes, part by part."""
    shape = (slab.height, slab.width)
    found, reference = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    scored = {index: np.empty(shape, np.float32) for index in classes if scores}
    for part in blocks(slab.height, slab.width, rows=ROWS, cols=COLUMNS):
        window, place = part.moved(slab.row_off, 0), part.slices
        found[place], reference[place] = mapped.read_counted(window), truth.read(window)
        if scores:
            image = scores.read(window).image
            for index, own in scored.items():
                own[place] = image[index]
    return found, reference, scored


def _kept(polygons: NumberedPolygons, strip: Window, known: NDArray[np.bool_]) -> Labels:
    """The polygons of a strip, where pixels count."""
    labels = polygons.read(strip)
    labels.local[~known] = 0
    return labels
