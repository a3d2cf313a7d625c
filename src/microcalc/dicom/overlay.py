"""The picture that goes into a Secondary Capture: the mammogram with its marked findings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from microcalc.dicom.results import outline, percent
from microcalc.scan.findings import Point, ScannedImage

LONGEST_SIDE = 1600
"""Pixels of the picture's longer side; a mammogram's full size would need 25 MB and more."""

_COLOUR = (255, 176, 0)
_DARKEST, _BRIGHTEST = 0.5, 99.5  # percentiles of the grey levels that are shown as black and white


def draw_overlay(pixels: NDArray[np.floating[Any]], scanned: ScannedImage) -> NDArray[np.uint8]:
    """Draw the marked findings over the mammogram.

    Args:
        pixels: (rows, columns) of the mammogram.
        scanned: its findings.

    Returns:
        (height, width, 3), RGB of 8 bits, square pixels, the longer side at most ``LONGEST_SIDE``.

    >>> scanned = ScannedImage("a.dcm", (0.1, 0.1), 8, 4, 1.0, 0.1, (), ())
    >>> draw_overlay(np.zeros((8, 4), np.float32), scanned).shape
    (8, 4, 3)
    """
    darkest, brightest = np.percentile(pixels[::4, ::4], (_DARKEST, _BRIGHTEST))
    grey = np.clip((pixels - darkest) / max(brightest - darkest, 1e-6), 0, 1)
    picture = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    down, across = scanned.pixel_size_mm
    size = np.array([scanned.columns * across, scanned.rows * down]) / min(down, across)
    size = np.maximum(np.rint(size * min(1, LONGEST_SIDE / size.max())), 1).astype(int)
    scale = size / (scanned.columns, scanned.rows)
    picture = picture.resize((int(size[0]), int(size[1])), Image.Resampling.BOX).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for finding in scanned.findings:
        if finding.marked:
            edge = [_place(corner, scale) for corner in outline(finding, scanned)]
            draw.line(edge, fill=_COLOUR, width=2)
            draw.text((edge[0][0], edge[0][1] - 14), f"{finding.number}: {percent(finding):g} %", fill=_COLOUR)
            for position in finding.calcifications_px:
                column, row = _place(position, scale)
                draw.ellipse((column - 2, row - 2, column + 2, row + 2), outline=_COLOUR)
    return np.asarray(picture)


def _place(point: Point, scale: NDArray[Any]) -> tuple[float, float]:
    return (point[0] + 0.5) * scale[0], (point[1] + 0.5) * scale[1]
