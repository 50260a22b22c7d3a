import pytest

from geoseg.training.callbacks import Record

NAN = float("nan")


def best(monitor, rows):
    """The epoch that a record keeps, as `Record` compares them."""
    record = Record(None, [], monitor=monitor, save_model=print)
    kept = None
    for row in rows:
        if kept is None or record._rank(row) < record._rank(kept):
            kept = row
    return kept["epoch"]


def rows(name, values):
    return [{"epoch": epoch, name: value} for epoch, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("monitor", "values", "epoch"),
    [
        ("val_loss", [0.5, 0.2, 0.3], 2),
        ("val_loss", [0.2, 0.2, 0.2], 1),  # of equals the first
        ("val_loss", [NAN, 0.9, NAN], 2),  # what is undefined is never better
        ("val_loss", [float("inf"), 9.0, -1.0], 3),
        ("val_miou", [0.5, 0.9, 0.7], 2),
        ("val_miou", [0.0, 0.0, 0.1], 3),
    ],
)
def test_the_best_epoch_is_the_one_of_lowest_loss_or_highest_miou(monitor, values, epoch):
    assert best(monitor, rows(monitor, values)) == epoch


@pytest.mark.parametrize("monitor", ["val_loss", "val_miou"])
def test_without_validation_the_last_epoch_is_the_best(monitor):
    assert best(monitor, rows("train_loss", [0.1, 0.3, 0.2])) == 3


def test_a_record_goes_on_where_its_checkpoint_left_it():
    one, other = (Record(None, [], monitor="val_loss", save_model=print) for _ in range(2))
    one.rows = rows("val_loss", [0.5, 0.2])
    one.best = one.rows[1]

    other.load_state_dict(one.state_dict())

    assert (other.rows, other.best) == (one.rows, one.best)
