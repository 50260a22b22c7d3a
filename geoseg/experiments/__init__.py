"""Trainings beside each other: one table of them, and many of them in a row."""

from geoseg.experiments.choices import Choices
from geoseg.experiments.plans import Plan, check_figure, read_plan
from geoseg.experiments.records import Entry, read_entries
from geoseg.experiments.sweep import SweepReport, check_sweep, sweep
from geoseg.experiments.table import SUFFIXES, Table, comparison

__all__ = [
    "SUFFIXES",
    "Choices",
    "Entry",
    "Plan",
    "SweepReport",
    "Table",
    "check_figure",
    "check_sweep",
    "comparison",
    "read_entries",
    "read_plan",
    "sweep",
]
