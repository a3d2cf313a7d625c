"""The Keras layers of the network that are not stock: each takes and gives (n, height, width, channels).

They hold the weights of their stock counterparts and compute the same functions; what differs is how. A network of this
size spends its time not on arithmetic but on reading and writing feature maps, so that it pays to go through each map
as few times as possible.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from microcalc.errors import RequestError
from microcalc.networks.backend import keras

Shape = tuple[int, ...]
BACKGROUND_SIGMA, DETAIL_GAIN = 6.0, 20.0
USUAL_TEXTURE = 0.01  # grey levels; its median in the INFN archive is 0.009 for normal patches, 0.015 for the others


def _detail(patches: Tensor) -> Tensor:
    """What a Gaussian blur of 6 pixels does not hold, 20 times enlarged: neither brightness nor density is left."""
    return DETAIL_GAIN * (patches - blurred(patches, BACKGROUND_SIGMA))


def _normalized(patches: Tensor) -> Tensor:
    """The detail, divided by the mean of the patch's own texture and the usual one."""
    detail = _detail(patches)
    usual = DETAIL_GAIN * USUAL_TEXTURE
    return detail * (2 * usual / (usual + texture(detail)))


def texture(detail: Tensor) -> Tensor:
    """The square of the mean root of each (n, height, width, 1) detail: (n, 1, 1, 1).

    It says little of a few bright spots and much of what lies between them.

    >>> texture(torch.tensor([1.0, -9.0, 1.0, 9.0]).view(1, 2, 2, 1)).item()
    4.0
    """
    return detail.abs().sqrt().mean((1, 2, 3), keepdim=True) ** 2


def blurred(patches: Tensor, sigma: float) -> Tensor:
    """(n, height, width, 1) patches by a Gaussian of ``sigma`` pixels, reflected at the borders.

    >>> blurred(torch.full((1, 60, 60, 1), 0.5), 1.0).std() < 1e-6
    tensor(True)
    """
    images = patches.squeeze(-1)
    down, across = (blur_matrix(side, sigma, images.device) for side in images.shape[1:])
    with torch.autocast(images.device.type, enabled=False):
        return (down @ images @ across.T).unsqueeze(-1)


@functools.cache
@torch.inference_mode(False)
def blur_matrix(side: int, sigma: float, device: torch.device) -> Tensor:
    """(side, side): the blur of a line of pixels, reflected at its ends, as a product from the left.

    >>> blur_matrix(60, 6.0, torch.device("cpu")).sum(1).allclose(torch.ones(60))
    True
    """
    position = torch.arange(side)
    weights = torch.zeros(side, side)
    for offset in range(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1):
        reflected = (position + offset).abs()
        reflected = torch.where(reflected >= side, 2 * (side - 1) - reflected, reflected)
        weights[position, reflected] += math.exp(-0.5 * (offset / sigma) ** 2)
    return (weights / weights.sum(1, keepdim=True)).to(device)


INPUT_SCALINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "unit": lambda patches: patches,
    "centred": lambda patches: patches - patches.mean((1, 2, 3), keepdim=True),
    "detail": _detail,
    "normalized": _normalized,
    "unit+detail": lambda patches: torch.cat((patches, _detail(patches)), -1),
    "unit+normalized": lambda patches: torch.cat((patches, _normalized(patches)), -1),
}
STRIP = 10
PIECE_BYTES = 2**19
BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32, torch.float64: torch.int64}


