"""The highest view of a patch is that of seeing every view with every expert, with less work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from microcalc.committee import highest_view
from microcalc.committee.highest_view import highest_views

EXPERTS = 3


class Seen:
    """Stands in for ``predict``: a table of probabilities, and how often each was asked for."""

    def __init__(self, patch: pytest.MonkeyPatch, table: NDArray[np.float64]) -> None:
        self.table, self.times = table, np.zeros(table.shape, int)
        patch.setattr(highest_view, "predict", self.predict)

    def predict(self, expert: int, images: NDArray[np.float32]) -> NDArray[np.float64]:
        views = images[:, 0, 0].astype(int)
        np.add.at(self.times, (views, expert), 1)
        return self.table[views, expert]

    def highest(self, weights: NDArray[np.float64], sizes: list[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        images = np.zeros((sum(sizes), 60, 60), np.float32)
        images[:, 0, 0] = np.arange(len(images))
        return highest_views(range(EXPERTS), weights, images, np.array(sizes))


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    shares=st.lists(st.floats(0.01, 1), min_size=EXPERTS, max_size=EXPERTS),
    spread=st.sampled_from([0.1, 1.0, 8.0]),
    steps=st.sampled_from([2, 10, 1000]),
    seed=st.integers(0, 2**16),
)
def test_the_votes_are_those_of_the_first_view_with_the_highest_average(sizes, shares, spread, steps, seed) -> None:
    logits = np.random.default_rng(seed).normal(-spread, spread, (sum(sizes), EXPERTS))
    table = np.round(steps / (1 + np.exp(-logits))) / steps
    weights = np.array(shares) / sum(shares)
    with pytest.MonkeyPatch.context() as patch:
        seen = Seen(patch, table)
        votes, views = seen.highest(weights, sizes)
    expected = [int((part @ weights).argmax()) for part in np.split(table, np.cumsum(sizes)[:-1])]
    assert views.tolist() == expected
    assert np.array_equal(votes, table[views + np.cumsum([0, *sizes[:-1]])])
    assert seen.times.max() == 1


def test_views_that_no_expert_can_lift_over_the_best_are_seen_by_one_expert_alone(monkeypatch) -> None:
    table = np.array([[0.1, 1.0, 1.0], [0.9, 0.9, 0.9], [0.1, 0.0, 0.0]])
    seen = Seen(monkeypatch, table)
    assert seen.highest(np.array([0.4, 0.3, 0.3]), [3])[1] == [1]
    assert seen.times.tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]
