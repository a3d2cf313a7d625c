"""The Keras layers of the network that are not stock: each takes and gives (n, height, width, channels)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from microcalc.errors import RequestError
from microcalc.networks.backend import keras

INPUT_SCALINGS = {
    "unit": lambda patches: patches,
    "centred": lambda patches: patches - patches.mean((1, 2, 3), keepdim=True),
}


@keras.saving.register_keras_serializable("microcalc")
class InputScaling(keras.layers.Layer):  # type: ignore[misc]
    """Brings patches in [0, 1] to the range the network works in.

    ``kind``: "unit" leaves them as they are, "centred" takes each patch's own mean away.

    >>> InputScaling("centred")(torch.tensor([0.25, 0.75]).reshape(1, 1, 2, 1)).flatten().tolist()
    [-0.25, 0.25]
    """

    def __init__(self, kind: str, **kwargs: Any) -> None:
        if kind not in INPUT_SCALINGS:
            raise RequestError(f"input scaling must be one of {', '.join(INPUT_SCALINGS)}: got {kind}")
        super().__init__(autocast=False, **kwargs)
        self.kind = kind

    def call(self, patches: Tensor) -> Tensor:
        """Scale patches of shape (n, height, width, 1)."""
        return INPUT_SCALINGS[self.kind](patches)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("microcalc")
class Convolution(keras.layers.Conv2D):  # type: ignore[misc]
    """A stock 3 x 3 ``Conv2D`` whose bias is added inside the convolution and which runs under ``torch.autocast``."""

    def call(self, images: Tensor) -> Tensor:
        """Convolve (n, height, width, channels) images, zero outside, to the same height and width."""
        kernel = self._kernel.value.permute(3, 2, 0, 1)
        return functional.conv2d(images.movedim(-1, 1), kernel, self.bias.value, padding=1).movedim(1, -1)


@keras.saving.register_keras_serializable("microcalc")
class RectifyNormalizePool(keras.layers.BatchNormalization):  # type: ignore[misc]
    """ReLU, then ``BatchNormalization``, then 2 x 2 max pooling: what follows a convolution in each block."""

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Turn (n, h, w, c) into (n, h // 2, w // 2, c)."""
        normalized = functional.batch_norm(
            functional.relu(images.movedim(-1, 1)),
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            training,
            1 - self.momentum,
            self.epsilon,
        )
        return functional.max_pool2d(normalized, 2).movedim(1, -1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        n, height, width, channels = input_shape
        return (n, height // 2, width // 2, channels)  # type: ignore[operator]


@keras.saving.register_keras_serializable("microcalc")
class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout on PyTorch's own generator, so that ``torch.manual_seed`` decides what is dropped."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.rate = rate

    def call(self, values: Tensor, training: bool = False) -> Tensor:
        """Set a share ``rate`` of the values to zero in training, and scale the rest to keep the mean."""
        return functional.dropout(values, self.rate, training)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
