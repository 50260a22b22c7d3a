"""Figures and maps as pictures and pages."""

from geoseg.reporting.inputs import ShowOptions
from geoseg.reporting.preview import draw_preview
from geoseg.reporting.report import ReportOptions, folder_of_tiles, write_report

__all__ = ["ReportOptions", "ShowOptions", "draw_preview", "folder_of_tiles", "write_report"]
