"""Models of a prediction: single, averaged, and with test-time augmentation."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.labels.lookup import misplaced_bands
from geoseg.model.bundle import GSD_TOLERANCE, SIZE_MULTIPLE_PX, ModelBundle
from geoseg.model.runtime import open_runtime
from geoseg.model.segmenter import Precision, Runtime, RuntimeName
from geoseg.options import device_option, option
from geoseg.patches.training_ground import TrainingGround
from geoseg.text import short_list

Augmentation = Literal["flips", "d4"]
"""The image and its mirror images, or all eight symmetries of a square."""

MODEL = "Model"
"""Help panel of the options on how networks run."""

AUGMENTATIONS: tuple[Augmentation, ...] = get_args(Augmentation)

VIEWS: dict[Augmentation, list[tuple[int, bool]]] = {
    "flips": [(each, mirrored) for each in (0, 2) for mirrored in (False, True)],
    "d4": [(each, mirrored) for each in (0, 1, 2, 3) for mirrored in (False, True)],
}
"""Quarter turns to the left, and whether the window is mirrored after them, of each view."""


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """Runtime, precision, device and test-time augmentation of networks."""

    test_time_augmentation: Augmentation | None = option(
        None,
        group=MODEL,
        help="Average over mirrored (4 views), or turned and mirrored windows (8).",
    )
    runtime: Literal["auto", RuntimeName] = option(
        "auto", group=MODEL, help="What runs the network."
    )
    precision: Literal["auto", Precision] = option(
        "auto", group=MODEL, help="Of the network's arithmetic; int8 after `geoseg quantize`."
    )
    device: str = device_option(MODEL)
    squares: bool = False
    """Whether scores are followed by the band of `WithSquares`."""


class Ensemble:
    """Mean scores of several models."""

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
        """Notes of the members."""
        return [note for each in self._members for note in each.notes]

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Mean scores of the members."""
        total = self._members[0](images)
        for member in self._members[1:]:
            total += member(images)
        return total / np.float32(len(self._members))


class Augmented(Ensemble):
    """Mean scores of a model over rotated and mirrored views of each window."""

    def __init__(self, model: Runtime, augmentation: Augmentation) -> None:
        super().__init__([model])
        self._views = VIEWS[augmentation]

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Mean scores over the views, each transformed back."""
        (model,) = self._members
        first, *others = self._views
        total = np.array(_back(model(_view(images, *first)), *first), np.float32, order="C")
        for view in others:
            total += _back(model(_view(images, *view)), *view)
        return total / np.float32(len(self._views))


class WithSquares(Ensemble):
    """A model whose scores are followed by a band more, the sum of their squares.

    Means over models, views and windows are taken of it as of scores. Its mean less the sum of the
    squared mean scores is the variance over them all, summed over the classes.
    """

    def __init__(self, model: Runtime) -> None:
        super().__init__([model])

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, classes + 1, size, size)."""
        (model,) = self._members
        scores = model(images)
        squares = np.einsum("nchw,nchw->nhw", scores, scores)
        return np.concatenate([scores, squares[:, None]], axis=1)


def _view(images: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float32]:
    """(n, bands, size, size) images rotated by quarter turns to the left, then mirrored."""
    turned = np.rot90(images, turns, axes=(2, 3))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def _back(scores: NDArray[np.float32], turns: int, mirrored: bool) -> NDArray[np.float32]:
    """The inverse of `_view`."""
    return np.rot90(scores[..., ::-1] if mirrored else scores, -turns, axes=(2, 3))


