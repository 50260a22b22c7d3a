"""An orthophoto and a segmenter become a stream of window scores. Knows no torch."""

from geoseg.prediction.score import score

__all__ = ["score"]
