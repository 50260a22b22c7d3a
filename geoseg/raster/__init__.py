"""Pixels and where they lie: the only package that opens rasters and vectors.

Every read returns values and where they are valid.
"""

import os
import warnings

from rasterio.errors import NotGeoreferencedWarning

DEFAULT_CACHE = "256"
"""Megabytes of decoded blocks; GDAL's own default is 5 % of memory."""

SERVICES = (
    "WMS,WMTS,WCS,PLMOSAIC,EEDA,EEDAI,DAAS,STACIT,STACTA,OGCAPI,HTTP,NGW,WFS,OAPIF,CSW,"
    "Elasticsearch,Carto,AmigoCloud,PLSCENES,GTI,GDALG,OGR_VRT,ADBC,GPSBabel"
)
"""Formats of GDAL by which a local file has it ask a server, run a program or open any source.

They are left out, unless the user has said in the environment which are.
"""

os.environ.setdefault("GDAL_CACHEMAX", DEFAULT_CACHE)
os.environ.setdefault("OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z")  # same input, same bytes
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")  # takes torn pictures for whole ones
os.environ.setdefault("GDAL_VRT_WARP_USE_DATASET_RASTERIO", "NO")  # a pixel hangs on its window
os.environ.setdefault("GDAL_SKIP", SERVICES)
os.environ.setdefault("GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE", "SIBLING_OR_CHILD_OF_VRT_PATH")
os.environ.setdefault("GML_DOWNLOAD_SCHEMA", "NO")
os.environ.setdefault("CPL_LOG", os.devnull)  # what nobody catches is not for the terminal
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # pictures are welcome
