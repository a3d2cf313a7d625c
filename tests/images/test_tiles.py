"""The patches of a field: which parts of it they show, and which fields are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.errors import ImageError, RequestError
from microcalc.images.tiles import MAGNIFICATIONS, views

unhurried = settings(deadline=None, max_examples=40)
NOISE = np.random.default_rng(0).random((600, 600), np.float32)


def test_a_patch_at_true_scale_is_its_only_view() -> None:
    np.testing.assert_array_equal(views(NOISE[:60, :60], 0.085), NOISE[None, :60, :60])


@unhurried
@given(height=st.integers(60, 300), width=st.integers(60, 300))
def test_patches_cover_a_field_from_edge_to_edge_at_half_a_patch(height: int, width: int) -> None:
    rows, columns = np.mgrid[:height, :width].astype(np.float32) / 300
    found = (
        np.rint(300 * views(rows, 0.085)[:, :, 0]).astype(int),
        np.rint(300 * views(columns, 0.085)[:, 0]).astype(int),
    )
    for lines, length in zip(found, (height, width), strict=True):
        starts = np.unique(lines[:, 0])
        assert (np.diff(lines) == 1).all()
        assert starts[0] == 0 and starts[-1] == length - 60
        assert (np.diff(starts) <= 30).all()
        assert len(starts) == -(-(length - 60) // 30) + 1


@unhurried
@given(
    at=st.tuples(st.integers(0, 299), st.integers(0, 299)), size=st.tuples(st.integers(60, 300), st.integers(60, 300))
)
def test_every_spot_is_well_inside_some_patch_unless_the_edge_is_near(
    at: tuple[int, int], size: tuple[int, int]
) -> None:
    row, column = (min(place, side - 1) for place, side in zip(at, size, strict=True))
    field = np.zeros(size, np.float32)
    field[row, column] = 1
    margins = [
        min(line + near, 59 - line + far)
        for _, *where in np.argwhere(views(field, 0.085))
        for line, near, far in [
            (where[0], 99 * (row < 15), 99 * (size[0] - row <= 15)),
            (where[1], 99 * (column < 15), 99 * (size[1] - column <= 15)),
        ]
    ]
    best = [min(pair) for pair in zip(margins[::2], margins[1::2], strict=True)]
    assert max(best) >= 14


@pytest.mark.parametrize("size", [0.07, 0.085, 0.1, (0.05, 0.1)])
def test_a_field_of_any_pixel_size_gives_patches_at_true_scale(size: float | tuple[float, float]) -> None:
    between_rows, between_columns = size if isinstance(size, tuple) else (size, size)
    field = NOISE[: round(10.2 / between_rows), : round(5.1 / between_columns)]
    assert views(field, size).shape == (3, 60, 60)


@pytest.mark.parametrize("side", [54, 57, 59])
def test_up_to_a_tenth_too_small_a_field_is_mirrored_at_its_edges(side: int) -> None:
    (patch,) = views(NOISE[:side, :side], 0.085)
    before = (60 - side) // 2
    np.testing.assert_array_equal(patch[before : before + side, before : before + side], NOISE[:side, :side])


@pytest.mark.parametrize(("shape", "size"), [((53, 60), 0.085), ((60, 60), 0.07), ((60, 120), (0.085, 0.03))])
def test_a_smaller_field_is_refused(shape: tuple[int, int], size: float) -> None:
    with pytest.raises(ImageError, match=r"shows .* mm, and a patch is 5\.1 x 5\.1 mm; give a larger part"):
        views(NOISE[: shape[0], : shape[1]], size)


@pytest.mark.parametrize("size", [0.1, "unknown"])
def test_a_mammogram_is_refused_with_the_way_out(size: object) -> None:
    with pytest.raises(ImageError, match="a large part of one; use microcalc scan"):
        views(np.zeros((601, 601), np.float32), size)  # type: ignore[arg-type]


def test_of_unknown_size_every_magnification_is_seen_from_the_coarsest_to_the_finest() -> None:
    found = views(NOISE[:60, :60], "unknown")
    assert len(found) == 1 + 4 + 9 + 25 + 49
    np.testing.assert_array_equal(found[0], NOISE[:60, :60])
    quarter = np.kron(np.eye(2, dtype=np.float32), np.ones((30, 30), np.float32))
    assert views(quarter, "unknown")[5].mean() > 0.95


def test_of_unknown_size_magnifications_that_show_too_little_are_left_out() -> None:
    assert len(views(NOISE[:27, :27], "unknown")) == 1 + 4 + 9
    with pytest.raises(ImageError, match="give a larger part"):
        views(NOISE[:13, :13], "unknown")
    assert MAGNIFICATIONS == (1, 1.4, 2, 2.8, 4)


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(RequestError, match="pixel size must be"):
        views(NOISE[:60, :60], 85)
