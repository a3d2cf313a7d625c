"""Known truth: its clusters, and the file that holds it."""

from pathlib import Path

import numpy as np
import pytest

from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.files import read_record
from microcalc.images import read_mammogram
from microcalc.mammograms.truth import Truth, link_clusters, phantom_truth, true_image, write_phantom_mammograms

SMALL = (70.0, 60.0)


@pytest.mark.parametrize(
    ("calcifications", "columns_mm", "sizes"),
    [
        ([], 0.1, []),
        ([(0, 0), (10, 0)], 0.1, []),
        ([(0, 0), (40, 0), (80, 0)], 0.125, []),  # exactly 5 mm apart
        ([(0, 0), (40, 0), (80, 0)], 0.12, [3]),
        ([*((40.0 * step, 0.0) for step in range(10)), (2000, 0), (2010, 0), (2020, 0)], 0.1, [10, 3]),
    ],
)
def test_three_calcifications_or_more_are_a_cluster_if_linked_from_one_to_the_next_by_less_than_five_millimetres(
    calcifications: list[tuple[float, float]], columns_mm: float, sizes: list[int]
) -> None:
    assert [len(cluster) for cluster in link_clusters(calcifications, (0.1, columns_mm))] == sizes


def test_truth_measures_a_cluster_in_millimetres_of_its_own_pixels() -> None:
    cluster = true_image("a.png", (100, 100), (0.2, 0.1), [[(10, 10), (20.4, 10), (10, 30.5)]]).clusters[0]
    assert cluster.box_px == (10, 10, 21, 31)
    assert cluster.extent_mm == pytest.approx(np.hypot(1.04, 4.1))
    assert cluster.center_px == pytest.approx((40.4 / 3, 50.5 / 3))


@pytest.mark.parametrize("cluster", [[], [(5, 200)], [(-3, 5)]])
def test_a_cluster_that_is_not_in_the_image_is_refused(cluster: list[tuple[float, float]]) -> None:
    with pytest.raises(RequestError, match=r"a\.png: cluster 1"):
        true_image("a.png", (100, 100), (0.1, 0.1), [cluster])


@pytest.mark.parametrize("dicom", [False, True])
def test_phantom_mammograms_are_written_with_their_truth(dicom: bool, tmp_path: Path) -> None:
    made = list(iter_phantom_mammograms(3, seed=1, field_mm=SMALL))
    write_phantom_mammograms(tmp_path / "out", iter(made), dicom)
    truth = read_record(tmp_path / "out" / "truth.json", Truth, "make it anew")
    names = [*(each.file for each in truth.images), "truth.json"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    for mammogram, entry in zip(made, truth.images, strict=True):
        read = read_mammogram(tmp_path / "out" / entry.file)
        assert np.array_equal(np.rint(read.pixels * 65535), mammogram.pixels)
        assert entry == phantom_truth(mammogram, read.pixels_sha256, ".dcm" if dicom else ".png")
        assert [cluster.calcifications_px for cluster in entry.clusters] == [
            tuple(map(tuple, cluster.tolist())) for cluster in mammogram.clusters
        ]


def test_nothing_is_written_where_something_is_or_where_making_fails(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(RequestError, match="is not empty"):
        write_phantom_mammograms(tmp_path / "full", iter_phantom_mammograms(1, field_mm=SMALL))
    with pytest.raises(RequestError, match="at least 1"):
        write_phantom_mammograms(tmp_path / "new", iter_phantom_mammograms(0))
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "notes.txt"]
