import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.raster.records import PROVENANCE
from geoseg.report.info_raster import about_raster

RGB = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)


def hints(path):
    return " | ".join(about_raster(path).hints)


def test_facts_are_those_of_rasterio(write_raster):
    path = write_raster("ortho.tif", RGB, nodata=0)

    facts = about_raster(path).to_dict()

    with rasterio.open(path) as file:
        assert (facts["height"], facts["width"]) == file.shape
        assert facts["bounds"] == pytest.approx(tuple(file.bounds))
        assert facts["block_shape"] == list(file.block_shapes[0])
        assert [band["max"] for band in facts["bands"]] == [
            file.read(n, masked=True).max() for n in (1, 2, 3)
        ]
    assert facts["crs"] == "WGS 84 / UTM zone 32N (EPSG:32632)"
    assert facts["gsd"] == pytest.approx(0.5, rel=1e-3)
    assert facts["hints"] == []
    json.dumps(facts)


def test_lines_tell_people_what_it_is(write_raster):
    about = about_raster(write_raster("ortho.tif", RGB, nodata=0, tiled=True, compress="deflate"))

    assert about.lines["size"].startswith("30 x 20 px (width x height)")
    assert about.lines["pixel"] == "0.5 x 0.5 metre, 0.5002 m on the ground"
    assert "DEFLATE compression, no overviews" in about.lines["storage"]
    assert about.lines["data"].endswith("(hidden by nodata)")
    assert about.tables[0][1][:5] == ("1", "red", "uint8", "red", "0")


def test_a_class_map_tells_its_classes_and_what_made_it(write_raster):
    path = write_raster("map.tif", np.array([[5, 5, 5, 9]], np.uint8), nodata=255)
    legend = {"class": [{"value": 5, "name": "grass"}, {"value": 9, "name": "road"}]}
    tags = {"kind": "class map", "legend": legend, "provenance": {"model": "unet/resnet18"}}
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{PROVENANCE: json.dumps(tags)})

    about = about_raster(path)
    with rasterio.open(path, "r+") as file:
        exact = tags | {"class_pixels": {"grass": 1, "road": 9}}
        file.update_tags(**{PROVENANCE: json.dumps(exact)})

    assert about.kind == "class map"
    assert about.lines["classes"] == "grass 75.0%, road 25.0%"
    assert about.lines["model"] == "unet/resnet18"
    assert about_raster(path).lines["classes"] == "grass 10.0%, road 90.0%"


@pytest.mark.parametrize("kind", ["confidence", "scores", "window scores"])
def test_a_raster_that_is_no_map_tells_no_classes_though_it_has_a_legend(write_raster, kind):
    path = write_raster("c.tif", np.array([[0, 1, 1, 254]], np.uint8), nodata=255)
    tags = {"kind": kind, "legend": {"class": [{"value": 1, "name": "road"}]}}
    tags |= {"figure": "margin", "scale": "x 254"} if kind == "confidence" else {}
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{PROVENANCE: json.dumps(tags)})

    about = about_raster(path)

    assert about.lines["classes"] == ""
    assert about.lines["figure"] == ("margin x 254" if kind == "confidence" else "")
    assert about.tables[0][1][-1] == "254"


@pytest.mark.parametrize(
    ("image", "profile", "hint"),
    [
        (RGB, {"crs": None, "transform": Affine.identity()}, "no CRS"),
        (RGB, {"crs": "EPSG:4326", "transform": Affine(1e-5, 0, 9, 0, -1e-5, 51)}, "in degrees"),
        (RGB, {"transform": Affine(0.5, 0, 0, 0, -0.7, 0)}, "not square"),
        (RGB, {"transform": Affine(0.4, 0.3, 0, 0.3, -0.4, 0)}, "rotated"),
        (RGB, {"transform": Affine(0, 0.5, 0, 0.5, 0, 0)}, "rotated"),
        (RGB, {"transform": Affine(0, 0.5, 0, 1.5, 0, 0)}, "not square"),
        (RGB.astype(np.uint16), {}, "8-bit data"),
        (RGB, {"nodata": 255}, "brightest white"),
        (np.zeros((3, 4, 4), np.uint8), {"nodata": 0}, "no pixel with data"),
        (
            np.concatenate([RGB, 0 * RGB[:1] + 255]),
            {"photometric": "rgb", "alpha": "yes"},
            "alpha:",
        ),
        (
            np.concatenate([RGB, 0 * RGB[:1] + 255]),
            {"photometric": "minisblack", "alpha": "no"},
            "not declared",
        ),
        (RGB[0] % 3, {"colormap": {0: (1, 2, 3, 255)}}, "a palette"),
    ],
)
def test_what_will_hurt_later_is_told(write_raster, image, profile, hint):
    assert hint in hints(write_raster("ortho.tif", image, **profile))


def test_a_large_raster_is_sampled_and_its_storage_told(write_raster):
    path = write_raster("large.tif", np.full((1, 5100, 5000), 7, np.uint8), compress="deflate")

    about = about_raster(path)

    assert about.lines["data"].endswith("from a sample")
    assert "strips of" in about.lines["storage"]
    assert "stored in whole rows" in hints(path)
    assert "no overviews" in hints(path)
    assert about.facts["values"] == {"7": 1.0}


def test_overviews_are_read_where_there_are_some(write_raster):
    path = write_raster("ortho.tif", np.full((1, 600, 700), 7, np.uint8), tiled=True)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])

    assert "overviews 2, 4" in about_raster(path).lines["storage"]
