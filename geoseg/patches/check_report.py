"""The folder of a check: findings as JSON, as an HTML page and as images."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError, InputError
from geoseg.labels.lookup import visible_bands
from geoseg.labels.style import Stretch, class_colors
from geoseg.patches.findings import CheckReport, Finding
from geoseg.patches.index import write_part
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import PatchSetRecord
from geoseg.raster.atomic import staged, without_nan
from geoseg.raster.folders import CHECK, PATCH_SET
from geoseg.raster.statistics import BandStatistics

ACROSS = 6
"""Patches in a row."""

MOST_ROWS = 6
"""Rows of a sheet."""

SIDE = 128
"""Larger patches are shrunk to this side by leaving pixels out, in pixels."""

TILE_INCHES = 1.5

LONGEST_NAME = 30

GRAY = (136, 136, 136)


def draw_sheet(path: Path, patch_set: PatchSet, finding: Finding) -> bool:
    """Draw patches of a finding as PNG, the worst groups first.

    Args:
        path: To write.
        patch_set: Where they are.
        finding: Whose groups are shown: several to a row while they are small.

    Returns:
        Whether there was anything to draw.
    """
    rows = _rows(finding.groups)
    if not rows:
        return False
    from matplotlib.figure import Figure

    height = 2 * len(rows) * (TILE_INCHES + 0.2)
    figure = Figure(figsize=(ACROSS * (TILE_INCHES + 0.1), height), layout="constrained")
    grid = figure.subplots(2 * len(rows), ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for at, row in enumerate(rows):
        for column, number in enumerate(row):
            _draw(grid[2 * at : 2 * at + 2, column], patch_set, number)
    figure.savefig(path, dpi=SIDE / TILE_INCHES, metadata={"Software": None})
    return True


def _rows(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Patches by row: groups of one or two follow each other, larger ones have rows of their own.

    >>> _rows([(1, 2), (3, 4), (5, 6, 7)])
    [[1, 2, 3, 4], [5, 6, 7]]
    """
    rows: list[list[int]] = []
    was_small = False
    for group in groups:
        shown, small = list(group[:ACROSS]), len(group) <= 2  # noqa: PLR2004
        if small and was_small and len(rows[-1]) + len(shown) <= ACROSS:
            rows[-1] += shown
        elif len(rows) == MOST_ROWS:
            break
        else:
            rows.append(shown)
        was_small = small
    return rows


