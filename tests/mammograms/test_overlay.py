"""The picture of a mammogram with its findings: where things are drawn, read back from its pixels."""

import io
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from microcalc.images.pictures import encode
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.overlay import MARKED, TEXT, UNMARKED, draw_overlay, redraw_overlay

ROWS, COLUMNS, SIZE = 1000, 1200, (0.08, 0.05)
"""80 x 60 mm in pixels that are not square."""


def finding(number: int, box: tuple[int, int, int, int], marked: bool) -> Finding:
    return Finding(number, 3.0, 0.9, marked, (box[0], box[1]), box, 1.0, ())


THREE = (
    finding(1, (200, 100, 300, 200), True),
    finding(2, (800, 500, 900, 600), True),
    finding(3, (500, 800, 550, 850), False),
)
SCANNED = ScannedImage("a", None, "", SIZE, ROWS, COLUMNS, 9.0, 1.0, (), THREE)


def drawn(scanned: ScannedImage = SCANNED) -> np.ndarray:
    return picture(draw_overlay(np.zeros((ROWS, COLUMNS), np.float32), scanned))


def picture(png: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=2)


def sides(mask: np.ndarray) -> list[int]:
    """Left, top, right, bottom of the longest lines of a mask: the box that they draw."""
    columns, rows = (np.flatnonzero(mask.sum(axis) > 60) for axis in (0, 1))
    return [columns[0], rows[0], columns[-1], rows[-1]]


def test_oblong_pixels_are_drawn_true_to_scale() -> None:
    assert drawn().shape == (1600, 1200, 3)


@pytest.mark.parametrize(("number", "colour"), [(1, MARKED), (2, MARKED), (3, UNMARKED)])
def test_a_box_lies_two_and_a_half_millimetres_around_its_finding(number: int, colour: tuple[int, int, int]) -> None:
    only = replace(SCANNED, findings=(THREE[number - 1],))
    left, top, right, bottom = THREE[number - 1].box_px
    expected = [left - 50, top * 1.6 - 50, right + 50, bottom * 1.6 + 50]
    np.testing.assert_allclose(sides(where(drawn(only), colour)), expected, atol=5)


def test_the_scale_bar_of_10_mm_is_10_mm_long() -> None:
    bar = where(drawn(replace(SCANNED, findings=())), TEXT)
    assert bar[1580:].sum(axis=1).max() == pytest.approx(10 / 0.05, abs=2)


def test_labels_are_large_enough_for_the_contact_sheet_and_cover_neither_each_other_nor_the_edge() -> None:
    close = tuple(finding(number, (120 * number, 500, 120 * number + 9, 510), True) for number in (1, 2, 3))
    together = where(drawn(replace(SCANNED, findings=close)), MARKED).sum()
    alone = [where(drawn(replace(SCANNED, findings=(each,))), MARKED).sum() for each in close]
    assert together > 0.97 * sum(alone)
    letters = where(drawn(replace(SCANNED, findings=(), side="R", view="MLO")), TEXT)[:100]
    rows = np.flatnonzero(letters.any(axis=1))
    assert (rows[-1] - rows[0]) * 360 / 1600 > 7


def test_side_and_view_are_written_beside_a_label_in_the_film() -> None:
    pixels = np.zeros((ROWS, COLUMNS), np.float32)
    pixels[:80, :300] = pixels[:200, 900:] = pixels[800:, :400] = 0.9
    letters = where(picture(draw_overlay(pixels, replace(SCANNED, findings=(), side="R", view="MLO"))), TEXT)
    rows, columns = np.nonzero(letters[:1400])
    assert 600 < rows.min() < rows.max() < 1000 and columns.min() > 900


def test_other_marks_are_drawn_as_on_the_mammogram_itself() -> None:
    pixels = np.random.default_rng(0).random((ROWS, COLUMNS), np.float32)
    others = replace(SCANNED, findings=(replace(THREE[0], marked=False), THREE[2]), side="R")
    first, expected = draw_overlay(pixels, SCANNED), draw_overlay(pixels, others)
    assert not np.array_equal(picture(first), picture(expected))
    again = redraw_overlay(first, others)
    np.testing.assert_array_equal(picture(again), picture(expected))
    np.testing.assert_array_equal(picture(redraw_overlay(again, SCANNED)), picture(first))
    for damaged in (first[:1000], encode(picture(first))):
        with pytest.raises(OSError):
            redraw_overlay(damaged, SCANNED)
