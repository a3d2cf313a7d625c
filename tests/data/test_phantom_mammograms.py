"""Whole phantom mammograms."""

import shutil
import subprocess
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from microcalc.data.phantom_dicom import phantom_dicom
from microcalc.data.phantom_mammograms import PhantomMammogram, iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.images import read_mammogram

SMALL = (110.0, 80.0)


@pytest.fixture(scope="module")
def made() -> list[PhantomMammogram]:
    return list(iter_phantom_mammograms(8, seed=0, difficulty=0.0, field_mm=SMALL))


@pytest.mark.slow
def test_each_patient_has_two_views_of_both_breasts(made: list[PhantomMammogram]) -> None:
    assert [mammogram.name.split("_")[1] for mammogram in made[:5]] == ["LCC", "RCC", "LMLO", "RMLO", "LCC"]
    assert [mammogram.patient for mammogram in made[2:6]] == [*["phantom00000"] * 2, *["phantom00001"] * 2]
    assert len({mammogram.study for mammogram in made}) == 2
    other = next(iter_phantom_mammograms(1, seed=1, field_mm=SMALL))
    assert other.study not in {mammogram.study for mammogram in made}
    assert other.patient == "phantom1-00000"


@pytest.mark.slow
def test_a_cluster_is_as_far_from_the_nipple_in_both_views_of_its_breast(made: list[PhantomMammogram]) -> None:
    compared = 0
    for cc, mlo in ((made[n], made[n + 2]) for n in (0, 1, 4, 5)):
        distances = [
            [np.hypot(*(cluster.mean(axis=0) - each.nipple_px)) * each.pixel_size_mm for cluster in each.clusters]
            for each in (cc, mlo)
        ]
        np.testing.assert_allclose(*distances, atol=7)
        compared += len(distances[0])
    assert compared >= 3


@pytest.mark.slow
def test_a_second_scanner_shows_the_same_clusters_with_less_contrast(made: list[PhantomMammogram]) -> None:
    for first, second in zip(
        made, iter_phantom_mammograms(4, seed=0, difficulty=0.0, field_mm=SMALL, scanner="second"), strict=False
    ):
        assert all(map(np.array_equal, first.clusters, second.clusters)) and first.study != second.study
        for cluster in first.clusters:
            column, row = np.rint(cluster).astype(int).T
            before, after = (
                np.median((each.pixels / 65535 - ndimage.gaussian_filter(each.pixels / 65535, 6))[row, column])
                for each in (first, second)
            )
            assert 0.1 * before < after < 0.9 * before


def test_a_phantom_is_a_valid_dicom_mammogram_with_patient_side_view_and_pixel_size(
    made: list[PhantomMammogram], tmp_path: Path
) -> None:
    for phantom in made[1:4]:
        content = phantom_dicom(phantom)
        read = read_mammogram(content)
        assert (read.patient, read.side, read.view) == (phantom.patient, phantom.side, phantom.view)
        assert read.pixel_size_mm == (phantom.pixel_size_mm,) * 2 and not read.warnings
        np.testing.assert_allclose(read.pixels, phantom.pixels / 65535, atol=1e-6)
        assert phantom_dicom(phantom) == content
        if program := shutil.which("dciodvfy"):
            (tmp_path / "a.dcm").write_bytes(content)
            done = subprocess.run([program, tmp_path / "a.dcm"], capture_output=True, text=True, timeout=60)
            assert done.stderr.splitlines() == ["MammographyImageForPresentation"]


def test_dicom_phantoms_of_a_patient_are_one_study(made: list[PhantomMammogram]) -> None:
    images = [pydicom.dcmread(BytesIO(phantom_dicom(phantom))) for phantom in made]
    assert len({image.SOPInstanceUID for image in images}) == 8
    studies = [str(image.StudyInstanceUID) for image in images]
    assert studies == [studies[0]] * 4 + [studies[4]] * 4 and studies[0] != studies[4]


@pytest.mark.slow
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


@pytest.mark.slow
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