def _draw(axes: NDArray[Any], patch_set: PatchSet, number: int) -> None:
    patch = patch_set.patches[number]
    source = patch_set.record.sources[patch.source].name
    if len(source) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        source = f"{source[:half]}…{source[-half:]}"
    place = f"{patch.split}, row {patch.window.row_off}, column {patch.window.col_off}"
    axes[0].set_title(f"{source}\n{place}", fontsize=5, pad=1.5)
    try:
        sample = patch_set.read(patch)
    except GeosegError:
        axes[0].text(0.5, 0.5, "cannot be read", ha="center", fontsize=5)
        return
    step = max(patch_set.record.size // SIDE, 1)
    colors = class_colors(patch_set.record.legend, GRAY)
    image = in_colors(sample, patch_set.record.band_names)
    axes[0].imshow(image[::step, ::step], interpolation="nearest")
    axes[1].imshow(colors[sample.mask[::step, ::step]], interpolation="nearest")


def in_colors(sample: Sample, names: Sequence[str]) -> NDArray[np.uint8]:
    """(height, width, 3): red, green and blue, or one band three times; black without data."""
    visible = visible_bands(sample.image, names)
    known = np.isfinite(visible)
    stretch = Stretch.of(visible[known])
    return stretch(np.where(known, visible, np.nan)).transpose(1, 2, 0)


def write_cleaned(folder: Path, patch_set: PatchSet, kept: Sequence[int]) -> None:
    """Write a patch set of some patches of another one, which stays as it is.

    If training patches are left out, the statistics of the bands are those of the training
    patches that are left (ground in several of them counts as often), and the pixels of each
    class become fewer in proportion.

    Args:
        folder: An empty folder to write to.
        patch_set: The other set.
        kept: Numbers of the patches, in order.

    Raises:
        RasterError: If a training patch cannot be read.
        PatchSetError: If the footprints of the other set cannot be read.
    """
    record = patch_set.record
    pixels = None if record.storage == "index" else record.pixels or patch_set.folder
    left = PatchSet(patch_set.folder, record, patch_set.patches[np.array(kept)])
    if 0 < len(left.in_split("train")) < len(patch_set.in_split("train")):
        record = _measured(patch_set, left)
    write_part(folder, patch_set.folder, replace(record, pixels=pixels), kept)


def _measured(whole: PatchSet, left: PatchSet) -> PatchSetRecord:
    """The record, with the statistics of the training patches that are left."""
    record = whole.record
    total = BandStatistics.empty(record.bands)
    for patch in left.in_split("train"):
        image = left.read(patch).image
        valid = ~np.isnan(image[0])
        total += BandStatistics.measure(np.nan_to_num(image).astype(record.dtype), valid)
    before, after = (np.sum(each.in_split("train").class_shares, axis=0) for each in (whole, left))
    share = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    pixels = np.rint(share * record.class_pixels).astype(int).tolist()
    return replace(record, statistics=total.by_name, class_pixels=tuple(pixels))


RECORD = CHECK.record

PAGE = "report.html"

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; background: #fff; }
h2.error::before { content: "error: "; color: #c62828; }
h2.warning::before { content: "warning: "; color: #b26a00; }
td, th { padding: 0 .8rem 0 0; text-align: right; } td:first-child { text-align: left; }
"""


def write_report(folder: Path, report: CheckReport, *, overwrite: bool) -> None:
    """Write ``check.json``, ``report.html`` and a picture for each finding about patches.

    Raises:
        InputError: If the folder is that of the patch set.
        OutputError: If it cannot be written.
    """
    refuse_own_folder(folder, report)
    with staged(folder, overwrite=overwrite, kind=CHECK) as partial:
        fill(partial, report)


def write_cleaned_set(
    folder: Path, report: CheckReport, kinds: Iterable[str], *, overwrite: bool
) -> int:
    """Write the patch set without the patches of some findings; the report lies in ``check/``.

    Args:
        folder: To write.
        report: What was found.
        kinds: Findings whose patches are left out.
        overwrite: Whether to replace an existing patch set.

    Returns:
        How many patches are left.

    Raises:
        EmptyError: If none is.
        InputError: If the folder is that of the patch set.
        OutputError: If it cannot be written.
    """
    refuse_own_folder(folder, report)
    kept = report.without(kinds)
    with staged(folder, overwrite=overwrite, kind=PATCH_SET) as partial:
        partial.mkdir()
        write_cleaned(partial, report.patch_set, kept)
        fill(partial / "check", report)
    return len(kept)


def fill(folder: Path, report: CheckReport) -> None:
    """Write the report to a folder that is not there yet."""
    folder.mkdir()
    content = json.dumps(without_nan(report.to_dict()), indent=1) + "\n"
    (folder / RECORD).write_text(content, encoding="utf-8", newline="\n")
    drawn = {
        each.kind
        for each in report.findings
        if draw_sheet(folder / f"{each.kind}.png", report.patch_set, each)
    }
    (folder / PAGE).write_text(_page(report, drawn), encoding="utf-8", newline="\n")


def refuse_own_folder(folder: Path, report: CheckReport) -> None:
    """See that an output does not replace the patches.

    Raises:
        InputError: If it would.
    """
    patch_set = report.patch_set
    own = [each.resolve() for each in (patch_set.folder, patch_set.record.pixels) if each]
    for each in own:
        if each.is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: holds the patches themselves; name another folder")


def _page(report: CheckReport, drawn: set[str]) -> str:
    folder = escape(str(report.patch_set.folder))
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{folder}: check</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{folder}</h1>",
        f"<p>{_count(report)}</p>",
        _shares(report),
        *(_section(each, with_picture=each.kind in drawn) for each in report.findings),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _count(report: CheckReport) -> str:
    patches = len(report.patch_set.patches)
    return f"{report.counted} in {patches} patches."


def _shares(report: CheckReport) -> str:
    content = report.to_dict()
    splits = content["class_shares"]
    head = "".join(f"<th>{split} ({content['counts'][split]})</th>" for split in splits)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{shares[name]:.2%}</td>" for shares in splits.values())
        + "</tr>"
        for name in report.patch_set.record.legend.names
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _section(finding: Finding, *, with_picture: bool) -> str:
    lines = "".join(f"<li>{escape(each)}</li>" for each in finding.details)
    picture = (
        f'<p><img src="{finding.kind}.png" alt="Patches: {escape(finding.what)}"></p>'
        if with_picture
        else ""
    )
    return (
        f'<section><h2 class="{finding.severity}">{finding.kind}</h2><p>{escape(finding.what)}.</p>'
        f"<ul>{lines}</ul><p>What to do: {escape(finding.advice)}.</p>{picture}</section>"
    )
