"""From windows to clusters: what a committee gives for each window, and neighbouring windows made one finding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.special import logit as plain_logit

from microcalc.committee.committee import Committee
from microcalc.images.resample import TRUE_PIXEL_MM
from microcalc.images.tiles import PATCH_SIDE
from microcalc.mammograms.candidates import Spots, choose_windows, find_spots
from microcalc.mammograms.progress import OnProgress, ignore_progress

MERGE = 5.0 / TRUE_PIXEL_MM
"""Windows nearer than this to a better one, in pixels of 85 um, belong to its cluster: 5 mm."""

FIRST_LOOK = 50
"""Windows that all experts are shown; the expert of largest weight chooses them."""

MOST_CLUSTERS = 12
"""Clusters of an image that are listed."""

SAME_CLUSTER = 2.0
"""A neighbouring window whose logit is lower than the best by more than this adds no calcifications."""

LEAST_CONTRAST = 4.0
"""Contrast of a single calcification, in standard deviations of the local noise."""

FEWEST = 3
BATCH = 64
FAR = 30.0
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Cluster:
    """A suspected cluster, before a second opinion.

    Attributes:
        logits: (experts,) of its best window.
        logit: the committee's.
        calcifications: (k, 2) columns and rows of its single calcifications; see :meth:`Spots.centers`.
    """

    logits: NDArray[np.float64]
    logit: float
    calcifications: NDArray[np.float64]


def find_clusters(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    committee: Committee,
    on_progress: OnProgress = ignore_progress,
) -> list[Cluster]:
    """Find bright spots in the breast, show the committee windows around them, and join neighbouring windows.

    Args:
        image: (rows, columns) grey levels in [0, 1] at 85 um a pixel.
        mask: (rows, columns) true in the breast.
        committee: that answers for each window.
        on_progress: see :mod:`microcalc.mammograms.progress`.

    Returns:
        The 12 clusters of highest logit, that first.
    """
    on_progress("spots", 0, 1)
    spots = find_spots(image, mask)
    centers = choose_windows(spots)
    if not len(centers):
        return []
    chosen, logits = window_logits(committee, cut_windows(image, centers), on_progress)
    on_progress("clusters", 0, 1)
    return merge_windows(committee, centers[chosen], logits, spots)[:MOST_CLUSTERS]


def logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the odds, within -27.6 and 27.6.

    >>> logit(np.array([0.5, 1.0])).round(1)
    array([ 0. , 27.6])
    """
    return np.asarray(plain_logit(np.clip(probability, _LEAST, 1 - _LEAST)))


def window_corners(shape: tuple[int, ...], centers: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n, 2) first column and row of the windows around (n, 2) columns and rows, moved inside the image.

    >>> window_corners((100, 80), np.array([[2.0, 50.0]]))
    array([[ 0, 20]])
    """
    rows, columns = shape
    corner = np.rint(centers - (PATCH_SIDE - 1) / 2).astype(np.intp)
    return np.clip(corner, 0, [max(columns - PATCH_SIDE, 0), max(rows - PATCH_SIDE, 0)])


def cut_windows(image: NDArray[np.float32], centers: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, 60, 60) windows around (n, 2) columns and rows, moved inside where they would leave the image.

    >>> cut_windows(np.zeros((100, 80), np.float32), np.array([[2.0, 50.0]])).shape
    (1, 60, 60)
    """
    corner = window_corners(image.shape, centers)
    if min(image.shape) < PATCH_SIDE:
        image = np.pad(image, [(0, max(PATCH_SIDE - side, 0)) for side in image.shape], mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(image, (PATCH_SIDE, PATCH_SIDE))
    windows: NDArray[np.float32] = views[corner[:, 1], corner[:, 0]]
    return windows


def window_logits(
    committee: Committee, windows: NDArray[np.float32], on_progress: OnProgress = ignore_progress
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the windows that the expert of largest weight ranks highest, and what every expert gives for them.

    Args:
        committee: of any number of experts.
        windows: (n, 60, 60) raw patches in [0, 1].
        on_progress: see :mod:`microcalc.mammograms.progress`.

    Returns:
        (k,) numbers of the windows, and (k, experts) logits.
    """
    first = best_expert(committee, windows, on_progress)
    chosen = np.sort(np.argsort(-first, kind="stable")[:FIRST_LOOK])
    return chosen, logit(committee.expert_probabilities(windows[chosen]))


def best_expert(
    committee: Committee, windows: NDArray[np.float32], on_progress: OnProgress = ignore_progress
) -> NDArray[np.float64]:
    """(n, 60, 60) raw patches in [0, 1] to (n,) probabilities by the expert of largest weight alone."""
    best, answers = committee.expert(committee.highest_weight), [np.empty(0)]
    for start in range(0, len(windows), BATCH):
        on_progress("windows", start, len(windows))
        answers.append(best.expert_probabilities(windows[start : start + BATCH])[:, 0])
    return np.concatenate(answers)


def merge_windows(
    committee: Committee, centers: NDArray[np.float64], logits: NDArray[np.float64], spots: Spots
) -> list[Cluster]:
    """One cluster for each window that is better than all others within 5 mm, and the spots in its windows.

    A cluster is three calcifications or more within a square centimetre (the usual definition: Kopans, Breast Imaging),
    so a window with fewer is dropped; a coarse calcification counts once, however many spots it has.

    Args:
        committee: that gave the logits.
        centers: (n, 2) columns and rows of the windows.
        logits: (n, experts) of the windows.
        spots: of the image.

    Returns:
        The clusters, of the highest logit first.
    """
    joint = logit(committee.combine(expit(logits)))
    order = np.argsort(-joint, kind="stable")
    free = np.ones(len(order), bool)
    clusters = []
    for best in order:
        if not free[best]:
            continue
        near = free & (np.hypot(*(centers - centers[best]).T) < MERGE)
        free &= ~near
        members = _members(spots, centers[near & (joint > joint[best] - SAME_CLUSTER)], centers[best])
        calcifications = spots.centers(members)
        if len(calcifications) >= FEWEST:
            clusters.append(Cluster(logits[best], float(joint[best]), calcifications))
    return clusters


def _members(spots: Spots, centers: NDArray[np.float64], best: NDArray[np.float64]) -> NDArray[np.intp]:
    """Spots of enough contrast in any window; where fewer than three, the three strongest in the best window."""
    apart = np.abs(spots.positions[:, None] - centers[None]).max(axis=2)
    inside = np.flatnonzero((apart < FAR).any(axis=1) & (spots.contrast >= LEAST_CONTRAST))
    if len(inside) >= FEWEST:
        return inside
    return np.flatnonzero(np.abs(spots.positions - best).max(axis=1) < FAR)[:FEWEST]
