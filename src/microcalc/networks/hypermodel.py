"""The network of an expert, as a function of its hyperparameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from microcalc.images.tiles import PATCH_SIDE
from microcalc.networks.backend import keras
from microcalc.networks.layers import BatchNormalization, Convolution, Dropout, Preprocessing

BATCH_NORM_MOMENTUM = 0.9  # Keras's own 0.99 needs hundreds of steps to settle; an epoch here has a dozen


def build_network(dim: int, depth: int, dropout: float, preprocessing: str = "mean_centered", seed: int = 0) -> Any:
    """Build the network of one expert, a ``keras.Model`` with a Glorot-normal start from ``seed``.

    Three blocks of a 3 x 3 convolution with ReLU, batch normalisation, 2 x 2 max pooling and dropout, of ``dim``
    filters, twice and four times as many; then ``depth`` dense layers of 256 // i units. The rate of dropout is
    ``dropout`` after each block and ``dropout`` + 0.1 before the dense layers. It takes raw patches (n, 1, 60, 60) in
    [0, 1] and gives (n, 1) probabilities of a cluster. The layer "logit" holds them before the sigmoid,
    "convolution_3" the last feature maps (n, 4 dim, 15, 15).

    >>> build_network(dim=2, depth=1, dropout=0.0).output_shape
    (None, 1)
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(4 + depth).tolist())

    def glorot() -> Any:
        return keras.initializers.GlorotNormal(seed=next(seeds))

    order = {"data_format": "channels_first"}
    layers = [
        keras.Input((1, PATCH_SIDE, PATCH_SIDE), name="patch"),
        Preprocessing(preprocessing, name="preprocessing"),
    ]
    for block in (1, 2, 3):
        convolution = {"padding": "same", "kernel_initializer": glorot(), **order}
        layers += [
            Convolution(dim * 2 ** (block - 1), 3, name=f"convolution_{block}", **convolution),
            BatchNormalization(axis=1, momentum=BATCH_NORM_MOMENTUM, name=f"normalization_{block}"),
            keras.layers.MaxPooling2D(name=f"pool_{block}", **order),
            Dropout(dropout, name=f"dropout_{block}"),
        ]
    layers += [keras.layers.Flatten(name="flatten"), Dropout(dropout + 0.1, name="dropout_flat")]
    for i in range(1, depth + 1):
        layers.append(keras.layers.Dense(256 // i, "relu", kernel_initializer=glorot(), name=f"dense_{i}"))
    layers.append(keras.layers.Dense(1, kernel_initializer=glorot(), name="logit"))
    layers.append(keras.layers.Activation("sigmoid", name="probability"))
    return keras.Sequential(layers, name="expert")


def logit_model(network: Any) -> Any:
    """The same network up to its layer "logit", as a Keras model that shares its weights.

    >>> import torch
    >>> logit_model(build_network(dim=2, depth=1, dropout=0.0))(torch.zeros(3, 1, 60, 60)).shape
    torch.Size([3, 1])
    """
    return keras.Model(network.inputs, network.get_layer("logit").output)


@contextmanager
def computing_in(network: Any, precision: str) -> Iterator[None]:
    """Have a network compute in "float32" or in "bfloat16"; its weights and preprocessing stay float32.

    >>> import torch
    >>> network = build_network(dim=2, depth=1, dropout=0.0)
    >>> with computing_in(network, "bfloat16"):
    ...     network(torch.zeros(3, 1, 60, 60)).dtype
    torch.bfloat16
    """
    policy = keras.DTypePolicy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
    changed = [layer for layer in network.layers if not isinstance(layer, Preprocessing)]
    before = [layer.dtype_policy for layer in changed]
    for layer in changed:
        layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer, own in zip(changed, before, strict=True):
            layer.dtype_policy = own
