"""A stream of scores becomes a class map; scenes become one map."""

from geoseg.mosaicking.class_map import MapWriter, write_map
from geoseg.mosaicking.layers import raster_styles
from geoseg.mosaicking.mosaic import REGION, Method, mosaic
from geoseg.mosaicking.outputs import MapOutputs, MapReport, partly_read
from geoseg.mosaicking.parts import join_parts

__all__ = [
    "REGION",
    "MapOutputs",
    "MapReport",
    "MapWriter",
    "Method",
    "join_parts",
    "mosaic",
    "partly_read",
    "raster_styles",
    "write_map",
]
