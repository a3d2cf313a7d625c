"""Candidates for a committee: bright spots of 0.1 to 1 mm, and the windows that hold the strongest of them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Mask = NDArray[np.bool_]

SCALES = (0.7, 1.4, 2.8, 5.6)
"""Standard deviations of the Gaussians whose differences answer to spots of 0.1 to 1 mm, in pixels of 85 um."""

LEAST_CONTRAST = 3.0
"""Height of a spot, in standard deviations of the local noise."""

NOISE_SIDE = 118
"""Side of the square over which noise is estimated: 1 cm."""

LEAST_ROUNDNESS = 0.05
"""Less round than this is an edge: a ridge of equal heights, of which each pixel would be a spot."""

LEAST_NOISE = 0.5 / 255
"""Half a grey level of 8 bits, before the Gaussians: less noise than that is a grey level that was clipped."""

EDGE = 18
"""Pixels along the edge of an image without spots: 1.5 mm, the cut edge of a film and its shadow."""

NOISE_STEP = 4
MOST_SPOTS = 4000
REACH = 25.0
"""Spots within this many pixels of each other fit into one window of 60 x 60 pixels."""

LONGEST_STEP = 12.0
"""Pixels between neighbouring spots on the edge of one coarse calcification."""

WINDOW_SPACING = 20.0
MOST_WINDOWS = 400


@dataclass(frozen=True, eq=False)
class Spots:
    """Bright spots, the strongest first.

    Attributes:
        positions: (n, 2) columns and rows.
        contrast: (n,) heights in standard deviations of the local noise.
        sharpness: (n,) from 0, as blurred as can be, to 1: the share of the finest difference of Gaussians in the sum
            of the two finest.
        roundness: (n,) from 0, a line, to 1, a disc: the smaller curvature over the larger.
        calcification: (n,) number of the calcification that each may be; a coarse one has spots all along its edge.
    """

    positions: NDArray[np.float64]
    contrast: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    roundness: NDArray[np.float64]
    calcification: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.contrast)

    def select(self, chosen: Mask) -> "Spots":
        """Return the spots where an (n,) mask is true."""
        return Spots(**{name: values[chosen] for name, values in vars(self).items()})

    def centers(self, members: NDArray[np.intp]) -> NDArray[np.float64]:
        """(k, 2) columns and rows of the calcifications that (n,) spots belong to: the mean of the spots of each."""
        numbers = self.calcification[members]
        return np.array([self.positions[members[numbers == each]].mean(axis=0) for each in np.unique(numbers)])


def find_spots(image: NDArray[np.float32], mask: Mask) -> Spots:
    """Local maxima of differences of Gaussians over their local noise.

    Args:
        image: (rows, columns) grey levels in [0, 1] at 85 um a pixel.
        mask: (rows, columns) true where spots are looked for.

    Returns:
        At most 4000 spots of at least 3 standard deviations of the local noise, none within 1.5 mm of the edge.

    >>> image = np.random.default_rng(0).normal(0.5, 0.01, (200, 200)).astype(np.float32)
    >>> image[90:92, 120:122] += 0.2
    >>> find_spots(image, np.ones(image.shape, bool)).positions[0].round()
    array([120.,  91.])
    """
    mask = np.pad(mask[EDGE:-EDGE, EDGE:-EDGE], EDGE)
    left, top, right, bottom = _box(mask, margin=NOISE_SIDE // 2)
    image, mask = image[top:bottom, left:right], mask[top:bottom, left:right]
    blurred = [ndimage.gaussian_filter(image, sigma, truncate=3) for sigma in SCALES]
    differences = [finer - coarser for finer, coarser in pairwise(blurred)]
    least = [LEAST_NOISE / (2 * np.sqrt(np.pi) * sigma) for sigma in SCALES]  # what a Gaussian leaves of white noise
    responses = zip(differences, least, strict=False)
    contrast = np.maximum.reduce([each / np.maximum(local_noise(each, mask), floor) for each, floor in responses])
    rows, columns = np.nonzero(_peaks(contrast) & mask)
    strongest = np.argsort(-contrast[rows, columns], kind="stable")[:MOST_SPOTS]
    rows, columns = rows[strongest], columns[strongest]
    fine, coarse = (np.maximum(difference[rows, columns], 1e-6) for difference in differences[:2])
    offsets, roundness = _shape(contrast, rows, columns)
    spots = roundness >= LEAST_ROUNDNESS
    return Spots(
        positions=(np.stack([columns, rows], axis=1) + offsets + (left, top))[spots],
        contrast=contrast[rows, columns].astype(float)[spots],
        sharpness=(fine / (fine + coarse)).astype(float)[spots],
        roundness=roundness[spots],
        calcification=_calcifications(blurred[0], blurred[-1], rows[spots], columns[spots]),
    )


def _calcifications(
    image: NDArray[np.float32], background: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.intp]:
    """(n,) numbers, equal where the grey level from spot to spot does not fall a quarter of the way to background."""
    points = np.stack([rows, columns], axis=1)
    one, other = cKDTree(points).query_pairs(LONGEST_STEP, output_type="ndarray").T if len(points) else points.T
    way = points[one] + np.linspace(0, 1, 13)[:, None, None] * (points[other] - points[one])
    least = ndimage.map_coordinates(image, np.moveaxis(way, -1, 0), order=1).min(axis=0)
    fallen = (0.75 * image + 0.25 * background)[rows, columns]
    joined = least > np.minimum(fallen[one], fallen[other])
    links = coo_array((joined[joined], (one[joined], other[joined])), shape=(len(points), len(points)))
    return np.asarray(connected_components(links, directed=False)[1], np.intp)


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
    deviation = torch.from_numpy(mean * np.float32(np.sqrt(np.pi / 2)))[None, None]
    full: NDArray[np.float32] = torch.nn.functional.interpolate(deviation, values.shape, mode="bilinear")[0, 0].numpy()
    return full


def _peaks(contrast: NDArray[np.float32]) -> Mask:
    tensor = torch.from_numpy(contrast)[None, None]
    highest = torch.nn.functional.max_pool2d(tensor, 5, stride=1, padding=2)
    found: Mask = ((tensor == highest) & (tensor >= LEAST_CONTRAST))[0, 0].numpy()
    return found


def _shape(
    contrast: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) from each maximum to the top of a parabola through its neighbours, columns first; (n,) roundness."""
    padded = np.pad(contrast, 1, mode="edge").astype(float)
    around = {(dy, dx): padded[rows + 1 + dy, columns + 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    across = around[0, -1] + around[0, 1] - 2 * around[0, 0]
    down = around[-1, 0] + around[1, 0] - 2 * around[0, 0]
    twist = (around[1, 1] + around[-1, -1] - around[1, -1] - around[-1, 1]) / 4
    offsets = [
        0.5 * (around[0, -1] - around[0, 1]) / np.minimum(across, -1e-9),
        0.5 * (around[-1, 0] - around[1, 0]) / np.minimum(down, -1e-9),
    ]
    mean, spread = (across + down) / 2, np.hypot((across - down) / 2, twist)
    roundness = np.clip((mean + spread) / np.minimum(mean - spread, -1e-9), 0, 1)
    return np.clip(np.stack(offsets, axis=1), -0.5, 0.5), roundness


def choose_windows(spots: Spots) -> NDArray[np.float64]:
    """(windows, 2) columns and rows of at most 400 windows around the strongest spots, that of the strongest first.

    They are at least 1.7 mm apart, and each is centred on the mean of the spots within 2.1 mm of its strongest.
    """
    if not len(spots):
        return np.empty((0, 2))
    near = cKDTree(spots.positions).query_ball_point(spots.positions, REACH)
    centers = np.array([spots.positions[group].mean(axis=0) for group in near])
    return apart(centers, WINDOW_SPACING)[:MOST_WINDOWS]


def apart(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Return the points of which none that is kept before lies within a distance, in their order.

    >>> apart(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]), 2.0)
    array([[0., 0.], [5., 0.]])
    """
    keep = np.ones(len(points), bool)
    near = cKDTree(points).query_ball_point(points, distance) if len(points) else []
    for number, others in enumerate(near):
        if keep[number]:
            keep[[other for other in others if other > number]] = False
    return points[keep]
