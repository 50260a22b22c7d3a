"""Class maps against reference maps: figures and a report; samples of points."""

from geoseg.evaluation.bootstrap import Bootstrap
from geoseg.evaluation.compare import compare, pair_maps
from geoseg.evaluation.comparison import Comparison, Measures, Pair, RegionSource
from geoseg.evaluation.confidence import count_blocks
from geoseg.evaluation.errors import ErrorOptions, survey_errors
from geoseg.evaluation.figures import Evaluation, warnings_of
from geoseg.evaluation.quicklooks import read_panels
from geoseg.evaluation.regions import parse_source
from geoseg.evaluation.report import write_report
from geoseg.evaluation.sample import SampleEvaluation, evaluate_sample
from geoseg.evaluation.sample_report import sample_table, write_sample_report
from geoseg.evaluation.sampling import Sampling, SamplingOptions, sample_points
from geoseg.evaluation.table import table_of
from geoseg.evaluation.worst import ranked

__all__ = [
    "Bootstrap",
    "Comparison",
    "ErrorOptions",
    "Evaluation",
    "Measures",
    "Pair",
    "RegionSource",
    "SampleEvaluation",
    "Sampling",
    "SamplingOptions",
    "compare",
    "count_blocks",
    "evaluate_sample",
    "pair_maps",
    "parse_source",
    "ranked",
    "read_panels",
    "sample_points",
    "sample_table",
    "survey_errors",
    "table_of",
    "warnings_of",
    "write_report",
    "write_sample_report",
]
