"""An orthophoto and a segmenter become a stream of window scores. Knows no torch."""

from geoseg.prediction.score import Ortho, score

__all__ = ["Ortho", "score"]
