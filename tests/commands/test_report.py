import json

import pytest


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
        "tiles": None,
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
    assert "0 scene(s), 1 section(s)" in outcome.out


def test_a_page_is_named_as_one(geoseg, world):
    assert geoseg("report", world / "ortho.tif", "-o", world / "report.pdf").code == 2


def test_a_missing_input_is_named(geoseg, world):
    outcome = geoseg("report", world / "gone.tif", "-o", world / "report.html")

    assert outcome.code == 1
    assert "gone.tif: no such file" in outcome.err
    assert not (world / "report.html").exists()
