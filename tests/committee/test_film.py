"""How coarse a patch is beside the film that an expert was trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from microcalc.data import Data
from microcalc.errors import RequestError
from microcalc.networks.film import Film, coarseness

RANDOM = np.random.default_rng(0)


def tissue(side: int, grain: float, seed: int) -> np.ndarray:
    """Noise of a power law, as breast tissue has, with grain on it."""
    random = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    smooth = np.fft.irfft2(np.fft.rfft2(random.normal(size=(side, side))) / frequency**1.5, s=(side, side))
    return np.float32(0.5 + 0.1 * smooth / smooth.std() + grain * random.normal(size=(side, side)))


PATCH = tissue(60, 0.02, 0)


def of(*images: np.ndarray) -> np.ndarray:
    return coarseness(torch.tensor(np.stack(images)[..., None])).numpy()


def test_it_is_the_logarithm_of_the_texture_between_two_blurs_over_that_below_the_first() -> None:
    smooth, background = (gaussian_filter(PATCH, sigma, mode="mirror", truncate=3) for sigma in (1, 6))
    coarse, fine = (np.sqrt(np.abs(detail)).mean() ** 2 for detail in (smooth - background, PATCH - smooth))
    np.testing.assert_allclose(of(PATCH), np.log((coarse + 0.001) / (fine + 0.001)), rtol=1e-4)


def halved(image: np.ndarray) -> np.ndarray:
    return image.reshape(len(image) // 2, 2, -1, 2).mean((1, 3))


@pytest.mark.parametrize("seed", range(5))
def test_the_same_film_at_half_the_resolution_is_coarser(seed: int) -> None:
    film = tissue(120, 0.02, seed)
    fine, coarse = of(film[30:90, 30:90], halved(film))
    assert coarse > fine + 0.2


@given(brightness=st.floats(-0.2, 0.2), turns=st.integers(0, 3), mirrored=st.booleans())
def test_neither_brightness_nor_turning_nor_mirroring_changes_it(brightness: float, turns: int, mirrored: bool) -> None:
    moved = np.rot90(PATCH.T if mirrored else PATCH, turns) + np.float32(brightness)
    np.testing.assert_allclose(of(moved.copy()), of(PATCH), atol=1e-3)


@given(contrast=st.floats(0.5, 2.0))
def test_contrast_hardly_changes_it(contrast: float) -> None:
    changed = np.float32(0.5 + contrast * (PATCH - 0.5))
    np.testing.assert_allclose(of(changed), of(PATCH), atol=0.1)


def test_a_few_bright_spots_hardly_change_it() -> None:
    spotted = PATCH.copy()
    spotted[[10, 25, 40, 41], [12, 30, 20, 21]] += 0.4
    np.testing.assert_allclose(of(spotted), of(PATCH), atol=0.1)


def test_a_flat_patch_has_none_and_gets_a_number_beside_any_film() -> None:
    flat = np.zeros((60, 60), np.float32)
    assert np.array_equal(of(flat), [0.0])
    assert Film(0.0, 1e-300).excess(torch.tensor(flat[None, ..., None])) == 0


def test_a_film_is_the_mean_and_deviation_over_its_patches_however_many() -> None:
    images = np.stack([tissue(60, grain, seed) for seed, grain in enumerate(RANDOM.uniform(0.005, 0.05, 30))])
    film, values = Film.of(images), of(*images)
    assert (film.mean, film.deviation) == pytest.approx((values.mean(), values.std()), abs=1e-5)
    many = Film.of(np.concatenate([images] * 30))
    assert (many.mean, many.deviation) == pytest.approx((film.mean, film.deviation), abs=1e-5)
    excess = film.excess(torch.tensor(images[..., None])).numpy()
    np.testing.assert_allclose([excess.mean(), excess.std()], [0, 1], atol=1e-4)


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_what_is_no_film_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(RequestError, match="deviation above 0"):
        Film(*wrong)


def test_real_patches_at_half_their_resolution_are_coarser_than_their_film(shared_data: Path) -> None:
    images = Data.load("infn", archive=shared_data / "DL_class_data.tar.gz").images
    small = np.stack([np.tile(halved(image), (2, 2)) for image in images])
    film = Film.of(images)
    assert np.median(film.excess(torch.tensor(small[..., None])).numpy()) > 0.5
