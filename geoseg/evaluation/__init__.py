"""Class maps against reference maps: figures and a report."""

from geoseg.evaluation.compare import Comparison, Pair, compare, pair_maps
from geoseg.evaluation.figures import Evaluation, table_of
from geoseg.evaluation.report import write_report

__all__ = [
    "Comparison",
    "Evaluation",
    "Pair",
    "compare",
    "pair_maps",
    "table_of",
    "write_report",
]
