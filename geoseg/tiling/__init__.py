"""Orthophotos and reference maps become a patch set."""

from geoseg.tiling.options import TileOptions
from geoseg.tiling.pairing import pair_by_name, pair_by_order, pairs_from_csv
from geoseg.tiling.plan import TilePlan, plan
from geoseg.tiling.tile import TileReport, tile

__all__ = [
    "TileOptions",
    "TilePlan",
    "TileReport",
    "pair_by_name",
    "pair_by_order",
    "pairs_from_csv",
    "plan",
    "tile",
]
