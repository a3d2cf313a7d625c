"""Where a committee should look: bright spots of 0.1 to 1 mm, and the windows that hold the most telling of them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Mask = NDArray[np.bool_]

SCALES = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations of the Gaussians whose differences answer to spots of 0.1 to 1 mm, in pixels of 85 um."""

LEAST_CONTRAST = 4.0
"""Height of a spot, in standard deviations of the local noise."""

NOISE_SIDE = 118
"""Side of the square over which noise is estimated: 1 cm."""

NOISE_STEP = 4
MOST_SPOTS = 4000
REACH = 25.0
"""Spots within this many pixels of each other fit into one window of 60 x 60 pixels."""

NEIGHBOURS = 12
WINDOW_SPACING = 20.0
MOST_WINDOWS = 300


@dataclass(frozen=True, eq=False)
class Spots:
    """Bright spots, the strongest first.

    Attributes:
        positions: (n, 2) columns and rows.
        contrast: (n,) heights in standard deviations of the local noise.
        scale: (n,) index of the difference of Gaussians that answered most, 0 for the finest.
    """

    positions: NDArray[np.float64]
    contrast: NDArray[np.float64]
    scale: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.contrast)


def find_spots(image: NDArray[np.float32], mask: Mask) -> Spots:
    """Local maxima of differences of Gaussians over their local noise.

    Args:
        image: (rows, columns) grey levels in [0, 1] at 85 um a pixel.
        mask: (rows, columns) true where spots are looked for.

    Returns:
        At most 4000 spots of at least 4 standard deviations of the local noise.

    >>> image = np.random.default_rng(0).normal(0.5, 0.01, (200, 200)).astype(np.float32)
    >>> image[90:92, 120:122] += 0.2
    >>> find_spots(image, np.ones(image.shape, bool)).positions[0].round()
    array([121.,  91.])
    """
    left, top, right, bottom = _box(mask, margin=NOISE_SIDE // 2)
    image, mask = image[top:bottom, left:right], mask[top:bottom, left:right]
    contrast, scale = _contrast(image, mask)
    peaks = _peaks(contrast) & mask
    rows, columns = np.nonzero(peaks)
    strongest = np.argsort(-contrast[rows, columns], kind="stable")[:MOST_SPOTS]
    rows, columns = rows[strongest], columns[strongest]
    positions = np.stack([columns, rows], axis=1) + _offset(contrast, rows, columns) + (left, top)
    return Spots(positions, contrast[rows, columns].astype(float), scale[rows, columns].astype(np.intp))


def _box(mask: Mask, margin: int) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return (
        max(columns[0] - margin, 0),
        max(rows[0] - margin, 0),
        min(columns[-1] + margin + 1, mask.shape[1]),
        min(rows[-1] + margin + 1, mask.shape[0]),
    )


def _contrast(image: NDArray[np.float32], mask: Mask) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    best, scale = np.full(image.shape, -np.inf, np.float32), np.zeros(image.shape, np.int8)
    finer = ndimage.gaussian_filter(image, SCALES[0], truncate=3)
    for number, sigma in enumerate(SCALES[1:]):
        coarser = ndimage.gaussian_filter(image, sigma, truncate=3)
        difference = finer - coarser
        difference /= local_noise(difference, mask)
        better = difference > best
        best[better], scale[better] = difference[better], number
        finer = coarser
    return best, scale


def local_noise(values: NDArray[np.float32], mask: Mask) -> NDArray[np.float32]:
    """Standard deviation around each pixel, from mean absolute values within the mask, those of outliers capped.

    >>> noise = np.random.default_rng(0).normal(0, 2, (300, 300)).astype(np.float32)
    >>> round(float(local_noise(noise, np.ones(noise.shape, bool)).mean()), 1)
    2.0
    """
    sample = np.abs(values[::NOISE_STEP, ::NOISE_STEP])
    weight = mask[::NOISE_STEP, ::NOISE_STEP].astype(np.float32)
    side = NOISE_SIDE // NOISE_STEP
    share = ndimage.uniform_filter(weight, side, mode="constant")
    mean = sample
    for _ in range(2):
        capped = np.minimum(sample, 4 * mean) if mean is not sample else sample
        mean = ndimage.uniform_filter(capped * weight, side, mode="constant") / np.maximum(share, 1e-3)
    deviation = torch.from_numpy(np.maximum(mean * np.sqrt(np.pi / 2), 1e-4))[None, None]
    full: NDArray[np.float32] = torch.nn.functional.interpolate(deviation, values.shape, mode="bilinear")[0, 0].numpy()
    return full


def _peaks(contrast: NDArray[np.float32]) -> Mask:
    tensor = torch.from_numpy(contrast)[None, None]
    highest = torch.nn.functional.max_pool2d(tensor, 5, stride=1, padding=2)
    found: Mask = ((tensor == highest) & (tensor >= LEAST_CONTRAST))[0, 0].numpy()
    return found


def _offset(values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """(n, 2) from each maximum to the top of the parabola through it and its neighbours, in columns and rows."""
    padded = np.pad(values, 1, mode="edge").astype(float)
    rows, columns = rows + 1, columns + 1
    middle = padded[rows, columns]
    offsets = []
    for before, after in (
        (padded[rows, columns - 1], padded[rows, columns + 1]),
        (padded[rows - 1, columns], padded[rows + 1, columns]),
    ):
        bend = before + after - 2 * middle
        offsets.append(np.where(bend < 0, 0.5 * (before - after) / np.minimum(bend, -1e-9), 0))
    return np.clip(np.stack(offsets, axis=1), -0.5, 0.5)


def choose_windows(spots: Spots, most: int = MOST_WINDOWS) -> NDArray[np.float64]:
    """Centres of the windows in which the third strongest spot is strongest: a cluster is three spots or more.

    A window is centred on the mean of the spots around one of them. Windows lie at least 1.7 mm apart.

    Args:
        spots: of an image.
        most: how many windows at most.

    Returns:
        (windows, 2) columns and rows, the most promising first.
    """
    if len(spots) < 3:
        return np.empty((0, 2))
    tree = cKDTree(spots.positions)
    _, near = tree.query(spots.positions, k=NEIGHBOURS, distance_upper_bound=REACH)
    present = near < len(spots)
    contrast = np.where(present, np.append(spots.contrast, 0)[near], 0)
    third = -np.partition(-contrast, 2, axis=1)[:, 2]
    positions = np.append(spots.positions, [[0, 0]], axis=0)[near] * present[..., None]
    centers = positions.sum(1) / present.sum(1)[:, None]
    order = np.argsort(-third, kind="stable")
    order = order[third[order] > 0]
    return apart(centers[order], WINDOW_SPACING)[:most]


def apart(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """The points of which none that is kept before lies within a distance, in their order.

    >>> apart(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]), 2.0)
    array([[0., 0.], [5., 0.]])
    """
    keep = np.ones(len(points), bool)
    near = cKDTree(points).query_ball_point(points, distance) if len(points) else []
    for number, others in enumerate(near):
        if keep[number]:
            keep[[other for other in others if other > number]] = False
    return points[keep]
