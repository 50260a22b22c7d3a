"""Which reference map belongs to which orthophoto."""

import csv
from collections.abc import Sequence
from pathlib import Path

from geoseg.errors import InputError
from geoseg.io.matching import match_by_name, match_by_order
from geoseg.io.patch_record import SPLITS, Source
from geoseg.io.paths import unique_names


def pair_by_order(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The first reference belongs to the first orthophoto, and so on; one may serve all.

    Raises:
        InputError: If the numbers differ.
    """
    return _sources(orthos, match_by_order(orthos, references))


def pair_by_name(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    """The reference with the orthophoto's name, or one that begins or ends with it.

    Raises:
        InputError: If an orthophoto has no reference, or several that fit equally.
    """
    return _sources(orthos, match_by_name(orthos, references))


def pairs_from_csv(path: Path) -> list[Source]:
    """Pairs from a table with the columns ``ortho``, ``reference`` and perhaps ``split``.

    Relative paths count from the table's folder.

    Raises:
        InputError: If the table or a column is missing, it is not UTF-8, or a split has another
            name than train, val or test.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8; save it as such (Excel: CSV UTF-8)") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
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


def _sources(orthos: Sequence[Path], references: Sequence[Path]) -> list[Source]:
    return [
        Source(name=name, ortho=ortho, reference=reference)
        for name, ortho, reference in zip(unique_names(orthos), orthos, references, strict=True)
    ]
