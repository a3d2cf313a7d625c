import numpy as np
import pytest
from scipy import ndimage

from microcalc.errors import ImageError
from microcalc.mammograms.breast import find_breast


def half_disc(radius: int = 400, shape: tuple[int, int] = (1200, 900), level: float = 0.4) -> np.ndarray:
    """A breast with the texture of tissue at the left, in front of a dark background."""
    rows, columns = np.indices(shape)
    noise = np.random.default_rng(0).normal(0, 1, shape)
    tissue = level + 0.4 * ndimage.gaussian_filter(noise, 10)
    image = np.where(np.hypot(rows - shape[0] / 2, columns) < radius, tissue, 0.02)
    return (image + 0.005 * noise).clip(0, 1).astype(np.float32)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_mask_covers_the_breast_and_its_area_is_in_square_mm() -> None:
    image = half_disc()
    breast = find_breast(image)
    assert dice(breast.mask, image > 0.2) > 0.97
    assert breast.area_mm2 == pytest.approx((image > 0.2).sum() * 0.085**2, rel=0.05)
    assert not breast.pectoral.any()
    assert breast.warnings == ()


def test_a_label_and_a_bar_at_the_edge_of_the_film_are_no_breast() -> None:
    image = half_disc()
    plain = find_breast(image).mask
    image[50:120, 600:800] = 0.9
    image[:30] = 0.9
    image[:, -20:] = 0.9
    assert dice(find_breast(image).mask, plain) > 0.99


def test_a_dark_hollow_at_the_chest_wall_belongs_to_the_breast() -> None:
    image = half_disc()
    image[550:650, :100] = 0.02
    assert find_breast(image).mask[600, 20]


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_pectoral_muscle_is_found_however_the_image_is_turned(turns: int, mirrored: bool) -> None:
    image = half_disc(radius=650)
    rows, columns = np.indices(image.shape)
    muscle = rows / 700 + columns / 350 < 1
    image[muscle] += 0.25
    seen, true = (np.rot90(each[:, ::-1] if mirrored else each, turns) for each in (image, muscle & (image > 0.2)))
    breast = find_breast(np.ascontiguousarray(seen))
    assert dice(breast.pectoral, true) > 0.9
    assert breast.area_mm2 < breast.mask.sum() * 0.085**2 * 0.95


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_an_image_of_one_grey_level_is_refused(level: float) -> None:
    with pytest.raises(ImageError, match="one grey level"):
        find_breast(np.full((800, 600), level, np.float32))


def test_too_little_tissue_is_refused() -> None:
    image = np.zeros((800, 600), np.float32)
    image[:150, :150] = 0.5
    with pytest.raises(ImageError, match="no breast found"):
        find_breast(image)


@pytest.mark.slow
@pytest.mark.parametrize("radius", [250, 400, 600])
@pytest.mark.parametrize("turns", range(4))
def test_an_inverted_image_has_a_warning_that_names_inversion(radius: int, turns: int) -> None:
    image = np.ascontiguousarray(np.rot90(half_disc(radius), turns))
    image[:40, :300] = 0.9  # a label
    assert find_breast(image).warnings == ()
    assert "may be inverted" in find_breast(1 - image).warnings[-1]


def test_two_breasts_and_a_magnification_view_have_warnings() -> None:
    two = np.concatenate([half_disc()[:, ::-1], half_disc()], axis=1)
    two[:, 850:950] = 0.02
    assert "More than one" in find_breast(two).warnings[0]
    full = np.random.default_rng(0).normal(0.5, 0.05, (800, 600)).clip(0, 1).astype(np.float32)
    full[:400] *= 0.7
    assert "no dark background" in find_breast(full).warnings[0]
