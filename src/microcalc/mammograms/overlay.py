"""A mammogram with its findings drawn on it."""

import io
import math
import zlib

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from microcalc.mammograms.findings import Finding, ScannedImage

LONGEST_SIDE = 1600
LETTERS = 30
"""Lines of text that fit into the longest side: the contact sheet shows 360 pixels of it, and so 12 a line."""

STROKES = 400
MARKED, UNMARKED, TEXT = (255, 210, 0), (0, 200, 255), (255, 255, 255)
SHOWN_UNMARKED = 3
MARGIN_MM = 2.5
COVERED = b"mcGR"
"""A private chunk of PNG: a bit for each pixel, whether it is drawn upon, and the grey levels of those that are."""

SCALE_MM = 10.0


def draw_overlay(pixels: NDArray[np.float32], scanned: ScannedImage) -> bytes:
    """Return a PNG of at most 1600 pixels a side: findings with number and probability, a scale bar, side and view.

    Those that reach the operating point are yellow; the three most probable of the others are blue and thin.

    Args:
        pixels: (rows, columns) grey levels in [0, 1].
        scanned: what was found in them.
    """
    shrink, aspect = _scale(scanned)
    size = max(round(scanned.columns * shrink), 1), max(round(scanned.rows * shrink * aspect), 1)
    grey = PIL.Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).resize(size, PIL.Image.Resampling.BOX)
    return _drawn(np.asarray(grey), scanned)


def redraw_overlay(overlay: bytes, scanned: ScannedImage) -> bytes:
    """Return an overlay with other marks, without the mammogram: the PNG holds what its lines and letters cover.

    Raises:
        OSError: it is no such PNG.
    """
    with PIL.Image.open(io.BytesIO(overlay)) as picture:
        grey = np.array(picture)[..., 0]
        covered = dict(chunk[:2] for chunk in getattr(picture, "private_chunks", ())).get(COVERED)
    if covered is None:
        raise OSError("is no overlay")
    unpacked, length = np.frombuffer(zlib.decompress(covered), np.uint8), -(-grey.size // 8)
    grey[np.unpackbits(unpacked[:length], count=grey.size).reshape(grey.shape).astype(bool)] = unpacked[length:]
    return _drawn(grey, scanned)


def _drawn(grey: NDArray[np.uint8], scanned: ScannedImage) -> bytes:
    shrink, aspect = _scale(scanned)
    pixels_a_mm = shrink / scanned.pixel_size_mm[1]
    pen = Pen(PIL.Image.fromarray(grey).convert("RGB"))
    for finding in shown(scanned):
        edges = np.array(finding.box_px) * (shrink, shrink * aspect, shrink, shrink * aspect)
        pen.outline(finding, edges + MARGIN_MM * pixels_a_mm * np.array([-1, -1, 1, 1]))
    pen.scale(SCALE_MM * pixels_a_mm)
    if name := " ".join(filter(None, (scanned.side, scanned.view))):
        pen.name(name)
    covered = (np.asarray(pen.picture) != grey[..., None]).any(axis=2)
    chunks, written = PngInfo(), io.BytesIO()
    chunks.add(COVERED, zlib.compress(np.packbits(covered).tobytes() + grey[covered].tobytes()))
    pen.picture.save(written, "PNG", compress_level=1, pnginfo=chunks)
    return written.getvalue()


def _scale(scanned: ScannedImage) -> tuple[float, float]:
    """Return pixels of the overlay in a column of the mammogram, and times as many in a row."""
    shrink = min(LONGEST_SIDE / max(scanned.rows, scanned.columns), 1.0)
    return shrink, scanned.pixel_size_mm[0] / scanned.pixel_size_mm[1]


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

    def _size(self, text: str) -> tuple[int, int]:
        width, height = self._draw.textbbox((0, 0), text, self._font)[2:]
        return math.ceil(width), math.ceil(height)

    def outline(self, finding: Finding, box: NDArray[np.float64]) -> None:
        """Draw a box around a finding, its number and probability above it, or else where there is room."""
        colour = MARKED if finding.marked else UNMARKED
        self._draw.rectangle(tuple(box), outline=colour, width=2 * self._line if finding.marked else self._line)
        label = f"{finding.number}: {finding.probability:.2f}"
        width, height = self._size(label)
        left, top, right, bottom = box.tolist()
        self.write(label, [(left, top - height), (left, bottom), (right, top), (left - width, top)], colour)

    def scale(self, length: float) -> None:
        """Draw the scale bar in the lower right corner."""
        right, bottom = self.picture.width - 15, self.picture.height - 15
        self._draw.line([(right - length, bottom), (right, bottom)], fill=TEXT, width=2 * self._line)
        above = bottom - 3 * self._line - max(self.picture.size) / LETTERS
        self.write(f"{SCALE_MM:.0f} mm", [(right - length, above)], TEXT)

    def name(self, text: str) -> None:
        """Write side and view at the darkest of some places at the edge: labels in the film and tissue are bright."""
        width, height = self._size(text)
        right, bottom = self.picture.width - width - 10, self.picture.height - height - 10
        places = [(10, 10), (right, 10), (10, bottom), (right, bottom // 2), (10, bottom // 2)]
        brightest = [np.percentile(np.asarray(self.picture.crop((x, y, x + width, y + height))), 99) for x, y in places]
        self.write(text, [places[int(np.argmin(brightest))]], TEXT)

    def write(self, text: str, places: list[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        """Write a text with a dark rim at the first of several upper left corners where it covers no other."""
        width, height = self._size(text)
        most = self.picture.width - width, self.picture.height - height
        corners = [tuple(max(min(at, last), 0) for at, last in zip(place, most, strict=True)) for place in places]
        boxes = [(x, y, x + width, y + height) for x, y in corners]
        free = (box for box in boxes if not any(_overlap(box, other) for other in self._taken))
        box = next(free, boxes[0])
        self._taken.append(box)
        self._draw.text(box[:2], text, colour, self._font, stroke_width=self._line // 2, stroke_fill=(0, 0, 0))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
