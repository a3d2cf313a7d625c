"""Methods of class activation mapping, a file each: feature maps and their gradients in, a coarse map out.

Each module names the layer whose feature maps it reads, ``LAYER``, and has one function, ``combine``. A new method is
one file, one line in ``METHODS`` and one word in :data:`microcalc.config.GradcamMethod`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from microcalc.config import GradcamMethod
from microcalc.explain.methods import gradcam, hirescam


@dataclass(frozen=True)
class Method:
    """One way to make a map.

    Attributes:
        title: as publications call it.
        layer: whose feature maps are read.
        combine: (n, c, h, w) feature maps and gradients of the logit to (n, h, w) coarse maps.
    """

    title: str
    layer: str
    combine: Callable[[Tensor, Tensor], Tensor]


METHODS: dict[GradcamMethod, Method] = {
    "gradcam": Method("Grad-CAM", gradcam.LAYER, gradcam.combine),
    "hirescam": Method("HiResCAM", hirescam.LAYER, hirescam.combine),
}
