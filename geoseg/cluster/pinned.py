"""Models that compute on every worker as on the first, or say that they do not."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.cluster.worker import RefusedError
from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle
from geoseg.model.ensemble import LoadedModels, RuntimeOptions
from geoseg.model.segmenter import Runtime
from geoseg.patches.training_ground import TrainingGround

PATTERN_SEED = 20
"""Of the windows by whose scores workers are compared."""

Sizes = tuple[int, int, int | None]
"""Side of a window, its side for the network, and windows at a time, as models are opened."""


@dataclass(frozen=True)
class ModelPlan:
    """Models that a worker opens."""

    folders: tuple[Path, ...]
    running: RuntimeOptions
    record: Mapping[str, Any]
    """Hashes, as `LoadedModels.record` has them."""


class PinnedModels:
    """Loaded models whose scores of a pattern are held against those of another worker."""

    def __init__(self, loaded: LoadedModels, expected: Mapping[Sizes, str]) -> None:
        """Wrap models.

        Args:
            loaded: The models.
            expected: What `scores_sha256` gave elsewhere, by the sizes that models are opened for.
        """
        self._loaded = loaded
        self.expected = expected
        self.bundle, self.bundles = loaded.bundle, loaded.bundles
        self._checked: tuple[Runtime, str] | None = None

    @property
    def views(self) -> int:
        """How often a window is scored."""
        return self._loaded.views

    @property
    def record(self) -> dict[str, Any]:
        """Provenance of the models."""
        return self._loaded.record

    @property
    def training_ground(self) -> TrainingGround | None:
        """Ground that trained them."""
        return self._loaded.training_ground

    @property
    def running(self) -> Runtime | None:
        """The open runtime, if any."""
        return self._loaded.running

    @property
    def notes(self) -> Sequence[str]:
        """Notes of the open runtime."""
        return self._loaded.notes

    def open(self, window_size: int, network_size: int, batch_size: int | None = None) -> Runtime:
        """A runtime that computes as expected.

        Raises:
            RefusedError: If it does not.
        """
        sizes = (window_size, network_size, batch_size)
        runtime = self._loaded.open(*sizes)
        if sizes in self.expected:
            found = self.computes(window_size, runtime)
            if found != self.expected[sizes]:
                raise RefusedError(
                    f"{runtime.name} computes otherwise there ({_versions(runtime)}): scores of "
                    f"the same pattern differ from those of the worker that was asked first"
                )
        return runtime

    def computes(self, window_size: int, runtime: Runtime) -> str:
        """What `scores_sha256` gives, computed once for each runtime."""
        if self._checked is None or self._checked[0] is not runtime:
            self._checked = runtime, scores_sha256(self.bundle, window_size, runtime)
        return self._checked[1]


def scores_sha256(bundle: ModelBundle, window_size: int, runtime: Runtime) -> str:
    """Hash of the scores of a pattern, with name and versions of what computes them."""
    shape = (runtime.batch_size, bundle.bands, window_size, window_size)
    low, high = bundle.value_range
    pattern = np.random.default_rng(PATTERN_SEED).uniform(low, high, shape).astype(np.float32)
    about = f"{runtime.name} {runtime.batch_size} {_versions(runtime)}"
    return hashlib.sha256(about.encode() + runtime(pattern).tobytes()).hexdigest()


def _versions(runtime: Runtime) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(runtime.versions.items()))


_loaded: dict[str, PinnedModels] = {}
"""What this process has loaded last."""


def pinned_models(plan: ModelPlan, expected: Mapping[Sizes, str]) -> PinnedModels:
    """The models of a plan, loaded and compared once in a process.

    Args:
        plan: What to load.
        expected: As `PinnedModels` takes it.

    Raises:
        RefusedError: If those that this process sees are missing, damaged or others.
    """
    key = repr((plan.folders, plan.running, sorted(plan.record.items())))
    if key not in _loaded:
        _loaded.clear()
        try:
            models = LoadedModels([ModelBundle.load(each) for each in plan.folders], plan.running)
        except BundleError as error:
            raise RefusedError(str(error)) from error
        if models.record != plan.record:
            raise RefusedError(f"the model there is another one: {plan.folders[0]}")
        _loaded[key] = PinnedModels(models, expected)
    _loaded[key].expected = expected
    return _loaded[key]


def pinned(running: RuntimeOptions, runtime: Runtime, models: int) -> RuntimeOptions:
    """Options by which others choose the runtime that a worker has chosen.

    Args:
        running: As the user has them.
        runtime: What a worker made of them.
        models: How many there are; several may run in several precisions.
    """
    device = getattr(runtime, "device", None)
    return replace(
        running,
        runtime=runtime.runtime,
        precision=runtime.precision if models == 1 else running.precision,
        device=running.device if device is None else str(device),
    )
