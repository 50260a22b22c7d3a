"""Any part of a map, computed alone, is the same to the bit as in the whole."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rules import like_a_network, random_image

from geoseg.errors import EmptyError, InputError, PartlyReadError, VectorError
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.mosaic import MosaicOptions, join_parts, mosaic

SCORES = {"scores": "s.tif", "confidence": "c.tif"}


@pytest.fixture
def outputs(tmp_path):
    """A function that names scores and confidence beside a map."""
    return lambda folder: {name: tmp_path / folder / file for name, file in SCORES.items()}


@pytest.mark.parametrize("score_type", ["uint8", "float32"])
def test_parts_join_to_the_whole_to_the_byte(
    write_raster, predict, tmp_path, read, outputs, score_type
):
    ortho = write_raster("ortho.tif", random_image(1300, 20, holes=0.2), nodata=0)
    more = outputs("whole") | {"class_map": tmp_path / "whole/map.tif", "score_type": score_type}
    whole = predict(ortho, like_a_network, more=more)
    for index in (3, 1, 2):
        own = {name: tmp_path / f"parts/{index}_{file}" for name, file in SCORES.items()}
        own |= {"class_map": tmp_path / f"parts/{index}.tif", "score_type": score_type}
        predict(ortho, like_a_network, more=own, part=(index, 3), streams=index)
    named = outputs("joined") | {"class_map": tmp_path / "joined/map.tif"}

    joined = join_parts(sorted((tmp_path / "parts").glob("*.tif")), MapOutputs(**named))

    assert joined.class_pixels == whole.class_pixels
    for name in ("map.tif", "map.qml", "map.tif.aux.xml", "s.tif", "c.tif"):
        ours, theirs = tmp_path / "whole" / name, tmp_path / "joined" / name
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert read(tmp_path / "parts/2.tif").shape == (1, 512, 20)


def test_parts_that_are_missing_doubled_or_of_another_map_are_refused(
    write_raster, predict, tmp_path
):
    ortho = write_raster("ortho.tif", random_image(600, 20))
    paths = {}
    for name, index, stride in [("a", 1, 6), ("b", 2, 6), ("c", 2, 6), ("d", 2, 5)]:
        paths[name] = tmp_path / f"{name}.tif"
        predict(ortho, part=(index, 2), stride=stride, more={"class_map": paths[name]})
    whole = predict(ortho).path
    outputs = MapOutputs(class_map=tmp_path / "joined.tif")

    for names, reason in [
        ("a", r"of 2 parts, \[2\] are missing"),
        ("abc", "part 2 of 2 is there more than once"),
        ("ad", "not of the same map and model"),
    ]:
        with pytest.raises(InputError, match=reason):
            join_parts([paths[name] for name in names], outputs)
    with pytest.raises(InputError, match="is no part of a map"):
        join_parts([whole], outputs)
    with pytest.raises(InputError, match="none of the parts holds a scores"):
        join_parts(
            [paths["a"], paths["b"]],
            MapOutputs(class_map=tmp_path / "joined.tif", scores=tmp_path / "s.tif"),
        )
    assert not (tmp_path / "joined.tif").exists()


def test_scores_and_confidence_of_another_map_are_not_joined_to_a_class_map(
    write_raster, predict, tmp_path
):
    ortho = write_raster("ortho.tif", random_image(20, 20))
    for stride in (5, 6):
        own = {name: tmp_path / f"{stride}_{file}" for name, file in SCORES.items()}
        own |= {"class_map": tmp_path / f"{stride}.tif"}
        predict(ortho, part=(1, 1), stride=stride, more=own)

    for name, file in SCORES.items():
        outputs = MapOutputs(**{"class_map": tmp_path / "map.tif", name: tmp_path / "layer.tif"})
        with pytest.raises(InputError, match=rf"5_{file}: is not of the same .* as .*6\.tif"):
            join_parts([tmp_path / "6.tif", tmp_path / f"5_{file}"], outputs)


def test_a_part_without_data_is_no_failure(write_raster, predict, tmp_path, read):
    image = random_image(1100, 12)
    image[:, :600] = 0
    ortho = write_raster("ortho.tif", image, nodata=0)
    paths = [tmp_path / f"{index}.tif" for index in (1, 2)]

    for index, path in enumerate(paths, 1):
        predict(ortho, part=(index, 2), more={"class_map": path})
    join_parts(paths, MapOutputs(class_map=tmp_path / "joined.tif"))

    assert (read(paths[0]) == 255).all()
    assert (read(tmp_path / "joined.tif") == read(predict(ortho).path)).all()


def test_a_block_that_cannot_be_read_in_two_parts_is_lost_once(
    write_raster, predict, tmp_path, read
):
    profile = {"tiled": True, "blockxsize": 32, "blockysize": 512, "compress": "deflate"}
    ortho = write_raster("ortho.tif", random_image(1100, 24), **profile)
    with rasterio.open(ortho) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", bidx=1))
    content = bytearray(ortho.read_bytes())
    content[start : start + 32] = b"\xff" * 32  # rows 512 to 1023, seen by the windows of both
    ortho.write_bytes(content)
    kept = {"on_error": "nodata", "patch_size": 64, "stride": 56}
    with pytest.raises(PartlyReadError):
        predict(ortho, like_a_network, more={"class_map": tmp_path / "whole.tif"}, **kept)
    paths = [tmp_path / f"{index}.tif" for index in (1, 2)]
    for index, path in enumerate(paths, 1):
        with pytest.raises(PartlyReadError):
            predict(ortho, like_a_network, part=(index, 2), more={"class_map": path}, **kept)

    with pytest.raises(PartlyReadError, match=r"joined\.tif: written, but 12288 px could not"):
        join_parts(paths, MapOutputs(class_map=tmp_path / "joined.tif"))

    assert (tmp_path / "joined.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert (read(tmp_path / "whole.tif")[0, 512:1024] == 255).all()


def test_kept_windows_of_bounds_give_their_part_of_the_map(write_raster, predict, tmp_path):
    ortho = write_raster("ortho.tif", random_image(60, 50))
    bounds = (500_003, 5_699_980, 500_020, 5_699_997)
    choices = {"bounds": bounds, "patch_size": 20, "stride": 15}
    ours = predict(ortho, like_a_network, windows=tmp_path / "windows", **choices).path
    windows = sorted((tmp_path / "windows").glob("*.tif"))

    for method in (None, "first"):
        outputs = MapOutputs(class_map=tmp_path / f"{method}.tif")
        assert mosaic(windows, outputs, MosaicOptions(method=method)).pixels == 34 * 34

    assert (tmp_path / "None.tif").read_bytes() == ours.read_bytes()
    with rasterio.open(ours) as blended, rasterio.open(tmp_path / "first.tif") as first:
        assert first.bounds == blended.bounds


def test_bands_of_columns_give_the_same_bytes(write_raster, predict, tmp_path, outputs):
    ortho = write_raster("ortho.tif", random_image(30, 1100, holes=0.2), nodata=0)
    files = []
    for name, memory in (("wide", None), ("narrow", 1)):
        more = outputs(name) | {"class_map": tmp_path / name / "map.tif"}
        predict(ortho, like_a_network, more=more, memory=memory, stride=5)
        files.append([(tmp_path / name / each).read_bytes() for each in ("map.tif", "s.tif")])

    assert files[0] == files[1]


def test_bounds_cut_the_map_and_change_no_pixel(write_raster, predict, tmp_path, read):
    ortho = write_raster("ortho.tif", random_image(60, 50))
    [whole] = read(predict(ortho, like_a_network).path)
    bounds = (500_003, 5_699_980, 500_020, 5_699_997)

    report = predict(
        ortho, like_a_network, bounds=bounds, more={"class_map": tmp_path / "part.tif"}
    )

    assert (read(report.path)[0] == whole[6:40, 6:40]).all()
    assert report.pixels == 34 * 34


def test_an_aoi_hides_what_is_outside_and_spares_its_windows(
    write_raster, write_polygons, predict, tmp_path, read
):
    ortho = write_raster("ortho.tif", random_image(100, 100))
    [whole] = read(predict(ortho, like_a_network).path)
    corner = shapely.Polygon([(500_005, 5_699_995), (500_025, 5_699_995), (500_005, 5_699_975)])
    far = shapely.box(500_040, 5_699_955, 500_045, 5_699_960)
    aoi = write_polygons("aoi.gpkg", [corner, far], crs="EPSG:32632")
    seen = []

    def watching(images):
        seen.extend(images)
        return like_a_network(images)

    predict(ortho, watching, aoi=aoi, more={"class_map": tmp_path / "part.tif"})

    [part] = read(tmp_path / "part.tif")
    rows, cols = np.mgrid[10:90, 10:90]
    x, y = 500_000 + 0.5 * (cols + 0.5), 5_700_000 - 0.5 * (rows + 0.5)
    inside = shapely.contains_xy(corner, x, y) | shapely.contains_xy(far, x, y)
    edge = np.abs((x - 500_005) + (5_699_995 - y) - 20) < 1e-6  # on the slope: GDAL's to decide
    assert part.shape == inside.shape
    assert (part[inside & ~edge] == whole[10:90, 10:90][inside & ~edge]).all()
    assert (part[~inside & ~edge] == 255).all()
    assert len(seen) < 17 * 17 / 4


def test_an_aoi_elsewhere_is_refused(write_raster, write_polygons, predict):
    ortho = write_raster("ortho.tif", random_image(20, 20))
    aoi = write_polygons("aoi.gpkg", [shapely.box(0, 0, 1, 1)])

    with pytest.raises(EmptyError, match=r"aoi.gpkg: no polygon"):
        predict(ortho, aoi=aoi)


def test_an_aoi_without_polygons_says_so(write_raster, write_polygons, predict):
    ortho = write_raster("ortho.tif", random_image(20, 20))
    aoi = write_polygons("aoi.gpkg", gpd.GeoSeries([], crs="EPSG:32632"))

    with pytest.raises(EmptyError, match=r"aoi\.gpkg: holds no polygon"):
        predict(ortho, aoi=aoi)


def test_of_several_layers_of_an_aoi_one_is_named(write_raster, write_polygons, predict):
    ortho = write_raster("ortho.tif", random_image(20, 20))
    for layer, side in (("north", 3), ("south", 5)):
        box = shapely.box(500_000, 5_700_000 - side, 500_010, 5_700_000)
        aoi = write_polygons("aoi.gpkg", [box], layer=layer)

    with pytest.raises(VectorError, match=r"name one with --aoi-layer: \['north', 'south'\]"):
        predict(ortho, aoi=aoi)

    assert predict(ortho, aoi=aoi, aoi_layer="south").pixels == 10 * 20


def test_an_aoi_on_ground_without_data_is_refused(write_raster, write_polygons, predict, tmp_path):
    image = random_image(40, 40)
    image[:, 20:] = 0
    ortho = write_raster("ortho.tif", image, nodata=0)
    aoi = write_polygons("aoi.gpkg", [shapely.box(500_001, 5_699_981, 500_009, 5_699_984)])

    with pytest.raises(EmptyError, match="no pixel with data where the map is wanted"):
        predict(ortho, aoi=aoi)

    assert list((tmp_path / "out").iterdir()) == []
