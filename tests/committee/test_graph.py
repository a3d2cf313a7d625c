"""The ONNX graph computes what the committee computes."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from scipy import ndimage

from microcalc.committee.calibration import Calibration
from microcalc.committee.committee import Committee, ExpertShape
from microcalc.committee.graph import GraphSession, committee_graph
from microcalc.config import Looks, WaveletSettings
from microcalc.data import Data
from microcalc.errors import RequestError
from microcalc.networks.backend import keras
from microcalc.networks.film import Film
from microcalc.networks.hypermodel import build_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NOISE = np.random.default_rng(0).random((7, 60, 60), dtype=np.float32)
BLURRED = [ndimage.gaussian_filter(patch, blur) for patch, blur in zip(NOISE, range(7), strict=True)]
PATCHES = np.stack([(patch - patch.min()) / np.ptp(patch) for patch in BLURRED])


def committee(scaling: str = "detail", **more: Any) -> Committee:
    """Two experts whose every weight is drawn, with gammas of both signs, as after a training."""
    shapes = (ExpertShape(3, 1, 0.0, scaling), ExpertShape(4, 3, 0.1, scaling))
    networks = tuple(build_network(**vars(shape)) for shape in shapes)
    random = np.random.default_rng(1)
    for variable in (variable for network in networks for variable in network.weights):
        drawn = random.normal(0, np.prod(variable.shape[:-1]) ** -0.5 if len(variable.shape) > 1 else 1, variable.shape)
        variable.assign(np.abs(drawn) + 0.2 if variable.name == "moving_variance" else drawn)
    calibration = Calibration(1.3, -0.4)
    weights, wavelet = np.array([0.3, 0.7]), WaveletSettings("none")
    films = (Film(0.2, 0.5), Film(1.0, 1.5))
    made = Committee(networks, shapes, weights, calibration, 0.41, wavelet, looks="quarters", films=films)
    return replace(made, **more)


@pytest.mark.parametrize("looks", get_args(Looks))
@pytest.mark.parametrize("scaling", ["unit", "centred", "detail", "normalized", "unit+detail", "unit+normalized"])
def test_the_graph_gives_what_pytorch_gives(scaling: str, looks: Looks) -> None:
    made = committee(scaling, looks=looks)
    probabilities, experts = GraphSession(committee_graph(made)).predict(PATCHES)
    np.testing.assert_allclose(experts, made.expert_probabilities(PATCHES), atol=1e-5)
    np.testing.assert_allclose(probabilities, made.predict_proba(PATCHES), atol=1e-5)
    assert (np.ptp(experts, axis=0) > 1e-3).all()


def test_a_patch_is_judged_alike_alone_and_among_others() -> None:
    session = GraphSession(committee_graph(committee()))
    together = session.predict(PATCHES)[0]
    alone = [session.predict(patch[None])[0][0] for patch in PATCHES]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_every_infn_patch_gets_the_same_probability(shared_data: Path) -> None:
    data = Data.load("infn", archive=shared_data / "DL_class_data.tar.gz")
    made = committee(looks="one")
    probabilities, experts = GraphSession(committee_graph(made)).predict(data.images)
    np.testing.assert_allclose(experts, made.expert_probabilities(data.images), atol=1e-5)
    np.testing.assert_allclose(probabilities, made.predict_proba(data.images), atol=1e-5)


def test_the_graph_tells_the_threshold_and_takes_raw_patches() -> None:
    session = onnxruntime.InferenceSession(committee_graph(committee()), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert float(told["threshold"]) == 0.41
    assert told["weights"] == "[0.3, 0.7]"
    assert [(put.name, put.shape) for put in session.get_inputs()] == [("patches", ["n", 60, 60])]
    assert [put.name for put in session.get_outputs()] == ["probability", "expert_probabilities"]


def test_a_committee_with_a_wavelet_filter_is_refused() -> None:
    with pytest.raises(RequestError, match=r"wavelet sym3.*--engine torch"):
        committee_graph(committee(wavelet=WaveletSettings("sym3")))


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RequestError, match=r"pip install \"microcalc\[onnx\]\""):
        committee_graph(committee())


def test_a_layer_without_counterpart_is_refused() -> None:
    strange = SimpleNamespace(layers=[None, keras.layers.UpSampling2D(name="enlarge"), None])
    with pytest.raises(RequestError, match="enlarge of an expert has no ONNX counterpart"):
        committee_graph(committee(networks=(strange,), films=(Film(0.0, 1.0),)))
