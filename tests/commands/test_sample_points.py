import json

import geopandas as gpd
import pytest


@pytest.fixture
def drawn(geoseg, world):
    """What the command says of a sample of the world's reference."""
    return geoseg("sample-points", world / "reference.tif", "-l", world / "legend.toml",
                  "-o", world / "points.gpkg", "--points", 80)  # fmt: skip


def test_the_summary_names_points_and_what_to_do_with_them(drawn, world):
    assert drawn.code == 0
    assert "points.gpkg: 80 points (dark 36, bright 44)" in drawn.out
    assert "fill in column 'reference'" in drawn.out
    assert len(gpd.read_file(world / "points.gpkg")) == 80


def test_a_sample_filled_in_gives_accuracy_and_area(geoseg, drawn, world):
    points = gpd.read_file(world / "points.gpkg")
    points["reference"] = points["map_class"]
    points.loc[:3, "reference"] = "bright"
    points.to_file(world / "filled.gpkg")

    words = ("evaluate", world / "reference.tif", "-l", world / "legend.toml",
             "--sample", world / "filled.gpkg")  # fmt: skip
    table = geoseg(*words, "-o", world / "report").out
    figures = json.loads(geoseg(*words, "--json").out)

    assert "from 80 points" in table
    assert 0.9 < figures["overall_accuracy"] < 1
    assert json.loads((world / "report/evaluation.json").read_text()) == figures


def test_a_legend_map_says_what_the_words_of_a_sample_mean(geoseg, drawn, world):
    points = gpd.read_file(world / "points.gpkg")
    points["reference"] = points["map_class"].map({"dark": "asphalt", "bright": "sand"})
    points.to_file(world / "filled.gpkg")
    (world / "same.csv").write_text("from,to\ndark,asphalt\nbright,sand\n")

    outcome = geoseg("evaluate", world / "reference.tif", "-l", world / "legend.toml", "--sample",
                     world / "filled.gpkg", "--legend-map", world / "same.csv", "-o",
                     world / "report", "--json")  # fmt: skip
    page = geoseg("report", world / "report", "-o", world / "report.html")

    figures = json.loads(outcome.out)
    assert [row["name"] for row in figures["classes"]] == ["asphalt", "sand"]
    assert figures["overall_accuracy"] == 1
    assert page.code == 0
    assert '<th scope="row">asphalt</th>' in (world / "report.html").read_text(encoding="utf-8")


def test_an_empty_sample_is_refused(geoseg, drawn, world):
    outcome = geoseg("evaluate", world / "reference.tif", "-l", world / "legend.toml",
                     "--sample", world / "points.gpkg")  # fmt: skip

    assert outcome.code == 1
    assert "no points with a class in column 'reference'" in outcome.err


@pytest.mark.parametrize(
    "words", [(), ("-r", "truth.tif", "--sample", "s.gpkg"), ("--sample", "s.gpkg", "--erode", 3)]
)
def test_a_reference_or_a_sample_is_needed_and_not_both(geoseg, world, words):
    outcome = geoseg("evaluate", world / "reference.tif", "-l", world / "legend.toml", *words)

    assert outcome.code == 2
