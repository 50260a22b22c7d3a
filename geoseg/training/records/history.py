"""What happened in every epoch: a table, and curves."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoseg.io.outputs import staged, write_text

Row = dict[str, Any]


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file with a row per epoch."""
    if not rows:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw loss, mean IoU and learning rate over epochs as PNG."""
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6))  # to have the margins found would take as long as the rest
    figure.subplots_adjust(left=0.055, right=0.985, bottom=0.14, top=0.91, wspace=0.26)
    losses, ious, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    for axes, names, title in (
        (losses, ("train_loss", "val_loss"), "loss"),
        (ious, _iou_columns(rows), "validation IoU"),
        (rates, ("lr",), "learning rate"),
    ):
        for name in names:
            values = [row.get(name) for row in rows]
            if any(isinstance(value, float) for value in values):
                numbers = [v if isinstance(v, float) else float("nan") for v in values]
                width = 2.5 if name == "val_miou" else 1.2
                axes.plot(epochs, numbers, label=name, linewidth=width, marker=".")
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    with staged(path, overwrite=True) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


def _iou_columns(rows: Sequence[Row]) -> list[str]:
    return [name for name in rows[0] if name == "val_miou" or name.startswith("iou_")]
