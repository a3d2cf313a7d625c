"""Grad-CAM as published: Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391."""

from torch import Tensor

LAYER = "convolution_3"
"""The rectified maps of the last convolution."""


def combine(features: Tensor, gradients: Tensor) -> Tensor:
    """Sum the feature maps, each weighted by the average of its gradient, and set what is negative to zero.

    Args:
        features: (n, c, h, w).
        gradients: of the logit with respect to them.

    Returns:
        (n, h, w).

    >>> import torch
    >>> combine(torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.5))[0, 0]
    tensor([1., 1., 1.])
    """
    return (gradients.mean((2, 3), keepdim=True) * features).sum(1).relu()
