"""Whole phantom mammograms."""

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from microcalc.data.phantom_mammograms import PhantomMammogram, iter_phantom_mammograms
from microcalc.errors import RequestError

SMALL = (110.0, 80.0)


@pytest.fixture(scope="module")
def made() -> list[PhantomMammogram]:
    return list(iter_phantom_mammograms(8, seed=0, difficulty=0.0, field_mm=SMALL))


@pytest.mark.slow
def test_sides_and_views_take_turns(made: list[PhantomMammogram]) -> None:
    assert [mammogram.name.split("_")[1] for mammogram in made[:5]] == ["LCC", "RCC", "LMLO", "RMLO", "LCC"]


def test_the_same_seed_gives_the_same_mammogram_however_many_follow(made: list[PhantomMammogram]) -> None:
    again = next(iter_phantom_mammograms(1, seed=0, difficulty=0.0, field_mm=SMALL))
    assert np.array_equal(again.pixels, made[0].pixels)
    other = next(iter_phantom_mammograms(1, seed=1, difficulty=0.0, field_mm=SMALL))
    assert not np.array_equal(other.pixels, made[0].pixels)


def test_clusters_hold_three_calcifications_or_more_and_some_mammograms_have_none(made: list[PhantomMammogram]) -> None:
    numbers = [len(mammogram.clusters) for mammogram in made]
    assert min(numbers) == 0
    assert max(numbers) >= 2
    assert all(len(cluster) >= 3 for mammogram in made for cluster in mammogram.clusters)


def test_calcifications_are_bright_where_the_truth_says(made: list[PhantomMammogram]) -> None:
    for mammogram in made:
        smooth = ndimage.gaussian_filter(mammogram.pixels / 65535, 1)
        detail = smooth - ndimage.gaussian_filter(smooth, 6)
        for cluster in mammogram.clusters:
            column, row = np.rint(cluster).astype(int).T
            assert np.median(detail[row, column]) > 3 * np.median(np.abs(detail))


@pytest.mark.slow
@pytest.mark.parametrize("pixel_size_mm", [0.05, 0.11])
def test_the_truth_is_the_middle_of_the_calcifications_in_left_and_right_breasts(pixel_size_mm: float) -> None:
    window = np.mgrid[-4:5, -4:5].astype(float)
    seen: dict[str, list[np.ndarray]] = {"L": [], "R": []}
    for mammogram in iter_phantom_mammograms(6, difficulty=0.0, field_mm=(90.0, 70.0), pixel_size_mm=pixel_size_mm):
        for column, row in (point for cluster in mammogram.clusters for point in cluster):
            place = window + np.reshape((row, column), (2, 1, 1))
            seen[mammogram.name.split("_")[1][0]].append(
                ndimage.map_coordinates(mammogram.pixels / 65535, place, order=1)
            )
    for around in seen.values():
        mean = np.mean(around, axis=0)
        bright = np.clip(mean - (mean.min() + mean.max()) / 2, 0, None)
        np.testing.assert_allclose((window * bright).sum((1, 2)) / bright.sum(), 0, atol=0.125)


def test_clusters_are_apart_and_inside_the_breast(made: list[PhantomMammogram]) -> None:
    for mammogram in made:
        size, middles = mammogram.pixel_size_mm, [cluster.mean(axis=0) for cluster in mammogram.clusters]
        assert all(np.hypot(*(one - other)) * size > 5 for one, other in combinations(middles, 2))
        breast = ndimage.gaussian_filter(mammogram.pixels / 65535, 5)
        assert all(breast[int(row), int(column)] > 0.1 for column, row in middles)


def test_the_chest_wall_is_on_the_side_that_the_name_says(made: list[PhantomMammogram]) -> None:
    for mammogram in made:
        left, right = np.array_split(mammogram.pixels, 2, axis=1)
        assert (left.mean() > right.mean()) == ("_L" in mammogram.name)


def test_an_mlo_view_shows_the_pectoral_muscle_in_its_upper_corner(made: list[PhantomMammogram]) -> None:
    for cc, mlo in ((made[0], made[2]), (made[4], made[6])):
        assert mlo.pixels[50:150, 20:100].mean() > 2 * cc.pixels[50:150, 20:100].mean()


def test_the_area_of_the_breast_is_given(made: list[PhantomMammogram]) -> None:
    for mammogram in made:
        bright = ndimage.gaussian_filter(mammogram.pixels / 65535, 4) > 0.06
        assert mammogram.breast_mm2 == pytest.approx(bright.sum() * mammogram.pixel_size_mm**2, rel=0.12)


def test_the_size_of_a_pixel_sets_the_number_of_pixels() -> None:
    coarse = next(iter_phantom_mammograms(1, field_mm=SMALL, pixel_size_mm=0.1))
    assert coarse.pixels.shape == (1100, 800)


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (0, {}),
        (1, {"difficulty": 1.5}),
        (1, {"seed": -1}),
        (1, {"pixel_size_mm": 0.0}),
        (1, {"field_mm": (20.0, 200.0)}),
    ],
)
def test_a_number_out_of_its_range_is_refused(number: int, options: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        next(iter_phantom_mammograms(number, **options))
