"""Weights of a Keras network to and from safetensors: numbers alone, nothing that could run."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from microcalc.errors import RequestError
from microcalc.files import write_atomically


def save_weights(network: Any, path: Path, dtype: type[np.floating] = np.float32) -> None:
    """Write all variables of a Keras network, batch-normalisation statistics included, atomically."""
    weights = {_key(i): np.asarray(value, dtype) for i, value in enumerate(network.get_weights())}
    write_atomically(path, save(weights))


def load_weights(network: Any, path: Path) -> None:
    """Put saved weights into a network of the same architecture.

    Raises:
        RequestError: the file is missing, damaged, not finite, or of another architecture.
    """
    try:
        saved = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RequestError(f"{path}: is not a file of weights ({error}); copy it anew or train again") from error
    expected = network.get_weights()
    values = [saved.get(_key(i)) for i in range(len(expected))]
    matching = [
        value is not None and value.shape == np.shape(want) for value, want in zip(values, expected, strict=True)
    ]
    if len(saved) != len(expected) or not all(matching):
        raise RequestError(f"{path}: holds the weights of another network; copy it anew or train again")
    if not all(np.isfinite(value).all() for value in values):
        raise RequestError(f"{path}: holds weights that are not finite; copy it anew or train again")
    network.set_weights([np.asarray(value, np.float32) for value in values])


def _key(position: int) -> str:
    return f"{position:03d}"
