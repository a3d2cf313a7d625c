"""Methods of class activation mapping: feature maps and their gradients in, a coarse map out.

A new method is one function, one line in ``METHODS`` and one word in :data:`microcalc.config.GradcamMethod`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from microcalc.config import GradcamMethod

if TYPE_CHECKING:  # the pictures of an evaluation need no PyTorch, which takes seconds to import
    from torch import Tensor


@dataclass(frozen=True)
class Method:
    """One way to make a map.

    Attributes:
        title: as publications call it.
        layer: its feature maps are read.
        combine: (n, c, h, w) feature maps and gradients of the logit to (n, h, w) coarse maps.
    """

    title: str
    layer: str
    combine: "Callable[[Tensor, Tensor], Tensor]"


def by_average_gradient(features: "Tensor", gradients: "Tensor") -> "Tensor":
    """Sum the feature maps, each weighted by the average of its gradient, and set what is negative to zero.

    Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391.

    >>> import torch
    >>> by_average_gradient(torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.5))[0, 0]
    tensor([1., 1., 1.])
    """
    return (gradients.mean((2, 3), keepdim=True) * features).sum(1).relu()


def by_own_gradient(features: "Tensor", gradients: "Tensor") -> "Tensor":
    """Sum the feature maps, each weighted by its gradient at every place, and set what is negative to zero.

    Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891.

    >>> import torch
    >>> by_own_gradient(torch.ones(1, 1, 1, 2), torch.tensor([[[[0.5, -0.5]]]]))
    tensor([[[0.5000, 0.0000]]])
    """
    return (gradients * features).sum(1).relu()


METHODS: dict[GradcamMethod, Method] = {
    "gradcam": Method("Grad-CAM", "convolution_3", by_average_gradient),  # the rectified maps of the last convolution
    "hirescam": Method("HiResCAM", "pool_2", by_own_gradient),  # the maps that enter the last convolution
}
