"""Self-training: windows of orthophotos without labels, and the teacher that labels them."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.errors import TrainingError
from geoseg.labels.legend import IGNORE
from geoseg.labels.lookup import misplaced_bands
from geoseg.labels.pixel_classes import Meaning
from geoseg.labels.reference import Reference
from geoseg.patches.extract import runs, survey
from geoseg.patches.joined import MAX_GSD_RATIO
from geoseg.patches.patch_set import OpenSource, PatchSet
from geoseg.patches.record import PatchSetRecord, PatchTable, Source, TileOptions
from geoseg.patches.training_ground import content_of
from geoseg.raster.doubts import doubts_of
from geoseg.raster.paths import unique_names
from geoseg.raster.reader import RasterReader
from geoseg.raster.threads import reading_pool
from geoseg.raster.window import Window


class _NoLabels(Reference):
    """The reference of an orthophoto that has none."""

    def __init__(self, ortho: RasterReader) -> None:
        self.path, self.extent = ortho.path, ortho.grid.window

    @property
    def meaning(self) -> Meaning:
        return Meaning("values", {}, ())

    def _labels(self, window: Window, step: int) -> NDArray[np.uint8]:
        return np.full((-(-window.height // step), -(-window.width // step)), IGNORE, np.uint8)


class UnlabelledPatches(PatchSet):
    """Windows of orthophotos without labels, side by side, to train on; they are stored nowhere."""

    @classmethod
    def survey(cls, orthos: Sequence[Path], like: PatchSetRecord) -> Self:
        """The windows with data, as large as labelled patches.

        Args:
            orthos: Orthophotos.
            like: Record of the labelled patches, as which the orthophotos are read.

        Raises:
            TrainingError: If one is a class map, has other bands, or no data.
            RasterError: If one cannot be read.
        """
        how = TileOptions(patch_size=like.size, stride=like.size, read=like.read)
        sources: list[Source] = []
        tables: list[PatchTable] = []
        notes: list[str] = []
        for name, path in zip(unique_names(orthos), orthos, strict=True):
            with RasterReader(path, like.read) as ortho:
                if other := _other_kind(ortho, like):
                    raise TrainingError(f"--unlabelled {path}: {other}")
                table = _windows_of(ortho, how, classes=len(like.legend))
                notes += [*_few_colors(ortho, table), *_other_gsd(ortho, like.gsd)]
                grid = ortho.grid
            if not len(table):
                raise TrainingError(f"--unlabelled {path}: has no data")
            tables.append(table.of_source(len(sources)))
            content = content_of(path)
            sources.append(
                Source(name=name, ortho=path, reference=path, grid=grid, content=content)
            )
            notes += doubts_of(path, like.read)
        sizes = [each.grid.gsd for each in sources if each.grid and each.grid.gsd]
        record = replace(
            like,
            stride=how.step,
            storage="index",
            sources=tuple(sources),
            gsd=float(np.median(sizes)) if sizes else None,
            statistics={},
            class_pixels=(0,) * len(like.legend),
        )
        found = cls(orthos[0], record, PatchTable.joined(tables))
        found.notes = tuple(notes)
        return found

    @property
    def contents(self) -> list[str | None]:
        """By which the pixels of each orthophoto are known; None: they are not."""
        return [each.content for each in self.record.sources]

    def open_source(self, source: Source) -> OpenSource:
        """An orthophoto, of which nothing is labelled."""
        ortho = self.open_ortho(source)
        return OpenSource(ortho, _NoLabels(ortho), None)


def _other_kind(ortho: RasterReader, like: PatchSetRecord) -> str | None:
    """Why a raster is no orthophoto like those of the patches."""
    if ortho.palette is not None:
        return "has a palette, as class maps do; name orthophotos"
    if (ortho.bands, ortho.dtype.name) != (like.bands, like.dtype):
        return (
            f"has {ortho.bands} bands of {ortho.dtype.name}, the patches have {like.bands} of "
            f"{like.dtype}"
        )
    if misplaced := misplaced_bands(ortho.band_names, like.band_names):
        return (
            f"its bands are {', '.join(ortho.band_names)}, those of the patches "
            f"{', '.join(like.band_names)}: {', '.join(misplaced)} in other places"
        )
    return None


MAX_MASK_COLORS, SAMPLED_WINDOWS = 32, 5
"""Colours in a sample of windows, and their number, up to which a raster may be a mask."""


def _few_colors(ortho: RasterReader, windows: PatchTable) -> list[str]:
    """Message on a raster that may be a mask, whose colours would be taken for ground."""
    some = np.linspace(0, len(windows) - 1, SAMPLED_WINDOWS).astype(int).tolist() if windows else []
    pixels = [ortho.read(windows[number].window).image.reshape(ortho.bands, -1) for number in some]
    if not pixels or np.unique(np.hstack(pixels), axis=1).shape[1] > MAX_MASK_COLORS:
        return []
    told = f"a sample of it has at most {MAX_MASK_COLORS} colours: is it a mask, no orthophoto?"
    return [f"{ortho.path}: {told}"]


def _other_gsd(ortho: RasterReader, wanted: float | None) -> list[str]:
    """Message on a raster whose pixels are of another size on the ground, in metres."""
    own = ortho.grid.gsd
    if not own or not wanted or 1 / MAX_GSD_RATIO <= own / wanted <= MAX_GSD_RATIO:
        return []
    return [f"{ortho.path}: its GSD is {own:.3g} m/px, that of the patches {wanted:.3g} m/px"]


def _windows_of(ortho: RasterReader, how: TileOptions, *, classes: int) -> PatchTable:
    """The windows of an orthophoto with data, of source 0."""
    todo = runs(ortho.grid, how)
    with reading_pool(how.threads) as pool:
        valid = survey(OpenSource(ortho, _NoLabels(ortho), None), todo, 0, pool)[:, 0]
    places = np.array([(each.row_off, each.col_off) for each in chain(*todo)], np.int32)[valid > 0]
    count = len(places)
    return PatchTable(
        size=how.patch_size,
        source=np.zeros(count, np.int32),
        row_off=places[:, 0],
        col_off=places[:, 1],
        split=np.zeros(count, np.int8),
        valid_share=valid[valid > 0],
        class_shares=np.zeros((count, classes)),
    )


DECAY = 0.98
"""Share of the teacher's weights that a step leaves."""

