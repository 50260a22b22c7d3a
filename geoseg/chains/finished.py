"""Maps that are there already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.core.legend import Legend
from geoseg.io.outputs import write_text
from geoseg.io.style import sidecars, write_sidecars
from geoseg.io.window_scores import read_tags
from geoseg.mosaicking import MapOutputs, MapReport, partly_read, raster_styles


def finished_before(
    outputs: MapOutputs, provenance: Mapping[str, Any], made_from: Sequence[Path], legend: Legend
) -> MapReport | None:
    """The report of a map that is there already and was made of the same.

    Sidecars that are gone are written again.

    Args:
        outputs: The files that are wanted.
        provenance: What the map would be made of.
        made_from: Files that must not be newer.
        legend: The model's.

    Raises:
        PartlyReadError: If blocks could not be read when it was made.
        RasterError: If what is there is no raster.
    """
    path = outputs.class_map
    if not all(each.exists() for each in outputs.paths):
        return None
    if any(each.exists() and each.stat().st_mtime > path.stat().st_mtime for each in made_from):
        return None
    tags = read_tags(path)
    if tags.get("provenance") != provenance:
        return None
    counts = {name: tags["class_pixels"][name] for name in legend.names}
    if outputs.sidecars and not all(each.exists() for each in sidecars(path)):
        write_sidecars(path, legend, np.array(list(counts.values())))
    if outputs.sidecars:
        for style, text in raster_styles(legend, outputs).items():
            if not style.exists():
                write_text(style, text)
    if lost := tags.get("unreadable_pixels"):
        raise partly_read(path, lost, "found in an earlier run")
    return MapReport(path, tags["pixels"], counts)
