"""Grad-CAM: right to finite differences, quiet about its gradients, and evaluated on known masks."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from microcalc.config import GradcamMethod
from microcalc.data.phantom import make_phantom
from microcalc.errors import RequestError
from microcalc.explain.drawing import overlay
from microcalc.explain.gradcam import gradcam
from microcalc.explain.methods import METHODS
from microcalc.explain.pointing_game import peaks, pointing_game_accuracy
from microcalc.networks.hypermodel import build_network

LAYERS = ("convolution_1", "pool_1", "convolution_2", "pool_2", "convolution_3", "pool_3")


@pytest.fixture(scope="module")
def network() -> Any:
    """A network of random weights, all of them: a fresh start has biases of 0 and plain batch normalisation."""
    network = build_network(dim=2, depth=2, dropout=0.1)
    random = np.random.default_rng(5)
    shapes = [value.shape for value in network.get_weights()]
    network.set_weights(
        [random.normal(0, np.prod(s[:-1]) ** -0.5, s) if len(s) > 1 else random.uniform(0.2, 1, s) for s in shapes]
    )
    return network


@pytest.fixture(scope="module")
def patches() -> NDArray[np.float32]:
    return make_phantom(patients=4, patches_per_patient=2, seed=0)[0]


class Reference:
    """The same network, written anew in float64 from its weights alone."""

    def __init__(self, network: Any) -> None:
        values = {variable.path: variable.value.detach().double() for variable in network.variables}
        self.weights = {"/".join(path.split("/")[-2:]): value for path, value in values.items()}

    def convolve(self, images: Tensor, layer: str) -> Tensor:
        kernel = self.weights[f"{layer}/kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(images, kernel, self.weights[f"{layer}/bias"], padding=1).clamp(0)

    def normalize_pool(self, features: Tensor, layer: str) -> Tensor:
        gamma, beta, mean, variance = (
            self.weights[f"{layer.replace('pool', 'normalization')}/{name}"][:, None, None]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return functional.max_pool2d((features - mean) / torch.sqrt(variance + 1e-3) * gamma + beta, 2)

    def features(self, patch: NDArray[np.float32], layer: str) -> Tensor:
        """(1, c, h, w) maps that leave a layer."""
        images = torch.from_numpy(patch).double()[None, None]
        return self.run(images - images.mean(), LAYERS[: LAYERS.index(layer) + 1])

    def logits(self, features: Tensor, layer: str) -> Tensor:
        """Logits of (n, c, h, w) maps that leave a layer."""
        values = self.run(features, LAYERS[LAYERS.index(layer) + 1 :]).flatten(1)
        for dense in (1, 2):
            values = (values @ self.weights[f"dense_{dense}/kernel"] + self.weights[f"dense_{dense}/bias"]).clamp(0)
        return (values @ self.weights["logit/kernel"] + self.weights["logit/bias"])[:, 0]

    def run(self, images: Tensor, layers: Sequence[str]) -> Tensor:
        for layer in layers:
            images = (self.convolve if "convolution" in layer else self.normalize_pool)(images, layer)
        return images

    def slopes(self, features: Tensor, layer: str, step: float = 1e-6) -> Tensor:
        """The derivative of the logit with respect to each element of (1, c, h, w) feature maps.

        By central differences; after ReLU, where many pixels of a pooling window are equal, by the reference itself.
        """
        if layer.startswith("convolution"):
            features = features.clone().requires_grad_()
            return torch.autograd.grad(self.logits(features, layer).sum(), features)[0]
        slopes = []
        for nudges in torch.eye(features.numel(), dtype=torch.float64).mul(step).split(300):
            nudges = nudges.reshape(-1, *features.shape[1:])
            above, below = self.logits(features + nudges, layer), self.logits(features - nudges, layer)
            slopes.append((above - below) / (2 * step))
        return torch.cat(slopes).reshape(features.shape)


@pytest.mark.parametrize(("method", "layer"), [("gradcam", "convolution_3"), ("hirescam", "pool_2")])
def test_a_map_equals_the_one_from_finite_differences_of_the_logit(
    network: Any, patches: NDArray[np.float32], method: GradcamMethod, layer: str
) -> None:
    reference = Reference(network)
    maps = gradcam(network, patches, method=method)
    chosen = maps.any((1, 2)).argmax()
    assert maps[chosen].any(), "a map of zeros proves nothing"
    features = reference.features(patches[chosen], layer)
    slopes = reference.slopes(features, layer)
    if method == "gradcam":
        slopes = slopes.mean((2, 3), keepdim=True)
    coarse = (slopes * features).sum(1, keepdim=True).clamp(0)
    expected = functional.interpolate(coarse, (60, 60), mode="bilinear")[0, 0]
    np.testing.assert_allclose(maps[chosen], expected / expected.max(), atol=1e-4)


def test_target_predicted_explains_the_other_class_where_a_patch_is_called_normal(
    network: Any, patches: NDArray[np.float32]
) -> None:
    network.get_layer("logit").bias.assign([-100.0])
    normal = gradcam(network, patches, target="predicted")
    network.get_layer("logit").bias.assign([100.0])
    cluster = gradcam(network, patches, target="predicted")
    network.get_layer("logit").bias.assign([0.0])
    np.testing.assert_array_equal(cluster, gradcam(network, patches, target="positive"))
    assert normal.any() and cluster.any()
    assert (peaks(normal) != peaks(cluster)).any(1).all()


def test_maps_are_in_the_unit_range_and_do_not_depend_on_the_batches(
    network: Any, patches: NDArray[np.float32]
) -> None:
    maps = gradcam(network, patches)
    assert maps.shape == patches.shape and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() == 1
    np.testing.assert_allclose(gradcam(network, patches, batch_size=3), maps, atol=1e-5)


def test_a_patch_where_nothing_speaks_for_a_cluster_has_a_map_of_zeros(network: Any) -> None:
    silent = build_network(dim=2, depth=1, dropout=0.0)
    silent.set_weights([np.zeros_like(value) for value in silent.get_weights()])
    assert not gradcam(silent, np.ones((2, 60, 60), np.float32)).any()


def test_explaining_leaves_no_gradient_and_no_weight_changed(network: Any, patches: NDArray[np.float32]) -> None:
    before = [value.copy() for value in network.get_weights()]
    with torch.no_grad():
        gradcam(network, patches)
        assert not torch.is_grad_enabled()
    assert all(variable.value.grad is None for variable in network.variables)
    for value, other in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)


def test_what_gradcam_cannot_explain_is_refused_in_one_line(network: Any) -> None:
    with pytest.raises(RequestError, match="shape"):
        gradcam(network, np.zeros((60, 60), np.float32))
    with pytest.raises(RequestError, match="target"):
        gradcam(network, np.zeros((1, 60, 60), np.float32), target="negative")  # type: ignore[arg-type]


def test_hits_are_counted_to_the_margin_and_silent_maps_and_empty_masks_are_misses() -> None:
    maps, masks = np.zeros((4, 20, 20), np.float32), np.zeros((4, 20, 20), bool)
    maps[:3, 10, 10] = 1
    masks[0, 10, 12] = True  # 2 pixels away
    masks[1, 12, 12] = True  # 2.8 pixels away
    masks[3, 0, 0] = True  # where an all-zero map has its first maximum
    assert pointing_game_accuracy(maps, masks) == 0.25
    assert pointing_game_accuracy(maps, masks, margin=3) == 0.5
    with pytest.raises(RequestError, match="masks must be one for each map"):
        pointing_game_accuracy(maps, masks[:2])


def test_overlays_take_file_names_that_look_like_mathematics(patches: NDArray[np.float32]) -> None:
    hostile = r"$\frac{a$.png"
    heat = np.zeros((60, 60), np.float32)
    overlay(patches[0], heat, 0.5, name=hostile).draw_without_rendering()


def test_every_method_of_the_settings_is_there() -> None:
    assert set(METHODS) == set(get_args(GradcamMethod))
