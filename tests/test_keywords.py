"""Options of the functions, from keywords."""

from pathlib import Path

import pytest

from geoseg.errors import InputError
from geoseg.keywords import build_each, options_from
from geoseg.patches.record import TileOptions
from geoseg.prediction.map_writer import LayerOptions
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.scores import Threshold
from geoseg.raster.grid import Length
from geoseg.raster.paths import GdalName
from geoseg.training.options import TrainOptions
from geoseg.vectorize.options import VectorizeOptions


def test_words_are_what_the_command_line_makes_of_them():
    how = options_from(TileOptions, None, {"ignore_border": "2px", "min_confidence": "sure=0.5"})

    assert how.ignore_border == Length(2, "px")
    assert str(how.reference.min_confidence) == "sure=0.5"
    assert options_from(TrainOptions, None, {"max_time": "2m"}).max_time == 120
    assert options_from(VectorizeOptions, None, {"simplify": "0"}).simplify is None
    assert options_from(VectorizeOptions, None, {"classes": ["a", "b,c"]}).classes == ("a", "b,c")


def test_values_stay_as_they_are():
    length = Length(2, "m")

    assert options_from(TileOptions, None, {"ignore_border": length}).ignore_border is length
    assert options_from(PredictOptions, None, {"bounds": (1, 2, 3, 4)}).bounds == (1, 2, 3, 4)
    assert options_from(TileOptions, how := TileOptions(), {}) is how


def test_one_that_may_be_repeated_takes_a_word_or_a_list():
    half, most = Threshold("a", 0.5), Threshold("b", 0.9)

    for given in ("a=0.5", ["a=0.5"], (half,)):
        assert build_each((LayerOptions,), {"thresholds": given})[0].thresholds == (half,)
    assert build_each((LayerOptions,), {"thresholds": [half, "b=0.9"]})[0].thresholds == (
        half,
        most,
    )


def test_files_are_named_by_paths_or_words():
    how = options_from(
        TileOptions,
        None,
        {"aoi": "a.gpkg", "corrections": Path("s3://b/c.gpkg"), "stacked": ["d.tif"]},
    )

    assert (how.aoi, how.read.stacked) == (Path("a.gpkg"), (Path("d.tif"),))
    assert isinstance(how.corrections, GdalName)
    areas = options_from(TileOptions, None, {"labelled_areas": "polygons"}).reference
    assert areas.only_polygons


def test_what_is_no_word_of_an_option_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"^ignore_border: "):
        options_from(TileOptions, None, {"ignore_border": "wide"})
    with pytest.raises(TypeError, match="no option is called border"):
        options_from(TileOptions, None, {"border": "2px"})
    with pytest.raises(TypeError, match="not both"):
        options_from(TileOptions, TileOptions(), {"aoi": "a.gpkg"})
