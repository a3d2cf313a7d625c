"""What a trained network says of patches."""

import functools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microcalc.config import Looks
from microcalc.errors import RequestError
from microcalc.networks.backend import keras
from microcalc.networks.film import Film
from microcalc.networks.hypermodel import logits

ENLARGEMENT = 1.7
SAY_FOR, SAY_AGAINST = 2 / 3, 1 / 3
COARSE = 2.0  # standard deviations above what is usual, from which on the quarters have their full say


def predict(
    network: Any,
    images: NDArray[np.float32],
    device: str | torch.device | None = None,
    batch_size: int = 64,
    looks: Looks = "one",
    film: Film | None = None,
) -> NDArray[np.float64]:
    """Give the probability of a cluster in each patch: the logit in float32, its sigmoid in float64, so that few tie.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) raw patches in [0, 1]; they are read a batch at a time, so that a memory map of any length
            will do.
        device: "cpu", "cuda" or "auto"; None stays where the network is.
        batch_size: patches at a time.
        looks: what the network is shown of each patch, by :func:`views`; all but "one" cost eight times as much. What
            it says of "quarters" is joined by :func:`drawn_to_quarters`, its probabilities of other looks are averaged.
        film: that the network was trained on, for "quarters".

    Returns:
        (n,) probabilities.

    Raises:
        RequestError: "quarters" are asked for without a film.

    >>> from microcalc.networks.hypermodel import build_network
    >>> predict(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3,)
    """
    if looks == "quarters" and film is None:
        raise RequestError("a network that looks at quarters needs the film it was trained on; give its Film")
    where = choose_device(device) if device is not None else network.variables[0].value.device
    probabilities = np.empty(len(images))
    with torch.inference_mode(), keras.device(keras_name(where)):
        forward = logits(network.to(where), training=False)
        for start in range(0, len(images), batch_size):
            batch = torch.tensor(images[start : start + batch_size], dtype=torch.float32, device=where).unsqueeze(-1)
            said = torch.stack([forward(view)[:, 0].double() for view in views(batch, looks)])
            if looks == "quarters" and film is not None:
                joined = drawn_to_quarters(said, film.excess(batch))
            else:
                joined = said.sigmoid().mean(0)
            probabilities[start : start + batch_size] = joined.cpu().numpy()
    return probabilities


def views(batch: Tensor, looks: Looks) -> list[Tensor]:
    """What is seen of (n, side, side, 1) patches, each view of the same shape.

    "one" is the patch as it is, "eight" are its rotations by quarter turns and those of its mirror image. "quarters"
    are its four rotations, and the upper left corner of the four of its mirror image, enlarged 1.7 times: so each
    quarter of the patch comes up once, with some of what lies around it. On film of coarser resolution calcifications
    are then nearer to the size that the network knows. What is said of them is the same however the patch is turned; of
    its mirror image it may differ a little.

    >>> batch = torch.arange(9.0).reshape(1, 3, 3, 1)
    >>> len(views(batch, "one")), len({tuple(view.flatten().tolist()) for view in views(batch, "quarters")})
    (1, 8)
    """
    if looks == "one":
        return [batch]
    turned, mirrored = (
        [torch.rot90(side, turns, (1, 2)).contiguous() for turns in range(4)] for side in (batch, batch.flip(2))
    )
    return [*turned, *(mirrored if looks == "eight" else map(_enlarge_corner, mirrored))]


def drawn_to_quarters(said: Tensor, excess: Tensor) -> Tensor:
    """Logits of the views of "quarters" to probabilities, by how much coarser a patch is than usual.

    The mean logit of the four whole views is drawn towards the logarithm of the quarters' mean odds, where one quarter
    with a cluster outweighs three without (log-sum-exp pooling, Pinheiro and Collobert, 2015,
    https://doi.org/10.1109/CVPR.2015.7298780): not at all where the patch is no coarser than the mean of the patches
    that the network was trained on, and the more, the coarser it is; from two standard deviations on two thirds of the
    way where the quarters speak for a cluster, one third where they speak against it. A large calcification, enlarged,
    is larger than the network knows: that a quarter misses a cluster says less than that it finds one.

    Args:
        said: (8, n) logits, in the order of :func:`views`.
        excess: (n,) of :meth:`microcalc.networks.film.Film.excess`.

    Returns:
        (n,) probabilities.

    >>> said = torch.tensor([[-1.0]] * 4 + [[-9.0]] * 3 + [[6.0]])
    >>> drawn_to_quarters(said, torch.tensor([0.0])), drawn_to_quarters(said, torch.tensor([2.0]))
    (tensor([0.2689]), tensor([0.9395]))
    """
    whole, quarters = said[:4].mean(0), said[4:].logsumexp(0) - math.log(4)
    say = torch.where(quarters > whole, SAY_FOR, SAY_AGAINST) * (excess / COARSE).clamp(0, 1)
    return whole.lerp(quarters, say).sigmoid()


def _enlarge_corner(batch: Tensor) -> Tensor:
    enlarge = enlarging_matrix(batch.shape[1], batch.device)
    with torch.autocast(batch.device.type, enabled=False):
        return (enlarge @ batch.squeeze(-1) @ enlarge.T).unsqueeze(-1)


@functools.cache
@torch.inference_mode(False)
def enlarging_matrix(side: int, device: torch.device) -> Tensor:
    """(side, side): the beginning of a line of pixels enlarged 1.7 times, linearly, as a product from the left.

    >>> enlarging_matrix(60, torch.device("cpu")).sum(1).allclose(torch.ones(60))
    True
    """
    position = torch.arange(side)
    source = ((position + 0.5) / ENLARGEMENT - 0.5).clamp_min(0)
    return (1 - (source[:, None] - position).abs()).clamp_min(0).to(device)


def choose_device(name: str | torch.device) -> torch.device:
    """Turn "auto" into CUDA where there is one, else the CPU; take any other name as PyTorch does.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def keras_name(device: torch.device) -> str:
    """What Keras calls a device of PyTorch.

    >>> keras_name(torch.device("cpu"))
    'cpu:0'
    """
    return f"{device.type}:{device.index or 0}"
