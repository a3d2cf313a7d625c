"""The probabilities that a trained network gives to patches."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import logit_model


def predict(
    network: Any,
    images: NDArray[np.float32],
    batch_size: int = 64,
) -> NDArray[np.float64]:
    """Give the probability of a cluster in each patch: the sigmoid of the logit, in float64, so that few tie.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) patches in [0, 1]; they are read a batch at a time, so that a memory map of any length
            will do.
        batch_size: patches at a time.

    Returns:
        (n,) probabilities.

    >>> from microcalc.networks.hypermodel import build_network
    >>> predict(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3,)
    """
    where = network.variables[0].value.device
    probabilities = np.empty(len(images))
    with torch.inference_mode(), keras.device(str(where)):
        logits = logit_model(network)
        for start in range(0, len(images), batch_size):
            batch = torch.tensor(images[start : start + batch_size], dtype=torch.float32, device=where).unsqueeze(1)
            outputs = logits(batch, training=False)[:, 0].double().sigmoid()
            probabilities[start : start + batch_size] = outputs.cpu().numpy()
    return probabilities


def choose_device(name: str | torch.device) -> torch.device:
    """Turn "auto" into CUDA where there is one, else the CPU; take any other name as PyTorch does.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
