"""The network computes what the same network of stock Keras layers computes."""

import types

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import expit, logit
from torch.nn import functional

from microcalc.committee.inference import drawn_to_quarters, predict, views
from microcalc.errors import RequestError
from microcalc.networks import backend
from microcalc.networks.backend import keras
from microcalc.networks.film import Film, coarseness
from microcalc.networks.hypermodel import build_network, logits
from microcalc.networks.layers import Dropout, InputScaling, _convolve_strips, _rectify_pool, _RectifyNormalizePool

PATCHES = np.random.default_rng(0).random((6, 60, 60), np.float32)


def stock_network(dim: int, depth: int) -> "keras.Model":
    """The network as the issue words it, of stock layers alone, before its sigmoid and without dropout."""
    layers = [keras.Input((60, 60, 1))]
    for filters in (dim, 2 * dim, 4 * dim):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.MaxPooling2D(),
        ]
    layers += [keras.layers.Flatten()]
    layers += [keras.layers.Dense(256 // i, "relu") for i in range(1, depth + 1)]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


def twins(dim: int = 4, depth: int = 2) -> "tuple[keras.Model, keras.Model]":
    """Our network and the stock one with the same weights, drawn so that half of the gammas are negative."""
    ours, stock = build_network(dim, depth, 0.0, input_scaling="unit"), stock_network(dim, depth)
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
    expected = torch.sigmoid(stock(torch.from_numpy(PATCHES).unsqueeze(-1), training=False))[:, 0]
    np.testing.assert_allclose(predict(ours, PATCHES), expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_pooling_that_is_not_differentiated_gives_what_the_differentiated_one_gives(sign):
    images, gamma = torch.randn(2, 5, 6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, sign, 2.0])
    expected = _rectify_pool(images.clone().requires_grad_(), gamma).detach()
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(_rectify_pool(images.to(dtype), gamma), expected.to(dtype))


def test_calling_the_model_gives_what_predict_gives():
    network = build_network(3, 2, 0.1)
    called = network(torch.from_numpy(PATCHES).unsqueeze(-1))[:, 0].detach().numpy()
    np.testing.assert_allclose(predict(network, PATCHES), called, atol=1e-6)


@pytest.fixture
def in_float64():
    """Networks built meanwhile are in float64, so that rounding changes neither a ReLU nor a maximum."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def test_gradients_and_moving_statistics_equal_those_of_stock_layers(in_float64):
    ours, stock = twins()
    ours.get_layer("dropout_flat").rate = 0
    images, labels = torch.from_numpy(PATCHES).double().unsqueeze(-1), torch.tensor([0.0, 1, 0, 1, 1, 0]).double()
    losses = []
    for output in (logits(ours, training=True)(images), stock(images, training=True)):
        losses.append(functional.binary_cross_entropy_with_logits(output[:, 0], labels))
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-6, atol=1e-6)  # stock normalisation has float32 in it
    for mine, theirs in zip(ours.trainable_weights, stock.trainable_weights, strict=True):
        torch.testing.assert_close(mine.value.grad, theirs.value.grad, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(ours.non_trainable_weights, stock.non_trainable_weights, strict=True):
        torch.testing.assert_close(mine.value, theirs.value, rtol=1e-5, atol=1e-6)


def stock_block(images: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """ReLU, batch normalisation and pooling by PyTorch's own functions."""
    rectified = functional.relu(images.movedim(-1, 1))
    normalized = functional.batch_norm(rectified, None, None, gamma, beta, training=True, eps=1e-3)
    return functional.max_pool2d(normalized, 2).movedim(1, -1)


def block_arguments(*shape: int, dtype: torch.dtype = torch.float64) -> "tuple[torch.Tensor, ...]":
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(*shape, dtype=dtype, generator=generator)
    gamma, beta = torch.randn(2, shape[-1], dtype=dtype, generator=generator).unbind()
    return images.requires_grad_(), gamma.requires_grad_(), beta.requires_grad_()


@pytest.mark.parametrize("shape", [(3, 6, 8, 4), (2, 5, 7, 3), (1, 2, 2, 2)])
def test_the_fused_block_has_the_derivatives_of_its_own_output(shape):
    arguments = block_arguments(*shape)
    assert torch.autograd.gradcheck(lambda *given: _RectifyNormalizePool.apply(*given, 1e-3)[0], arguments)


@pytest.mark.parametrize("shape", [(3, 6, 8, 4), (2, 5, 7, 3), (40, 60, 60, 5)])
def test_the_fused_block_equals_pytorch_functions(shape):
    arguments = block_arguments(*shape)
    ours, expected = _RectifyNormalizePool.apply(*arguments, 1e-3)[0], stock_block(*arguments)
    torch.testing.assert_close(ours, expected)
    incoming = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(
        torch.autograd.grad(ours, arguments, incoming), torch.autograd.grad(expected, arguments, incoming), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_in_bfloat16_the_fused_block_stays_close_to_float64():
    images, gamma, beta = block_arguments(8, 30, 30, 6)
    coarse = images.detach().bfloat16().requires_grad_()
    singles = gamma.detach().float().requires_grad_(), beta.detach().float().requires_grad_()
    exact = coarse.detach().double().requires_grad_(), gamma, beta
    ours, expected = _RectifyNormalizePool.apply(coarse, *singles, 1e-3)[0], stock_block(*exact)
    torch.testing.assert_close(ours.double(), expected, rtol=2e-2, atol=2e-2)
    incoming = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    mine = torch.autograd.grad(ours, (coarse, *singles), incoming)
    theirs = torch.autograd.grad(expected, exact, incoming.double())
    for gradient, truth in zip(mine[1:], theirs[1:], strict=True):
        torch.testing.assert_close(gradient.double(), truth, rtol=2e-2, atol=2e-2 * truth.abs().max().item())
    # where values of a window are equal in bfloat16, either may have been taken: compare windows
    windows, true_windows = (
        functional.avg_pool2d(gradient.double().movedim(-1, 1), 2) for gradient in (mine[0], theirs[0])
    )
    torch.testing.assert_close(windows, true_windows, rtol=2e-2, atol=2e-2 * true_windows.abs().max().item())


@pytest.mark.parametrize("gamma", [1.0, -1.0])
def test_of_equal_pixels_the_first_alone_gets_the_gradient(gamma):
    images = torch.ones(1, 2, 4, 1, dtype=torch.float64)
    images[0, :, 2:] = 2
    images.requires_grad_()
    normalized = _RectifyNormalizePool.apply(images, torch.tensor([gamma]).double(), torch.zeros(1).double(), 1e-3)[0]
    (gradient,) = torch.autograd.grad(normalized, images, torch.tensor([[[[1.0], [1.0]]]]).double())
    others = gradient[0, :, :, 0].reshape(-1)[[1, 4, 5]]
    assert torch.unique(others).numel() == 1
    assert gradient[0, 0, 0, 0] != others[0]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_strip_convolution_equals_pytorch_convolution(channels):
    images, bias = block_arguments(2, 7, 20, channels)[0], torch.arange(5.0).double()
    kernel = torch.randn(3, 3, channels, 5, generator=torch.Generator().manual_seed(0)).double()
    ours = _convolve_strips(images, kernel, bias)
    expected = functional.conv2d(images.movedim(-1, 1), kernel.permute(3, 2, 0, 1), bias, padding=1)
    torch.testing.assert_close(ours, expected.movedim(1, -1))


def test_dropout_drops_its_share_keeps_the_mean_and_follows_the_seed():
    layer, values = Dropout(0.25), torch.ones(101, 999)
    torch.manual_seed(0)
    first = layer(values, training=True)
    second = layer(values, training=True)
    torch.manual_seed(0)
    assert torch.equal(layer(values, training=True), first)
    assert not torch.equal(first, second)
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert first.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(layer(values, training=False), values)


def test_the_architecture_follows_the_hyperparameters():
    network = build_network(dim=5, depth=3, dropout=0.1)
    shapes = [tuple(weight.shape) for weight in network.trainable_weights if weight.name == "kernel"]
    assert shapes == [(3, 3, 1, 5), (3, 3, 5, 10), (3, 3, 10, 20), (980, 256), (256, 128), (128, 85), (85, 1)]
    assert [layer.rate for layer in network.layers if isinstance(layer, Dropout)] == [0.1, 0.1, 0.1, 0.2]


def test_the_start_follows_the_seed_whatever_was_drawn_before():
    first = build_network(2, 1, 0.0, seed=2**31 - 1).get_weights()
    torch.rand(5)
    again, other = (
        build_network(2, 1, 0.0, seed=2**31 - 1).get_weights(),
        build_network(2, 1, 0.0, seed=1).get_weights(),
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_a_centred_network_does_not_see_brightness():
    network = build_network(4, 1, 0.0, input_scaling="centred")
    np.testing.assert_allclose(predict(network, PATCHES), predict(network, PATCHES + 0.3), atol=1e-5)


def test_detail_is_what_a_gaussian_blur_leaves_out():
    images = np.random.default_rng(0).random((2, 60, 60), dtype=np.float32)
    blurred = ndimage.gaussian_filter(images, (0, 6, 6), mode="mirror", truncate=3)
    detail = InputScaling("detail")(torch.from_numpy(images).unsqueeze(-1))
    np.testing.assert_allclose(detail.squeeze(-1), 20 * (images - blurred), atol=1e-4)


def test_normalized_detail_hardly_changes_with_the_contrast_of_a_rough_patch():
    smooth = np.random.default_rng(0).normal(0.5, 0.001, (1, 60, 60, 1))
    spots = np.zeros_like(smooth)
    spots[:, 10:50:10, 10:50:10] = 0.2

    def strongest(patches):
        return float(InputScaling("normalized")(torch.from_numpy(patches.astype(np.float32))).max())

    rough = 0.5 + 40 * (smooth - 0.5)
    assert strongest(0.5 + 2 * (rough - 0.5)) < 1.3 * strongest(rough)
    assert strongest(smooth + 2 * spots) > 1.7 * strongest(smooth + spots)
    assert strongest(smooth + spots) > 2 * strongest(rough + spots)


def test_normalized_detail_of_usual_texture_is_the_detail():
    patches = torch.from_numpy(PATCHES).unsqueeze(-1)
    detail = InputScaling("detail")(patches)
    texture = detail.abs().sqrt().mean((1, 2, 3), keepdim=True) ** 2
    usual = patches * (0.2 / texture)
    torch.testing.assert_close(InputScaling("normalized")(usual), InputScaling("detail")(usual), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("second", ["detail", "normalized"])
def test_two_inputs_are_two_channels(second):
    patches, both = torch.from_numpy(PATCHES).unsqueeze(-1), f"unit+{second}"
    scaled = InputScaling(both)(patches)
    assert torch.equal(scaled[..., :1], patches) and torch.equal(scaled[..., 1:], InputScaling(second)(patches))
    assert build_network(2, 1, 0.0, both).get_layer("input_scaling").output.shape == (None, 60, 60, 2)


def seen(patches, looks):
    return [view.squeeze(-1).numpy() for view in views(torch.tensor(patches[..., None]), looks)]


def test_eight_looks_are_the_symmetries_of_the_square():
    expected = [np.rot90(side, turns) for side in (PATCHES[0], PATCHES[0].T) for turns in range(4)]
    looks = [view[0] for view in seen(PATCHES[:1], "eight")]
    assert sorted(look.tobytes() for look in looks) == sorted(symmetry.tobytes() for symmetry in expected)


def test_quarters_are_four_turns_of_the_whole_and_each_corner_enlarged_once():
    whole, quarters = seen(PATCHES[:1], "quarters")[:4], seen(PATCHES[:1], "quarters")[4:]
    for turns, view in enumerate(whole):
        assert np.array_equal(view[0], np.rot90(PATCHES[0], turns))
    for turns, view in enumerate(quarters):
        mirrored = torch.tensor(np.rot90(np.fliplr(PATCHES[0]), turns).copy())
        corner = torch.tensor([[[1, 0, 1 / 1.7 - 1], [0, 1, 1 / 1.7 - 1]]]) / torch.tensor([1.7, 1.7, 1.0])
        grid = functional.affine_grid(corner, [1, 1, 60, 60], align_corners=False)
        expected = functional.grid_sample(mirrored[None, None], grid, padding_mode="border", align_corners=False)
        assert np.allclose(view[0], expected[0, 0], atol=1e-5)


def test_an_answer_over_eight_looks_is_their_mean():
    network, _ = twins()
    expected = np.mean([predict(network, look) for look in seen(PATCHES, "eight")], axis=0)
    assert np.allclose(predict(network, PATCHES, looks="eight"), expected)


def coarser_by(deviations):
    """A film beside which the patches are coarser by so many standard deviations."""
    coarse = coarseness(torch.tensor(PATCHES[..., None]))
    return [Film(value - deviations, 1.0) for value in coarse.tolist()]


def asked_in_quarters(network, deviations):
    films = coarser_by(deviations)
    return [predict(network, PATCHES[i : i + 1], looks="quarters", film=film)[0] for i, film in enumerate(films)]


@pytest.mark.parametrize("deviations", [-1.0, 0.0])
def test_on_film_that_is_no_coarser_than_usual_the_quarters_have_no_say(deviations):
    network, _ = twins()
    odds = logit([predict(network, look) for look in seen(PATCHES, "quarters")])
    assert np.allclose(asked_in_quarters(network, deviations), expit(odds[:4].mean(0)))


@pytest.mark.parametrize(("deviations", "share"), [(0.5, 0.25), (1.0, 0.5), (2.0, 1.0), (9.0, 1.0)])
def test_on_coarser_film_they_draw_the_answer_two_thirds_of_the_way_to_a_cluster_or_one_third_from_it(
    deviations, share
):
    said = np.random.default_rng(0).normal(0, 3, (8, 20))
    whole, quarters = said[:4].mean(0), np.log(np.exp(said[4:]).mean(0))
    assert 0 < (quarters > whole).sum() < 20
    expected = expit(whole + share * np.where(quarters > whole, 2 / 3, 1 / 3) * (quarters - whole))
    excess = torch.full((20,), deviations, dtype=torch.float64)
    assert np.allclose(drawn_to_quarters(torch.tensor(said), excess), expected)


def test_an_answer_over_quarters_joins_what_is_said_of_its_views_by_the_coarseness_of_the_patch():
    network, _ = twins()
    odds = torch.tensor(logit([predict(network, look) for look in seen(PATCHES, "quarters")]))
    expected = drawn_to_quarters(odds, torch.full((len(PATCHES),), 1.5, dtype=torch.float64))
    assert np.allclose(asked_in_quarters(network, 1.5), expected, atol=1e-6)


def test_an_answer_over_quarters_is_the_same_however_the_patch_is_turned():
    network, _ = twins()
    (film, *_), turned = coarser_by(2.0), np.rot90(PATCHES, 1, (1, 2)).copy()
    answers = [predict(network, images, looks="quarters", film=film) for images in (turned, PATCHES)]
    assert np.allclose(*answers, atol=1e-6)


def test_one_quarter_with_a_cluster_outweighs_three_without():
    nothing, cluster, coarse = torch.full((8, 1), -3.0), torch.full((8, 1), -3.0), torch.tensor([2.0])
    cluster[7] = 9.0
    assert drawn_to_quarters(nothing, coarse) < 0.1 < 0.5 < drawn_to_quarters(cluster, coarse)


def test_quarters_need_the_film_that_the_network_was_trained_on():
    with pytest.raises(RequestError, match="needs the film"):
        predict(twins()[0], PATCHES, looks="quarters")


def test_an_unknown_input_scaling_is_refused():
    with pytest.raises(
        RequestError,
        match=r"must be one of unit, centred, detail, normalized, unit\+detail, unit\+normalized: got loud",
    ):
        InputScaling("loud")


def test_a_network_comes_back_from_its_configuration_and_weights(tmp_path):
    network = build_network(3, 2, 0.05)
    network.save_weights(tmp_path / "expert.weights.h5")
    again = keras.Model.from_config(network.get_config())
    again.load_weights(tmp_path / "expert.weights.h5")
    assert np.array_equal(predict(again, PATCHES), predict(network, PATCHES))


def test_keras_on_another_backend_is_refused(monkeypatch):
    other = types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setitem(backend.sys.modules, "keras", other)
    with pytest.raises(RequestError, match=r"tensorflow backend.*KERAS_BACKEND=torch"):
        backend._refuse_another_backend()
