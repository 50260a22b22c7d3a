import json

import numpy as np
import pytest
from shapely import box


@pytest.fixture
def maps(world, write_raster):
    """A map of dark and bright ground, its scores, and references that cover a half each."""
    write_raster("map.tif", np.array([[5, 5, 9, 9], [5, 9, 9, 5]], np.uint8), nodata=255)
    dark = np.array([[250, 200, 10, 60], [200, 100, 90, 240]], np.uint8)
    write_raster("scores.tif", np.stack([dark, 254 - dark]), nodata=255)
    write_raster("west.tif", np.array([[5, 5, 0, 0], [5, 5, 0, 0]], np.uint8), nodata=0)
    write_raster("rest.tif", np.array([[5, 9, 9, 9], [5, 5, 9, 9]], np.uint8))
    return world


@pytest.fixture
def run(geoseg, maps):
    def run(*words):
        return geoseg("evaluate", maps / "map.tif", "-l", maps / "legend.toml", *words)

    return run


def test_scores_are_judged(run, maps):
    words = ("-r", maps / "rest.tif", "--score-map", maps / "scores.tif", "--objects", "dark")

    figures = json.loads(run(*words, "--json").out)

    assert figures["scores"]["pixels"] == 8
    assert 0 < figures["scores"]["ece"] < 1
    assert figures["objects"][0]["ap_with_scores"]
    assert figures["inputs"]["map"]["scores"] == str(maps / "scores.tif")


def test_several_references_together_cover_a_map(run, maps):
    outcome = run("-r", maps / "west.tif", "-r", maps / "rest.tif", "--json")

    figures = json.loads(outcome.out)
    assert figures["pixels"] == 8
    assert figures["labelled_differently"] == 1
    assert figures["inputs"]["map"]["further_references"] == [str(maps / "rest.tif")]


def test_a_legend_map_merges_classes(run, maps):
    table = maps / "same.csv"
    table.write_text("from,to\ndark,5\nbright,9\n")
    (maps / "ground.csv").write_text("from,to,name\ndark,5,ground\nbright,9\nbright,5\n")

    same = json.loads(run("-r", maps / "rest.tif", "--legend-map", table, "--json").out)
    merged = run("-r", maps / "rest.tif", "--legend-map", maps / "ground.csv")

    assert [row["name"] for row in same["classes"]] == ["5", "9"]
    assert same["merged_classes"][0] == {"name": "5", "map": ["dark"], "reference": ["5"]}
    assert "merged: ground = dark + bright of the map, 5 + 9 of the reference" in merged.out


def test_a_legend_of_the_reference_gives_its_names(run, maps):
    (maps / "theirs.toml").write_text(
        '[[class]]\nvalue = 5\nname = "asphalt"\n[[class]]\nvalue = 9\nname = "sand"\n'
    )
    (maps / "names.csv").write_text("from,to\ndark,asphalt\nbright,\n")

    outcome = run("-r", maps / "rest.tif", "--legend-map", maps / "names.csv",
                  "--reference-legend", maps / "theirs.toml")  # fmt: skip

    assert outcome.code == 1
    assert "names.csv: classes of the reference that the legend map does not name: ['sand']" in (
        outcome.err
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--reference-legend", "isprs"), "is for --legend-map"),
        (("--legend-map", "same.csv", "--coding", "map"), "map is not for --legend-map"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(run, maps, words, reason):
    outcome = run("-r", maps / "rest.tif", *words)

    assert outcome.code == 2
    assert reason in " ".join(outcome.err.replace("│", " ").split())


def test_scores_of_another_map_are_refused_in_one_line(run, maps):
    outcome = run("-r", maps / "rest.tif", "--score-map", maps / "map.tif")

    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "map.tif: has 1 bands, and the map's classes are ['dark', 'bright']" in outcome.err


def test_a_sample_may_be_of_polygons(run, maps, write_polygons):
    plots = [box(500_000 + x, 5_699_999, 500_001 + x, 5_700_000) for x in (0, 1)]
    sample = write_polygons("plots.gpkg", plots, reference=["dark", "bright"])

    figures = json.loads(run("--sample", sample, "--json").out)

    assert (figures["units"], figures["points"]) == ("polygons", 2)
    assert run("--sample", sample, "--score-map", maps / "scores.tif").code == 2
