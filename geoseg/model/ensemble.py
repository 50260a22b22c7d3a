"""Several views of a window, or several models, whose scores are averaged."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geoseg.model.segmenter import Runtime

Augmentation = Literal["flips", "d4"]
"""The image and its mirrorings, or all eight turns and mirrorings of a square."""

AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)


class Ensemble:
    """Models that score together: the mean of their scores."""

    def __init__(self, members: Sequence[Runtime]) -> None:
        self._members = members
        self.name = " + ".join(sorted({each.name for each in members}))
        self.runtime = members[0].runtime
        self.precision = members[0].precision
        self.versions: Mapping[str, str] = {
            name: version for each in members for name, version in each.versions.items()
        }
        self.batch_size = min(each.batch_size for each in members)
        self.streams = min(each.streams for each in members)

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the members."""
        return [note for each in self._members for note in each.notes]

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Mean scores of the members."""
        total = self._members[0](images)
        for member in self._members[1:]:
            total += member(images)
        return total / np.float32(len(self._members))


class Augmented:
    """A model that looks at each window turned and mirrored: the mean of its scores."""

    def __init__(self, model: Runtime, augmentation: Augmentation) -> None:
        self._model = model
        self._turns = (0, 1, 2, 3) if augmentation == "d4" else (0, 2)
        self.name = model.name
        self.runtime = model.runtime
        self.precision = model.precision
        self.versions = model.versions
        self.batch_size = model.batch_size
        self.streams = model.streams

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the model."""
        return self._model.notes

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Mean scores over the views, each turned back."""
        total: NDArray[np.float32] | None = None
        for turns in self._turns:
            for mirrored in (False, True):
                scores = _back(self._model(_view(images, turns, mirrored)), turns, mirrored)
                if total is None:
                    total = np.array(scores, np.float32, order="C")
                else:
                    total += scores
        if total is None:
            raise ValueError("there is no view")
        return total / np.float32(2 * len(self._turns))


def _view(images: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float32]:
    """(n, bands, size, size) turned by quarters to the left, then mirrored."""
    turned = np.rot90(images, turns, axes=(2, 3))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def _back(scores: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float32]:
    """The inverse of `_view`."""
    return np.rot90(scores[..., ::-1] if mirrored else scores, -turns, axes=(2, 3))
