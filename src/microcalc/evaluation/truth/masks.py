"""Truth as masks beside the images: ``NAME_calcifications.png``, or ``NAME_clusters.png``, for ``NAME.png``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from microcalc.evaluation.truth.image import Box, ImageTruth
from microcalc.images import find_images, read_image

CALCIFICATIONS, REGIONS = "_calcifications", ("_clusters", "_mask")


def is_mask(path: Path) -> bool:
    """Whether a file is a mask, by its name.

    >>> is_mask(Path("004_0_calcifications.png")), is_mask(Path("004_0.png"))
    (True, False)
    """
    return path.stem.lower().endswith((CALCIFICATIONS, *REGIONS))


def read_masks(folder: Path) -> list[ImageTruth]:
    """Read the masks of a folder and of those below it; whatever is not black belongs to the truth.

    Each component (of 8 neighbours) of ``NAME_calcifications`` is one calcification; each of ``NAME_clusters`` or
    ``NAME_mask`` is one cluster. Truth of ``a/NAME_clusters.png`` is that of the image ``a/NAME``, of any suffix.
    Where masks lie in folders below, each of these is one patient's.

    Raises:
        ImageError: a mask cannot be read.
    """
    return [_read_mask(path, folder) for path in find_images(folder).files if is_mask(path)]


def _read_mask(path: Path, folder: Path) -> ImageTruth:
    labels, count = ndimage.label(read_image(path).pixels > 0, np.ones((3, 3)))
    name, _, _ = path.relative_to(folder).with_suffix("").as_posix().rpartition("_")
    rows, columns = labels.shape
    known = ImageTruth(name, patient=name.rpartition("/")[0] or None, shape=(rows, columns))
    if not path.stem.lower().endswith(CALCIFICATIONS):
        return replace(known, boxes_px=boxes_around(labels))
    centers = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    return replace(known, calcifications_px=tuple((float(x), float(y)) for y, x in centers))


def boxes_around(labels: NDArray[Any]) -> tuple[Box, ...]:
    """Boxes around the pixels of label 1, 2 and so on, each from the first to the last pixel.

    >>> boxes_around(np.eye(4, 5, dtype=int))
    ((0.0, 0.0, 3.0, 3.0),)
    """
    found = [place for place in ndimage.find_objects(labels) if place]
    return tuple((float(x.start), float(y.start), x.stop - 1.0, y.stop - 1.0) for y, x in found)
