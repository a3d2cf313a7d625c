"""Where a finding may be in another view: the nipple is found where it stands out, and distances are in mm."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms.other_view import View, draw_arc, find_nipple

CC = View(400, 300, (0.08, 0.05), "left", (200.0, 150.0))
MLO = View(500, 320, (0.1, 0.2), "right", (90.0, 300.0))
PLACES = st.tuples(st.floats(0, 299), st.floats(0, 399))


@pytest.mark.slow
def test_the_nipple_of_phantoms_is_found_or_none_is() -> None:
    found = 0
    for phantom in iter_phantom_mammograms(8, pixel_size_mm=0.2):
        rows = phantom.pixels[::2] / np.float32(65535)  # oblong pixels
        nipple = find_nipple(rows, (0.4, 0.2))
        if nipple is not None:
            found += 1
            tip = np.add(phantom.nipple_px, (15 if phantom.side == "L" else -15, 0))  # 3 mm before its middle
            assert np.hypot(*((np.multiply(nipple, (1, 2)) - tip) * 0.2)) < 5
    assert found >= 6


def test_a_round_breast_and_one_that_is_cut_off_have_no_nipple() -> None:
    down, across = np.indices((400, 300)) * 0.4
    round_breast = (np.hypot(down - 80, across) < 60).astype(np.float32)
    assert find_nipple(round_breast, (0.4, 0.4)) is None
    round_breast[:20, :100] = 1  # the armpit
    assert find_nipple(round_breast, (0.4, 0.4)) is None


@settings(deadline=None)
@given(place=PLACES)
def test_an_arc_is_as_far_from_the_nipple_as_the_finding_in_mm(place: tuple[float, float]) -> None:
    arc = draw_arc(place, CC, MLO)
    distance = np.hypot((place[0] - 200) * 0.05, (place[1] - 150) * 0.08)
    assert arc.origin == "nipple" and arc.distance_mm == pytest.approx(distance)
    for column, row in arc.points_px:
        assert np.hypot((column - 90) * 0.2, (row - 300) * 0.1) == pytest.approx(distance, abs=1e-6)
        assert 90 - 1e-6 <= column <= 319 and 0 <= row <= 499  # from the nipple towards the chest wall


def test_an_arc_has_no_gap_that_shows() -> None:
    points = np.array(draw_arc((20.0, 150.0), CC, MLO).points_px)
    assert len(points) > 40
    assert all(np.hypot(*((one - other) * (0.2, 0.1))) < 1 for one, other in pairwise(points))


@pytest.mark.parametrize(("here", "there"), [(None, (90.0, 300.0)), ((200.0, 150.0), None), (None, None)])
def test_without_both_nipples_the_distance_is_from_the_chest_wall(
    here: tuple[float, float] | None, there: tuple[float, float] | None
) -> None:
    cc, mlo = View(400, 300, (0.08, 0.05), "left", here), View(500, 320, (0.1, 0.2), "right", there)
    arc = draw_arc((100.0, 50.0), cc, mlo)
    assert (arc.origin, arc.distance_mm) == ("chest wall", 5.0)
    assert arc.points_px == ((294.0, 0.0), (294.0, 499.0))  # 25 pixels of 0.2 mm from the right edge
    assert draw_arc((294.0, 50.0), mlo, cc).points_px == ((100.0, 0.0), (100.0, 399.0))
