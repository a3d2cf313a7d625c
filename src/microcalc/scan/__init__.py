"""Whole mammograms: where the breast is, where a committee should look, and the clusters that it finds.

The room is a function too: ``from microcalc import scan`` gives what scans a mammogram, whether or not a module of the
room was imported before, since Python knows the room and its function by one name.
"""

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from microcalc.committee.committee import Committee
    from microcalc.scan.findings import Finding


class _Room(ModuleType):
    def __call__(
        self,
        image_or_path: "str | os.PathLike[str] | NDArray[np.float32]",
        pixel_size_mm: float | tuple[float, float] | None = None,
        committee: "Committee | None" = None,
    ) -> "list[Finding]":
        """See :func:`microcalc.scan.scanner.scan`."""
        from microcalc.scan.scanner import scan

        return scan(image_or_path, pixel_size_mm, committee)


sys.modules[__name__].__class__ = _Room
