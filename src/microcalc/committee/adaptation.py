"""Fitting a network to a new site without labels: only the statistics of its batch normalisation change."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microcalc.networks.layers import Dropout, RectifyNormalizePool


def observe(network: Any, images: NDArray[np.float32], share: float) -> None:
    """Move the means and variances of batch normalisation by ``share`` of the way to those of some patches.

    Li et al., "Revisiting batch normalization for practical domain adaptation", 2016,
    https://arxiv.org/abs/1603.04779. Called for batch after batch, each with its share of the patches so far, it joins
    their statistics to those of all. On the way to the deeper blocks each batch is normalised by its own, as in
    training; so a batch should be a fair sample.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) patches as the network takes them.
        share: in (0, 1]; 1 forgets what the network knew.

    >>> from microcalc.networks.hypermodel import build_network
    >>> network = build_network(dim=2, depth=1, dropout=0.0)
    >>> observe(network, np.random.default_rng(0).random((8, 60, 60), np.float32), share=1.0)
    >>> bool((network.get_layer("pool_1").moving_variance.numpy() < 1).all())
    True
    """
    values = torch.tensor(images, dtype=torch.float32, device=network.variables[0].value.device).unsqueeze(-1)
    with torch.no_grad():
        for layer in network.layers[1:]:
            if isinstance(layer, RectifyNormalizePool):
                values = _observe(layer, values, share)
            elif not isinstance(layer, Dropout):
                values = layer.call(values)


def _observe(layer: RectifyNormalizePool, values: Tensor, share: float) -> Tensor:
    """Let a layer move its statistics; the variance of the whole holds the distance between the parts' means too."""
    mean = layer.moving_mean.value.clone()
    layer.momentum, kept = 1 - share, layer.momentum
    pooled = layer.call(values, training=True)
    layer.momentum = kept
    moved = layer.moving_mean.value - mean
    layer.moving_variance.value.add_(moved.square() * (1 - share) / share)
    return pooled
