"""A mammogram with its findings drawn on it."""

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from microcalc.images import Mammogram
from microcalc.images.pictures import encode
from microcalc.mammograms.findings import Finding, ScannedImage

LONGEST_SIDE = 1600
LETTERS = 30
"""Lines of text that fit into the longest side: the contact sheet shows 360 pixels of it, and so 12 a line."""

STROKES = 400
MARKED, UNMARKED, TEXT = (255, 210, 0), (0, 200, 255), (255, 255, 255)
SHOWN_UNMARKED = 3
MARGIN_MM = 2.5
SCALE_MM = 10.0


def draw_overlay(pixels: NDArray[np.float32], scanned: ScannedImage, view: str = "") -> bytes:
    """Return a PNG of at most 1600 pixels a side: findings with number and probability, a scale bar, side and view.

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
    pixels_a_mm = shrink / scanned.pixel_size_mm[1]
    pen = Pen(grey.convert("RGB"))
    for finding in shown(scanned):
        edges = np.array(finding.box_px) * (shrink, shrink * aspect, shrink, shrink * aspect)
        pen.outline(finding, edges + MARGIN_MM * pixels_a_mm * np.array([-1, -1, 1, 1]))
    pen.scale(SCALE_MM * pixels_a_mm)
    pen.write(view, [(10, 10)], TEXT)
    return encode(np.asarray(pen.picture))


def side(mammogram: Mammogram) -> str:
    """Return side and view, where the file gives them.

    >>> side(Mammogram(np.zeros((9, 9), np.float32), None, side="R", view="MLO"))
    'R MLO'
    """
    return " ".join(part for part in (mammogram.side, mammogram.view) if part)


def shown(scanned: ScannedImage) -> list[Finding]:
    """Return the marked findings, and the three most probable of the others."""
    marked = [finding for finding in scanned.findings if finding.marked]
    return marked + [finding for finding in scanned.findings if not finding.marked][:SHOWN_UNMARKED]


class Pen:
    """Draws on a picture with lines and letters that can be seen on the contact sheet."""

    def __init__(self, picture: PIL.Image.Image) -> None:
        self.picture, self._draw = picture, ImageDraw.Draw(picture)
        self._font = ImageFont.load_default(max(picture.size) / LETTERS)
        self._line = max(max(picture.size) // STROKES, 1)
        self._taken: list[tuple[float, ...]] = []

    def outline(self, finding: Finding, box: NDArray[np.float64]) -> None:
        """Draw a box around a finding, its number and probability above it, or else where there is room."""
        colour = MARKED if finding.marked else UNMARKED
        self._draw.rectangle(tuple(box), outline=colour, width=2 * self._line if finding.marked else self._line)
        label = f"{finding.number}: {finding.probability:.2f}"
        width, height = self._draw.textbbox((0, 0), label, self._font)[2:]
        left, top, right, bottom = box.tolist()
        self.write(label, [(left, top - height), (left, bottom), (right, top), (left - width, top)], colour)

    def scale(self, length: float) -> None:
        """Draw the scale bar in the lower right corner."""
        right, bottom = self.picture.width - 15, self.picture.height - 15
        self._draw.line([(right - length, bottom), (right, bottom)], fill=TEXT, width=2 * self._line)
        above = bottom - 3 * self._line - max(self.picture.size) / LETTERS
        self.write(f"{SCALE_MM:.0f} mm", [(right - length, above)], TEXT)

    def write(self, text: str, places: list[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        """Write a text with a dark rim at the first of several upper left corners where it covers no other."""
        width, height = self._draw.textbbox((0, 0), text, self._font)[2:]
        most = self.picture.width - width, self.picture.height - height
        corners = [tuple(max(min(at, last), 0) for at, last in zip(place, most, strict=True)) for place in places]
        boxes = [(x, y, x + width, y + height) for x, y in corners]
        free = (box for box in boxes if not any(_overlap(box, other) for other in self._taken))
        box = next(free, boxes[0])
        self._taken.append(box)
        self._draw.text(box[:2], text, colour, self._font, stroke_width=self._line // 2, stroke_fill=(0, 0, 0))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
