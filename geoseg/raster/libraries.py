"""GDAL and PROJ as the installed libraries bring them, and whether they work."""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PLACES = {
    "PROJ_LIB": "proj.db",
    "PROJ_DATA": "proj.db",
    "GDAL_DATA": "gdalvrt.xsd",
}
"""Variables that name folders of data, and a file that such a folder holds."""

PLUGINS = "GDAL_DRIVER_PATH"
"""Variable that names folders with formats for one version of GDAL."""

KNOWN_CRS, LONGITUDE, LATITUDE, EASTING = 32632, 9.0, 48.0, 500_000.0
"""A CRS of EPSG, and a place on its central meridian, whose easting everybody can check."""

TOLERANCE_M = 0.01
"""Of that easting, in metres."""


@dataclass(frozen=True)
class GeoLibrary:
    """A library with a GDAL or PROJ of its own."""

    name: str
    version: str

    gdal: str | None
    """Version of its GDAL."""

    proj: str | None
    """Version of its PROJ, where it says so."""

    problem: str | None
    """What does not work."""

    @property
    def line(self) -> str:
        """Its versions."""
        own = {"GDAL": self.gdal, "PROJ": self.proj}
        return ", ".join([self.version, *(f"{name} {each}" for name, each in own.items() if each)])


def geo_libraries() -> list[GeoLibrary]:
    """The libraries that read rasters and vectors and transform coordinates, each tried out."""
    return [_rasterio(), _pyogrio(), _pyproj()]


def _rasterio() -> GeoLibrary:
    import rasterio
    from rasterio.warp import transform

    def try_out() -> float:
        [easting], _ = transform("EPSG:4326", f"EPSG:{KNOWN_CRS}", [LONGITUDE], [LATITUDE])
        return float(easting)

    gdal, proj = rasterio.__gdal_version__, getattr(rasterio, "__proj_version__", None)
    return GeoLibrary("rasterio", rasterio.__version__, gdal, proj, _problem(try_out))


def _pyogrio() -> GeoLibrary:
    import geopandas as gpd
    import pyogrio
    from shapely import Point

    def try_out() -> float:
        place = gpd.GeoDataFrame(geometry=[Point(EASTING, 0)], crs=KNOWN_CRS)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "place.gpkg"
            place.to_file(path)
            found = gpd.read_file(path)
        if found.crs != place.crs:
            raise ValueError(f"EPSG:{KNOWN_CRS} comes back from a GeoPackage as {found.crs}")
        return float(found.geometry.x[0])

    gdal = ".".join(map(str, pyogrio.__gdal_version__))
    return GeoLibrary("pyogrio", pyogrio.__version__, gdal, None, _problem(try_out))


def _pyproj() -> GeoLibrary:
    import pyproj

    def try_out() -> float:
        transformer = pyproj.Transformer.from_crs(4326, KNOWN_CRS, always_xy=True)
        return float(transformer.transform(LONGITUDE, LATITUDE)[0])

    proj = pyproj.__proj_version__
    return GeoLibrary("pyproj", pyproj.__version__, None, proj, _problem(try_out))


def _problem(try_out: Callable[[], float]) -> str | None:
    """Why a library does not know a place whose easting is known; None: it does."""
    try:
        easting = try_out()
    except Exception as error:  # noqa: BLE001 of three libraries, broken in any way
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if not abs(easting - EASTING) < TOLERANCE_M:
        return f"places a point at an easting of {easting:g} m that lies at {EASTING:g} m"
    return None


def foreign_data(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that lead GDAL or PROJ to the data of another installation, and how.

    Args:
        environment: Variables of the process.
    """
    found = {}
    for name, needed in PLACES.items():
        for folder in filter(None, environment.get(name, "").split(os.pathsep)):
            path = Path(folder)
            if not (path / needed).is_file():
                found[name] = f"{folder} holds no {needed}"
            elif not path.resolve().is_relative_to(Path(sys.prefix).resolve()):
                version = proj_version(path / needed) if needed == "proj.db" else None
                of = f", PROJ {version}" if version else ""
                found[name] = f"{folder} belongs to another installation{of}"
    if environment.get(PLUGINS):
        found[PLUGINS] = f"{environment[PLUGINS]} may hold formats for another GDAL"
    return found


def proj_version(database: Path) -> str | None:
    """The version of PROJ that a proj.db was made for; None if it does not say."""
    query = "SELECT value FROM metadata WHERE key = 'PROJ.VERSION'"
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as file:
            row = file.execute(query).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])
