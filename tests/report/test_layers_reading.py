import numpy as np
import pytest

from geoseg.errors import LegendError
from geoseg.labels.legend_files import preset
from geoseg.labels.legend_map import Correspondence, LegendMap
from geoseg.labels.reference import ReferenceOptions
from geoseg.labels.tags import read_tags
from geoseg.report.layers import Ground, Reading

HOUSES, ROADS = preset("binary:house"), preset("binary:road")


def test_what_is_not_said_is_taken_from_another(tmp_path):
    said = Reading(legend=HOUSES, reference=ReferenceOptions(layer="roofs"))
    other = Reading(
        legend=ROADS,
        reference=ReferenceOptions(attribute="kind", layer="all", coding="values", resample=True),
        grounds=(Ground(tmp_path / "aoi.gpkg"),),
        by_map_values=True,
    )

    both = said.or_else(other)

    assert both.legend == HOUSES
    assert both.reference == ReferenceOptions(
        attribute="kind", layer="roofs", coding="values", resample=True
    )
    assert (both.grounds, both.by_map_values) == (other.grounds, True)
    assert Reading().or_else(other) == other


def test_a_legend_map_is_for_maps_with_a_reference(write_map, tmp_path):
    path = write_map("map.tif", np.zeros((2, 2)))
    rows = (Correspondence("building", "1", "land"), Correspondence("tree", "1"))
    reading = Reading(legend_map=LegendMap(tmp_path / "same.csv", rows))

    names = [
        reading.legend_of(path, read_tags(path), compared=compared).names
        for compared in (True, False)
    ]

    assert names == [["land"], ["building", "tree"]]


def test_a_legend_map_that_does_not_fit_is_named(write_map, tmp_path):
    path = write_map("map.tif", np.zeros((2, 2)))
    rows = (Correspondence("house", "1"),)
    reading = Reading(legend_map=LegendMap(tmp_path / "same.csv", rows))

    with pytest.raises(LegendError, match=r"same\.csv: 'house' is not a class of the map"):
        reading.legend_of(path, read_tags(path), compared=True)
