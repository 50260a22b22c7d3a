"""A finished class map becomes a better one: smoothed, filled, without specks."""

from geoseg.postprocessing.operations import Operation, plan, run_operations
from geoseg.postprocessing.options import NEAREST, Area, ClassArea, Fill, PostprocessOptions, Rule
from geoseg.postprocessing.strips import MapStrips, strip_rows

__all__ = [
    "NEAREST",
    "Area",
    "ClassArea",
    "Fill",
    "MapStrips",
    "Operation",
    "PostprocessOptions",
    "Rule",
    "plan",
    "run_operations",
    "strip_rows",
]
