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


def read_masks(folder: Path) -> list[ImageTruth]:
    """Read the masks of a folder and of those below it, each of which is then one patient's.

    Whatever is not black belongs to the truth. Each component (of 8 neighbours) of ``NAME_calcifications`` is one
    calcification; each of ``NAME_clusters`` or ``NAME_mask`` is one cluster. A mask of ``a/NAME`` is of the image
    ``a/NAME``, of any suffix.

    Raises:
        ImageError: a mask cannot be read.
    """
    masks = [each for each in find_images(folder).files if each.stem.lower().endswith((CALCIFICATIONS, *REGIONS))]
    return [_read_mask(path, path.relative_to(folder)) for path in masks]


def _read_mask(path: Path, name: Path) -> ImageTruth:
    labels, count = ndimage.label(read_image(path).pixels > 0, np.ones((3, 3)))
    image = name.with_name(name.stem.rpartition("_")[0]).as_posix()
    patient = name.parent.as_posix() if name.parent.name else None
    known = ImageTruth(image, patient=patient, shape=(labels.shape[0], labels.shape[1]))
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
