import numpy as np
import pytest

from geoseg.labels.lookup import ValueColors, visible_bands


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["gray"], [0, 0, 0]),
        (["gray", "height"], [0, 0, 0]),
        (["b1", "b2", "b3", "b4"], [0, 1, 2]),
        (["Blue", "GREEN", "red", "nir"], [2, 1, 0]),
    ],
)
def test_three_bands_are_seen_by_their_names_or_their_order(names, shown):
    image = np.arange(len(names))[:, None, None]

    assert visible_bands(image, names).ravel().tolist() == shown


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64"])
def test_values_have_colours_that_differ_and_do_not_depend_on_those_beside_them(dtype):
    values = np.arange(100, dtype=dtype).reshape(1, 10, 10)

    colors = ValueColors()(values)

    assert len(np.unique(colors.reshape(3, -1), axis=1).T) == 100
    assert (ValueColors()(values[:, 4:6]) == colors[:, 4:6]).all()
