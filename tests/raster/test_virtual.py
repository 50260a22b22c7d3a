"""What a raster file from elsewhere can have geoseg read, and what not."""

import os
import sys
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio

import geoseg.raster
from geoseg.errors import InputError, RasterError
from geoseg.raster.reader import RasterReader

RAW = (
    '<VRTDataset rasterXSize="4" rasterYSize="2">'
    '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRaw&#82;asterBand">'  # R in disguise
    '<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
    "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>4</LineOffset>"
    "</VRTRasterBand></VRTDataset>"
)
NESTED = (
    '<VRTDataset rasterXSize="4" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
    '<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
MRF = (
    '<MRF_META><Raster><Size x="4" y="2" c="1"/><PageSize x="4" y="2" c="1"/>'
    "<Compression>NONE</Compression><DataFile>{source}</DataFile><IndexFile>i.idx</IndexFile>"
    "</Raster></MRF_META>"
)
LABEL = (
    '<Product_Observational xmlns="http://pds.nasa.gov/pds4/pds/v1"><File_Area_Observational>'
    '<File><file_name>{source}</file_name></File><Array_2D_Image><offset unit="byte">0</offset>'
    "<axes>2</axes><axis_index_order>Last Index Fastest</axis_index_order><Element_Array>"
    "<data_type>UnsignedByte</data_type></Element_Array><Axis_Array><axis_name>Line</axis_name>"
    "<elements>2</elements><sequence_number>1</sequence_number></Axis_Array><Axis_Array>"
    "<axis_name>Sample</axis_name><elements>4</elements><sequence_number>2</sequence_number>"
    "</Axis_Array></Array_2D_Image></File_Area_Observational></Product_Observational>"
)


@pytest.fixture
def secret(tmp_path):
    """A file that is no raster, outside of the folder ``got``."""
    (tmp_path / "got").mkdir()
    file = tmp_path / "secret"
    file.write_bytes(b"password")
    return file


def test_raw_bytes_are_read_beside_a_virtual_raster_and_nowhere_else(secret):
    folder = secret.parent / "got"
    (folder / "data.bin").write_bytes(bytes(range(8)))
    (folder / "own.vrt").write_text(RAW.format(relative=1, source="data.bin"))
    with RasterReader(folder / "own.vrt") as reader:
        assert reader.read(reader.grid.window).image.ravel().tolist() == list(range(8))

    (folder / "other.vrt").write_text(RAW.format(relative=0, source=secret))
    with pytest.raises(RasterError, match=r"other.vrt: its pixels are the bytes of .*secret"):
        RasterReader(folder / "other.vrt")


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", ["file", "text", "view"])
def test_virtual_rasters_do_not_hide_raw_bytes_in_each_other(kind, depth, secret):
    folder = secret.parent / "got"
    (folder / "x.tif").write_text(RAW.format(relative=0, source=secret))
    sources = {
        "file": folder / "x.tif",
        "text": escape((folder / "x.tif").read_text()),
        "view": f"vrt://{folder / 'x.tif'}?bands=1",
    }
    text = NESTED.format(relative=0, source=sources[kind])
    for number in range(depth):
        path = folder / f"{number}.vrt"
        path.write_text(text)
        text = NESTED.format(relative=1, source=path.name)

    with pytest.raises(RasterError, match=r"its pixels are the bytes of .*secret"):
        RasterReader(path)


@pytest.mark.parametrize("text", [MRF, LABEL])
def test_labels_in_text_name_files_of_their_own_folder(text, secret):
    folder = secret.parent / "got"
    (folder / "data.bin").write_bytes(bytes(range(8)))
    (folder / "i.idx").write_bytes((0).to_bytes(8, "big") + (8).to_bytes(8, "big"))
    for source, allowed in (("data.bin", True), ("../secret", False)):
        path = folder / f"{allowed}.xml"
        path.write_text(text.format(source=source))
        if allowed:
            with RasterReader(path) as reader:
                assert reader.read(reader.grid.window).image.ravel().tolist() == list(range(8))
        else:
            with pytest.raises(RasterError, match="outside of its folder"):
                RasterReader(path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_does_not_lead_raw_bytes_out_of_the_folder(secret):
    folder = secret.parent / "got"
    (folder / "data.bin").symlink_to(secret)
    (folder / "x.vrt").write_text(RAW.format(relative=1, source="data.bin"))

    with pytest.raises(RasterError, match="outside of its folder"):
        RasterReader(folder / "x.vrt")


def test_virtual_rasters_show_other_rasters_wherever_they_are(write_raster, tmp_path):
    source = write_raster("elsewhere/a.tif", np.arange(8, dtype=np.uint8).reshape(2, 4))
    (tmp_path / "got").mkdir()
    path = tmp_path / "got" / "x.vrt"
    path.write_text(NESTED.format(relative=0, source=source))

    with RasterReader(path) as reader:
        assert reader.read(reader.grid.window).image.ravel().tolist() == list(range(8))


def test_a_description_of_a_service_is_no_raster(tmp_path):
    path = tmp_path / "x.tif"
    path.write_text("<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9</ServerUrl>")

    with pytest.raises(RasterError, match=r"x.tif: describes a service on the network \(GDAL_WMS"):
        RasterReader(path)


@pytest.mark.skipif(
    os.environ.get("GDAL_SKIP") != geoseg.raster.GDAL_DEFAULTS["GDAL_SKIP"],
    reason="the user has chosen formats",
)
def test_gdal_does_not_know_formats_that_ask_servers():
    with rasterio.Env() as env:
        assert {"GTiff", "VRT"} <= set(env.drivers())
        assert not {"WMS", "WCS", "WMTS", "STACIT", "GTI"} & set(env.drivers())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "x.vrt").write_text(NESTED.format(relative=1, source="pipe.tif"))

    for name in ("pipe.tif", "x.vrt"):
        with pytest.raises(InputError, match=r"pipe.tif: is a pipe, socket or device"):
            RasterReader(tmp_path / name)
