import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microcalc.errors import RequestError
from microcalc.mammograms.candidates import Spots
from microcalc.mammograms.clusters import Cluster
from microcalc.mammograms.second_opinion import FEATURES, SecondOpinion, features


def cluster_of(positions: np.ndarray) -> tuple[Cluster, Spots]:
    count = len(positions)
    spots = Spots(positions, np.linspace(9, 5, count), np.full(count, 0.6), np.full(count, 0.8), np.arange(count))
    return Cluster(positions.mean(axis=0), np.array([1.0, 3.0]), 2.0, 1.0, np.arange(count), positions), spots


def test_the_packaged_opinion_rises_with_the_logit_of_the_experts() -> None:
    cluster, spots = cluster_of(np.random.default_rng(0).uniform(0, 40, (8, 2)))
    sure = replace(cluster, logits=cluster.logits + 2, logit=4.0, support=3.0)
    low, high = SecondOpinion.packaged().scores(features([cluster, sure], spots))
    assert low < high


def test_features_do_not_change_when_the_image_is_turned() -> None:
    positions = np.random.default_rng(0).uniform(0, 40, (8, 2))
    (cluster, spots), (turned, turned_spots) = cluster_of(positions), cluster_of(positions[:, ::-1] * (1, -1) + (0, 90))
    np.testing.assert_allclose(features([cluster], spots), features([turned], turned_spots), atol=1e-9)


def test_spots_on_a_line_are_linear_and_wide_ones_spaced() -> None:
    names = dict(
        zip(FEATURES, features(*_listed(np.stack([np.arange(0, 40, 5.0), np.zeros(8)], axis=1)))[0], strict=True)
    )
    cloud = dict(zip(FEATURES, features(*_listed(np.random.default_rng(0).uniform(0, 15, (8, 2))))[0], strict=True))
    assert names["linearity"] > cloud["linearity"] + 1
    assert names["spacing"] > cloud["spacing"]


def _listed(positions: np.ndarray) -> tuple[list[Cluster], Spots]:
    cluster, spots = cluster_of(positions)
    return [cluster], spots


def test_no_cluster_has_no_features() -> None:
    spots = Spots(np.empty((0, 2)), *np.empty((3, 0)), np.empty(0, np.intp))
    assert features([], spots).shape == (0, len(FEATURES))


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    opinion = SecondOpinion.packaged()
    opinion.save(tmp_path / "opinion.json")
    assert SecondOpinion.load(tmp_path / "opinion.json") == opinion


@pytest.mark.parametrize("wrong", [{"features": ["other"]}, {"scale": [0.0]}, {"bias": None}, {"weights": [1.0]}])
def test_a_file_of_another_version_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "opinion.json"
    SecondOpinion.packaged().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(RequestError, match=r"opinion\.json: .* make it anew with"):
        SecondOpinion.load(path)
