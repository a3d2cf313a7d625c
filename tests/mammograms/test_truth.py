"""Known truth in the form of findings."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.truth import link_clusters, phantom_truth, true_image, write_phantom_mammograms

SMALL = (70.0, 60.0)


def test_calcifications_exactly_five_millimetres_apart_are_not_linked() -> None:
    chain = [(0, 0), (40, 0), (80, 0)]
    assert link_clusters(chain, (0.1, 0.125)) == []
    assert len(link_clusters(chain, (0.1, 0.12))) == 1


def test_two_calcifications_are_no_cluster() -> None:
    assert link_clusters([(0, 0), (10, 0)], (0.1, 0.1)) == []


def test_no_calcification_makes_no_cluster() -> None:
    assert link_clusters([], (0.1, 0.1)) == []


def test_links_carry_on_from_one_calcification_to_the_next() -> None:
    line = [(float(40 * step), 0.0) for step in range(10)]
    far = [(2000.0, 0.0), (2010.0, 0.0), (2020.0, 0.0)]
    assert [len(cluster) for cluster in link_clusters([*line, *far], (0.1, 0.1))] == [10, 3]


def test_truth_measures_a_cluster_in_millimetres_of_its_own_pixels() -> None:
    finding = true_image("a.png", (100, 100), (0.2, 0.1), [[(10, 10), (20.4, 10), (10, 30.5)]]).findings[0]
    assert finding.box_px == (10, 10, 21, 31)
    assert finding.extent_mm == pytest.approx(np.hypot(1.04, 4.1))
    assert finding.center_px == pytest.approx((40.4 / 3, 50.5 / 3))


@pytest.mark.parametrize("cluster", [[], [(5, 200)], [(-3, 5)]])
def test_a_cluster_that_is_not_in_the_image_is_refused(cluster: list[tuple[float, float]]) -> None:
    with pytest.raises(RequestError, match=r"a\.png: cluster 1"):
        true_image("a.png", (100, 100), (0.1, 0.1), [cluster])


def test_phantom_mammograms_are_written_with_truth_that_reads_as_a_scan_s_answer(tmp_path: Path) -> None:
    made = list(iter_phantom_mammograms(3, seed=1, field_mm=SMALL))
    write_phantom_mammograms(tmp_path / "out", iter(made))
    answer = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert (answer["schema"], answer["failed"], len(answer["images"])) == (2, [], 3)
    for mammogram, entry in zip(made, answer["images"], strict=True):
        findings = [Finding(**finding) for finding in entry["findings"]]
        assert set(entry) == set(ScannedImage.__dataclass_fields__)
        assert len(findings) == len(mammogram.clusters) == len(phantom_truth(mammogram).findings)
        with Image.open(tmp_path / "out" / entry["file"]) as image:
            assert image.mode == "I;16"
            assert np.array_equal(np.asarray(image), mammogram.pixels)


def test_nothing_is_written_where_something_is_or_where_making_fails(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(RequestError, match="something here already"):
        write_phantom_mammograms(tmp_path / "full", iter_phantom_mammograms(1, field_mm=SMALL))
    with pytest.raises(RequestError, match="at least 1"):
        write_phantom_mammograms(tmp_path / "new", iter_phantom_mammograms(0))
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "notes.txt"]
