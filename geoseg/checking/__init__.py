"""What is wrong with a patch set, and the set without it."""

from geoseg.checking.check import CheckReport, check
from geoseg.checking.findings import DROPPABLE, Finding
from geoseg.checking.report import write_cleaned_set, write_report

__all__ = ["DROPPABLE", "CheckReport", "Finding", "check", "write_cleaned_set", "write_report"]
