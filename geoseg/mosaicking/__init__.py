"""A stream of scores becomes a class map; scenes become one map."""

from geoseg.mosaicking.class_map import MapOutputs, MapReport, write_map
from geoseg.mosaicking.mosaic import Method, mosaic

__all__ = ["MapOutputs", "MapReport", "Method", "mosaic", "write_map"]
