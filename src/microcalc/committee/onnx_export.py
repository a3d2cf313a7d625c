"""The committee as one ONNX model (https://onnx.ai), for programs without Python, and for onnxruntime."""

import importlib
import json
import logging
import warnings
from typing import Any

import torch
from torch import Tensor

from microcalc import __version__
from microcalc.committee.calibration import SMALLEST_PROBABILITY
from microcalc.committee.committee import Committee
from microcalc.errors import RequestError, extra_needed
from microcalc.images.tiles import PATCH_SIDE
from microcalc.networks.hypermodel import logit_model

OPSET = 18
INPUT = (
    "patches: (n, 60, 60) float32, raw grey values in [0, 1], 0 black and 1 white, at 85 um a pixel; an image of "
    "another pixel size must be resampled to 85 um first, and a larger one cut into patches"
)


def committee_onnx(committee: Committee) -> bytes:
    """Write a committee as an ONNX model: preprocessing, experts, weights and calibration in one graph.

    The model takes ``patches`` (n, 60, 60) float32, raw grey values in [0, 1] at 85 um a pixel, and gives
    ``probability`` (n,), the calibrated probability of a cluster, and ``expert_probabilities`` (n, experts), both
    float32. Its metadata hold ``input``, ``threshold``, ``weights``, ``calibration`` and the version of microcalc.

    Returns:
        A file's content, for onnxruntime or any other program that reads ONNX.

    Raises:
        RequestError: the committee filters patches in the wavelet domain, or a package of the extra is not installed.
    """
    if committee.wavelet.name != "none":
        raise RequestError(
            f"this committee filters patches by the wavelet {committee.wavelet.name}, which an ONNX graph cannot hold; "
            "give a committee of a study without a wavelet filter"
        )
    onnx = require("onnx")
    require("onnxscript")
    example = torch.zeros(2, PATCH_SIDE, PATCH_SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own internals
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Probabilities(committee).eval(),
            (example,),
            input_names=["patches"],
            output_names=["probability", "expert_probabilities"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name, model.producer_version, model.doc_string = "microcalc", __version__, INPUT
    onnx.helper.set_model_props(model, _metadata(committee))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class _Probabilities(torch.nn.Module):
    """A committee as one PyTorch module, from raw patches to probabilities."""

    def __init__(self, committee: Committee) -> None:
        super().__init__()
        self.experts = torch.nn.ModuleList([logit_model(network) for network in committee.networks])
        self.committee, self.weights = committee, torch.tensor(committee.weights)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        images = patches.unsqueeze(1)
        outputs = [expert(images, training=False)[:, 0].double() for expert in self.experts]
        experts = torch.stack(outputs, dim=1).sigmoid()
        average = (experts * self.weights).sum(1).clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        logits = (average / (1 - average)).log()
        calibration = self.committee.calibration
        probability = (calibration.slope * logits + calibration.intercept).sigmoid()
        return probability.float(), experts.float()


def require(package: str) -> Any:
    """Import a package of the extra ``onnx``.

    Raises:
        RequestError: it is not installed.

    >>> require("no_such_package")
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: the package no_such_package is missing; install it: pip install ".[onnx]"
    """
    with extra_needed("onnx"):
        return importlib.import_module(package)


def _metadata(committee: Committee) -> dict[str, str]:
    return {
        "input": INPUT,
        "threshold": repr(committee.threshold),
        "weights": json.dumps(committee.weights.tolist()),
        "calibration": json.dumps(vars(committee.calibration)),
        "microcalc": __version__,
    }
