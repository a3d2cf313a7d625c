"""Where to look for a finding in another mammogram of the same breast: as far from the nipple, or the chest wall."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy import ndimage

from microcalc.images.image import PixelSize
from microcalc.images.resample import TRUE_PIXEL_MM
from microcalc.mammograms.breast import COARSE, Mask, chest_wall, find_mask
from microcalc.mammograms.findings import Point

COARSE_MM = TRUE_PIXEL_MM * COARSE
ROUND_MM = 15.0  # the skin is rounder than this, but for the nipple
STANDS_OUT_MM = 0.8  # least height of a nipple over the rounded skin
WIDEST_MM2 = 250.0
FORWARD = 0.8  # of the breast's reach, from the chest wall: nearer to it are folds and the armpit
STEP_DEGREES = 2.0

Wall = Literal["left", "right"]


@dataclass(frozen=True)
class View:
    """One mammogram as far as geometry needs it.

    Attributes:
        rows: of the image.
        columns: of the image.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        wall: side of the image at which the chest wall lies.
        nipple_px: column and row of the nipple; None where it does not stand out.
    """

    rows: int
    columns: int
    pixel_size_mm: PixelSize
    wall: Wall
    nipple_px: Point | None


@dataclass(frozen=True)
class Arc:
    """The places in a mammogram that a finding of another one may have.

    Attributes:
        points_px: column and row along it, inside the image.
        distance_mm: the distance that they share.
        origin: that distance is measured from there.
    """

    points_px: tuple[Point, ...]
    distance_mm: float
    origin: Literal["nipple", "chest wall"]


def find_nipple(greys: NDArray[np.float32], pixel_size_mm: PixelSize) -> Point | None:
    """Return column and row of the nipple, where it stands out of a round skin line; None elsewhere.

    It is what a disc of 15 mm radius inside the breast does not reach, if it lies far enough from the chest wall.

    Args:
        greys: (rows, columns) grey levels in [0, 1], 0 black, at any scale.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns of ``greys``.
    """
    size = [max(round(side * mm / COARSE_MM), 1) for side, mm in zip(greys.shape, pixel_size_mm, strict=True)]
    small = np.asarray(PIL.Image.fromarray(greys).resize(size[::-1], PIL.Image.Resampling.BOX))
    mask, _ = find_mask(ndimage.gaussian_filter(small, 1.0, mode="nearest"))
    place = _highest_bump(mask)
    if place is None:
        return None
    row, column = ((at + 0.5) * COARSE_MM / mm - 0.5 for at, mm in zip(place, pixel_size_mm, strict=True))
    return float(column), float(row)


def _highest_bump(mask: Mask) -> tuple[int, int] | None:
    """Row and column of the tip of the highest part that stands out of the round breast, near its front."""
    turns = chest_wall(mask)
    turned = np.rot90(mask, turns)  # the chest wall is on top
    margin = round(ROUND_MM / COARSE_MM) + 1
    padded = np.pad(turned, margin, mode="edge")
    core = ndimage.distance_transform_edt(padded) > ROUND_MM / COARSE_MM
    from_round = ndimage.distance_transform_edt(~core)[margin:-margin, margin:-margin] - ROUND_MM / COARSE_MM
    bumps, count = ndimage.label(turned & (from_round > 0.5))
    reach = np.flatnonzero(turned.any(axis=1))[-1] if turned.any() else 0
    edge = round(ROUND_MM / COARSE_MM)  # there the armpit is cut off, and not round
    best, height = None, STANDS_OUT_MM / COARSE_MM
    for number in range(1, count + 1):
        bump = bumps == number
        row, column = np.unravel_index(np.argmax(np.where(bump, from_round, -1)), bump.shape)
        inside = edge <= column < bump.shape[1] - edge and row >= FORWARD * reach
        if inside and bump.sum() * COARSE_MM**2 <= WIDEST_MM2 and from_round[row, column] > height:
            best, height = (int(row), int(column)), float(from_round[row, column])
    if best is None:
        return None
    marked = np.zeros(turned.shape, bool)
    marked[best] = True
    row, column = np.argwhere(np.rot90(marked, -turns))[0]
    return int(row), int(column)


def draw_arc(place_px: Point, here: View, there: View) -> Arc:
    """Return where a place of one view may be in another view, or in an older image, of the same breast.

    Compression turns and spreads the breast, but leaves the distance from the nipple nearly as it is: where both views
    show the nipple, the places lie on an arc around it; else on a line as far from the chest wall.

    Args:
        place_px: column and row.
        here: the view that the place is in.
        there: the other view.

    >>> cc = View(400, 300, (0.1, 0.1), "left", (200.0, 150.0))
    >>> mlo = View(400, 300, (0.1, 0.1), "left", (100.0, 300.0))
    >>> arc = draw_arc((100.0, 150.0), cc, mlo)
    >>> arc.origin, arc.distance_mm, bool(np.allclose(np.hypot(*(np.array(arc.points_px) - (100, 300)).T), 100))
    ('nipple', 10.0, True)
    """
    down, across = there.pixel_size_mm
    if here.nipple_px is None or there.nipple_px is None:
        distance = _from_wall(place_px[0], here) * here.pixel_size_mm[1]
        column = distance / across if there.wall == "left" else there.columns - 1 - distance / across
        return Arc(((column, 0.0), (column, there.rows - 1.0)), distance, "chest wall")
    offset = np.subtract(place_px, here.nipple_px) * here.pixel_size_mm[::-1]
    distance = float(np.hypot(*offset))
    turn = np.deg2rad(np.arange(-90, 90 + STEP_DEGREES, STEP_DEGREES))
    toward_wall = -1 if there.wall == "left" else 1
    points = np.stack(
        [
            there.nipple_px[0] + toward_wall * distance / across * np.cos(turn),
            there.nipple_px[1] + distance / down * np.sin(turn),
        ],
        axis=1,
    )
    inside = ((points >= 0) & (points <= (there.columns - 1, there.rows - 1))).all(axis=1)
    return Arc(tuple((float(x), float(y)) for x, y in points[inside]), distance, "nipple")


def _from_wall(column: float, view: View) -> float:
    """Pixels from the edge of the image at the chest wall."""
    return column if view.wall == "left" else view.columns - 1 - column
