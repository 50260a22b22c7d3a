"""Objects of a map against those of its reference, in strips."""

from collections.abc import Sequence

from geoseg.core.objects import ObjectCounts, ObjectMatcher
from geoseg.core.scores import IGNORE
from geoseg.core.window import blocks
from geoseg.evaluation.class_map import COLUMNS, ROWS, ClassMap
from geoseg.io.reference import Reference


def match_objects(
    mapped: ClassMap, truth: Reference, classes: Sequence[int]
) -> dict[int, ObjectCounts]:
    """Connected pixels of a class in the map and in the reference that are the same object.

    Only pixels that both know belong to objects: unlabelled ground, nodata and the edge of an
    area cut them.

    Args:
        mapped: The map.
        truth: The reference.
        classes: Indices of the classes whose objects are wanted.
    """
    if not classes:
        return {}
    matchers = {index: ObjectMatcher() for index in classes}
    height, width = mapped.grid.height, mapped.grid.width
    rows = max(ROWS * COLUMNS // width, 1)
    for strip in blocks(height, width, rows=rows, cols=width):
        found, reference = mapped.read_counted(strip), truth.read(strip)
        known = (found != IGNORE) & (reference != IGNORE)
        for index, matcher in matchers.items():
            matcher.add(known & (reference == index), known & (found == index))
    return {index: matcher.result() for index, matcher in matchers.items()}
