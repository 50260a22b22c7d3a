"""A class map becomes a better one: smoothed, filled, without specks.

Called, it is `geoseg.api.postprocess`: once this package is imported, ``geoseg.postprocess`` is
the package, as Python has it for all packages, and no longer the function of the same name.
"""

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        from geoseg import api

        return api.postprocess(*args, **options)


sys.modules[__name__].__class__ = _Package
