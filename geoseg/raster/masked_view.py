"""View of a raster whose bands have one mask: what GDAL can resample without mixing nodata in."""

from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from rasterio._path import _parse_path as parse_path
from rasterio._path import _vsi_path as vsi_path
from rasterio.dtypes import dtype_rev, typename_fwd


def masked_view(dataset: Any, nodata: float | Literal["none"] | None) -> str:
    """A VRT of a raster's bands with one mask, valid where all bands have data.

    GDAL resamples with one nodata value or mask for all bands; NaN beside a nodata value would be
    mixed into its neighbours.

    Args:
        dataset: The raster, without alpha.
        nodata: Value given by the user, as in `ReadOptions`.
    """
    name = vsi_path(parse_path(dataset.name))
    root = Element("VRTDataset", rasterXSize=str(dataset.width), rasterYSize=str(dataset.height))
    if dataset.crs:
        SubElement(root, "SRS").text = dataset.crs.to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, dataset.transform.to_gdal()))
    for band, dtype in zip(dataset.indexes, dataset.dtypes, strict=True):
        target = SubElement(root, "VRTRasterBand", dataType=_gdal_type(dtype))
        SubElement(target, "Description").text = dataset.descriptions[band - 1] or ""
        color = dataset.colorinterp[band - 1].name
        SubElement(target, "ColorInterp").text = color.capitalize()
        _add_source(target, "SimpleSource", name, str(band))
    product = {"dataType": "Byte", "subClass": "VRTDerivedRasterBand"}
    mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", product)
    SubElement(mask, "PixelFunctionType").text = "mul"
    SubElement(mask, "SourceTransferType").text = "Float32"
    for band in dataset.indexes:
        _add_known(mask, name, str(band), "nan")
        if nodata is None:
            _add_source(mask, "SimpleSource", name, f"mask,{band}")
        else:
            value = "nan" if nodata == "none" else repr(float(nodata))
            _add_known(mask, name, str(band), value)
    return tostring(root, encoding="unicode")


def _add_known(target: Element, file: str, band: str, nodata: str) -> None:
    """Add a source that is 1 where a band has data.

    It is 0 x value + 1: NaN, stored as 0, where the value is NaN or infinite; nodata leaves 0.
    (Without a nodata value GDAL would not look at the pixels.)
    """
    source = _add_source(target, "ComplexSource", file, band)
    for name, value in (("ScaleOffset", "1"), ("ScaleRatio", "0"), ("NODATA", nodata)):
        SubElement(source, name).text = value


def _add_source(target: Element, kind: str, file: str, band: str) -> Element:
    source = SubElement(target, kind)
    SubElement(source, "SourceFilename", relativeToVRT="0").text = file
    SubElement(source, "SourceBand").text = band
    return source


def _gdal_type(dtype: str) -> str:
    return str(typename_fwd[dtype_rev[dtype]])
