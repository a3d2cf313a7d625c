"""A map of the whole breast: what one expert gives for windows on a full grid."""

import io

import matplotlib
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.images import Mammogram
from microcalc.images.resample import to_true_scale
from microcalc.scan.breast import find_breast
from microcalc.scan.clusters import best_expert, cut_windows
from microcalc.scan.scanner import PixelSize, known_pixel_size

STEP = 20
"""Between windows, in pixels of 85 um: 1.7 mm, a third of a window."""

SHRINK = 4
STRONGEST = 0.6
BATCH = 512


def heat_map(image: NDArray[np.float32], mask: NDArray[np.bool_], committee: Committee) -> NDArray[np.float32]:
    """Probability by the expert of largest weight for a window at every 1.7 mm of the breast.

    Args:
        image: (rows, columns) grey levels in [0, 1] at 85 um a pixel.
        mask: (rows, columns) true in the breast.
        committee: whose expert answers.

    Returns:
        (rows / 20, columns / 20) probabilities, 0 outside of the breast.
    """
    inside = mask[STEP // 2 :: STEP, STEP // 2 :: STEP]
    grid = np.zeros(inside.shape, np.float32)
    rows, columns = np.nonzero(inside)
    centers = np.stack([columns, rows], axis=1).astype(np.float64) * STEP + STEP // 2
    parts = [
        best_expert(committee, cut_windows(image, centers[start : start + BATCH]))
        for start in range(0, len(centers), BATCH)
    ]
    grid[rows, columns] = np.concatenate(parts) if parts else 0
    return grid


def draw_heat_map(mammogram: Mammogram, pixel_size_mm: PixelSize | None, committee: Committee) -> bytes:
    """A PNG of the mammogram at 0.34 mm a pixel with its heat map over it.

    Raises:
        ImageError: it has no pixel size, or shows no breast.
    """
    image = to_true_scale(mammogram.pixels, known_pixel_size(mammogram, pixel_size_mm))
    grid = heat_map(image, find_breast(image).mask, committee)
    size = (max(image.shape[1] // SHRINK, 1), max(image.shape[0] // SHRINK, 1))
    grey = np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BOX))[..., None]
    covered = (0, 0, image.shape[1] / STEP, image.shape[0] / STEP)
    covered = (0, 0, min(covered[2], grid.shape[1]), min(covered[3], grid.shape[0]))
    heat = np.asarray(PIL.Image.fromarray(grid).resize(size, PIL.Image.Resampling.BILINEAR, covered))
    weight = STRONGEST * heat[..., None]
    colour = matplotlib.colormaps["inferno"](0.3 + 0.7 * heat)[..., :3]
    mixed = (1 - weight) * grey + weight * colour
    written = io.BytesIO()
    PIL.Image.fromarray(np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8)).save(written, "PNG")
    return written.getvalue()
