"""The making of hybrid mammograms in benchmarks/, on phantom patches."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from microcalc import Data
from microcalc.mammograms.adaptation import halves

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


def test_half_of_the_patients_left_out_judge(hybrid: ModuleType, phantom: Data) -> None:
    judging = hybrid.judging_patches(phantom)
    sides = [
        {patient for patient, side in zip(phantom.patients, judging, strict=True) if side == part} for part in (0, 1)
    ]
    assert not sides[0] & sides[1]
    assert abs(len(sides[0]) - len(sides[1])) <= 1


def test_the_views_that_judge_are_those_that_no_committee_learned_from(hybrid: ModuleType, shared_data: Path) -> None:
    folder = shared_data / "mammograms"
    names = sorted(str(path) for path in (folder / "cdd_cesm_normal").glob("*.jpg"))
    known = [SimpleNamespace(case=SimpleNamespace(patient=name), boxes_px=()) for name in names]
    _, left_out = halves(known, seed=0)  # type: ignore[arg-type]
    judging = [normal.name for normal in hybrid.cdd_cesm_left_out(folder)]
    assert judging == [Path(each.case.patient).stem for each in left_out]
