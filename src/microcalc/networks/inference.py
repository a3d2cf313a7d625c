"""What a trained network says of patches."""

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import logits

ENLARGEMENT = 1.4


def predict(
    network: Any,
    images: NDArray[np.float32],
    device: str | torch.device | None = None,
    batch_size: int = 64,
    symmetries: bool = False,
    closer_looks: int = 0,
) -> NDArray[np.float64]:
    """Give the probability of a cluster in each patch: the logit in float32, its sigmoid in float64, so that few tie.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) raw patches in [0, 1]; they are read a batch at a time, so that a memory map of any length
            will do.
        device: "cpu", "cuda" or "auto"; None stays where the network is.
        batch_size: patches at a time.
        symmetries: average over the eight rotations and reflections of each patch, at eight times the cost.
        closer_looks: how many of those eight are looked at enlarged; see :func:`eight_looks`.

    Returns:
        (n,) probabilities.

    >>> from microcalc.networks.hypermodel import build_network
    >>> predict(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3,)
    """
    where = choose_device(device) if device is not None else network.variables[0].value.device
    probabilities = np.empty(len(images))
    with torch.inference_mode(), keras.device(keras_name(where)):
        forward = logits(network.to(where), training=False)
        for start in range(0, len(images), batch_size):
            batch = torch.tensor(images[start : start + batch_size], dtype=torch.float32, device=where).unsqueeze(-1)
            views = eight_looks(batch, closer_looks) if symmetries else [batch]
            votes = torch.stack([forward(view)[:, 0].double().sigmoid() for view in views])
            probabilities[start : start + batch_size] = votes.mean(0).cpu().numpy()
    return probabilities


def eight_looks(batch: Tensor, closer: int) -> list[Tensor]:
    """The rotations by quarter turns of (n, side, side, 1) patches and of their mirror images.

    In the last ``closer`` of them the middle is enlarged 1.4 times, to the same number of pixels: calcifications on
    film of coarser resolution are then nearer to the size that the network knows.

    >>> len({tuple(look.flatten().tolist()) for look in eight_looks(torch.arange(9.0).reshape(1, 3, 3, 1), closer=3)})
    8
    """
    looks = [torch.rot90(side, turns, (1, 2)).contiguous() for side in (batch, batch.flip(2)) for turns in range(4)]
    return [*looks[: 8 - closer], *(_enlarge(look) for look in looks[8 - closer :])]


def _enlarge(batch: Tensor) -> Tensor:
    enlarge = enlarging_matrix(batch.shape[1], batch.device)
    with torch.autocast(batch.device.type, enabled=False):
        return (enlarge @ batch.squeeze(-1) @ enlarge.T).unsqueeze(-1)


@functools.cache
def enlarging_matrix(side: int, device: torch.device) -> Tensor:
    """(side, side): the middle of a line of pixels enlarged 1.4 times, linearly, as a product from the left.

    >>> enlarging_matrix(60, torch.device("cpu")).sum(1).allclose(torch.ones(60))
    True
    """
    position = torch.arange(side)
    middle = (side - 1) / 2
    source = (position - middle) / ENLARGEMENT + middle
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
