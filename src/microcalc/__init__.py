"""Finds clusters of microcalcifications in mammograms, and reports how far to believe it."""

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee as Committee
    from microcalc.data import Data as Data
    from microcalc.mammograms import scan as scan
    from microcalc.model import Model as Model

# PyTorch's threads would wait by spinning, and take the cores from everything else that runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = version("microcalc")
__all__ = ["Committee", "Data", "Model", "scan"]

_HOMES = {
    "Committee": "microcalc.committee.committee",
    "Data": "microcalc.data",
    "Model": "microcalc.model",
    "scan": "microcalc.mammograms",
}


def __dir__() -> list[str]:
    """The public names, whether or not they were used yet."""
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import microcalc`` alone stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'microcalc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
