"""Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate.

The steps under their commands' names, imported when they are first used:

>>> import geoseg
>>> callable(geoseg.evaluate)
True
"""

from types import ModuleType
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "check",
    "evaluate",
    "export",
    "import_model",
    "load_model",
    "mosaic",
    "open_legend",
    "postprocess",
    "predict",
    "staging",
    "suggest",
    "tile",
    "train",
    "vectorize",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'geoseg' has no attribute {name!r}")
    from geoseg.raster import configure

    configure()
    if name == "staging":
        from geoseg.raster.staging import staging

        return staging
    from geoseg import api

    return getattr(api, name)


class StepPackage(ModuleType):
    """A package that can be called like the function of its name.

    Once it is imported, ``geoseg.postprocess`` is the package, as Python has it for all packages,
    and no longer the function that ``__getattr__`` gives.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What the function of `geoseg.api` gives."""
        return __getattr__(self.__name__.rpartition(".")[2])(*args, **options)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
