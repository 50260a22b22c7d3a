"""Corrections of a reference: polygons that someone has drawn over it, in boxes or without."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.polygon_classes import PolygonClasses
from geoseg.labels.reference import Reference, ReferenceOptions, VectorReference
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import BOXES_LAYER, AreaOfInterest
from geoseg.raster.vector import drawn_layers
from geoseg.raster.window import Window


class _Drawn(NamedTuple):
    """Polygons that override a reference."""

    polygons: VectorReference
    covered: AreaOfInterest
    """Ground under any of them, labelled or not."""

    boxes: AreaOfInterest | None
    """Ground that they label; None: they have no boxes, and label what they cover."""


class CorrectedReference(Reference):
    """A reference under polygons that override it.

    In boxes the polygons are all there is: what none of them covers is the legend's background.
    Without boxes, or without a background, it stays as it was. A polygon without a class, or of too
    little confidence, takes the label from the ground that it covers.
    """

    def __init__(self, reference: Reference, drawn: _Drawn) -> None:
        self.path = reference.path
        self.extent = reference.extent
        self.has_edges = reference.has_edges
        self._reference, self._drawn = reference, drawn

    @classmethod
    def open(
        cls,
        reference: Reference,
        path: Path,
        *,
        legend: Legend,
        grid: Grid,
        options: ReferenceOptions,
    ) -> Self:
        """Open the corrections of a reference; they may lie elsewhere.

        Args:
            reference: The reference.
            path: Polygons, and perhaps boxes in a layer of this name.
            legend: The classes.
            grid: Grid of the orthophoto.
            options: Column of the class, and how wide points and lines are.

        Raises:
            LegendError: If an attribute value has no class.
            VectorError: If the polygons cannot be read.
        """
        layers = drawn_layers(path)
        others = [each for each in layers if each != BOXES_LAYER]
        has_boxes = len(others) < len(layers) and bool(others)
        boxes = AreaOfInterest.of_boxes(path, grid, may_be_elsewhere=True) if has_boxes else None
        layer = others[0] if has_boxes and len(others) == 1 else None
        column, least = options.attribute, options.min_confidence
        classes = PolygonClasses(
            path, legend, attribute=column, layer=layer, least=least, corrects=True
        )
        classes.widen(grid, radius=options.point_radius, width=options.line_width)
        classes.uncovered = legend.background_index if boxes else IGNORE
        polygons = VectorReference(classes, grid=grid, may_be_elsewhere=True)
        covered = AreaOfInterest(classes.geometries, grid, path=path, may_be_elsewhere=True)
        return cls(reference, _Drawn(polygons, covered, boxes))

    @property
    def is_elsewhere(self) -> bool:
        """Whether no correction lies on the grid."""
        return (self._drawn.boxes or self._drawn.polygons).is_elsewhere

    @property
    def meaning(self) -> Meaning:
        """Codes of the classes in the reference."""
        return self._reference.meaning

    @property
    def notes(self) -> list[str]:
        """Remarks for the user on what was read."""
        return [*self._reference.notes, *self._drawn.polygons.notes]

    @property
    def base(self) -> Reference:
        """The reference without corrections."""
        return self._reference

    def _labels(self, window: Window, step: int) -> NDArray[np.uint8]:
        labels = self._reference.read(window, step)
        drawn = self._drawn.polygons.read(window, step)
        overridden = self._drawn.covered.read(window, step)
        if self._drawn.boxes is not None:
            overridden = self._drawn.boxes.read(window, step) & (overridden | (drawn != IGNORE))
        labels[overridden] = drawn[overridden]
        return labels

    def close(self) -> None:
        """Release files."""
        self._reference.close()


def is_corrected(reference: Reference) -> bool:
    """Whether corrections lie on a reference."""
    return isinstance(reference, CorrectedReference) and not reference.is_elsewhere
