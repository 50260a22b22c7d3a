"""A patch set becomes a model bundle."""

from geoseg.training.augmentation.preview import draw_samples
from geoseg.training.cross_validation import FoldsReport, train_folds
from geoseg.training.options import TrainOptions
from geoseg.training.ranks import is_first
from geoseg.training.rehearsal import TrainPlan, rehearse
from geoseg.training.train import TrainReport, prepare, train

__all__ = [
    "FoldsReport",
    "TrainOptions",
    "TrainPlan",
    "TrainReport",
    "draw_samples",
    "is_first",
    "prepare",
    "rehearse",
    "train",
    "train_folds",
]
