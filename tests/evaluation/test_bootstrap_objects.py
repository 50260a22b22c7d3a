import numpy as np
import pytest
from scipy import ndimage
from shapely import box

from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair, Reading
from geoseg.evaluation.evaluation import Evaluation
from geoseg.labels.reference import ReferenceOptions
from geoseg.raster.grid import Length

SIDE = 8
DRAWS = 40
SEED = 5
OPTIONS = {"intervals": 90, "block": Length(SIDE, "px"), "bootstrap": DRAWS, "seed": SEED}


def town(seed, shape=(40, 56)):
    """Houses of a reference and of a map, some of them across the borders of blocks; scores."""
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((2, *shape), bool)
    for row in range(1, shape[0] - 7, 7):
        for col in range(1, shape[1] - 7, 7):
            height, width = rng.integers(3, 6, 2)
            up, left = rng.integers(0, 2, 2)
            truth[row : row + height, col : col + width] = rng.random() < 0.7
            if rng.random() < 0.7:
                found[row + up : row + height, col + left : col + width] = True
    return truth, found, rng.integers(0, 255, shape).astype(np.uint8)


def labelled(mask):
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return [labels == number for number in range(1, count + 1)]


def block_of(mask):
    row, col = np.argwhere(mask)[0]
    return row // SIDE, col // SIDE


def listed(truth, found, score):
    """By block: how many houses there are, and IoU and score of those of the map."""
    houses, mapped = labelled(truth), labelled(found)
    there, hits = {}, {}
    for house in houses:
        there[block_of(house)] = there.get(block_of(house), 0) + 1
    for each in mapped:
        ious = [(each & house).sum() / (each | house).sum() for house in houses]
        best = int(np.argmax(ious))
        iou, place = (ious[best], houses[best]) if ious[best] >= 0.5 else (0, each)
        hits.setdefault(block_of(place), []).append((iou, score[each].mean() / 254))
    return there, hits


def figures_by_hand(there, hits):
    """Of a number of houses, and a list of those of the map."""
    right = [iou for iou, _ in hits if iou]
    return {
        "precision": len(right) / len(hits),
        "recall": len(right) / there,
        "f1": 2 * len(right) / (len(hits) + there),
        "mean_iou_of_matches": np.mean(right),
        "ap50": ap_by_hand(there, hits, 0.5),
        "ap": np.mean([ap_by_hand(there, hits, 0.5 + 0.05 * step) for step in range(10)]),
    }


def ap_by_hand(there, hits, least):
    scores = np.array([score for _, score in hits])
    right = np.array([iou >= least - 1e-9 for iou, _ in hits])
    points = []
    for score in set(scores):
        taken = scores >= score
        points.append((right[taken].sum() / there, right[taken].mean()))
    levels = np.linspace(0, 1, 101)
    return np.mean([max((p for r, p in points if r >= level), default=0) for level in levels])


def bounds_by_hand(blocks, there, hits):
    """Draw blocks of a list and recompute all from the objects that are drawn."""
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(DRAWS):
        taken = [blocks[place] for place in rng.integers(len(blocks), size=len(blocks))]
        objects = [each for block in taken for each in hits.get(block, [])]
        drawn.append(figures_by_hand(sum(there.get(block, 0) for block in taken), objects))
    return {name: np.quantile([each[name] for each in drawn], [0.05, 0.95]) for name in drawn[0]}


@pytest.fixture
def settle(write_pair, write_raster):
    """A function that writes a map of houses, its reference and its scores."""

    def write(truth, found, score, name="one"):
        pair = write_pair(np.where(found, 1, 4), np.where(truth, 10, 20), name=name)
        stored = np.stack([score, 254 - score, 0 * score])
        scores = write_raster(f"scores/{name}.tif", stored, nodata=255)
        return Pair(name, pair.class_map, pair.reference, scores=scores)

    return write


def evaluated(pairs, legend, options=OPTIONS, objects=("building",)):
    measures = Measures(objects=objects, **options)
    compared = {pair: compare(pair, legend, measures=measures) for pair in pairs}
    return Evaluation(compared, legend, measures)


def bounds_of(evaluation):
    [row] = evaluation.confidence["objects"]
    return {name: each for name, each in row.items() if name != "name"}


