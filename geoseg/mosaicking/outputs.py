"""What a map is written as, and what is said of it afterwards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geoseg.core.scores import Confidence
from geoseg.errors import PartlyReadError
from geoseg.io.outputs import refuse_existing
from geoseg.io.style import sidecars

ScoreType = Literal["uint8", "float32"]


@dataclass(frozen=True, kw_only=True)
class MapOutputs:
    """Which files are to be written."""

    class_map: Path
    """Class map, with ``.aux.xml`` and ``.qml`` beside it."""

    scores: Path | None = None
    """Scores, a band per class."""

    score_type: ScoreType = "uint8"
    """uint8 holds score x 254 and 255 without data; float32 the score and NaN."""

    confidence: Path | None = None
    """How certain each pixel is, uint8 as the scores."""

    confidence_kind: Confidence = "margin"
    """Which figure."""

    sidecars: bool = True
    """Whether ``.aux.xml`` is written beside the class map, and ``.qml`` beside all."""

    overwrite: bool = False
    """Whether existing files are replaced."""

    @property
    def paths(self) -> list[Path]:
        """All rasters, the class map last: when it is there, all are."""
        return [path for path in (self.scores, self.confidence, self.class_map) if path]

    @property
    def files(self) -> list[Path]:
        """All files that are written, the class map last."""
        if not self.sidecars:
            return self.paths
        styles = [path.with_suffix(".qml") for path in (self.scores, self.confidence) if path]
        return [*sidecars(self.class_map), *styles, *self.paths]

    def refuse_existing(self) -> None:
        """Say early that a file is in the way.

        Raises:
            OutputExistsError: If one exists that is not to be replaced.
        """
        refuse_existing(*self.files[::-1], overwrite=self.overwrite)


@dataclass(frozen=True)
class MapReport:
    """What was written."""

    path: Path
    """The class map."""

    pixels: int
    """Pixels of the map."""

    class_pixels: dict[str, int]
    """Pixels of each class."""

    @property
    def valid_share(self) -> float:
        """Share of the map that has a class, 0..1."""
        return sum(self.class_pixels.values()) / self.pixels

    @property
    def shares(self) -> str:
        """Share of each class in the valid pixels, for people."""
        total = max(sum(self.class_pixels.values()), 1)
        return ", ".join(f"{name} {n / total:.1%}" for name, n in self.class_pixels.items())


def partly_read(path: Path, pixels: int, reason: str | None = None) -> PartlyReadError:
    """What is to be said of a map that lacks what could not be read.

    Args:
        path: The class map.
        pixels: Of all blocks of the source of which something could not be read.
        reason: What went wrong at the first of them.
    """
    lost = f"{pixels} px could not be read and have no data in it"
    return PartlyReadError(f"{path}: written, but {lost}{f': {reason}' if reason else ''}")
