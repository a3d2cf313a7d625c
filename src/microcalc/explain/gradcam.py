"""Grad-CAM: which parts of a patch raise the probability of a cluster."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from microcalc.errors import RequestError
from microcalc.networks.backend import keras

LAYER = {"hirescam": "pool_2", "gradcam": "convolution_3"}
LOGIT = "logit"

Variant = Literal["hirescam", "gradcam"]
Target = Literal["positive", "predicted"]


def gradcam(
    network: "keras.Model",
    images: NDArray[np.float32],
    target: Target = "positive",
    variant: Variant = "hirescam",
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Map what a network looked at, with Grad-CAM for its one sigmoid output.

    Feature maps are summed, each weighted by the gradient of the logit with respect to it; what is negative in the sum
    is set to zero; the map is enlarged to the patch by bilinear interpolation and divided by its maximum. A map where
    nothing speaks for the target is all zero. Maps of different patches are not comparable in strength, since each has
    its own maximum.

    "gradcam" is the method as published (Selvaraju et al., ICCV 2017): the rectified maps of the last convolution, and
    the gradient averaged over each map. This network flattens its maps, so that each place has weights of its own and
    their average means little: on the phantom, the hottest point of three experts was on a calcification in 15, 67 and
    37 % of the patches called rightly (by chance: 8 %). "hirescam" (Draelos and Carin, arXiv:2011.08891, 2020) leaves
    the gradient where it is, here on the maps that enter the last convolution: 95, 99 and 98 %.

    Args:
        network: one expert, as :func:`microcalc.networks.hypermodel.build_network` makes it; its state is not touched.
        images: (n, 60, 60) in [0, 1], filtered if the network was trained on filtered patches.
        target: "positive" explains the probability of a cluster, whatever the network says; "predicted" explains the
            class of larger probability, so that for a patch called normal the map shows what speaks for normal.
        variant: which of the two methods above.
        batch_size: patches at a time.

    Returns:
        (n, 60, 60) float32 in [0, 1].

    Raises:
        RequestError: the images are not (n, h, w), or the target or variant is unknown.

    >>> from microcalc.networks.hypermodel import build_network
    >>> gradcam(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3, 60, 60)
    """
    if images.ndim != 3:
        raise RequestError(f"Grad-CAM takes patches of shape (n, height, width): got {images.shape}")
    for name, value, known in (("target", target, ("positive", "predicted")), ("variant", variant, tuple(LAYER))):
        if value not in known:
            raise RequestError(f"the {name} of Grad-CAM is one of {', '.join(known)}: got {value!r}")
    outputs = [network.get_layer(LAYER[variant]).output, network.get_layer(LOGIT).output]
    features_and_logit = keras.Model(network.inputs, outputs)
    device = network.variables[0].value.device
    maps = np.empty(images.shape, np.float32)
    with keras.device(f"{device.type}:{device.index or 0}"):
        for start in range(0, len(images), batch_size):
            part = np.ascontiguousarray(images[start : start + batch_size], np.float32)
            batch = torch.from_numpy(part).to(device).unsqueeze(1)
            maps[start : start + batch_size] = _map(features_and_logit, batch, target, variant).cpu().numpy()
    return maps


def _map(features_and_logit: "keras.Model", batch: Tensor, target: Target, variant: Variant) -> Tensor:
    """(n, 1, h, w) patches to (n, h, w) maps."""
    with torch.enable_grad():
        features, logit = features_and_logit(batch, training=False)
        score = logit.abs() if target == "predicted" else logit
        (weights,) = torch.autograd.grad(score.sum(), features)
    with torch.no_grad():
        if variant == "gradcam":
            weights = weights.mean((2, 3), keepdim=True)
        coarse = functional.relu((weights * features).sum(1, keepdim=True))
        maps = functional.interpolate(coarse, batch.shape[2:], mode="bilinear")[:, 0]
        largest = maps.amax((1, 2), keepdim=True)
        return torch.where(largest > 0, maps / largest, 0)


def hottest_point(maps: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row and column of the maximum of each map, the first in reading order where several are equal.

    Args:
        maps: (n, h, w).

    Returns:
        (n, 2).

    >>> hottest_point(np.array([[[0.0, 1.0], [0.5, 0.0]]]))
    array([[0, 1]])
    """
    positions = maps.reshape(len(maps), -1).argmax(1)
    return np.stack(np.unravel_index(positions, maps.shape[1:]), axis=1)


def hit_rate(maps: NDArray[np.float32], masks: NDArray[np.bool_], margin: float = 2) -> float:
    """Share of maps whose hottest point lies in the mask or at most ``margin`` pixels from it.

    A map that is all zero points nowhere, and a mask that is empty cannot be hit: both count as misses.

    Args:
        maps: (n, h, w) in [0, 1].
        masks: (n, h, w), True on the calcifications.
        margin: Euclidean distance in pixels.

    Raises:
        RequestError: there are no maps, or masks of another shape.

    >>> masks = np.zeros((1, 60, 60), bool)
    >>> masks[0, 30, 30] = True
    >>> maps = np.zeros((1, 60, 60), np.float32)
    >>> maps[0, 30, 32] = 1
    >>> hit_rate(maps, masks), hit_rate(maps, masks, margin=1)
    (1.0, 0.0)
    """
    if maps.shape != masks.shape or not len(maps):
        raise RequestError(f"one mask a map is needed, and at least one: got {maps.shape} and {masks.shape}")
    points = hottest_point(maps)
    return float(np.mean([_is_hit(*each, margin) for each in zip(maps, masks, points, strict=True)]))


def _is_hit(heat: NDArray[np.float32], mask: NDArray[np.bool_], point: NDArray[np.int64], margin: float) -> bool:
    distances = np.linalg.norm(np.argwhere(mask) - point, axis=1)
    return bool(heat.any() and distances.min(initial=np.inf) <= margin)
