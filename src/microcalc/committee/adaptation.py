"""Fitting a network to a new site without labels: only the statistics of its batch normalisation change."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc.networks.layers import BatchNormalization


def observe(network: Any, images: NDArray[np.float32], share: float) -> None:
    """Move the means and variances of batch normalisation by ``share`` of the way to those of some patches.

    Li et al., "Revisiting batch normalization for practical domain adaptation", 2016,
    https://arxiv.org/abs/1603.04779. Call it for batch after batch, each with its share of the patches so far, and the
    statistics become those of all. Deeper blocks see each batch normalised by its own statistics, as in training; so
    give a fair sample in every batch.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) patches, filtered if the network was trained on filtered patches.
        share: in (0, 1]; 1 replaces the statistics of the training data.

    >>> from microcalc.networks.hypermodel import build_network
    >>> network = build_network(dim=2, depth=1, dropout=0.0)
    >>> observe(network, np.random.default_rng(0).random((8, 60, 60), np.float32), share=1.0)
    >>> bool((network.get_layer("normalization_1").moving_variance.numpy() < 1).all())
    True
    """
    values = torch.tensor(images, dtype=torch.float32, device=network.variables[0].value.device).unsqueeze(1)
    with torch.no_grad():
        for layer in network.layers:
            if not isinstance(layer, BatchNormalization):
                values = layer(values)
                continue
            mean = layer.moving_mean.value.clone()
            layer.momentum, kept = 1 - share, layer.momentum
            values = layer(values, training=True)
            layer.momentum = kept
            # the variance of the whole also holds the distance between the means of its parts
            moved = layer.moving_mean.value - mean
            layer.moving_variance.value.add_(moved.square() * (1 - share) / share)
