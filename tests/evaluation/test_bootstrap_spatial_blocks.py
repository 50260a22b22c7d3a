from dataclasses import fields

import numpy as np
import pytest

from geoseg.evaluation.bootstrap import SpatialBlocks, SpatialCounter
from geoseg.evaluation.comparison import Block
from geoseg.evaluation.counters import BorderCounter, ErodedCounter, PairCounter
from geoseg.raster.window import Window, blocks

SHAPE = (30, 50)


def blocks_of(mapped, reference, halo, *, rows, cols):
    """A map and its reference in blocks, as they are read."""
    whole = Window(row_off=0, col_off=0, height=SHAPE[0], width=SHAPE[1])
    for window in blocks(*SHAPE, rows=rows, cols=cols):
        read = window.grown(halo).intersection(whole)
        yield Block(
            window=window,
            read=read,
            all_reference=reference[read.slices],
            all_mapped=mapped[read.slices],
        )


@pytest.mark.parametrize("side", [1, 4, 7, 40])
@pytest.mark.parametrize(("rows", "cols"), [(30, 50), (8, 50), (5, 13)])
def test_each_spatial_block_has_the_pairs_of_its_pixels(side, rows, cols):
    rng = np.random.default_rng(side)
    mapped, reference = rng.choice([0, 1, 2, 255], (2, *SHAPE)).astype(np.uint8)
    spatial = SpatialBlocks(side=side, height=SHAPE[0], width=SHAPE[1])
    counter = SpatialCounter(PairCounter(3), spatial)

    for block in blocks_of(mapped, reference, 0, rows=rows, cols=cols):
        counter.add(counter.count(block))

    table = counter.rows.table.toarray()
    known = (mapped != 255) & (reference != 255)
    for number in range(len(spatial)):
        here = spatial.window(number).slices
        pairs = 3 * reference[here][known[here]].astype(int) + mapped[here][known[here]]
        assert (table[number] == np.bincount(pairs, minlength=9)).all()
    assert len(table) == len(spatial)
    assert counter.compute()["confusion"].total == known.sum()


@pytest.mark.parametrize("make", [BorderCounter, ErodedCounter])
@pytest.mark.parametrize("side", [5, 16])
def test_spatial_blocks_add_up_to_the_whole_map(make, side):
    rng = np.random.default_rng(0)
    reference = rng.choice([0, 1, 255], (6, 10)).repeat(5, 0).repeat(5, 1).astype(np.uint8)
    mapped = np.roll(reference, 2, axis=1)
    whole = make(2, 2.5)
    [block] = blocks_of(mapped, reference, whole.halo, rows=30, cols=50)
    spatial = SpatialBlocks(side=side, height=SHAPE[0], width=SHAPE[1])
    counter = SpatialCounter(make(2, 2.5), spatial)

    for each in blocks_of(mapped, reference, counter.halo, rows=12, cols=50):
        counter.add(counter.count(each))

    [found], expected = counter.compute().values(), whole.count(block)
    for field in fields(expected):
        assert (getattr(found, field.name) == getattr(expected, field.name)).all()
        assert getattr(expected, field.name).any()


def test_spatial_blocks_cover_a_map_once():
    spatial = SpatialBlocks(side=4, height=6, width=9)
    cover = np.zeros((6, 9), int)

    for number in range(len(spatial)):
        cover[spatial.window(number).slices] += 1

    assert (cover == 1).all()
    assert spatial.window(5) == Window(row_off=4, col_off=8, height=2, width=1)


def test_pixels_lie_in_their_blocks():
    spatial = SpatialBlocks(side=4, height=10, width=9)

    found = spatial.of_pixels(np.arange(90)).reshape(10, 9)

    for number in range(len(spatial)):
        assert (found[spatial.window(number).slices] == number).all()
