import geopandas as gpd
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import OutputExistsError
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import write_outlines
from geoseg.raster.window import Window

UTM = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 40, 50)
WINDOW = Window(row_off=10, col_off=20, height=4, width=6)


def test_windows_lie_where_their_pixels_are(tmp_path):
    write_outlines(tmp_path / "w.gpkg", [(UTM, WINDOW)], {"rank": [1]}, overwrite=False)

    frame = gpd.read_file(tmp_path / "w.gpkg")
    assert frame.crs.to_epsg() == 32632
    assert frame.total_bounds.tolist() == [500_010, 5_699_993, 500_013, 5_699_995]
    assert frame["rank"].tolist() == [1]


def test_windows_of_maps_in_several_crs_are_in_that_of_the_first(tmp_path):
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 9.0, 0, -1e-5, 51.45), 40, 50)

    write_outlines(tmp_path / "w.gpkg", [(UTM, WINDOW), (degrees, WINDOW)], {}, overwrite=False)

    frame = gpd.read_file(tmp_path / "w.gpkg")
    back = frame.geometry.iloc[[1]].to_crs(4326).total_bounds
    assert back == pytest.approx([9.0002, 51.44986, 9.00026, 51.4499], abs=1e-9)


def test_the_same_windows_give_the_same_bytes_and_an_existing_file_stays(tmp_path):
    for name in ("a.gpkg", "b.gpkg"):
        write_outlines(tmp_path / name, [(UTM, WINDOW)], {"rank": [1]}, overwrite=False)

    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_outlines(tmp_path / "a.gpkg", [(UTM, WINDOW)], {}, overwrite=False)
