"""An orthophoto and a segmenter become a stream of window scores. Knows no torch."""

from geoseg.prediction.score import Ortho, check_scores, score

__all__ = ["Ortho", "check_scores", "score"]