@keras.saving.register_keras_serializable("microcalc")
class InputScaling(keras.layers.Layer):  # type: ignore[misc]
    """Brings patches in [0, 1] to the range the network works in.

    ``kind``: "unit" leaves them as they are, "centred" takes each patch's own mean away, "detail" a Gaussian blur of
    6 pixels, and enlarges what is left 20 times. "normalized" multiplies this by 0.02 / (0.01 + t), where t is the
    texture of the whole patch in grey levels: divisive normalisation (Heeger, 1992,
    https://doi.org/10.1017/S0952523800009640; in networks Jarrett et al., 2009,
    https://doi.org/10.1109/ICCV.2009.5459469). "unit+detail" and "unit+normalized" give both as two channels.

    >>> InputScaling("centred")(torch.tensor([0.25, 0.75]).reshape(1, 1, 2, 1)).flatten().tolist()
    [-0.25, 0.25]
    """

    def __init__(self, kind: str, **kwargs: Any) -> None:
        if kind not in INPUT_SCALINGS:
            raise RequestError(f"input scaling must be one of {', '.join(INPUT_SCALINGS)}: got {kind}")
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, patches: Tensor) -> Tensor:
        """Scale patches of shape (n, height, width, 1)."""
        return INPUT_SCALINGS[self.kind](patches)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape stays, but for the number of channels."""
        return (*input_shape[:-1], len(self.kind.split("+")))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("microcalc")
class Convolution(keras.layers.Conv2D):  # type: ignore[misc]
    """A stock ``Conv2D`` of 3 x 3 pixels with zeros outside ("same"), which runs under ``torch.autocast``.

    >>> Convolution(4)(torch.zeros(1, 6, 6, 1)).shape
    torch.Size([1, 6, 6, 4])
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, **{"kernel_size": 3, "padding": "same", "autocast": False, **kwargs})

    def call(self, images: Tensor) -> Tensor:
        """Convolve (n, height, width, channels) to (n, height, width, filters)."""
        kernel, bias = self._kernel.value, self.bias.value
        if images.shape[-1] <= 2 and images.shape[2] % STRIP == 0:
            return _convolve_strips(images, kernel, bias)
        return functional.conv2d(images.movedim(-1, 1), kernel.permute(3, 2, 0, 1), bias, padding=1).movedim(1, -1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width stay."""
        return (*input_shape[:-1], self.filters)


def _convolve_strips(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve (n, height, width, channels) with a (3, 3, channels, filters) kernel by one matrix product.

    A convolution of a channel or two leaves a processor's matrix units idle. Here a row of the left matrix holds the
    3 x (STRIP + 2) pixels of each channel that a strip of neighbouring outputs sees, and a one for the bias; the right
    matrix holds the kernel once for each output of the strip, each time a pixel further on.
    """
    n, height, width, _ = images.shape
    if torch.is_autocast_enabled(images.device.type):
        images = images.to(torch.get_autocast_dtype(images.device.type))
    windows = functional.pad(images, (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, STRIP + 2, STRIP)
    seen = torch.cat((windows.flatten(3), windows.new_ones(n, height, width // STRIP, 1)), 3)
    shifts = torch.eye(STRIP + 2, dtype=kernel.dtype, device=kernel.device).unfold(0, 3, 1)
    shifted = torch.einsum("sjd,rdcf->crjsf", shifts, kernel).flatten(3).flatten(0, 2)
    return (seen @ torch.cat((shifted, bias.repeat(1, STRIP)))).view(n, height, width, -1)


@keras.saving.register_keras_serializable("microcalc")
class RectifyNormalizePool(keras.layers.BatchNormalization):  # type: ignore[misc]
    """ReLU, stock ``BatchNormalization``, and 2 x 2 max pooling: what follows the convolution in each block.

    Batch normalisation (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167) puts each channel on a straight
    line, and a rising line does not change which pixel of four is the largest. So pooling goes first, and a quarter of
    the pixels is left to normalise; a channel whose line falls (negative gamma) pools its smallest pixel instead.

    >>> RectifyNormalizePool()(torch.zeros(1, 6, 6, 4)).shape
    torch.Size([1, 3, 3, 4])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Turn (n, height, width, channels) into (n, height // 2, width // 2, channels)."""
        gamma, beta = self.gamma.value, self.beta.value
        moving_mean, moving_variance = self.moving_mean.value, self.moving_variance.value
        if not training:
            return _normalize(_rectify_pool(images, gamma), moving_mean, moving_variance, gamma, beta, self.epsilon)
        normalized, mean, variance = _RectifyNormalizePool.apply(images, gamma, beta, self.epsilon)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            moving_mean.lerp_(mean, 1 - self.momentum)
            moving_variance.lerp_(variance, 1 - self.momentum)
        return normalized  # type: ignore[no-any-return]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Height and width are halved, rounded down."""
        n, height, width, channels = input_shape
        return (n, height // 2, width // 2, channels)


def _normalize(images: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    return functional.batch_norm(images.movedim(-1, 1), mean, variance, gamma, beta, eps=epsilon).movedim(1, -1)


def _rectify_pool(images: Tensor, gamma: Tensor) -> Tensor:
    """Take of each 2 x 2 pixels the largest after ReLU, or the smallest in the channels of negative gamma.

    What is not negative is ordered as the integers of the same bits, and of those a processor compares more at a time;
    they have no gradient.
    """
    if (gamma < 0).any():
        sign = torch.where(gamma < 0, -1, 1).to(images.dtype)
        return _pool(images.relu() * sign) * sign
    if images.requires_grad:
        return _pool(images).relu()
    return _pool(images.view(BITS[images.dtype])).view(images.dtype).relu_()


def _pool(images: Tensor) -> Tensor:
    return torch.maximum(*_column_pairs(torch.maximum(*_row_pairs(images))))


def _row_pairs(images: Tensor) -> tuple[Tensor, Tensor]:
    """View the upper and the lower row of each pair, without an odd last row or column."""
    _, height, width, _ = images.shape
    upper, lower = torch.unflatten(images[:, : height // 2 * 2, : width // 2 * 2], 1, (-1, 2)).unbind(2)
    return upper, lower


def _column_pairs(images: Tensor) -> tuple[Tensor, Tensor]:
    left, right = torch.unflatten(images, 2, (-1, 2)).unbind(3)
    return left, right


class _RectifyNormalizePool(torch.autograd.Function):
    """The layer in training: the mean and variance are those of the batch, and gradients flow through them too.

    Both passes go through the feature map in pieces that fit a processor's cache, and compare the integers of the same
    bits, as :func:`_rectify_pool` does.
    """

    @staticmethod
    def forward(
        context: Any, images: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give the layer's output, and the mean and variance of each channel after ReLU."""
        images = images.contiguous()
        n, height, width, channels = images.shape
        bits = BITS[images.dtype]
        falling = -(gamma < 0).to(bits) if (gamma < 0).any() else None
        rectified, pooled = torch.empty_like(images), images.new_empty(n, height // 2, width // 2, channels)
        moments, unused = [], gamma.new_zeros(channels)
        pieces = (torch.split(whole, _images_in_a_piece(images)) for whole in (images, rectified, pooled.view(bits)))
        for part, positive, out in zip(*pieces, strict=True):
            torch.clamp_min(part, 0, out=positive)
            moments.append((len(part), *torch.batch_norm_update_stats(positive.movedim(-1, 1), unused, unused, 0)))
            rows = torch.maximum(*_row_pairs(_reverse(positive.view(bits), falling)))
            torch.maximum(*_column_pairs(rows), out=out)
        pooled = _reverse(pooled.view(bits), falling).view(images.dtype)
        mean, variance = _join_moments(moments)
        context.save_for_backward(rectified, pooled, gamma, mean, (variance + epsilon).rsqrt(), falling)
        context.mark_non_differentiable(mean, variance)
        return _normalize(pooled, mean, variance, gamma, beta, epsilon), mean, variance

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """With r the rectified map, the gradient where r > 0 is ``constant + slope * r``, plus at the pixel that its
        window took (the first of equal ones) ``factor`` times what comes in.
        """
        rectified, pooled, gamma, mean, scale, falling = context.saved_tensors
        gradient = gradient.contiguous()
        gradient_beta = _channel_sums(gradient, gamma.dtype)
        gradient_gamma = (_channel_sums(gradient * pooled, gamma.dtype) - mean * gradient_beta) * scale
        factor = gamma * scale
        slope = -factor * scale * gradient_gamma / rectified[..., 0].numel()
        constant = -factor * gradient_beta / rectified[..., 0].numel() - mean * slope
        factor, constant, slope = (
            term.to(pooled.dtype).repeat(rectified.shape[2]) for term in (factor, constant, slope)
        )
        result = torch.empty_like(rectified)
        pieces = (torch.split(whole, _images_in_a_piece(rectified)) for whole in (rectified, gradient, result))
        for part, incoming, out in zip(*pieces, strict=True):
            _backward_piece(part, incoming, factor, constant, slope, falling, out)
        return result, gradient_gamma, gradient_beta, None


def _backward_piece(
    rectified: Tensor,
    gradient: Tensor,
    factor: Tensor,
    constant: Tensor,
    slope: Tensor,
    falling: Tensor | None,
    out: Tensor,
) -> None:
    """Write the gradient of some images to ``out``; the three terms are given for a row of pixels.

    ``constant`` is due where nothing was taken, ``constant + factor * gradient`` where something was: one or the other
    is chosen by multiplying the exclusive or of their bits with 0 or 1.
    """
    bits = rectified.view(BITS[rectified.dtype])
    rows = _row_pairs(_reverse(bits, falling))
    incoming = gradient.flatten(2)
    untaken, scale = (term[: incoming.shape[2]] for term in (constant, factor))
    taken = torch.addcmul(untaken, incoming, scale).view(bits.dtype) ^ untaken.view(bits.dtype)
    columns = torch.empty(rows[0].shape, dtype=bits.dtype, device=bits.device)
    _send(taken.view(gradient.shape), _column_pairs(torch.maximum(*rows)), _column_pairs(columns))
    pixels = torch.zeros_like(bits) if bits.shape[1] % 2 or bits.shape[2] % 2 else torch.empty_like(bits)
    _send(columns, rows, _row_pairs(pixels))
    added = pixels.flatten(2).bitwise_xor_(constant.view(bits.dtype)).view(rectified.dtype)
    torch.addcmul(added, rectified.flatten(2), slope, out=out.flatten(2))
    out.view(bits.dtype).mul_(torch.gt(bits, 0, out=pixels))


def _send(values: Tensor, rivals: tuple[Tensor, Tensor], places: tuple[Tensor, Tensor]) -> None:
    """Put each value in the place of the larger rival, the first of equal ones, and zero in the other."""
    first_wins = torch.ge(*rivals, out=torch.empty_like(values))
    torch.mul(values, first_wins, out=places[0])
    torch.sub(values, places[0], out=places[1])


def _reverse(bits: Tensor, falling: Tensor | None) -> Tensor:
    """Turn the order round in the channels whose mask is -1; doing it twice changes nothing."""
    return bits if falling is None else bits ^ falling


def _images_in_a_piece(images: Tensor) -> int:
    if images.device.type != "cpu":
        return len(images)
    return max(1, PIECE_BYTES // (images[0].numel() * images.element_size()))


def _channel_sums(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum over all but the channels, in ``dtype`` from one image to the next."""
    return images.flatten(1, 2).sum(1).to(dtype).sum(0)


def _join_moments(moments: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and variance of the whole from the number of images, means and variances of its pieces."""
    counts, means, variances = zip(*moments, strict=True)
    mean, variance = torch.stack(means), torch.stack(variances)
    shares = mean.new_tensor(counts).unsqueeze(1) / sum(counts)
    centre = (shares * mean).sum(0)
    return centre, (shares * (variance + (mean - centre) ** 2)).sum(0)


@keras.saving.register_keras_serializable("microcalc")
class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout on PyTorch's own generator, so that ``torch.manual_seed`` decides what is dropped.

    The rate is kept to within 1/65536: 16 random bits decide over each value.

    >>> Dropout(0.5)(torch.ones(2, 3), training=False)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        self.rate = rate

    def call(self, values: Tensor, training: bool = False) -> Tensor:
        """Set a share ``rate`` of the values to zero in training, and scale the rest to keep the mean."""
        if not training or self.rate == 0:
            return values
        draws = torch.empty(math.ceil(values.numel() / 4), dtype=torch.int64, device=values.device)
        sixteen_bits = draws.random_(-(2**63), None).view(torch.int16)[: values.numel()].view(values.shape)
        kept = torch.empty_like(values, requires_grad=False)
        torch.ge(sixteen_bits, round(self.rate * 2**16) - 2**15, out=kept)
        return values * kept.mul_(1 / (1 - self.rate))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "rate": self.rate}
