"""A patch set becomes a model bundle."""

from geoseg.training.options import TrainOptions
from geoseg.training.train import TrainReport, train

__all__ = ["TrainOptions", "TrainReport", "train"]
