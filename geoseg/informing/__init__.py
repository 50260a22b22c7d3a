"""What a file or folder is, in a screenful."""

from geoseg.informing.about import About, Table
from geoseg.informing.info import inform

__all__ = ["About", "Table", "inform"]
