"""FROC from findings and truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.errors import RequestError
from microcalc.evaluation.froc import (
    ScoredImage,
    froc_curve,
    resampled_sensitivity,
    score_findings,
)

PIXEL = (0.1, 0.1)
BOX = (100, 100, 150, 130)


def image(hits: list[float], false: list[float]) -> ScoredImage:
    return ScoredImage(np.array(hits, np.float64), np.array(false, np.float64))


@pytest.mark.parametrize(
    ("center", "is_hit"),
    [
        ((75, 75), True),
        ((74.9, 100), False),
        ((100, 74.9), False),
        ((175, 155), True),
        ((175.1, 155), False),
        ((175, 155.1), False),
    ],
)
def test_a_finding_hits_up_to_two_and_a_half_millimetres_from_the_box(
    center: tuple[float, float], is_hit: bool
) -> None:
    scored = score_findings([center], [1.0], [BOX], PIXEL)
    assert (scored.clusters[0] == 1.0) == is_hit
    assert scored.false_marks.size == (not is_hit)


def test_the_margin_follows_pixels_that_are_not_square() -> None:
    scored = score_findings([(87, 100), (100, 51), (87.5, 50)], [1.0, 2.0, 3.0], [BOX], (0.05, 0.2))
    assert scored.false_marks.tolist() == [1.0]
    assert scored.clusters.tolist() == [3.0]


def test_a_second_finding_in_one_cluster_is_no_false_mark() -> None:
    scored = score_findings([(110, 110), (140, 120)], [1.0, 2.0], [BOX], PIXEL)
    assert scored.clusters.tolist() == [2.0]
    assert scored.false_marks.size == 0


def test_an_image_without_findings_misses_every_cluster() -> None:
    scored = score_findings([], [], [BOX, BOX], PIXEL)
    assert scored.clusters.tolist() == [-np.inf, -np.inf]


def test_the_curve_counts_findings_of_equal_score_together() -> None:
    curve = froc_curve([image([1.0], [1.0]), image([2.0, -np.inf], [1.0, 0.5])])
    assert curve.thresholds.tolist() == [np.inf, 2.0, 1.0, 0.5]
    assert curve.false_marks.tolist() == [0.0, 0.0, 1.0, 1.5]
    assert curve.sensitivity.tolist() == pytest.approx([0.0, 1 / 3, 2 / 3, 2 / 3])


def test_the_threshold_at_a_rate_gives_at_most_that_many_false_marks() -> None:
    curve = froc_curve([image([1.0], [1.0]), image([2.0, -np.inf], [1.0, 0.5])])
    assert [curve.threshold_at(rate) for rate in (0.0, 0.99, 1.0, 5.0)] == [2.0, 2.0, 1.0, 0.5]


def sensitivity(images: list[ScoredImage], *rates: float, weights: list[float] | None = None) -> list[float]:
    return resampled_sensitivity(images, np.array([weights or np.ones(len(images))]), rates)[0].tolist()


def test_sensitivity_at_a_rate_is_read_off_the_curve() -> None:
    assert sensitivity([image([3.0], [2.0]), image([1.0], [0.0])], 0.1, 0.5, 1.0) == [0.5, 1.0, 1.0]


def test_images_without_clusters_count_in_the_rate_of_false_marks() -> None:
    alone = [image([1.0], [2.0])]
    assert sensitivity(alone, 0.5) == [0.0]
    assert sensitivity([*alone, image([], [])], 0.5) == [1.0]


def test_an_image_counts_as_often_as_it_is_drawn() -> None:
    images = [image([3.0], [2.0]), image([1.0], [0.0]), image([], [1.5])]
    copies = [image([3.0], [2.0])] * 3 + [image([1.0], [0.0])]
    assert sensitivity(images, 0.5, 0.8, weights=[3, 1, 0]) == sensitivity(copies, 0.5, 0.8) == [0.75, 1.0]
    assert np.isnan(sensitivity(images, 0.5, weights=[0, 0, 2]))


def test_a_curve_without_images_is_refused() -> None:
    with pytest.raises(RequestError, match="at least one image"):
        froc_curve([])


scores = st.lists(st.integers(-3, 3).map(float), max_size=4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=6), st.floats(0, 3))
def test_sensitivity_equals_a_count_by_hand(drawn: list[tuple[list[float], list[float]]], rate: float) -> None:
    images = [image(hits, false) for hits, false in drawn]
    clusters = [score for hits, _ in drawn for score in hits]
    false = [score for _, marks in drawn for score in marks]
    if not clusters:
        return
    shares = [0.0]
    for threshold in {*clusters, *false}:
        if sum(score >= threshold for score in false) <= rate * len(images) + 1e-9:
            shares.append(sum(score >= threshold for score in clusters) / len(clusters))
    assert sensitivity(images, rate)[0] == pytest.approx(max(shares))