TAUGHT_SHARE = 0.6
"""Share of the pixels of each class in a batch that become labels: the surest ones."""

SURE_SCORE = 0.9
"""Score from which a pixel becomes a label in any case."""


class Teacher(nn.Module):
    """A moving average of a network, which labels patches without labels for it.

    Source: Tarvainen and Valpola 2017, "Mean teachers are better role models".
    """

    def __init__(self, network: nn.Module) -> None:
        """Begin with the weights of the network."""
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 torch's signature
        """Stay in evaluation mode: the average of batch statistics counts, not those of a batch."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) normalised to (n, classes, size, size) scores."""
        scores: Tensor = self.network(images).float().softmax(dim=1)
        return scores

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Take a share of the weights and batch statistics of the network, after each step."""
        new = network.state_dict()
        for name, own in self.network.state_dict().items():
            if own.is_floating_point():
                own.lerp_(new[name], 1 - DECAY)
            else:
                own.copy_(new[name])


def surest(scores: Tensor, valid: Tensor) -> Tensor:
    """The classes of the surest pixels; 255 elsewhere.

    Of each class its surest `TAUGHT_SHARE`, so that rare and difficult classes do not die out, and
    all pixels with `SURE_SCORE`.

    Args:
        scores: (n, classes, height, width) scores, 0..1.
        valid: (n, height, width) bool, True where there is data.

    Returns:
        (n, height, width) int64 class indices.

    Source: Zou et al. 2018, "Unsupervised Domain Adaptation for Semantic Segmentation via
    Class-Balanced Self-Training" (shares by class).
    """
    best, labels = scores.max(dim=1)
    for index in range(scores.shape[1]):
        own = (labels == index) & valid
        ranked = best[own].sort(descending=True).values
        if count := len(ranked):
            least = ranked[max(int(TAUGHT_SHARE * count), 1) - 1].clamp(max=SURE_SCORE)
            labels[own & (best < least)] = IGNORE
    labels[~valid] = IGNORE
    return labels
