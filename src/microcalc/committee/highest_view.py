"""The answer of a committee for a patch of several views, of which the highest counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.inference import predict

ROUNDING = 1e-9


def highest_views(
    networks: Sequence[Any], weights: NDArray[np.float64], images: NDArray[np.float32], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the view of each patch with the highest average of the experts; show them only what can change it.

    An expert that has not seen a view could give it a probability of 1 at most. Once that is not enough to reach what
    another view of the patch has at least, no further expert sees it. The result is that of seeing everything.

    Args:
        networks: the experts.
        weights: (experts,) of the average, summing to 1.
        images: (k, 60, 60) views as the experts take them, those of each patch in turn.
        sizes: (n,) views of each patch, each at least 1, summing to k.

    Returns:
        (n, experts) probabilities of the highest view of each patch, and (n,) its number among those of the patch.

    >>> from microcalc.networks.hypermodel import build_network
    >>> experts, images = [build_network(2, 1, 0.0, seed=seed) for seed in (0, 1)], np.ones((3, 60, 60), np.float32)
    >>> highest_views(experts, np.array([0.5, 0.5]), images, np.array([2, 1]))[1]
    array([0, 0])
    """
    ends = np.cumsum(sizes)
    starts, patch = ends - sizes, np.repeat(np.arange(len(sizes)), sizes)
    votes, unseen = np.ones((len(images), len(networks))), np.ones((len(images), len(networks)), bool)
    order = np.argsort(-weights, kind="stable")

    def see(views: NDArray[np.int64], experts: NDArray[np.int64]) -> None:
        for expert in experts:
            new = views[unseen[views, expert]]
            votes[new, expert], unseen[new, expert] = predict(networks[expert], images[new]), False

    def highest() -> NDArray[np.int64]:
        most = votes @ weights
        first: NDArray[np.int64] = np.array([part.argmax() for part in np.split(most, ends[:-1])])
        return starts + first

    rivals = np.arange(len(images))
    for number in range(len(networks)):
        see(rivals, order[number : number + 1])
        see(highest(), order)
        most = votes @ weights
        at_least = np.maximum.reduceat(most - unseen @ weights, starts)[patch]
        rivals = np.flatnonzero(most >= at_least - ROUNDING)
    found = highest()
    return votes[found], found - starts
