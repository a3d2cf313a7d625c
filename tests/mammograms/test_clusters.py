import numpy as np
import pytest

from microcalc.mammograms import clusters as module
from microcalc.mammograms.candidates import Spots
from microcalc.mammograms.clusters import cut_windows, logit, merge_windows, window_logits


def spots_at(positions: list[tuple[float, float]], calcification: list[int] | None = None) -> Spots:
    count = len(positions)
    numbers = np.arange(count) if calcification is None else np.array(calcification)
    return Spots(np.array(positions, float), np.full(count, 8.0), np.zeros(count), np.zeros(count), numbers)


class Mean:
    """A committee of two experts that answer with the brightness of a window."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def expert_probabilities(self, windows: np.ndarray) -> np.ndarray:
        self.asked.append(len(windows))
        return np.stack([windows[:, 0, 0], windows[:, -1, 0]], axis=1)

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.mean(axis=1)


def logits(*probabilities: float) -> np.ndarray:
    return logit(np.array([[each, each] for each in probabilities]))


def test_windows_near_the_edge_are_moved_inside() -> None:
    image = np.arange(100 * 80, dtype=np.float32).reshape(100, 80)
    windows = cut_windows(image, np.array([[0.0, 0.0], [79.0, 99.0], [39.5, 49.5]]))
    assert windows.shape == (3, 60, 60)
    assert windows[0, 0, 0] == image[0, 0]
    assert windows[1, -1, -1] == image[99, 79]
    assert windows[2, 0, 0] == image[20, 10]


def test_the_other_experts_see_only_the_windows_that_the_first_ranks_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    committee = Mean()
    monkeypatch.setattr(module, "best_expert", lambda committee, windows, on_progress: windows.mean(axis=(1, 2)))
    windows = np.linspace(0.1, 0.9, 10, dtype=np.float32)[:, None, None] * np.ones((1, 60, 60), np.float32)
    monkeypatch.setattr(module, "FIRST_LOOK", 4)
    chosen, answered = window_logits(committee, windows)  # type: ignore[arg-type]
    assert chosen.tolist() == [6, 7, 8, 9]
    assert answered.shape == (4, 2)
    assert committee.asked == [4]


def test_windows_within_5_mm_of_a_better_one_become_one_cluster() -> None:
    centers = np.array([[100.0, 100.0], [130.0, 100.0], [300.0, 100.0]])
    spots = spots_at([(90, 95), (85, 100), (125, 105), (300, 95), (305, 100), (295, 105)])
    clusters = merge_windows(Mean(), centers, logits(0.8, 0.7, 0.9), spots)  # type: ignore[arg-type]
    places = [[(300, 95), (305, 100), (295, 105)], [(90, 95), (85, 100), (125, 105)]]
    assert [list(map(tuple, cluster.calcifications)) for cluster in clusters] == places
    assert [round(cluster.logit, 2) for cluster in clusters] == [2.2, 1.39]


def test_fewer_than_three_spots_are_no_cluster() -> None:
    centers = np.array([[100.0, 100.0]])
    assert not merge_windows(Mean(), centers, logits(0.99), spots_at([(95, 95), (105, 100)]))  # type: ignore[arg-type]


def test_a_coarse_calcification_with_many_spots_counts_once() -> None:
    places = [(90.0, 95.0), (96.0, 95.0), (93.0, 98.0), (110.0, 100.0), (118.0, 102.0)]
    centers, answered = np.array([[100.0, 100.0]]), logits(0.9)
    two, three = spots_at(places[:4], [0, 0, 0, 1]), spots_at(places, [0, 0, 0, 1, 2])
    assert not merge_windows(Mean(), centers, answered, two)  # type: ignore[arg-type]
    (cluster,) = merge_windows(Mean(), centers, answered, three)  # type: ignore[arg-type]
    np.testing.assert_allclose(cluster.calcifications, [(93, 96), (110, 100), (118, 102)])


def test_the_order_of_the_windows_does_not_matter() -> None:
    random = np.random.default_rng(0)
    centers, spots = random.uniform(0, 500, (30, 2)), spots_at(random.uniform(0, 500, (300, 2)).tolist())
    answered, order = logits(*random.uniform(0.1, 0.9, 30)), random.permutation(30)
    one = merge_windows(Mean(), centers, answered, spots)  # type: ignore[arg-type]
    other = merge_windows(Mean(), centers[order], answered[order], spots)  # type: ignore[arg-type]
    assert [each.calcifications.tolist() for each in one] == [each.calcifications.tolist() for each in other]
