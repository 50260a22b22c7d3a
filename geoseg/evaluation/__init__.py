"""Class maps against reference maps: figures and a report; samples of points."""

from geoseg.evaluation.compare import Comparison, Measures, Pair, compare, pair_maps
from geoseg.evaluation.figures import Evaluation
from geoseg.evaluation.report import write_report
from geoseg.evaluation.sample import SampleEvaluation, evaluate_sample
from geoseg.evaluation.sample_report import sample_table, write_sample_report
from geoseg.evaluation.sampling import Sampling, SamplingOptions, sample_points
from geoseg.evaluation.table import table_of

__all__ = [
    "Comparison",
    "Evaluation",
    "Measures",
    "Pair",
    "SampleEvaluation",
    "Sampling",
    "SamplingOptions",
    "compare",
    "evaluate_sample",
    "pair_maps",
    "sample_points",
    "sample_table",
    "table_of",
    "write_report",
    "write_sample_report",
]
