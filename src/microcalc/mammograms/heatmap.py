"""A map of the whole breast: what one expert gives for windows on a full grid."""

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.explain.drawing import coloured
from microcalc.images import Mammogram
from microcalc.images.image import PixelSize
from microcalc.images.pictures import encode
from microcalc.images.resample import to_true_scale
from microcalc.mammograms.breast import find_breast
from microcalc.mammograms.clusters import best_expert, cut_windows
from microcalc.mammograms.progress import OnProgress, ignore_progress
from microcalc.mammograms.scanner import known_pixel_size

STEP = 20
"""Between windows, in pixels of 85 um: 1.7 mm, a third of a window."""

SHRINK = 4
BATCH = 512


def heat_map(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    committee: Committee,
    on_progress: OnProgress = ignore_progress,
) -> NDArray[np.float32]:
    """Probability by the expert of largest weight for a window at every 1.7 mm of the breast.

    Args:
        image: (rows, columns) grey levels in [0, 1] at 85 um a pixel.
        mask: (rows, columns) true in the breast.
        committee: whose expert answers.
        on_progress: see :mod:`microcalc.mammograms.progress`.

    Returns:
        (rows / 20, columns / 20) probabilities, 0 outside of the breast.
    """
    inside = mask[STEP // 2 :: STEP, STEP // 2 :: STEP]
    grid = np.zeros(inside.shape, np.float32)
    rows, columns = np.nonzero(inside)
    centers = np.stack([columns, rows], axis=1).astype(np.float64) * STEP + STEP // 2
    for start in range(0, len(centers), BATCH):
        on_progress("heat map", start, len(centers))
        part = slice(start, start + BATCH)
        grid[rows[part], columns[part]] = best_expert(committee, cut_windows(image, centers[part]))
    return grid


def colour_heat_map(grid: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a heat map in colour at 0.34 mm a pixel.

    Args:
        grid: of :func:`heat_map`.
        shape: rows and columns of its image at 85 um a pixel.

    Returns:
        (rows / 4, columns / 4, 4) red, green, blue and opacity; see :func:`microcalc.explain.drawing.coloured`.
    """
    size = (max(shape[1] // SHRINK, 1), max(shape[0] // SHRINK, 1))
    covered = (0, 0, min(shape[1] / STEP, grid.shape[1]), min(shape[0] / STEP, grid.shape[0]))
    return coloured(np.asarray(PIL.Image.fromarray(grid).resize(size, PIL.Image.Resampling.BILINEAR, covered)))


def draw_heat_map(mammogram: Mammogram, pixel_size_mm: float | PixelSize | None, committee: Committee) -> bytes:
    """Return a PNG of the mammogram at 0.34 mm a pixel with its heat map over it.

    Raises:
        ImageError: it has no pixel size, or shows no breast.
    """
    image = to_true_scale(mammogram.pixels, known_pixel_size(mammogram, pixel_size_mm))
    heat = PIL.Image.fromarray(colour_heat_map(heat_map(image, find_breast(image).mask, committee), image.shape))
    grey = PIL.Image.fromarray(np.rint(image * 255).astype(np.uint8)).resize(heat.size, PIL.Image.Resampling.BOX)
    return encode(np.asarray(PIL.Image.alpha_composite(grey.convert("RGBA"), heat).convert("RGB")))
