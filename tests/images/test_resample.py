"""Bringing an image to 85 um a pixel: what it keeps, whatever its pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import erf

from microcalc.errors import RequestError
from microcalc.images.resample import TRUE_PIXEL_MM, to_true_scale

unhurried = settings(deadline=None, max_examples=40)
sizes = st.floats(0.04, 0.2)
greys = st.floats(0, 1, width=32)
images = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=80), elements=greys)


def profile(side: int, pixel_mm: float, center_mm: float, deviation_mm: float = 0.1) -> np.ndarray:
    """The signal of pixels in a row for a Gaussian spot: its mean over each of them."""
    edges = (np.arange(side + 1) * pixel_mm - center_mm) / deviation_mm
    return np.diff(erf(edges / np.sqrt(2))) * deviation_mm * np.sqrt(np.pi / 2) / pixel_mm


def spot(side: int, pixel_mm: float, center_mm: tuple[float, float]) -> np.ndarray:
    return np.outer(*(profile(side, pixel_mm, center) for center in center_mm)).astype(np.float32)


@unhurried
@given(pixels=images, size=st.tuples(sizes, sizes))
def test_the_field_keeps_its_size_and_its_range(pixels: np.ndarray, size: tuple[float, float]) -> None:
    scaled = to_true_scale(pixels, size)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0 and scaled.max() <= 1
    for after, before, each in zip(scaled.shape, pixels.shape, size, strict=True):
        assert abs(after * TRUE_PIXEL_MM - before * each) <= TRUE_PIXEL_MM / 2 + 1e-9


@unhurried
@given(pixels=images, size=st.tuples(sizes, sizes))
def test_mirroring_and_turning_before_or_after_is_the_same(pixels: np.ndarray, size: tuple[float, float]) -> None:
    scaled = to_true_scale(pixels, size)
    np.testing.assert_allclose(to_true_scale(pixels[::-1, ::-1], size), scaled[::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(to_true_scale(pixels.T, size[::-1]), scaled.T, atol=1e-5)


@unhurried
@given(grey=greys, size=sizes)
def test_an_even_field_stays_even(grey: float, size: float) -> None:
    np.testing.assert_allclose(to_true_scale(np.full((100, 120), grey, np.float32), size), grey, atol=1e-6)


@unhurried
@given(at=st.tuples(st.floats(1, 4), st.floats(1, 4)), size=st.sampled_from([0.05, 0.06, 0.07, 0.08]))
def test_a_calcification_keeps_its_place_height_and_width(at: tuple[float, float], size: float) -> None:
    side = round(6.8 / size)
    found = to_true_scale(spot(side, size, at), size)
    np.testing.assert_allclose(found, spot(80, side * size / 80, at), atol=0.04)


def test_pixels_finer_than_the_result_are_averaged_and_leave_no_moire() -> None:
    checks = np.indices((170, 170)).sum(axis=0).astype(np.float32) % 2
    np.testing.assert_allclose(to_true_scale(checks, TRUE_PIXEL_MM / 2)[2:-2, 2:-2], 0.5, atol=0.01)


def test_pixels_that_are_not_square_become_square() -> None:
    fine, coarse = profile(120, TRUE_PIXEL_MM / 2, 3, 0.3), profile(60, TRUE_PIXEL_MM, 2, 0.3)
    found = to_true_scale(np.outer(fine, coarse), (TRUE_PIXEL_MM / 2, TRUE_PIXEL_MM))
    np.testing.assert_allclose(found, np.outer(profile(60, TRUE_PIXEL_MM, 3, 0.3), coarse), atol=0.01)


def test_an_image_at_true_scale_is_left_as_it_is() -> None:
    pixels = np.random.default_rng(0).random((60, 60), np.float32)
    assert to_true_scale(pixels, 0.085) is pixels


@pytest.mark.parametrize("size", [0, -0.085, 85, float("nan"), float("inf"), (0.085, 0), (0.1, 0.1, 0.1)])
def test_a_size_that_no_pixel_has_is_refused(size: object) -> None:
    with pytest.raises(RequestError, match=r"pixel size must be 0\.005 to 1\.0 mm: got .*; give it in millimetres"):
        to_true_scale(np.zeros((60, 60), np.float32), size)  # type: ignore[arg-type]


def test_an_image_that_would_become_enormous_is_refused() -> None:
    with pytest.raises(RequestError, match=r"would have 11,765 x 11,765 pixels at 0\.085 mm; check the"):
        to_true_scale(np.zeros((1000, 1000), np.float32), 1.0)
