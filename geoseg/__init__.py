"""Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate.

The steps under their commands' names, imported when they are first used:

>>> import geoseg
>>> callable(geoseg.evaluate)
True
"""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "check",
    "evaluate",
    "load_model",
    "mosaic",
    "open_legend",
    "postprocess",
    "predict",
    "tile",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'geoseg' has no attribute {name!r}")
    from geoseg.raster import configure

    configure()
    from geoseg import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
