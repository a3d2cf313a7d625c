"""Devices: every tensor is made where its images or its network are, never on a default or a fixed device."""

import ast
import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import microcalc
from microcalc.committee.inference import predict
from microcalc.config import AugmentationSettings, TrainingSettings
from microcalc.data import Data
from microcalc.explain.gradcam import gradcam
from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import build_network
from microcalc.networks.layers import PREPROCESSINGS
from microcalc.training.committee_fit import learn_weights
from microcalc.training.loop import train

SOURCES = Path(microcalc.__file__).parent


def work(data: Data) -> list[np.ndarray]:
    """Train, predict, explain and weight, as a study does on the CPU."""
    keras.utils.set_random_seed(0)
    network = build_network(dim=2, depth=1, dropout=0.1)
    chosen = AugmentationSettings(p_dust=1.0, p_linear_structures=1.0, p_power_law_noise=1.0)
    curves = train(
        network, data.images, data.labels, settings=TrainingSettings(), augmentation=chosen, epochs=1, seed=0
    )
    probabilities = predict(network, data.images)
    votes = np.stack([probabilities, 1 - probabilities], axis=1)
    weights = learn_weights(votes, data.labels, data.groups, seed=0).weights
    return [np.array(curves.loss), probabilities, gradcam(network, data.images[:2]), np.asarray(weights)]


def test_no_tensor_is_made_on_the_default_device(phantom: Data) -> None:
    few = phantom.select(np.arange(0, len(phantom), 7))
    expected = work(few)
    with torch.device("meta"):  # a tensor that is made here without a device has no values
        found = work(few)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(PREPROCESSINGS))
def test_preprocessing_stays_on_the_device_of_its_patches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which meta does not have
    preprocessing: Callable[[torch.Tensor], torch.Tensor] = PREPROCESSINGS[name]
    assert preprocessing(torch.zeros(2, 1, 60, 60, device="meta")).device.type == "meta"


def test_one_function_asks_for_a_graphics_card() -> None:
    asking = set()
    texts = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")]
    for text in texts:
        for node in ast.walk(ast.parse(text if "is_available" in text else "")):
            if isinstance(node, ast.FunctionDef) and "cuda.is_available" in ast.unparse(node):
                asking.add(node.name)
    assert asking == {"choose_device"}
