"""The layers of the network that are not stock: preprocessing, and faster ones that compute the same.

Images are (n, channels, height, width). In memory the channels of a pixel lie side by side (``torch.channels_last``),
so that PyTorch convolves, normalises and pools them without a copy in another order.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional

from microcalc.errors import RequestError
from microcalc.networks.backend import keras

Shape = tuple[int, ...]
BACKGROUND_SIGMA, HIGH_PASS_GAIN = 6.0, 20.0
USUAL_TEXTURE = 0.01  # grey levels; its median in the INFN archive is 0.009 for normal patches, 0.015 for the others


def high_pass(patches: Tensor) -> Tensor:
    """Return the patch less a Gaussian blur of 6 pixels (0.5 mm), times 20: neither brightness nor density is left.

    >>> high_pass(torch.full((1, 1, 60, 60), 0.5)).abs().max() < 1e-4
    tensor(True)
    """
    return HIGH_PASS_GAIN * (patches - blurred(patches, BACKGROUND_SIGMA))


def contrast_normalized(patches: Tensor) -> Tensor:
    """The high-pass patch times 2 t0 / (t0 + t), with its own :func:`texture` t and the usual one t0.

    Divisive normalisation: Heeger, 1992, https://doi.org/10.1017/S0952523800009640; in networks Jarrett et al., 2009,
    https://doi.org/10.1109/ICCV.2009.5459469.

    >>> contrast_normalized(torch.rand(2, 1, 60, 60)).shape
    torch.Size([2, 1, 60, 60])
    """
    detail = high_pass(patches)
    usual = HIGH_PASS_GAIN * USUAL_TEXTURE
    return detail * (2 * usual / (usual + texture(detail)))


def texture(detail: Tensor) -> Tensor:
    """The squared mean of the square roots of the magnitudes: (n, 1, height, width) to (n, 1, 1, 1).

    A few bright spots hardly raise it; what lies between them does.

    >>> texture(torch.tensor([1.0, -9.0, 1.0, 9.0]).view(1, 1, 2, 2)).item()
    4.0
    """
    return detail.abs().sqrt().mean((1, 2, 3), keepdim=True) ** 2


def blurred(patches: Tensor, sigma: float) -> Tensor:
    """(n, 1, height, width) patches by a Gaussian of ``sigma`` pixels, reflected at the borders.

    >>> blurred(torch.full((1, 1, 60, 60), 0.5), 1.0).std() < 1e-6
    tensor(True)
    """
    down, across = (torch.tensor(blur_matrix(side, sigma), device=patches.device) for side in patches.shape[2:])
    with torch.autocast(patches.device.type, enabled=False):
        return down @ patches @ across.T


@functools.cache
def blur_matrix(side: int, sigma: float) -> NDArray[np.float32]:
    """(side, side): the blur of a line of pixels, reflected at its ends, as a product from the left.

    >>> blur_matrix(60, 6.0).sum(1).round(5).tolist() == [1.0] * 60
    True
    """
    matrix: NDArray[np.float32] = gaussian_filter1d(np.eye(side), sigma, axis=0, mode="mirror", truncate=3.0)
    return matrix.astype(np.float32)


PREPROCESSINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "raw": lambda patches: patches,
    "mean_centered": lambda patches: patches - patches.mean((1, 2, 3), keepdim=True),
    "high_pass": high_pass,
    "contrast_normalized": contrast_normalized,
}


@keras.saving.register_keras_serializable("microcalc")
class Preprocessing(keras.layers.Layer):  # type: ignore[misc]
    """Brings patches in [0, 1] to the range the network works in.

    ``kind`` is one of ``PREPROCESSINGS``, or two of them joined by ``+``, which give two channels.

    Raises:
        RequestError: an unknown kind.

    >>> Preprocessing("mean_centered")(torch.tensor([0.25, 0.75]).reshape(1, 1, 1, 2)).flatten().tolist()
    [-0.25, 0.25]
    """

    def __init__(self, kind: str, **kwargs: Any) -> None:
        if not set(kind.split("+")) <= set(PREPROCESSINGS):
            raise RequestError(f"preprocessing takes {', '.join(PREPROCESSINGS)}, or two joined by +: got {kind}")
        super().__init__(**{**kwargs, "autocast": False})
        self.kind = kind

    def call(self, patches: Tensor) -> Tensor:
        """(n, 1, height, width) to (n, channels, height, width)."""
        channels = torch.cat([PREPROCESSINGS[name](patches) for name in self.kind.split("+")], 1)
        # not contiguous(memory_format=...), which leaves one channel as it is, and all layers after it in slower order
        return torch.empty_like(channels, memory_format=torch.channels_last).copy_(channels)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One channel for each preprocessing."""
        n, _, *sides = input_shape
        return (n, len(self.kind.split("+")), *sides)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("microcalc")
class Convolution(keras.layers.Conv2D):  # type: ignore[misc]
    """Stock convolution and ReLU, by PyTorch's own function, which goes through the feature map once for the bias too.

    >>> Convolution(4, 3, padding="same", data_format="channels_first")(torch.zeros(2, 1, 6, 6)).shape
    torch.Size([2, 4, 6, 6])
    """

    def call(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width) to (n, filters, height, width)."""
        kernel = self.kernel.value.permute(3, 2, 0, 1)
        return functional.conv2d(inputs, kernel, self.bias.value, padding=self.padding).relu_()


@keras.saving.register_keras_serializable("microcalc")
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Stock batch normalisation, computed by PyTorch's own function, which goes through the feature map less often.

    Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167. PyTorch moves the variance towards the unbiased estimate;
    over the thousands of pixels of a channel that is the same.

    >>> BatchNormalization(axis=1)(torch.zeros(2, 4, 6, 6)).shape
    torch.Size([2, 4, 6, 6])
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(n, channels, height, width) to the same shape."""
        statistics = self.moving_mean.value, self.moving_variance.value
        scale, offset = self.gamma.value, self.beta.value
        return functional.batch_norm(
            inputs, *statistics, scale, offset, bool(training), 1 - self.momentum, self.epsilon
        )


@keras.saving.register_keras_serializable("microcalc")
class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Stock dropout; its mask takes 16 random bits an element, which are drawn 64 at a time.

    Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html. PyTorch draws 64 bits an element on a
    processor, which takes a tenth of a training.

    >>> Dropout(0.5)(torch.ones(2, 3), training=False).sum().item()
    6.0
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return the inputs, in training with a share of ``rate`` at 0 and the others times 1 / (1 - rate)."""
        if not training or not self.rate:
            return inputs
        words = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64, device=inputs.device).random_(-(2**63), None)
        kept = words.view(torch.int16)[: inputs.numel()] >= round(2**16 * self.rate) - 2**15
        mask: Tensor = kept.to(inputs.dtype).mul_(1 / (1 - self.rate))
        return inputs * mask.as_strided(inputs.shape, inputs.stride())
