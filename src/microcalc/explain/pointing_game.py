"""The pointing game: how often the peak of a map lies on what it should show.

Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, https://arxiv.org/abs/1608.00507.
"""

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import RequestError


def peaks(maps: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row and column of the maximum of each map, the first in reading order where several are equal.

    Args:
        maps: (n, h, w).

    Returns:
        (n, 2).

    >>> peaks(np.array([[[0.0, 1.0], [0.5, 0.0]]]))
    array([[0, 1]])
    """
    positions = maps.reshape(len(maps), -1).argmax(1)
    return np.stack(np.unravel_index(positions, maps.shape[1:]), axis=1)


def pointing_game_accuracy(maps: NDArray[np.float32], masks: NDArray[np.bool_], margin: float = 2) -> float:
    """Share of maps whose peak lies in the mask or at most ``margin`` pixels from it.

    A map that is all zero has no peak, and an empty mask cannot be hit: both count as misses.

    Args:
        maps: (n, h, w) in [0, 1].
        masks: (n, h, w), True on the calcifications.
        margin: Euclidean distance in pixels.

    Raises:
        RequestError: there are no maps, or masks of another shape.

    >>> masks = np.zeros((1, 60, 60), bool)
    >>> masks[0, 30, 30] = True
    >>> maps = np.zeros((1, 60, 60), np.float32)
    >>> maps[0, 30, 32] = 1
    >>> pointing_game_accuracy(maps, masks), pointing_game_accuracy(maps, masks, margin=1)
    (1.0, 0.0)
    """
    if maps.shape != masks.shape or not len(maps):
        raise RequestError(f"masks must be one for each map, and at least one: got {masks.shape} for {maps.shape}")
    return float(np.mean([_is_hit(*each, margin) for each in zip(maps, masks, peaks(maps), strict=True)]))


def _is_hit(heat: NDArray[np.float32], mask: NDArray[np.bool_], peak: NDArray[np.int64], margin: float) -> bool:
    distances = np.linalg.norm(np.argwhere(mask) - peak, axis=1)
    return bool(heat.any() and distances.min(initial=np.inf) <= margin)
