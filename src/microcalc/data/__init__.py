"""Patches with their labels and groups, and where they come from."""

from microcalc.data.dataset import Data

__all__ = ["Data"]
