"""HiResCAM: Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891."""

from torch import Tensor

LAYER = "pool_2"
"""The maps that enter the last convolution."""


def combine(features: Tensor, gradients: Tensor) -> Tensor:
    """Sum the feature maps, each weighted by its gradient at every place, and set what is negative to zero.

    Args:
        features: (n, c, h, w).
        gradients: of the logit with respect to them.

    Returns:
        (n, h, w).

    >>> import torch
    >>> combine(torch.ones(1, 1, 1, 2), torch.tensor([[[[0.5, -0.5]]]]))
    tensor([[[0.5000, 0.0000]]])
    """
    return (gradients * features).sum(1).relu()
