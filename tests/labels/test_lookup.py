import numpy as np
import pytest

from geoseg.errors import LegendError
from geoseg.labels.lookup import look_up

FROM_0 = {255: 255, 0: 0, 1: 1, 2: 2}
FROM_1 = {255: 255, 0: 255, 1: 0, 2: 1, 3: 2}
SCATTERED = {255: 255, 9: 0, 4: 1, 200: 2, 5: 1}
TO_THE_END = {254: 0, 255: 1}


@pytest.mark.parametrize("pairs", [FROM_0, FROM_1, SCATTERED, TO_THE_END])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_each_value_becomes_its_index(pairs, dtype):
    values = np.array(sorted(pairs), dtype)
    expected = [pairs[value] for value in sorted(pairs)]

    assert look_up(values, pairs).tolist() == expected
    for value, index in zip(values, expected, strict=True):  # each alone, and with the first
        assert look_up(values[:1].repeat(2), pairs).tolist() == expected[:1] * 2
        assert look_up(np.array([[value]]), pairs).tolist() == [[index]]


@pytest.mark.parametrize("pairs", [FROM_0, FROM_1, SCATTERED, TO_THE_END])
def test_a_value_of_no_class_is_refused_wherever_it_lies(pairs):
    for value in sorted(set(range(256)) - set(pairs)):
        with pytest.raises(LegendError, match=rf"values without a class: {value} \(1x\)"):
            look_up(np.array([min(pairs), value], np.uint8), pairs)


def test_what_has_no_pixel_has_no_index():
    assert look_up(np.empty((0, 3), np.uint8), FROM_0).shape == (0, 3)
