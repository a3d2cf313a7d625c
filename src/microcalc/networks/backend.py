"""Keras on its PyTorch backend: every module that needs Keras takes it from here.

Keras fixes its backend when it is first imported, so the choice has to be made before that, in one place:
``from microcalc.networks.backend import keras``.
"""

import os
import sys

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

import keras  # noqa: E402

__all__ = ["keras"]
