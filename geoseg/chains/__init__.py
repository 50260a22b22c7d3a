"""Steps joined: ``predict`` is ``write_map(blend(score(ortho)))``.

Steps never import each other; this package, above them and below the commands, does.
"""

from geoseg.chains.models import LoadedModels, Models
from geoseg.chains.options import PredictOptions
from geoseg.chains.patches import patch_maps, predict_patches
from geoseg.chains.plan import PredictPlan
from geoseg.chains.predict import plan_map, predict_map
from geoseg.chains.stitched import stitched_comparison, stitched_confusion, window_sizes

__all__ = [
    "LoadedModels",
    "Models",
    "PredictOptions",
    "PredictPlan",
    "patch_maps",
    "plan_map",
    "predict_map",
    "predict_patches",
    "stitched_comparison",
    "stitched_confusion",
    "window_sizes",
]
