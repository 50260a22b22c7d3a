"""The only package that opens rasters, vectors and patch sets.

Every read returns values and where they are valid.
"""

import os
import warnings

from rasterio.errors import NotGeoreferencedWarning

os.environ.setdefault("GDAL_CACHEMAX", "256")  # megabytes; GDAL's own default is 5 % of memory
os.environ.setdefault("OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z")  # same input, same bytes
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # pictures are welcome
