"""OpenVINO and NNCF report their use over the network when imported; here they do not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

PACKAGE = "openvino_telemetry"
"""What both would report with; without it both have a stand-in that does nothing."""

_importing = RLock()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Modules that are first imported in this block do not find the package that reports.

    Nothing of the user's is touched: no file, no variable of the environment, and what
    others have imported before stays.
    """
    with _importing:
        hidden = {
            name: module
            for name, module in sys.modules.items()
            if name == PACKAGE or name.startswith(f"{PACKAGE}.")
        }
        for name in hidden:
            del sys.modules[name]
        sys.modules[PACKAGE] = None  # type: ignore[assignment] # how Python says: not to be found
        try:
            yield
        finally:
            del sys.modules[PACKAGE]
            sys.modules.update(hidden)
