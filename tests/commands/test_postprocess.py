import json

import numpy as np
import pytest
import rasterio


@pytest.fixture
def scene(write_raster):
    """Bright ground (9) with a dark speck (5), a dark field, and no data in a corner."""
    values = np.full((8, 10), 9, np.uint8)
    values[2, 2] = values[4:, 6:] = 5
    values[0, 0] = 255
    return write_raster("map.tif", values, nodata=255)


def test_a_speck_is_gone_and_it_is_said(geoseg, world, scene):
    outcome = geoseg("postprocess", scene, "-o", world / "new.tif", "-l", world / "legend.toml",
                     "--min-area", "2px", "--min-area", "bright=1m2")  # fmt: skip

    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == "min-area 2px bright=1m2: 1 px changed"
    assert "80 px, dark 20.3%, bright 79.7%" in outcome.out
    with rasterio.open(world / "new.tif") as file:
        assert file.read(1)[2, 2] == 9
        assert file.read(1)[0, 0] == 255


def test_all_of_it_as_json_and_again_without_a_legend(geoseg, world, scene):
    geoseg("postprocess", scene, "-o", world / "new.tif", "-l", world / "legend.toml",
           "--majority", "3")  # fmt: skip

    outcome = geoseg("postprocess", world / "new.tif", "-o", world / "newer.tif", "--json",
                     "--fill", "dark", "--max-distance", "1px", "--rule", "dark<9px:bright",
                     "--fill-holes", "bright=4px", "--connectivity", "8")  # fmt: skip

    report = json.loads(outcome.out)
    assert report["path"] == str(world / "newer.tif")
    assert report["class_pixels"] == {"dark": 9, "bright": 70}
    assert report["changed_pixels"] == {
        "fill dark=nearest within 1px": 6,
        "rule dark<9px:bright": 0,
        "fill-holes bright=4px": 0,
    }


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ([], 2, "nothing to do"),
        (["--min-area", "5ha"], 2, "'--min-area': '5ha' is not an area such as 40px or 5m2"),
        (["--rule", "dark<5px"], 2, "'--rule': 'dark<5px' is no rule such as"),
        (["--majority", "3px", "--max-distance", "2px"], 2, "--max-distance: is of --fill"),
        (["--fill", "dark=bright", "--max-distance", "2px"], 2, "is of --fill CLASS=nearest"),
        (["--fill", "dark=bright", "--fill", "dark"], 2, "--fill: dark is given twice"),
        (["--fill-holes", "dark=2", "--fill-holes", "dark=3"], 2, "dark is given twice"),
        (
            ["--min-area", "5px", "--min-area", "50px"],
            2,
            "--min-area: what holds for all classes is given twice",
        ),
        (["--majority", "3px", "-o", "map.tif"], 2, "is an input"),
        (["--majority", "3px", "-o", "new.png"], 2, "end the name in .tif"),
        (["--majority", "3px", "-o", "."], 2, "is an input"),
        (["--majority", "3px"], 1, "pass --legend"),
        (["--fill", "rock", "-l", "legend.toml"], 1, "no class 'rock'"),
    ],
)
def test_what_cannot_be_is_told(geoseg, world, scene, monkeypatch, words, code, reason):
    monkeypatch.chdir(world)

    outcome = geoseg("postprocess", "map.tif", "-o", "new.tif", *words)

    assert outcome.code == code
    assert reason in " ".join(outcome.err.split())
    assert not (world / "new.tif").exists()


def test_a_map_that_is_not_there_is_told(geoseg, world):
    outcome = geoseg("postprocess", world / "no.tif", "-o", world / "new.tif", "--majority", "3px")

    assert (outcome.code, outcome.err) == (1, f"geoseg: {world / 'no.tif'}: no such file\n")
