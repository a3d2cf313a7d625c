"""The ONNX graph computes what the committee computes."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from microcalc.cli import main
from microcalc.committee.calibration import Calibration
from microcalc.committee.committee import Committee, ExpertShape
from microcalc.committee.onnx_export import committee_onnx
from microcalc.config import WaveletSettings
from microcalc.errors import RequestError
from microcalc.networks.hypermodel import build_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

NOISE = np.random.default_rng(0).random((7, 60, 60), dtype=np.float32)
BLURRED = [ndimage.gaussian_filter(patch, blur) for patch, blur in zip(NOISE, range(7), strict=True)]
PATCHES = np.stack([(patch - patch.min()) / np.ptp(patch) for patch in BLURRED])


def committee(**more: Any) -> Committee:
    """An expert of each preprocessing, whose every weight is drawn, with gammas of both signs, as after a training."""
    kinds = ("raw", "mean_centered", "raw+high_pass", "raw+contrast_normalized")
    shapes = tuple(ExpertShape(3 + i % 2, 1 + i % 3, 0.1, kind) for i, kind in enumerate(kinds))
    networks = tuple(build_network(**vars(shape)) for shape in shapes)
    random = np.random.default_rng(1)
    for variable in (variable for network in networks for variable in network.weights):
        drawn = random.normal(0, np.prod(variable.shape[:-1]) ** -0.5 if len(variable.shape) > 1 else 1, variable.shape)
        variable.assign(np.abs(drawn) + 0.2 if variable.name == "moving_variance" else drawn)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    made = Committee(networks, shapes, weights, Calibration(1.3, -0.4), 0.41, WaveletSettings("none"))
    return replace(made, **more)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of the file that the command line makes."""
    folder = tmp_path_factory.mktemp("export")
    committee().save(folder / "committee")
    main(["export", "--onnx", str(folder / "c.onnx"), "--committee", str(folder / "committee")])
    return (folder / "c.onnx").read_bytes()


def answers(content: bytes, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["expert_probabilities", "probability"], {"patches": images})


def test_the_model_gives_what_pytorch_gives(model: bytes) -> None:
    made = committee()
    experts, probabilities = answers(model, PATCHES)
    np.testing.assert_allclose(experts, made.expert_probabilities(PATCHES), atol=1e-5)
    np.testing.assert_allclose(probabilities, made.predict_proba(PATCHES), atol=1e-5)
    assert (np.ptp(experts, axis=0) > 1e-3).all()


def test_a_patch_gets_the_same_answer_alone_and_among_others(model: bytes) -> None:
    together, _ = answers(model, np.tile(PATCHES, (10, 1, 1)))
    alone = [answers(model, patch[None])[0][0] for patch in PATCHES]
    np.testing.assert_allclose(np.tile(alone, (10, 1)), together, atol=1e-6)


def test_the_model_says_what_it_takes_and_at_which_threshold_it_decides(model: bytes) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert float(metadata["threshold"]) == 0.41
    assert metadata["weights"] == "[0.1, 0.2, 0.3, 0.4]"
    assert "(n, 60, 60) float32" in metadata["input"] and "85 um" in session.get_modelmeta().description
    assert [(put.name, put.shape) for put in session.get_inputs()] == [("patches", ["n", 60, 60])]
    assert [put.name for put in session.get_outputs()] == ["probability", "expert_probabilities"]


def test_a_committee_with_a_wavelet_filter_is_refused() -> None:
    with pytest.raises(RequestError, match=r"wavelet sym3.*without a wavelet filter"):
        committee_onnx(committee(wavelet=WaveletSettings("sym3")))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RequestError, match=r"the package onnx is missing; install it"):
        committee_onnx(committee())
