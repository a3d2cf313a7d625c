"""FROC: the share of clusters that a scan finds, against its false marks an image.

Free-response operating characteristic, after Bunch, Hamilton, Sanderson and Simmons, "A free response approach to the
measurement and characterization of radiographic observer performance", Proc. SPIE 0127 (1977),
doi:10.1117/12.955926.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microcalc.errors import RequestError

RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""False marks an image at which a table gives the sensitivity."""

MARGIN_MM = 2.5
"""A finding hits a cluster where its centre lies in the cluster's box grown by this."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """The scores of one image that an FROC curve counts.

    Attributes:
        clusters: (true clusters,) the highest score of a finding that hits each; -inf where none does.
        false_marks: (k,) the scores of the findings that hit no cluster.
    """

    clusters: Floats
    false_marks: Floats


@dataclass(frozen=True, eq=False)
class FrocCurve:
    """The curve, from the strictest threshold to the lowest; the first point is (0, 0) at a threshold of inf.

    Attributes:
        thresholds: (points,) falling: a finding of at least this score is a mark.
        false_marks: (points,) false marks an image, never falling.
        sensitivity: (points,) share of the clusters that a mark hits, never falling.
    """

    thresholds: Floats
    false_marks: Floats
    sensitivity: Floats

    def threshold_at(self, rate: float) -> float:
        """The lowest threshold that gives at most ``rate`` false marks an image; inf where none does.

        >>> froc_curve([score_findings([(0, 0)], [0.9], [], (0.1, 0.1))]).threshold_at(0.5)
        inf
        """
        return float(self.thresholds[np.searchsorted(self.false_marks, rate + 1e-9, side="right") - 1])


def score_findings(
    centers_px: npt.ArrayLike,
    scores: npt.ArrayLike,
    boxes_px: npt.ArrayLike,
    pixel_size_mm: tuple[float, float],
) -> ScoredImage:
    """Compare the findings of one image with its true clusters.

    A finding hits a cluster where its centre lies in the cluster's box grown by ``MARGIN_MM`` on each side; it may hit
    several. Further findings in a cluster that is already hit are no false marks.

    Args:
        centers_px: (n, 2) column and row of each finding.
        scores: (n,) of each finding, finite; higher is more suspect.
        boxes_px: (m, 4) left, top, right and bottom of each true cluster; m may be 0.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.

    >>> scored = score_findings([(100, 100), (400, 90)], [3.0, 1.5], [(110, 80, 160, 140)], (0.1, 0.1))
    >>> scored.clusters, scored.false_marks
    (array([3.]), array([1.5]))
    """
    values = np.asarray(scores, np.float64)
    hits = find_hits(centers_px, boxes_px, pixel_size_mm)
    best = np.where(hits, values[:, None], -np.inf).max(axis=0, initial=-np.inf)
    return ScoredImage(clusters=best, false_marks=values[~hits.any(axis=1)])


def find_hits(
    centers_px: npt.ArrayLike,
    boxes_px: npt.ArrayLike,
    pixel_size_mm: tuple[float, float],
) -> npt.NDArray[np.bool_]:
    """(n, m): whether each of n findings hits each of m clusters; arguments as for :func:`score_findings`.

    >>> find_hits([(100, 100), (400, 90)], [(110, 80, 160, 140)], (0.1, 0.1))
    array([[ True],
           [False]])
    """
    centers, boxes = np.reshape(centers_px, (-1, 1, 2)), np.reshape(boxes_px, (-1, 4))
    margin = MARGIN_MM / np.array([pixel_size_mm[1], pixel_size_mm[0]])
    inside = (centers >= boxes[:, :2] - margin) & (centers <= boxes[:, 2:] + margin)
    return np.asarray(inside.all(axis=2), np.bool_)


def froc_curve(images: Sequence[ScoredImage]) -> FrocCurve:
    """The FROC curve of some images, with a point at every distinct score.

    Without any true cluster the sensitivity is NaN, and the curve still gives the false marks.

    Raises:
        RequestError: there is no image.

    >>> curve = froc_curve([score_findings([(5, 5), (90, 90)], [2.0, 1.0], [(0, 0, 9, 9)], (0.1, 0.1))])
    >>> curve.thresholds, curve.false_marks, curve.sensitivity
    (array([inf,  2.,  1.]), array([0., 0., 1.]), array([0., 1., 1.]))
    """
    if not images:
        raise RequestError("an FROC curve needs at least one image: got none")
    thresholds, hits, false = _counts(images, np.ones((1, len(images))))
    clusters = sum(image.clusters.size for image in images)
    sensitivity = hits[0] / clusters if clusters else np.full(hits.shape[1], np.nan)
    return FrocCurve(thresholds, false[0] / len(images), sensitivity)


def resampled_sensitivity(images: Sequence[ScoredImage], weights: Floats, rates: Sequence[float]) -> Floats:
    """Sensitivity at the lowest threshold that gives at most so many false marks an image, in resamples of the images.

    Args:
        images: of :func:`score_findings`.
        weights: (rounds, images), how often each image counts in each resample.
        rates: false marks an image.

    Returns:
        (rounds, rates); NaN where no cluster counts.

    >>> one = score_findings([(5, 5), (90, 90)], [1.0, 2.0], [(0, 0, 9, 9)], (0.1, 0.1))
    >>> resampled_sensitivity([one, one], np.ones((1, 2)), [0.5, 1])
    array([[0., 1.]])
    """
    _, hits, false = _counts(images, weights)
    found = np.take_along_axis(hits, _last_points(weights, false, rates), axis=1)
    with np.errstate(invalid="ignore"):
        shares: Floats = found / (weights @ np.array([image.clusters.size for image in images]))[:, None]
    return shares


def resampled_thresholds(images: Sequence[ScoredImage], weights: Floats, rate: float) -> Floats:
    """(rounds,) lowest threshold that gives at most ``rate`` false marks an image; inf where none does.

    >>> resampled_thresholds([score_findings([(5, 5)], [0.7], [], (0.1, 0.1))], np.ones((1, 1)), 1.0)
    array([0.7])
    """
    thresholds, _, false = _counts(images, weights)
    chosen: Floats = thresholds[_last_points(weights, false, [rate])[:, 0]]
    return chosen


def _last_points(weights: Floats, false: Floats, rates: Sequence[float]) -> npt.NDArray[np.intp]:
    """(rounds, rates): the last point of each resampled curve with at most so many false marks an image."""
    limits = weights.sum(axis=1)[:, None] * np.array(rates) + 1e-9
    last = [np.searchsorted(row, limit, side="right") - 1 for row, limit in zip(false, limits, strict=True)]
    return np.array(last)


def _counts(images: Sequence[ScoredImage], weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Thresholds (points,), and the weighted hits and false marks at each, (rounds, points)."""
    scores = np.concatenate([part for image in images for part in (image.clusters, image.false_marks)])
    sizes = [(image.clusters.size, image.false_marks.size) for image in images]
    is_hit = np.concatenate([np.repeat([True, False], pair) for pair in sizes])
    owner = np.repeat(np.arange(len(images)), [sum(pair) for pair in sizes])
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    ranked = scores[order]
    ends = np.flatnonzero(np.append(np.diff(ranked), -1.0)) if ranked.size else np.empty(0, np.int64)
    drawn = weights[:, owner[order]]
    start = np.zeros((len(weights), 1))
    hits, false = (
        np.concatenate([start, np.cumsum(drawn * counted[order], axis=1)[:, ends]], axis=1)
        for counted in (is_hit, ~is_hit)
    )
    return np.concatenate([[np.inf], ranked[ends]]), hits, false
