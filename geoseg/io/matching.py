"""Which reference map belongs to which raster."""

import re
from collections.abc import Sequence
from pathlib import Path

from geoseg.errors import InputError


def match_by_order(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """The reference of each raster: the first of the first, and so on; one may serve all.

    Args:
        rasters: Each of them has one.
        references: What there is.
        kind: What they are, for messages.

    Raises:
        InputError: If the numbers differ.
    """
    if len(references) == 1:
        return [*references] * len(rasters)
    if len(rasters) != len(references):
        raise InputError(
            f"{len(rasters)} rasters and {len(references)} {kind}s: give one {kind} for "
            f"each, one for all, or join them by name with --pair name"
        )
    return [*references]


def match_by_name(
    rasters: Sequence[Path], references: Sequence[Path], *, kind: str = "reference"
) -> list[Path]:
    """The reference of each raster: the one with its name, or one that begins or ends with it.

    Of several with that name, the one whose folders have most in common.

    Args:
        rasters: Each of them has one.
        references: What there is.
        kind: What they are, for messages.

    Raises:
        InputError: If a raster has no reference, or several that fit equally.
    """
    return [_best_match(raster, references, kind) for raster in rasters]


def _best_match(raster: Path, references: Sequence[Path], kind: str) -> Path:
    fitting = [each for each in references if _fits(each.stem, raster.stem)]
    if not fitting:
        raise InputError(f"{raster}: no {kind} bears its name")
    exact = [each for each in fitting if each.stem == raster.stem] or fitting
    kinship = [_common_folders(each, raster) for each in exact]
    best = [each for each, common in zip(exact, kinship, strict=True) if common == max(kinship)]
    if len(best) > 1:
        raise InputError(f"{raster}: several {kind}s fit: {', '.join(map(str, best))}")
    return best[0]


def _fits(reference: str, raster: str) -> bool:
    """Whether one name is the other with something before or after it.

    Numbers stay whole: ``tile_1`` is no part of ``tile_10_mask``.
    """
    long, short = sorted((reference, raster), key=len, reverse=True)
    edge = r"(?!(?<=\d)\d)"
    return bool(
        re.match(re.escape(short) + edge, long) or re.search(edge + re.escape(short) + "$", long)
    )


def _common_folders(one: Path, other: Path) -> int:
    count = 0
    for mine, yours in zip(one.resolve().parts, other.resolve().parts, strict=False):
        if mine != yours:
            break
        count += 1
    return count