class LoadedModels:
    """Loaded bundles that run together, as `Models`."""

    def __init__(
        self,
        bundles: Sequence[ModelBundle],
        options: RuntimeOptions | None = None,
        *,
        open_one: Callable[..., Runtime] = open_runtime,
    ) -> None:
        """Check that the bundles agree; each is opened by `open_one`.

        Raises:
            BundleError: If legends, bands or GSD differ.
        """
        self.bundle = bundles[0]
        self.bundles = bundles
        """Each of them."""

        self.options = options or RuntimeOptions()
        self._augmentation = self.options.test_time_augmentation
        self._open_one = open_one
        self._open: dict[tuple[int, int, int | None], Runtime] = {}
        for other in bundles[1:]:
            _check_agreement(self.bundle, other)
        if len(bundles) > 1:
            self.bundle = replace(self.bundle, sizes=_common_sizes(bundles), thresholds=None)

    @property
    def views(self) -> int:
        """How often a window is scored: by each model, in each of its views."""
        return len(self.bundles) * (len(VIEWS[self._augmentation]) if self._augmentation else 1)

    @property
    def folders(self) -> list[Path]:
        """Folders of the bundles."""
        return [each.folder for each in self.bundles if each.folder]

    @property
    def record(self) -> dict[str, Any]:
        """Provenance of the models, for the record of a map."""
        lists = {
            "model": [f"{each.arch}/{each.encoder}" for each in self.bundles],
            "weights_sha256": [each.weights_sha256 for each in self.bundles],
            "settings_sha256": [_settings_sha256(each) for each in self.bundles],
        }
        several = len(self.bundles) > 1
        record: dict[str, Any] = {
            name: values if several else values[0] for name, values in lists.items()
        }
        int8 = [each.quantized for each in self.bundles if each.quantized]
        if int8 and self.options.precision in ("auto", "int8"):
            record["int8_sha256"] = [dict(each.sha256) for each in int8]
        if self._augmentation:
            record["test_time_augmentation"] = self._augmentation
        return record

    @property
    def training_ground(self) -> TrainingGround | None:
        """Ground that at least one of them was trained on; None if unknown for each."""
        grounds = [each.training_ground for each in self.bundles]
        known = [each for each in grounds if each is not None]
        if not known:
            return None
        others = known[1:] if len(known) == len(grounds) else [None, *known[1:]]
        return reduce(TrainingGround.joined, others, known[0])

    def open(self, window_size: int, network_size: int, batch_size: int | None = None) -> Runtime:
        """A runtime of the models; that of the last sizes stays open.

        Raises:
            BundleError: If a model cannot run.
        """
        key = (window_size, network_size, batch_size)
        if key not in self._open:
            self._open.clear()
            self._open[key] = self._opened(*key)
        return self._open[key]

    @property
    def running(self) -> Runtime | None:
        """The open runtime, if any."""
        return next(iter(self._open.values()), None)

    @property
    def notes(self) -> list[str]:
        """Notes of the open runtime."""
        return [note for runtime in self._open.values() for note in runtime.notes]

    def _opened(self, window_size: int, network_size: int, batch_size: int | None) -> Runtime:
        members = [
            self._open_one(
                each,
                window_size=window_size,
                network_size=self._own_size(each, window_size, network_size),
                batch_size=batch_size,
                runtime=self.options.runtime,
                precision=self.options.precision,
                device=self.options.device,
            )
            for each in self.bundles
        ]
        if self.options.squares:
            members = [WithSquares(each) for each in members]
        runtime = members[0] if len(members) == 1 else Ensemble(members)
        return Augmented(runtime, self._augmentation) if self._augmentation else runtime

    def _own_size(self, bundle: ModelBundle, window_size: int, network_size: int) -> int:
        """Side of a window as one of the networks takes it, at its own GSD."""
        ours, theirs = self.bundle.gsd, bundle.gsd
        if network_size == window_size or not ours or not theirs or ours == theirs:
            return network_size
        own = network_size * ours / theirs
        if bundle.sizes:
            return min(bundle.sizes, key=lambda size: abs(size - own))
        return round(own / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX


def _common_sizes(bundles: Sequence[ModelBundle]) -> tuple[int, ...] | None:
    """Sides of windows that all networks take, as `ModelBundle.sizes` has them."""
    particular = [set(each.sizes) for each in bundles if each.sizes]
    if not particular:
        return bundles[0].sizes
    least = max((each.patch_size for each in bundles if not each.sizes), default=0)
    common = {size for size in set.intersection(*particular) if size >= least}
    if not common:
        folders = ", ".join(str(each.folder) for each in bundles)
        raise BundleError(f"{folders} cannot be averaged: they take no windows of the same size")
    return tuple(sorted(common))


def _settings_sha256(bundle: ModelBundle) -> str:
    """Hash of the settings besides the weights that scores depend on."""
    own: dict[str, Any] = {} if bundle.onnx is None else {"onnx": bundle.onnx}
    own |= {} if bundle.temperature == 1 else {"temperature": bundle.temperature}
    settings = own | {
        "bands": bundle.bands,
        "normalisation": asdict(bundle.normalisation),
        "gsd": bundle.gsd,
        "legend": bundle.legend.to_dict(),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _check_agreement(first: ModelBundle, other: ModelBundle) -> None:
    """Refuse models with other classes or input."""
    what = f"{first.folder} and {other.folder} cannot be averaged"
    if first.legend.to_dict() != other.legend.to_dict():
        raise BundleError(
            f"{what}: their legends differ: {first.legend.names}, {other.legend.names}"
        )
    if first.bands != other.bands:
        raise BundleError(f"{what}: one takes {first.bands} bands, the other {other.bands}")
    if misplaced := misplaced_bands(other.band_names, first.band_names):
        raise BundleError(
            f"{what}: their bands are {short_list(first.band_names)} and "
            f"{short_list(other.band_names)}: {short_list(misplaced)} in other places"
        )
    if first.gsd and other.gsd and abs(other.gsd / first.gsd - 1) > GSD_TOLERANCE:
        raise BundleError(f"{what}: trained at {first.gsd:.3g} and {other.gsd:.3g} m/px")