def test_bounds_are_those_of_objects_drawn_one_by_one(settle, legend):
    houses = town(1)
    there, hits = listed(*houses)
    blocks = [(row, col) for row in range(5) for col in range(7)]

    found = bounds_of(evaluated([settle(*houses)], legend))

    expected = bounds_by_hand(blocks, there, hits)
    assert found.keys() == expected.keys()
    for name, bounds in expected.items():
        assert found[name] == pytest.approx(bounds, abs=1e-6), name
        assert bounds[0] < bounds[1]


def test_blocks_of_several_maps_are_drawn_together(settle, legend):
    towns = [town(2, (24, 24)), town(3, (16, 32))]
    there, hits = {}, {}
    for number, houses in enumerate(towns):
        for whole, part in zip((there, hits), listed(*houses), strict=True):
            whole.update({(number, *block): each for block, each in part.items()})
    shapes = (3, 3), (2, 4)
    blocks = [(n, row, col) for n in (0, 1) for row, col in np.ndindex(shapes[n])]
    pairs = [settle(*houses, name=f"town{n}") for n, houses in enumerate(towns)]

    found = bounds_of(evaluated(pairs, legend))

    for name, bounds in bounds_by_hand(blocks, there, hits).items():
        assert found[name] == pytest.approx(bounds, abs=1e-6), name


def test_counts_are_the_same_as_without_bounds(settle, legend):
    pair = settle(*town(1))
    plain = compare(pair, legend, measures=Measures(objects=("building", "tree")))

    [counted] = evaluated([pair], legend, objects=("building", "tree")).counts.values()

    assert counted.objects == plain.objects
    for index in (0, 1):
        assert counted.objects[index].ap == plain.objects[index].ap
        blocks = counted.by_block["objects"]
        once = blocks.drawn(np.ones(blocks.blocks, int))[index]
        assert once.ap == plain.objects[index].ap
        assert (once.reference, once.mapped, once.matched) == (
            plain.objects[index].reference,
            plain.objects[index].mapped,
            plain.objects[index].matched,
        )


def test_blocks_that_are_alike_leave_no_doubt(settle, legend):
    truth, found, score = np.zeros((3, SIDE, SIDE), np.uint8)
    truth[1:4, 1:4] = truth[6, 6] = 1
    found[1:4, 1:3] = found[6, 1] = 1
    score[1:4] = 200

    evaluation = evaluated(
        [settle(*(np.tile(each, (3, 4)) for each in (truth, found, score)))], legend
    )

    [row] = evaluation.to_dict()["objects"]
    for name, bounds in bounds_of(evaluation).items():
        assert bounds == pytest.approx([row[name]] * 2), name


def test_objects_that_all_lie_in_one_block_have_no_bounds(settle, legend):
    truth = np.zeros((16, 16), bool)
    truth[2:5, 5:12] = True  # begins in the first block

    evaluation = evaluated([settle(truth, truth, np.full((16, 16), 100, np.uint8))], legend)

    assert all(np.isnan(bounds).all() for bounds in bounds_of(evaluation).values())


def test_polygons_are_drawn_where_they_begin(write_pair, write_polygons, legend):
    found = np.full((8, 24), 4)
    found[1:3, 1:3] = found[1:3, 9:11] = 1
    houses = [box(500_000 + x / 2, 5_699_998.5, 500_001 + x / 2, 5_699_999.5) for x in (1, 9, 17)]
    ground = box(500_000, 5_699_990, 500_020, 5_700_000)
    kinds = ["building"] * 3 + ["tree"]
    class_map = write_pair(found, np.full((8, 24), 10)).class_map
    pair = Pair("one", class_map, write_polygons("truth.gpkg", [*houses, ground], kind=kinds))
    measures = Measures(objects=("building",), reference_objects="polygons", **OPTIONS)
    reading = Reading(options=ReferenceOptions(attribute="kind"))

    counted = compare(pair, legend, reading, measures=measures)

    blocks = counted.by_block["objects"]
    assert sorted(blocks.matches[0].reference.tolist()) == [0, 1, 2]
    drawn = blocks.drawn(np.array([2, 0, 1]))[0]
    assert (drawn.reference, drawn.mapped, drawn.matched) == (3, 2, 2)
