import numpy as np
import pytest

from geoseg.model.ensemble import Augmented, Ensemble


class Member:
    """A model whose scores for a class are a weighting of the window's bands."""

    runtime, precision = "torch", "fp32"

    def __init__(self, weights, name="member", **attributes):
        self.weights = np.asarray(weights, np.float32)
        self.name = name
        self.versions = {name: "1"}
        self.notes = []
        self.batch_size, self.streams = 4, 2
        self.__dict__.update(attributes)
        self.seen = []

    def __call__(self, images):
        self.seen.append(images.copy())
        return np.einsum("cb,nbhw->nchw", self.weights, images)


def test_an_ensemble_gives_the_mean_of_its_members():
    ensemble = Ensemble([Member([[1, 0]]), Member([[0, 1]]), Member([[1, 1]])])
    images = np.array([[[[3]], [[6]]]], np.float32)

    assert ensemble(images).tolist() == [[[[6]]]]  # (3 + 6 + 9) / 3


def test_an_ensemble_says_what_all_its_members_are():
    small = Member([[1]], name="a", batch_size=1, streams=3, notes=["slow"])

    ensemble = Ensemble([small, Member([[1]], name="b")])

    assert (ensemble.name, ensemble.versions) == ("a + b", {"a": "1", "b": "1"})
    assert (ensemble.batch_size, ensemble.streams) == (1, 2)
    assert list(ensemble.notes) == ["slow"]


@pytest.mark.parametrize(("kind", "count"), [("flips", 4), ("d4", 8)])
def test_every_view_is_another_one_and_is_turned_back(kind, count):
    member = Member(np.eye(2))
    images = np.random.default_rng(0).random((3, 2, 5, 5), np.float32)

    scores = Augmented(member, kind)(images)

    np.testing.assert_allclose(scores, images, rtol=1e-6)
    assert len({view.tobytes() for view in member.seen}) == count
    assert all(view.flags["C_CONTIGUOUS"] for view in member.seen)


def test_an_augmented_model_turns_with_its_input():
    class Place(Member):
        def __call__(self, images):
            return images * np.linspace(0, 1, 5, dtype=np.float32)

    images = np.random.default_rng(0).random((1, 1, 5, 5), np.float32)
    model = Augmented(Place([[1]]), "d4")

    turned = model(np.rot90(images, axes=(2, 3)).copy())

    np.testing.assert_allclose(turned, np.rot90(model(images), axes=(2, 3)), rtol=1e-6)
