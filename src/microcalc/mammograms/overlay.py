"""A mammogram with its findings drawn on it."""

import io

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from microcalc.mammograms.findings import Finding, ScannedImage

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LONGEST_SIDE = 1600
MARKED, UNMARKED, TEXT = (255, 210, 0), (0, 200, 255), (255, 255, 255)
SHOWN_UNMARKED = 3
MARGIN_MM = 2.5
SCALE_MM = 10.0


def draw_overlay(pixels: NDArray[np.float32], scanned: ScannedImage, view: str = "") -> bytes:
    """A PNG of at most 1600 pixels a side: findings outlined with number and probability, a scale bar, side and view.

    Those that reach the operating point are yellow; the three most probable of the others are blue and thin.

    Args:
        pixels: (rows, columns) grey levels in [0, 1].
        scanned: what was found in them.
        view: text such as "R MLO".
    """
    shrink = min(LONGEST_SIDE / max(pixels.shape), 1.0)
    aspect = scanned.pixel_size_mm[0] / scanned.pixel_size_mm[1]
    size = max(round(scanned.columns * shrink), 1), max(round(scanned.rows * shrink * aspect), 1)
    grey = PIL.Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).resize(size, PIL.Image.Resampling.BOX)
    picture = grey.convert("RGB")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(size) / 60)
    pixels_a_mm = shrink / scanned.pixel_size_mm[1]
    for finding in shown(scanned):
        _draw_finding(pen, finding, (shrink, shrink * aspect), MARGIN_MM * pixels_a_mm, font)
    _draw_scale(pen, size, SCALE_MM * pixels_a_mm, font)
    pen.text((10, 10), view, fill=TEXT, font=font)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def shown(scanned: ScannedImage) -> list[Finding]:
    """The marked findings, and the three most probable of the others."""
    marked = [finding for finding in scanned.findings if finding.marked]
    return marked + [finding for finding in scanned.findings if not finding.marked][:SHOWN_UNMARKED]


def _draw_finding(
    pen: ImageDraw.ImageDraw, finding: Finding, shrink: tuple[float, float], margin: float, font: Font
) -> None:
    left, top, right, bottom = (edge * shrink[number % 2] for number, edge in enumerate(finding.box_px))
    colour = MARKED if finding.marked else UNMARKED
    box = (left - margin, top - margin, right + margin, bottom + margin)
    pen.rectangle(box, outline=colour, width=3 if finding.marked else 1)
    label = f"{finding.number}: {finding.probability:.2f}"
    pen.text((max(box[0], 0), max(box[1], 0)), label, fill=colour, font=font, anchor="lb" if box[1] > 30 else "lt")


def _draw_scale(pen: ImageDraw.ImageDraw, size: tuple[int, int], length: float, font: Font) -> None:
    right, bottom = size[0] - 15, size[1] - 15
    pen.line([(right - length, bottom), (right, bottom)], fill=TEXT, width=3)
    pen.text((right, bottom - 6), f"{SCALE_MM:.0f} mm", fill=TEXT, font=font, anchor="rb")
