"""The probabilities that a trained network gives to patches."""

from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microcalc.config import Tta
from microcalc.errors import RequestError
from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import logit_model


def predict(
    network: Any,
    images: NDArray[np.float32],
    device: str | torch.device | None = None,
    batch_size: int = 64,
    tta: Tta = "none",
) -> NDArray[np.float64]:
    """Give the probability of a cluster in each patch: the sigmoid of the logit, in float64, so that few tie.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) patches in [0, 1]; they are read a batch at a time, so that a memory map of any length
            will do.
        device: "cpu", "cuda" or "auto"; None stays where the network is.
        batch_size: patches at a time.
        tta: test-time augmentation: "none", or "d4" for the mean over the 8 symmetries of the square, which takes
            eight times as long.

    Returns:
        (n,) probabilities.

    Raises:
        RequestError: ``tta`` is neither.

    >>> from microcalc.networks.hypermodel import build_network
    >>> predict(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3,)
    """
    if tta not in get_args(Tta):
        raise RequestError(f"tta is one of {', '.join(get_args(Tta))}: got {tta!r}")
    where = choose_device(device) if device is not None else network.variables[0].value.device
    probabilities = np.empty(len(images))
    with torch.inference_mode(), keras.device(keras_name(where)):
        logits = logit_model(network.to(where))
        for start in range(0, len(images), batch_size):
            batch = torch.tensor(images[start : start + batch_size], dtype=torch.float32, device=where).unsqueeze(1)
            views = symmetries(batch) if tta == "d4" else [batch]
            outputs = torch.stack([logits(view, training=False)[:, 0].double() for view in views])
            probabilities[start : start + batch_size] = outputs.sigmoid().mean(0).cpu().numpy()
    return probabilities


def symmetries(batch: Tensor) -> list[Tensor]:
    """The 8 symmetries of the square (the group D4) of (n, 1, side, side) patches.

    >>> len({tuple(view.flatten().tolist()) for view in symmetries(torch.arange(9.0).reshape(1, 1, 3, 3))})
    8
    """
    return [torch.rot90(side, turns, (2, 3)) for side in (batch, batch.flip(3)) for turns in range(4)]


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
