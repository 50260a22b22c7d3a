"""Semantic segmentation of large orthophotos: tile, train, predict, mosaic, evaluate."""

__version__ = "0.1.0"
