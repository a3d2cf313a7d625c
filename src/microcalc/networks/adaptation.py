"""Fitting a network to a new site without labels: only the statistics of its batch normalisation change."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc.networks.layers import Dropout, RectifyNormalizePool


def observe(network: Any, images: NDArray[np.float32], share: float) -> None:
    """Move the means and variances of batch normalisation by ``share`` of the way to those of some patches.

    Li et al., "Revisiting batch normalization for practical domain adaptation", 2016,
    https://arxiv.org/abs/1603.04779. Called for batch after batch, each with its share of the patches so far, it gives
    the statistics of all of them.

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
    values = torch.tensor(images, dtype=torch.float32).unsqueeze(-1)
    with torch.no_grad():
        for layer in network.layers[1:]:
            if isinstance(layer, RectifyNormalizePool):
                layer.momentum, kept = 1 - share, layer.momentum
                values = layer.call(values, training=True)
                layer.momentum = kept
            elif not isinstance(layer, Dropout):
                values = layer.call(values)
            if layer.name == "pool_3":
                return
