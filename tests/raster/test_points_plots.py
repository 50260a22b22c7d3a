import numpy as np
import pytest
from affine import Affine
from shapely import box

from geoseg.raster.grid import Grid
from geoseg.raster.polygons import Plots

GRID = Grid(None, Affine(2, 0, 100, 0, -2, 50), 4, 5)


@pytest.fixture
def plots():
    """One of four pixels, one that covers no pixel's centre, one beside the raster."""
    shapes = [box(102, 44, 106, 48), box(104.1, 48.1, 104.2, 48.2), box(0, 0, 1, 1)]
    return Plots(np.array(shapes), {}, GRID)


def test_a_plot_has_the_pixels_whose_centres_it_covers(plots):
    inside = plots.read(0, GRID.window)

    assert np.argwhere(inside).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert plots.read(0, plots.window(0)).tolist() == [[True, True], [True, True]]


def test_a_tiny_plot_touches_a_pixel(plots):
    assert not plots.read(1, GRID.window).any()
    assert np.argwhere(plots.read(1, GRID.window, touched=True)).tolist() == [[0, 2]]


def test_a_plot_beside_the_raster_has_no_window(plots):
    assert plots.window(2) is None
    assert len(plots) == 3
