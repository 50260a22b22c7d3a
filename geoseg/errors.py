"""Every failure geoseg expects, and nothing else.

* GeosegError              shown as one line, exit code 1
  - InputError             an input is missing, or is not what the step needs
    - RasterError          a raster cannot be read, or not understood
      + PartlyReadError    blocks of it cannot; the output is there, with nodata in their place
      + ServerError        the server that it is on fails
        * ChangedError     it has changed on the server while it was read
    - VectorError          polygons cannot be read, or not understood
    - PatchSetError        a patch set is incomplete or damaged
  - GridMismatchError      two rasters that must share a grid do not
  - LegendError            a legend is wrong
    - UnknownCodeError     values, colours or attributes of a source have no class in it
  - BundleError            a model bundle is incomplete, or made for other input
  - TrainingError          a training cannot start, or has come to nothing
  - EmptyError             a step would produce nothing (no patches, no valid pixels)
    - NoPolygonError       no polygon of a file lies on a raster
  - OutputError            an output cannot be written
    - OutputExistsError    an output is already there and --overwrite was not given
    - OutputConflictError  an output is, holds or lies in an input or another output
  - BatchError             some of several inputs failed; the others are done
  - ClusterError           a cluster cannot be reached, or its workers cannot do their work

Anything else that escapes is a bug and keeps its traceback.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from inspect import currentframe
from pathlib import Path
from traceback import walk_stack

MAX_CODES = 5
"""Number of codes without a class that a message names."""

ADD_TO_LEGEND = (
    "Add them to a class of the legend (`values`, `colors` or `attributes`), or to its `ignore` "
    "list if they are unlabelled"
)


class GeosegError(Exception):
    """A failure with what is wrong, where, and how to mend it, in one line.

    Notes (`add_note`) become part of the line.
    """

    def __str__(self) -> str:
        return "; ".join([super().__str__(), *getattr(self, "__notes__", [])])


class InputError(GeosegError):
    """An input is missing, or is not what the step needs."""


class RasterError(InputError):
    """A raster cannot be read, or not understood."""


class PartlyReadError(RasterError):
    """Some blocks of a raster cannot be read; the output has nodata in their place."""


class ServerError(RasterError):
    """The server that a raster is on fails, which is no damage of the raster."""


class ChangedError(ServerError):
    """A raster has changed on its server while it was read."""


class VectorError(InputError):
    """Polygons cannot be read, or not understood."""


class PatchSetError(InputError):
    """A patch set is incomplete or damaged."""


class GridMismatchError(GeosegError):
    """Two rasters that must share a grid do not."""


class LegendError(GeosegError):
    """A legend is wrong."""


class UnknownCodeError(LegendError):
    """Values, colours or attributes of a source have no class in the legend.

    Args:
        kind: Kind of code, in the plural.
        counts: Pixels or polygons of each code.
        advice: How to mend it.
    """

    def __init__(self, kind: str, counts: Mapping[str, int], advice: str = "") -> None:
        self.kind = kind
        self.counts = dict(counts)
        most = sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))
        listed = ", ".join(f"{code} ({count}x)" for code, count in most[:MAX_CODES])
        rest = sum(count for _, count in most[MAX_CODES:])
        more = f" and {len(most) - MAX_CODES} more ({rest}x)" if rest else ""
        super().__init__(f"{kind} without a class: {listed}{more}. {advice or ADD_TO_LEGEND}")


class BundleError(GeosegError):
    """A model bundle is incomplete, or made for other input."""


class TrainingError(GeosegError):
    """A training cannot start, or has come to nothing."""


class EmptyError(GeosegError):
    """A step would produce nothing."""


class NoPolygonError(EmptyError):
    """No polygon of a file lies on a raster: no object is there, or a CRS is wrong."""

    def __init__(self, message: str, *, paths: Collection[Path], is_plausible: bool) -> None:
        """Keep what tells a raster without objects from a wrong CRS.

        Args:
            message: The failure, in one line.
            paths: Files of the polygons.
            is_plausible: Whether the input may be right: the file is empty, or its extent
                meets the raster.
        """
        super().__init__(message)
        self.paths = frozenset(paths)
        self.is_plausible = is_plausible

    @classmethod
    def of_all(cls, paths: Sequence[Path], failures: Sequence[EmptyError]) -> EmptyError:
        """No file of several lies on a raster; if all hold polygons, there may be no object."""
        listed = ", ".join(map(str, paths[:5])) + (" ..." if len(paths) > 5 else "")  # noqa: PLR2004
        message = f"{listed}: none overlaps the raster they belong to"
        drawn = [each for each in failures if isinstance(each, cls)]
        if len(drawn) < len(failures):
            return EmptyError(message)
        return cls(message, paths=paths, is_plausible=any(each.is_plausible for each in drawn))

    def may_be_right(self, proven: Iterable[Path | None]) -> bool:
        """Whether there may simply be no object here.

        Args:
            proven: Files with polygons on other rasters.
        """
        return self.is_plausible or self.paths.issubset(proven)


class OutputError(GeosegError):
    """An output cannot be written."""


class OutputExistsError(OutputError):
    """An output is already there and ``--overwrite`` was not given."""


class OutputConflictError(OutputError):
    """An output is, holds or lies in an input or another output."""


class BatchError(GeosegError):
    """Some of several inputs failed; the others are done."""


class ClusterError(GeosegError):
    """A cluster cannot be reached, or its workers cannot do their work."""


class GeosegWarning(UserWarning):
    """Something that may spoil the result; commands print each once, on one line."""


def issue_warning(*messages: str) -> None:
    """Attribute warnings to the line that called geoseg, however deep inside geoseg this is."""
    package = __name__.partition(".")[0]
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_stack(currentframe())]
    own = [level for level, name in enumerate(modules) if name.partition(".")[0] == package]
    for message in messages:
        warnings.warn(message, GeosegWarning, stacklevel=max(own) + 2)
