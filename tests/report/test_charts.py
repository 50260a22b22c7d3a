from geoseg.report.charts import HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart


def points(stroke):
    return [tuple(map(float, point.split(","))) for point in stroke.split()]


def test_a_line_runs_from_corner_to_corner():
    drawn = chart("t", "epoch", [1, 2], {"a": [0.0, 1.0]})

    [(left, bottom), (right, top)] = points(drawn.lines["a"][0])

    assert (left, right, top) == (LEFT, WIDTH - RIGHT, TOP)
    assert bottom > HEIGHT / 2


def test_a_line_is_broken_where_nothing_is_known():
    drawn = chart("t", "epoch", [1, 2, 3, 4], {"a": [1.0, float("nan"), 2.0, 3.0]})

    assert [len(points(stroke)) for stroke in drawn.lines["a"]] == [1, 2]


def test_without_any_value_there_is_no_chart():
    assert chart("t", "epoch", [1, 2], {"a": [None, None]}) is None


def test_a_single_constant_value_is_no_failure():
    drawn = chart("t", "epoch", [1], {"a": [0.5]})

    assert len(points(drawn.lines["a"][0])) == 1


def test_marks_embrace_all_values():
    drawn = chart("t", "epoch", [0, 1], {"a": [-0.013, 0.094]})

    labels = [float(tick.label) for tick in drawn.y_ticks]
    assert labels[0] <= -0.013
    assert labels[-1] >= 0.094
