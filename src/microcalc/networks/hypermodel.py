"""The network of an expert, as a function of its hyperparameters."""

from collections.abc import Callable
from functools import partial, reduce
from inspect import signature
from typing import Any

import numpy as np
from torch import Tensor

from microcalc.networks.backend import keras
from microcalc.networks.layers import Convolution, Dropout, InputScaling, RectifyNormalizePool

PATCH_SIDE = 60
BATCH_NORM_MOMENTUM = 0.9  # Keras's own 0.99 needs hundreds of steps to settle; an epoch here has a dozen


def build_network(dim: int, depth: int, dropout: float, input_scaling: str = "centred", seed: int = 0) -> Any:
    """Build the network of one expert, a ``keras.Model`` with a Glorot-normal start from ``seed``.

    ``dim`` filters in the first of three convolutional blocks, twice and four times as many in the next; ``depth``
    dense layers of 256 // i units; dropout of rate ``dropout`` after each block and ``dropout`` + 0.1 before the dense
    layers. It takes raw patches in [0, 1] of shape (n, 60, 60, 1) and gives (n, 1) probabilities of a cluster. The
    layer "logit" holds them before the sigmoid, "convolution_3" the last feature maps (n, 15, 15, 4 dim) before ReLU.

    >>> build_network(dim=2, depth=1, dropout=0.0).output_shape
    (None, 1)
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(4 + depth).tolist())

    def glorot() -> Any:
        return keras.initializers.GlorotNormal(seed=next(seeds))

    patch = keras.Input((PATCH_SIDE, PATCH_SIDE, 1), name="patch")
    x = InputScaling(input_scaling, name="input_scaling")(patch)
    for block in (1, 2, 3):
        x = Convolution(dim * 2 ** (block - 1), kernel_initializer=glorot(), name=f"convolution_{block}")(x)
        x = RectifyNormalizePool(momentum=BATCH_NORM_MOMENTUM, name=f"pool_{block}")(x)
        x = Dropout(dropout, name=f"dropout_{block}")(x)
    x = keras.layers.Flatten(autocast=False, name="flatten")(x)
    x = Dropout(dropout + 0.1, name="dropout_flat")(x)
    for i in range(1, depth + 1):
        x = keras.layers.Dense(256 // i, "relu", kernel_initializer=glorot(), name=f"dense_{i}")(x)
    x = keras.layers.Dense(1, kernel_initializer=glorot(), name="logit")(x)
    return keras.Model(patch, keras.layers.Activation("sigmoid", name="probability")(x), name="expert")


def logits(network: Any, *, training: bool) -> Callable[[Tensor], Tensor]:
    """Give the network up to its layer "logit" as a plain function of (n, 60, 60, 1) patches.

    It leaves out what Keras checks whenever a layer is called, which costs as much as some of the layers.

    >>> import torch
    >>> logits(build_network(dim=2, depth=1, dropout=0.0), training=False)(torch.zeros(3, 60, 60, 1)).shape
    torch.Size([3, 1])
    """
    calls = [
        partial(layer.call, training=training) if "training" in signature(layer.call).parameters else layer.call
        for layer in network.layers[1:-1]
    ]
    return lambda patches: reduce(lambda values, call: call(values), calls, patches)
