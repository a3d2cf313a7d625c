"""The committee: weights, saving and loading without anything that could run."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microcalc.committee.calibration import Calibration
from microcalc.committee.committee import Committee, ExpertShape
from microcalc.config import WaveletSettings
from microcalc.errors import RequestError
from microcalc.networks.hypermodel import build_network
from microcalc.training.committee_fit import learn_weights

SHAPES = (ExpertShape(2, 1, 0.0, "mean_centered"), ExpertShape(3, 2, 0.1, "raw"))
IMAGES = np.random.default_rng(0).random((5, 60, 60), dtype=np.float32)


@pytest.fixture(scope="module")
def committee() -> Committee:
    networks = tuple(build_network(**vars(shape), seed=number) for number, shape in enumerate(SHAPES))
    wavelet = WaveletSettings("sym3", 1.5)
    calibration = Calibration(1.5, -0.2)
    weights = np.array([0.25, 0.75])
    return Committee(networks, SHAPES, weights, calibration, 0.4, wavelet)


def test_a_saved_committee_predicts_the_same(committee: Committee, tmp_path: Path) -> None:
    committee.save(tmp_path)
    loaded = Committee.load(tmp_path)
    assert np.array_equal(loaded.predict_proba(IMAGES), committee.predict_proba(IMAGES))
    assert (loaded.threshold, loaded.highest_weight, loaded.wavelet) == (0.4, 1, committee.wavelet)


def test_the_committee_is_the_calibrated_weighted_average(committee: Committee) -> None:
    experts = committee.expert_probabilities(IMAGES)
    assert experts.shape == (5, 2)
    expected = committee.calibration.apply(0.25 * experts[:, 0] + 0.75 * experts[:, 1])
    assert np.allclose(committee.predict_proba(IMAGES), expected)


CHANGES = {
    "an older format": {"format": 1, "looks": "quarters", "films": []},
    "weights that do not sum to 1": {"weights": [0.9, 0.9]},
    "a missing weight": {"weights": [1.0]},
    "a negative weight": {"weights": [-0.5, 1.5]},
    "text for a number": {"threshold": "0.5"},
    "a calibration that turns round": {"calibration": {"slope": -1.0, "intercept": 0.0}},
    "an unknown filter": {"wavelet": {"name": "os.system", "threshold": 1.5}},
    "an expert too large to build": {"experts": [{"dim": 10**9, "depth": 1, "dropout": 0.0, "preprocessing": "raw"}]},
    "an expert of no filter": {"experts": [vars(SHAPES[0]), vars(SHAPES[1]) | {"dim": 0.5}]},
    "an unknown preprocessing": {"experts": [vars(SHAPES[0]), vars(SHAPES[1]) | {"preprocessing": None}]},
    "a layer of someone else": {"experts": [{"class_name": "Lambda", "config": {}}] * 2},
    "answers over 8 views, as an earlier version gave them": {"tta": "d4"},
    "another format": {"format": 3},
    "no experts": {"experts": []},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_crafted_description_is_refused(change, committee: Committee, tmp_path: Path) -> None:
    committee.save(tmp_path)
    path = tmp_path / "committee.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RequestError, match=r"committee\.json: .*; give a finished run or its committee/") as refused:
        Committee.load(tmp_path)
    assert "\n" not in str(refused.value)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_crafted_weights_cannot_run(committee: Committee, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    committee.save(tmp_path)
    (tmp_path / "expert_0.safetensors").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(RequestError, match=r"expert_0\.safetensors: is not a file of weights"):
        Committee.load(tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_weights_of_another_network_are_refused(committee: Committee, tmp_path: Path) -> None:
    committee.save(tmp_path)
    (tmp_path / "expert_0.safetensors").write_bytes((tmp_path / "expert_1.safetensors").read_bytes())
    with pytest.raises(RequestError, match="another network"):
        Committee.load(tmp_path)


@pytest.mark.parametrize("name", [".", "missing", "missing/committee.json"])
def test_a_missing_committee_is_no_error_of_json(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r": holds no committee; give a finished run or its committee/"):
        Committee.load(tmp_path / name)


def probabilities(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(30), 4)
    labels = (groups % 2).astype(np.int64)
    signal = labels[:, None] * np.array([2.0, 2.0, 0.0]) + generator.normal(size=(120, 3))
    return 1 / (1 + np.exp(-signal)), labels, groups


def test_learned_weights_sum_to_one_and_favour_the_experts_that_know() -> None:
    learned = learn_weights(*probabilities(), seed=0)
    assert learned.weights.sum() == pytest.approx(1) and (learned.weights > 0).all()
    assert learned.weights[2] < min(learned.weights[:2])


def test_experts_that_patches_do_not_tell_apart_weigh_the_same() -> None:
    values, labels, groups = probabilities()
    same = np.repeat(values[:, :1], 3, axis=1)
    np.testing.assert_allclose(learn_weights(same, labels, groups, seed=0).weights, 1 / 3)


def test_a_few_patches_do_not_let_one_expert_speak_for_all() -> None:
    values, labels, groups = probabilities()
    few = groups < 6
    learned = learn_weights(values[few, :2], labels[few], groups[few], seed=0)
    assert learned.weights.max() < 0.65


def test_a_committee_has_a_hash_and_is_equal_to_itself_alone(committee: Committee) -> None:
    assert {committee: "kept"}[committee] == "kept"
    assert committee == committee and committee != replace(committee)
