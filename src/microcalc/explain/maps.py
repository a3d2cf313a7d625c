"""Grad-CAM of a committee: of the expert of highest weight, or of all of them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.config import GradcamMethod
from microcalc.explain.gradcam import gradcam
from microcalc.files import checked
from microcalc.images.tiles import check_patches

Explained = Literal["highest_weight", "committee"]


def explain(
    committee: Committee,
    images: NDArray[np.float32],
    of: Explained = "highest_weight",
    method: GradcamMethod = "hirescam",
) -> NDArray[np.float32]:
    """Map the parts of each patch that raise the probability of a cluster; see :mod:`microcalc.explain.gradcam`.

    Args:
        committee: to explain; :meth:`Committee.expert` gives one of its experts alone.
        images: (n, 60, 60) raw patches in [0, 1].
        of: "highest_weight" explains the expert of highest weight; "committee" averages the maps of all experts, each
            in [0, 1] and weighted as in the committee, and divides the average by its maximum.
        method: "gradcam" or "hirescam".

    Returns:
        (n, 60, 60) float32 in [0, 1]; all zero where no part raises the probability.

    Raises:
        RequestError: the images are no such patches, or ``of`` or ``method`` is unknown.

    >>> maps = explain(Committee.pretrained(), np.zeros((2, 60, 60), np.float32), method="gradcam")
    >>> maps.shape
    (2, 60, 60)
    """
    checked(Explained, of, "of")
    if of == "highest_weight":
        committee = committee.expert(committee.highest_weight)
    prepared = committee.filtered(check_patches(images))
    average = np.zeros(prepared.shape, np.float32)
    for network, weight in zip(committee.networks, committee.weights, strict=True):
        average += np.float32(weight) * gradcam(network, prepared, method=method)
    largest = average.max(axis=(1, 2), keepdims=True, initial=0)
    maps: NDArray[np.float32] = np.divide(average, largest, out=np.zeros_like(average), where=largest > 0)
    return maps
