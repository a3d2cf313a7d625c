import numpy as np
import pytest
from scipy import ndimage

from microcalc.mammograms.candidates import Spots, apart, choose_windows, find_spots, local_noise


def noise(shape: tuple[int, int] = (400, 400), deviation: float = 0.01) -> np.ndarray:
    return np.random.default_rng(0).normal(0.4, deviation, shape).astype(np.float32)


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape, bool)


def test_spots_of_0_1_to_1_mm_are_found_where_they_are() -> None:
    image = noise()
    rows, columns = np.indices(image.shape)
    places = {(100, 100): 0.6, (100, 300): 1.5, (300, 100): 3.0, (300, 300): 5.0}
    for (row, column), sigma in places.items():
        image += 0.15 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    spots = find_spots(image, everywhere(image))
    for row, column in places:
        assert np.hypot(*(spots.positions[:8] - (column, row)).T).min() < 1.0


@pytest.mark.parametrize("radius", [9, 12, 20])
def test_the_spots_along_the_edge_of_a_coarse_calcification_are_one(radius: int) -> None:
    image = noise()
    rows, columns = np.indices(image.shape)
    image[np.hypot(rows - 120, columns - 200) < radius] = 0.9
    for column in (150, 158, 166):  # a row of small ones, half a millimetre apart
        image += (0.3 * np.exp(-((rows - 300) ** 2 + (columns - column) ** 2) / (2 * 1.2**2))).astype(np.float32)
    spots = find_spots(ndimage.gaussian_filter(image, 0.7), everywhere(image))
    coarse = np.hypot(*(spots.positions - (200, 120)).T) < radius + 5
    small = (np.hypot(*(spots.positions - (158, 300)).T) < 12) & (spots.contrast > 10)
    assert coarse.sum() >= 4 and len(np.unique(spots.calcification[coarse])) == 1
    assert small.sum() == len(np.unique(spots.calcification[small])) == 3
    np.testing.assert_allclose(spots.centers(np.flatnonzero(coarse)), [(200, 120)], atol=0.5)


def test_a_spot_is_placed_between_pixels() -> None:
    rows, columns = np.indices((200, 300))
    image = noise((200, 300), 0.001)
    image += (0.3 * np.exp(-((rows - 80.3) ** 2 + (columns - 150.0) ** 2) / (2 * 1.5**2))).astype(np.float32)
    np.testing.assert_allclose(find_spots(image, everywhere(image)).positions[0], (150.0, 80.3), atol=0.1)


def test_spots_outside_of_the_mask_are_left_out() -> None:
    image = noise()
    image[100:102, 100:102] += 0.3
    mask = everywhere(image)
    mask[:200] = False
    assert (find_spots(image, mask).positions[:, 1] >= 199).all()


def test_contrast_counts_in_standard_deviations_whatever_the_noise() -> None:
    quiet, loud = noise(deviation=0.005), noise(deviation=0.02)
    for image, height in ((quiet, 0.1), (loud, 0.4)):
        image[200:203, 200:203] += height
    first, second = (find_spots(image, everywhere(image)).contrast[0] for image in (quiet, loud))
    assert 0.9 < first / second < 1.1


def test_a_clipped_region_without_noise_has_no_spots() -> None:
    image = np.zeros((300, 300), np.float32)
    image[100, 100] = 1 / 255
    assert len(find_spots(image, everywhere(image))) == 0


def test_a_line_is_less_round_than_a_disc_and_a_sharp_spot_sharper_than_a_blurred_one() -> None:
    image = noise(deviation=0.002)
    image[100:101, 80:120] += 0.3
    rows, columns = np.indices(image.shape)
    for column, sigma in ((100, 0.5), (300, 2.0)):
        image += (0.3 * np.exp(-((rows - 300) ** 2 + (columns - column) ** 2) / (2 * sigma**2))).astype(np.float32)
    spots = find_spots(image, everywhere(image))

    def nearest(column: int, row: int) -> int:
        return int(np.hypot(*(spots.positions - (column, row)).T).argmin())

    line, sharp, blurred = nearest(100, 100), nearest(100, 300), nearest(300, 300)
    assert spots.roundness[line] < 0.3 < 0.6 < spots.roundness[blurred]
    assert spots.sharpness[sharp] > spots.sharpness[blurred] + 0.2


def test_the_noise_around_is_hardly_moved_by_a_few_bright_spots() -> None:
    image = noise(deviation=1.0) - np.float32(0.4)
    before = local_noise(image, everywhere(image)).mean()
    image[::40, ::40] += 100
    assert 0.9 < local_noise(image, everywhere(image)).mean() / before < 1.3


def test_a_cluster_has_a_window_in_its_middle_and_windows_lie_apart() -> None:
    random = np.random.default_rng(0)
    positions = np.concatenate([random.uniform(300, 330, (8, 2)), random.uniform(0, 1000, (300, 2))])
    contrast = np.concatenate([np.full(8, 9.0), np.full(300, 3.0)])
    windows = choose_windows(Spots(positions, contrast, np.zeros(308), np.zeros(308), np.arange(308)))
    assert np.hypot(*(windows[0] - positions[:8].mean(axis=0))) < 10
    assert len(apart(windows, 20)) == len(windows)


def test_an_image_without_spots_has_no_windows() -> None:
    image = np.full((80, 60), 0.5, np.float32)
    assert choose_windows(find_spots(image, everywhere(image))).shape == (0, 2)


def test_the_cut_edge_of_a_film_holds_no_spots() -> None:
    image = np.random.default_rng(0).normal(0.5, 0.01, (200, 300)).astype(np.float32)
    for row, column in ((0, 150), (198, 150), (100, 12), (100, 286), (60, 20), (20, 250)):
        image[row : row + 2, column : column + 2] += 0.3
    spots = find_spots(image, everywhere(image))
    kept = spots.select(spots.contrast > 15)
    assert np.sort(kept.positions, axis=0) == pytest.approx(np.array([[20.5, 20.5], [250.5, 60.5]]), abs=0.6)
    assert kept.roundness.shape == kept.calcification.shape == (2,)
