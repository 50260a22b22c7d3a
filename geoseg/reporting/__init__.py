"""Figures and maps as pictures."""

from geoseg.reporting.preview import draw_preview

__all__ = ["draw_preview"]
