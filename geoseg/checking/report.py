"""The report folder: findings as JSON, as a page to open in a browser, and as pictures."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from geoseg.checking.check import CheckReport
from geoseg.checking.cleaned import write_cleaned
from geoseg.checking.findings import Finding
from geoseg.checking.pictures import draw_sheet
from geoseg.core.undefined import without_nan
from geoseg.errors import InputError
from geoseg.io.folders import CHECK, PATCH_SET
from geoseg.io.outputs import staged

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
