"""Grad-CAM of a committee: of the expert that counts most in it, or of all of them."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee, filtered
from microcalc.errors import RequestError
from microcalc.explain.gradcam import Variant, gradcam

Explained = Literal["most_reliable", "committee"]


def explain_committee(
    committee: Committee,
    images: NDArray[np.float32],
    of: Explained = "most_reliable",
    variant: Variant = "hirescam",
) -> NDArray[np.float32]:
    """Map what speaks for a cluster to a committee, by :func:`microcalc.explain.gradcam.gradcam`.

    Args:
        committee: whose experts are explained.
        images: (n, 60, 60) raw patches in [0, 1].
        of: "most_reliable" explains the expert of largest weight; "committee" averages the maps of all experts, each
            in [0, 1] and weighted as in the committee, and divides the average by its maximum.
        variant: which method.

    Returns:
        (n, 60, 60) float32 in [0, 1]; all zero where nothing speaks for a cluster.

    Raises:
        RequestError: ``of`` is neither.
    """
    if of not in get_args(Explained):
        raise RequestError(f"what is explained is one of {', '.join(get_args(Explained))}: got {of!r}")
    prepared = filtered(images, committee.wavelet)
    if of == "most_reliable":
        return gradcam(committee.networks[committee.most_reliable], prepared, variant=variant)
    average = np.zeros(images.shape, np.float32)
    for network, weight in zip(committee.networks, committee.weights, strict=True):
        average += np.float32(weight) * gradcam(network, prepared, variant=variant)
    largest = average.max(axis=(1, 2), keepdims=True, initial=0)
    maps: NDArray[np.float32] = np.divide(average, largest, out=np.zeros_like(average), where=largest > 0)
    return maps
