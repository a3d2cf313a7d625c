"""Keras on its PyTorch backend: every module that needs Keras takes it from here.

Keras fixes its backend when it is first imported, so the choice has to be made before that, in one place:
``from microcalc.networks.backend import keras``.
"""

import gc
import os
import sys

import torch

from microcalc.errors import RequestError


def _refuse_another_backend() -> None:
    loaded = sys.modules.get("keras")
    backend = loaded.config.backend() if loaded is not None else "torch"
    if backend != "torch":
        raise RequestError(
            f"Keras was imported with the {backend} backend, and microcalc needs PyTorch: "
            "import microcalc before keras, or set KERAS_BACKEND=torch"
        )


_refuse_another_backend()
os.environ["KERAS_BACKEND"] = "torch"
if not torch.cuda.is_available():
    os.environ.setdefault("KERAS_TORCH_DEVICE", "cpu")  # Keras would take Apple's "mps", which lacks float64

_collects = gc.isenabled()
gc.disable()  # looking for garbage among what is imported takes a third of the start of a command, and finds none
import keras  # noqa: E402

gc.freeze()
if _collects:
    gc.enable()

__all__ = ["keras"]
