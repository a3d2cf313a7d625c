"""The views of patches of unknown pixel size, of which the highest answer counts."""

import numpy as np
from numpy.typing import NDArray

from microcalc.images.tiles import views


def all_views(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 60, 60) patches of unknown pixel size to (k n, 60, 60), the k views of each in turn.

    >>> all_views(np.zeros((2, 60, 60), np.float32)).shape
    (176, 60, 60)
    """
    return np.concatenate([views(image, "unknown") for image in images])


def highest_view(
    expert_probabilities: NDArray[np.float64], patches: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k n, experts) probabilities of the views of n patches to (n, experts), those of each patch's highest view.

    Args:
        expert_probabilities: of :func:`all_views`, in their order.
        patches: n.
        weights: (experts,) of the committee, whose average is compared.

    >>> highest_view(np.array([[0.1, 0.2], [0.3, 0.9], [0.5, 0.4], [0.0, 0.1]]), 2, np.array([0.5, 0.5]))
    array([[0.3, 0.9],
           [0.5, 0.4]])
    """
    by_patch = expert_probabilities.reshape(patches, -1, expert_probabilities.shape[1])
    highest: NDArray[np.float64] = by_patch[np.arange(patches), (by_patch @ weights).argmax(axis=1)]
    return highest
