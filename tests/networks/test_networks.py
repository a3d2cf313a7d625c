"""The network computes what the same network of stock Keras layers computes."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from microcalc.committee.inference import predict
from microcalc.errors import RequestError
from microcalc.networks import backend
from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import build_network, computing_in, logit_model
from microcalc.networks.layers import Dropout, Preprocessing

PATCHES = np.random.default_rng(0).random((6, 60, 60), np.float32)


def stock_network(dim: int, depth: int) -> "keras.Model":
    """The network of stock layers alone, before its sigmoid and without dropout."""
    layers = [keras.Input((1, 60, 60))]
    for filters in (dim, 2 * dim, 4 * dim):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu", data_format="channels_first"),
            keras.layers.BatchNormalization(axis=1, momentum=0.9),
            keras.layers.MaxPooling2D(data_format="channels_first"),
        ]
    layers += [keras.layers.Flatten()]
    layers += [keras.layers.Dense(256 // i, "relu") for i in range(1, depth + 1)]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


def twins(dim: int = 4, depth: int = 2) -> "tuple[keras.Model, keras.Model]":
    """Our network and the stock one with the same weights, drawn so that half of the gammas are negative."""
    ours, stock = build_network(dim, depth, 0.0, "raw"), stock_network(dim, depth)
    rng = np.random.default_rng(1)
    for weight in ours.weights:
        if weight.name in ("gamma", "beta", "bias", "moving_mean"):
            weight.assign(rng.normal(0, 0.5, weight.shape))
        if weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2, weight.shape))
    stock.set_weights(ours.get_weights())
    return ours, stock


def test_predictions_equal_those_of_stock_layers():
    ours, stock = twins()
    expected = torch.sigmoid(stock(torch.from_numpy(PATCHES).unsqueeze(1), training=False))[:, 0]
    np.testing.assert_allclose(predict(ours, PATCHES), expected.detach().numpy(), atol=1e-5)


def test_calling_the_model_gives_what_predict_gives():
    network = build_network(3, 2, 0.1)
    called = network(torch.from_numpy(PATCHES).unsqueeze(1))[:, 0].detach().numpy()
    np.testing.assert_allclose(predict(network, PATCHES), called, atol=1e-6)


def test_gradients_and_moving_statistics_equal_those_of_stock_layers():
    ours, stock = twins()
    ours.get_layer("dropout_flat").rate = 0
    images, labels = torch.from_numpy(PATCHES).unsqueeze(1), torch.tensor([0.0, 1, 0, 1, 1, 0])
    losses = []
    for output in (logit_model(ours)(images, training=True), stock(images, training=True)):
        losses.append(functional.binary_cross_entropy_with_logits(output[:, 0], labels))
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(ours.trainable_weights, stock.trainable_weights, strict=True):
        torch.testing.assert_close(mine.value.grad, theirs.value.grad, rtol=1e-2, atol=1e-3)
    for mine, theirs in zip(ours.non_trainable_weights, stock.non_trainable_weights, strict=True):
        torch.testing.assert_close(mine.value, theirs.value, rtol=1e-3, atol=1e-4)  # PyTorch's variance is unbiased


def test_in_bfloat16_the_network_stays_close_and_comes_back_to_float32():
    network = build_network(4, 1, 0.0, "raw+contrast_normalized")
    exact = predict(network, PATCHES)
    with computing_in(network, "bfloat16"):
        rounded = predict(network, PATCHES)
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.02)
    assert np.array_equal(predict(network, PATCHES), exact)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.8])
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_dropout_keeps_and_scales_a_share_everywhere_alike(rate, form):
    inputs = torch.full((25, 8, 30, 50), 3.0).contiguous(memory_format=form).requires_grad_()
    torch.manual_seed(0)
    outputs = Dropout(rate)(inputs, training=True)
    outputs.sum().backward()
    kept = outputs > 0
    torch.testing.assert_close(outputs, torch.where(kept, 3 / (1 - rate), 0.0))
    torch.testing.assert_close(inputs.grad, outputs.detach() / 3)
    spread = (rate * (1 - rate)) ** 0.5
    for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)):
        share = kept.float().mean(axes)
        assert (share - (1 - rate)).abs().max() < 4.5 * spread / (kept.numel() / len(share)) ** 0.5
    neighbours = (kept[..., 1:] ^ kept[..., :-1]).float().mean()
    assert abs(neighbours - 2 * rate * (1 - rate)) < 0.01
    assert not torch.equal(kept, Dropout(rate)(inputs, training=True) > 0)
    assert torch.equal(Dropout(rate)(inputs, training=False), inputs)


def test_the_architecture_follows_the_hyperparameters():
    network = build_network(dim=5, depth=3, dropout=0.1)
    shapes = [tuple(weight.shape) for weight in network.trainable_weights if weight.name == "kernel"]
    assert shapes == [(3, 3, 1, 5), (3, 3, 5, 10), (3, 3, 10, 20), (980, 256), (256, 128), (128, 85), (85, 1)]
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.1, 0.1, 0.1, 0.2]


def test_the_start_follows_the_seed_whatever_was_drawn_before():
    first = build_network(2, 1, 0.0, seed=2**31 - 1).get_weights()
    torch.rand(5)
    again, other = (
        build_network(2, 1, 0.0, seed=2**31 - 1).get_weights(),
        build_network(2, 1, 0.0, seed=1).get_weights(),
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_mean_centered_network_does_not_see_brightness():
    network = build_network(4, 1, 0.0, preprocessing="mean_centered")
    np.testing.assert_allclose(predict(network, PATCHES), predict(network, PATCHES + 0.3), atol=1e-5)


def test_high_pass_is_what_a_gaussian_blur_leaves_out():
    images = np.random.default_rng(0).random((2, 60, 60), dtype=np.float32)
    blurred = ndimage.gaussian_filter(images, (0, 6, 6), mode="mirror", truncate=3)
    detail = Preprocessing("high_pass")(torch.from_numpy(images).unsqueeze(1))
    np.testing.assert_allclose(detail.squeeze(1), 20 * (images - blurred), atol=1e-4)


def test_contrast_normalization_hardly_changes_with_the_contrast_of_a_rough_patch():
    smooth = np.random.default_rng(0).normal(0.5, 0.001, (1, 1, 60, 60))
    spots = np.zeros_like(smooth)
    spots[:, :, 10:50:10, 10:50:10] = 0.2

    def strongest(patches):
        return float(Preprocessing("contrast_normalized")(torch.from_numpy(patches.astype(np.float32))).max())

    rough = 0.5 + 40 * (smooth - 0.5)
    assert strongest(0.5 + 2 * (rough - 0.5)) < 1.3 * strongest(rough)
    assert strongest(smooth + 2 * spots) > 1.7 * strongest(smooth + spots)
    assert strongest(smooth + spots) > 2 * strongest(rough + spots)


def test_contrast_normalization_of_usual_texture_is_the_high_pass():
    patches = torch.from_numpy(PATCHES).unsqueeze(1)
    detail = Preprocessing("high_pass")(patches)
    texture = detail.abs().sqrt().mean((1, 2, 3), keepdim=True) ** 2
    usual = patches * (0.2 / texture)
    torch.testing.assert_close(
        Preprocessing("contrast_normalized")(usual), Preprocessing("high_pass")(usual), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("second", ["high_pass", "contrast_normalized"])
def test_two_inputs_are_two_channels(second):
    patches, both = torch.from_numpy(PATCHES).unsqueeze(1), f"raw+{second}"
    scaled = Preprocessing(both)(patches)
    assert torch.equal(scaled[:, :1], patches) and torch.equal(scaled[:, 1:], Preprocessing(second)(patches))
    assert build_network(2, 1, 0.0, both).get_layer("preprocessing").output.shape == (None, 2, 60, 60)


@pytest.mark.parametrize("kind", ["raw", "high_pass", "raw+contrast_normalized"])
def test_channels_of_a_pixel_lie_side_by_side_in_every_feature_map(kind):
    network = build_network(dim=3, depth=1, dropout=0.1, preprocessing=kind)
    maps = keras.Model(network.inputs, [network.get_layer(f"dropout_{block}").output for block in (1, 2, 3)])
    for feature_map in maps(torch.tensor(PATCHES).unsqueeze(1), training=True):
        assert feature_map.stride(1) == 1


def test_an_unknown_preprocessing_is_refused():
    with pytest.raises(
        RequestError,
        match=r"raw, mean_centered, high_pass, contrast_normalized, or two joined by \+: got loud",
    ):
        Preprocessing("loud")


def test_a_network_comes_back_from_its_configuration_and_weights(tmp_path):
    network = build_network(3, 2, 0.05)
    network.save_weights(tmp_path / "expert.weights.h5")
    again = type(network).from_config(network.get_config())
    again.load_weights(tmp_path / "expert.weights.h5")
    assert np.array_equal(predict(again, PATCHES), predict(network, PATCHES))


def test_keras_on_another_backend_is_refused(monkeypatch):
    other = types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setitem(backend.sys.modules, "keras", other)
    with pytest.raises(RequestError, match=r"tensorflow backend.*KERAS_BACKEND=torch"):
        backend._refuse_another_backend()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another OpenMP, which may tell nothing")
@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}], ids=["by default", "chosen"])
def test_waiting_threads_leave_the_cores_to_others_unless_the_user_chose(own):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", "import microcalc.committee.inference"]
    told = subprocess.run(
        command, env={**environment, "OMP_DISPLAY_ENV": "TRUE", **own}, capture_output=True, text=True, check=True
    ).stderr
    assert f"OMP_WAIT_POLICY = '{own.get('OMP_WAIT_POLICY', 'PASSIVE')}'" in told
