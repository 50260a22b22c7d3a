"""Which reference map belongs to which orthophoto."""

import csv
from collections.abc import Sequence
from pathlib import Path

from geoseg.errors import InputError
from geoseg.io.patches import SPLITS, Source
from geoseg.io.paths import unique_names


def pair_by_order(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The first reference belongs to the first orthophoto, and so on; one may serve all.

    Raises:
        InputError: If the numbers differ.
    """
    if len(references) == 1:
        references = [*references] * len(orthos)
    if len(orthos) != len(references):
        raise InputError(
            f"{len(orthos)} orthophotos and {len(references)} references: give one reference "
            f"for each, one for all, --pair name, or --pairs FILE.csv"
        )
    return [
        Source(name=name, ortho=ortho, reference=reference)
        for name, ortho, reference in zip(unique_names(orthos), orthos, references, strict=True)
    ]


def pair_by_name(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The reference with the orthophoto's name, or one that begins or ends with it.

    Of several with that name, the one whose folders have most in common.

    Raises:
        InputError: If an orthophoto has no reference, or several that fit equally.
    """
    return [
        Source(name=name, ortho=ortho, reference=_best_match(ortho, references))
        for name, ortho in zip(unique_names(orthos), orthos, strict=True)
    ]


def pairs_from_csv(path: Path) -> list[Source]:
    """Pairs from a table with the columns ``ortho``, ``reference`` and perhaps ``split``.

    Relative paths count from the table's folder.

    Raises:
        InputError: If the table or a column is missing, or a split has another name than
            train, val or test.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"ortho", "reference"} <= set(rows[0]):
        raise InputError(f"{path}: needs a heading with ortho,reference and at least one row")
    splits = [(row.get("split") or "").strip() or None for row in rows]
    if wrong := sorted({split for split in splits if split and split not in SPLITS}):
        raise InputError(f"{path}: split is train, val or test, not {wrong}")
    orthos = [path.parent / row["ortho"].strip() for row in rows]
    return [
        Source(
            name=name,
            ortho=ortho,
            reference=path.parent / (row["reference"] or "").strip(),
            split=split,  # type: ignore[arg-type]  # checked above
        )
        for name, ortho, row, split in zip(unique_names(orthos), orthos, rows, splits, strict=True)
    ]


def _best_match(ortho: Path, references: Sequence[Path]) -> Path:
    fitting = [each for each in references if _fits(each.stem, ortho.stem)]
    if not fitting:
        raise InputError(f"{ortho}: no reference bears its name")
    exact = [each for each in fitting if each.stem == ortho.stem] or fitting
    kinship = [_common_folders(each, ortho) for each in exact]
    best = [each for each, common in zip(exact, kinship, strict=True) if common == max(kinship)]
    if len(best) > 1:
        raise InputError(f"{ortho}: several references fit: {', '.join(map(str, best))}")
    return best[0]


def _fits(reference: str, ortho: str) -> bool:
    """Whether one name is the other with something before or after it."""
    long, short = sorted((reference, ortho), key=len, reverse=True)
    return long.startswith(short) or long.endswith(short)


def _common_folders(one: Path, other: Path) -> int:
    count = 0
    for mine, yours in zip(one.resolve().parts, other.resolve().parts, strict=False):
        if mine != yours:
            break
        count += 1
    return count
