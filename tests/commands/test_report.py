import json

import numpy as np
import pytest
from shapely import box
from sklearn.metrics import confusion_matrix

from geoseg.report.inputs import ShowOptions, sort_inputs
from geoseg.report.report import write_report
from geoseg.report.scenes import opened_scenes


@pytest.fixture
def evaluated(geoseg, world):
    """An evaluation of the world's reference against itself."""
    folder = world / "figures"
    reference, legend = world / "reference.tif", world / "legend.toml"
    assert geoseg("evaluate", reference, "-r", reference, "-l", legend, "-o", folder).code == 0
    return folder


def test_an_evaluation_becomes_a_page(geoseg, world, evaluated):
    out = world / "report.html"
    words = ("report", evaluated, "-l", world / "legend.toml", "--ortho", world / "ortho.tif")

    outcome = geoseg(*words, "-o", out, "--json")

    assert outcome.code == 0
    assert json.loads(outcome.out) == {
        "output": str(out),
        "maps": 1,
        "sections": 1,
        "bytes": out.stat().st_size,
        "notes": [],
    }
    page = out.read_text(encoding="utf-8")
    assert "Evaluation: figures" in page
    assert '<th scope="row">dark</th>' in page
    assert geoseg(*words, "-o", out).code == 1
    assert geoseg(*words, "-o", out, "--overwrite").code == 0


def test_what_is_gone_is_said(geoseg, world, evaluated):
    (world / "reference.tif").unlink()

    outcome = geoseg("report", evaluated, "-o", world / "report.html")

    assert outcome.code == 0
    assert "reference.tif" in outcome.err
    assert "0 scene(s), 1 section(s) of metrics" in outcome.out


def test_a_page_is_named_as_one(geoseg, world):
    assert geoseg("report", world / "ortho.tif", "-o", world / "report.pdf").code == 2


def test_a_missing_input_is_named(geoseg, world):
    outcome = geoseg("report", world / "gone.tif", "-o", world / "report.html")

    assert outcome.code == 1
    assert "gone.tif: no such file" in outcome.err
    assert not (world / "report.html").exists()


@pytest.fixture
def compared(world, write_raster, write_polygons):
    """A map, and references that need options: by name the words for them."""
    write_raster("map.tif", np.array([[5, 5, 9, 9], [5, 9, 9, 5]], np.uint8), nodata=255)
    west, east = (
        box(500_000, 5_699_999, 500_001, 5_700_000),
        box(500_001, 5_699_999, 500_002, 5.7e6),
    )
    kinds = write_polygons("kinds.gpkg", [west, east], kind=["dark", "bright"], layer="kinds")
    half = write_polygons("half.gpkg", [west], kind=["dark"])
    strip = write_polygons("aoi.geojson", [box(500_000, 5_699_999.5, 500_002, 5_700_000)])
    rest = write_raster("rest.tif", np.array([[0, 5, 5, 9], [9, 5, 9, 9]], np.uint8), nodata=0)
    stored = write_raster("stored.tif", np.array([[5, 9, 9, 9], [9, 9, 5, 5]], np.uint8))
    other = write_raster("other.tif", np.array([[1, 2, 3, 3], [1, 2, 2, 7]], np.uint8))
    legend = world / "legend.toml"
    swapped = world / "swapped.toml"  # a reference's 9 is dark
    swapped.write_text(
        '[[class]]\nvalue = 5\nname = "dark"\nvalues = [9]\n'
        '[[class]]\nvalue = 9\nname = "bright"\nvalues = [5]\n'
    )
    table = world / "same.csv"
    table.write_text("from,to,name\ndark,1,low\ndark,2\nbright,3,high\n,7\n")
    return {
        "attribute": ("-r", kinds, "-l", legend, "--attribute", "kind", "--layer", "kinds"),
        "coding": ("-r", stored, "-l", swapped, "--coding", "map"),
        "values": ("-r", stored, "-l", swapped),
        "legend map": ("-r", other, "-l", legend, "--legend-map", table),
        "aoi": ("-r", rest, "-l", legend, "--aoi", strip),
        "several": ("-r", half, "-r", rest, "-l", legend, "--attribute", "kind"),
    }


NEEDS = ["attribute", "coding", "values", "legend map", "aoi", "several"]


def confusion_shown(inputs, show=None):
    """What a page's map and reference say of each other."""
    with opened_scenes(sort_inputs(inputs, show or ShowOptions()).scenes) as [scene]:
        place = scene.frame.grid.window
        mapped, truth = (scene.layers[role].read(place, 1) for role in ("map", "reference"))
        known = (mapped != 255) & (truth != 255)
        classes = range(len(scene.legend))
        return confusion_matrix(truth[known], mapped[known], labels=classes).tolist()


@pytest.mark.parametrize("needs", NEEDS)
def test_an_evaluation_is_shown_as_it_was_made(geoseg, world, compared, needs):
    folder = world / "figures"
    assert geoseg("evaluate", world / "map.tif", *compared[needs], "-o", folder).code == 0

    figures = json.loads((folder / "evaluation.json").read_text())
    assert confusion_shown([folder]) == figures["confusion"]["counts"]
    outcome = geoseg("report", folder, "-o", world / "report.html", "--json")
    assert (outcome.code, json.loads(outcome.out)["notes"]) == (0, [])


@pytest.mark.parametrize("needs", ["attribute", "legend map", "aoi"])
def test_a_reference_named_by_hand_takes_the_options_of_evaluate(
    geoseg, world, compared, monkeypatch, needs
):
    class_map, seen = world / "map.tif", []

    def noted(inputs, output, show, *rest, **more):
        seen.append(confusion_shown(inputs, show))
        return write_report(inputs, output, show, *rest, **more)

    monkeypatch.setattr("geoseg.report.report.write_report", noted)

    shown = geoseg("report", class_map, *compared[needs], "-o", world / "report.html")

    assert shown.code == 0
    figures = json.loads(geoseg("evaluate", class_map, *compared[needs], "--json").out)
    assert seen == [figures["confusion"]["counts"]]


def test_a_legend_of_references_is_for_a_legend_map(geoseg, world):
    words = (world / "ortho.tif", "--reference-legend", "isprs", "-o", world / "report.html")

    assert geoseg("report", *words).code == 2
