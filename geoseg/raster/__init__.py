"""Pixels and where they lie: the only package that opens rasters and vectors.

Every read returns values and where they are valid. Importing it changes nothing in the process:
`configure` does, and is called by the command line and by the functions of ``import geoseg``.
"""

import os
import warnings
from collections.abc import MutableMapping

GDAL_DEFAULTS = {
    "GDAL_CACHEMAX": "256",  # megabytes of decoded blocks; GDAL's own default is 5 % of memory
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",  # same input, same bytes
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # takes torn images for whole ones
    "GDAL_VRT_WARP_USE_DATASET_RASTERIO": "NO",  # a pixel would depend on its window
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "SIBLING_OR_CHILD_OF_VRT_PATH",
    "GML_DOWNLOAD_SCHEMA": "NO",
    # Of servers; `remote` adds what must not hold for files of this machine.
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, and longer each time
    "GDAL_HTTP_CONNECTTIMEOUT": "30",  # seconds
    "GDAL_HTTP_LOW_SPEED_TIME": "60",  # seconds after which a connection is given up that is slower
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # than so many bytes per second
    "CPL_VSIL_CURL_CHUNK_SIZE": "4096",  # bytes; with more, GDAL reads ahead what it drops
    "GDAL_HTTP_VERSION": "2TLS",  # HTTP/2 where a server offers it; parallel ranges share a line
    "CPL_LOG": os.devnull,  # errors that are not caught stay off the terminal
    # Formats by which a local file has GDAL ask a server, run a program or open any source.
    "GDAL_SKIP": (
        "WMS,WMTS,WCS,PLMOSAIC,EEDA,EEDAI,DAAS,STACIT,STACTA,OGCAPI,HTTP,NGW,WFS,OAPIF,CSW,"
        "Elasticsearch,Carto,AmigoCloud,PLSCENES,GTI,GDALG,OGR_VRT,ADBC,GPSBabel"
    ),
}
"""Settings of GDAL for the process, unless the environment has others."""

SINGLE_THREADED = {"GDAL_NUM_THREADS": "1", "VRT_NUM_THREADS": "1"}
"""No threads of GDAL's own, whatever the environment says: they lose failures of remote sources,
and give zeros instead. rasterio sets options for all threads at once, so that an ``Env`` for each
read would take them from the reads of other threads where it ends."""


def translate_endpoint(environ: MutableMapping[str, str]) -> None:
    """Name a server that speaks S3 for GDAL and for obstore, which call it differently.

    >>> translate_endpoint(known := {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"})
    >>> known["AWS_S3_ENDPOINT"], known["AWS_HTTPS"], known["AWS_VIRTUAL_HOSTING"]
    ('127.0.0.1:9000', 'NO', 'FALSE')
    """
    url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    host = environ.get("AWS_S3_ENDPOINT")
    if url:
        environ.setdefault("AWS_ENDPOINT_URL", url)
        scheme, _, rest = url.rpartition("://")
        environ.setdefault("AWS_S3_ENDPOINT", rest.rstrip("/"))
        environ.setdefault("AWS_HTTPS", "NO" if scheme == "http" else "YES")
        environ.setdefault("AWS_VIRTUAL_HOSTING", "FALSE")
    elif host:
        scheme = "http" if environ.get("AWS_HTTPS", "").upper() in {"NO", "FALSE"} else "https"
        environ["AWS_ENDPOINT_URL"] = host if "://" in host else f"{scheme}://{host}"


def configure() -> None:
    """Set GDAL up for the whole process, before it is first used.

    GDAL reads these settings when it registers its formats, or at its first read, so that a scoped
    ``rasterio.Env`` would come too late.
    """
    for name, value in GDAL_DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(SINGLE_THREADED)
    translate_endpoint(os.environ)
    # images without a place are welcome; rasterio's category would have to be imported for this
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")
