"""Windows of mammograms as patches to learn from: true clusters, and what a scan takes for clusters where none is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microcalc.data import Data
from microcalc.images import read_mammogram
from microcalc.images.resample import TRUE_PIXEL_MM, to_true_scale
from microcalc.mammograms.breast import find_breast
from microcalc.mammograms.candidates import WINDOW_SPACING, Spots, apart, choose_windows, find_spots
from microcalc.mammograms.clusters import FAR, LEAST_CONTRAST, cut_windows
from microcalc.mammograms.matching import KnownImage

FALSE_MARKS = 10
RANDOM_WINDOWS = 4
"""Windows of a normal mammogram: around its highest false marks, and anywhere in the breast."""

Floats = NDArray[np.float64]
Pixels = NDArray[np.float32]


class Windows(NamedTuple):
    """(n, 60, 60) windows at 85 um a pixel, and their (n,) labels: 1 where they show a cluster."""

    pixels: Pixels
    labels: NDArray[np.int64]


def learning_windows(known: KnownImage, seed: int) -> Windows:
    """Cut a window around each true cluster; of a normal mammogram its highest false marks, and some anywhere.

    Args:
        known: a scanned mammogram that is still in its file, and its truth.
        seed: of the windows anywhere.

    Raises:
        ImageError: the file cannot be read any more.
    """
    scanned = known.scanned
    image = to_true_scale(read_mammogram(scanned.file).pixels, scanned.pixel_size_mm)
    mask = find_breast(image).mask
    to_true = np.array(scanned.pixel_size_mm[::-1]) / TRUE_PIXEL_MM
    if known.boxes_px:
        spots, boxes = find_spots(image, mask), np.array(known.boxes_px).reshape(-1, 2, 2) * to_true
        centers = np.array([fullest_window(spots, corners) for corners in boxes])
    else:
        highest = [finding.center_px for finding in known.false[:FALSE_MARKS]]
        inside = np.argwhere(mask)[:, ::-1]
        anywhere = np.random.default_rng(seed).choice(inside, RANDOM_WINDOWS)
        centers = np.concatenate([np.array(highest).reshape(-1, 2) * to_true, anywhere])
        centers = apart(centers, WINDOW_SPACING)
    return Windows(cut_windows(image, centers), np.full(len(centers), int(bool(known.boxes_px)), np.int64))


def fullest_window(spots: Spots, corners: Floats) -> Floats:
    """Return the centre of the window that holds the most plain spots of a region; its middle where it has none.

    Args:
        spots: of the image.
        corners: (2, 2) column and row of the region's upper left and lower right corner.

    >>> spots = Spots(np.array([[9.0, 9], [50, 50], [55, 50]]), *np.array([[5.0, 5, 5]] * 3), np.arange(3))
    >>> fullest_window(spots, np.array([[0.0, 0], [99, 99]]))
    array([52.5, 50. ])
    """
    inside = ((spots.positions >= corners[0]) & (spots.positions <= corners[1])).all(axis=1)
    plain = spots.select(inside & (spots.contrast >= LEAST_CONTRAST))
    centers = choose_windows(plain)
    if not len(centers):
        return np.asarray(corners.mean(axis=0))
    held = (np.abs(centers[:, None] - plain.positions).max(axis=2) < FAR).sum(axis=1)
    return np.asarray(centers[np.argmax(held)])


def learning_data(
    learning: Sequence[KnownImage], left_out: Sequence[KnownImage], patches: Sequence[Data], seed: int
) -> Data:
    """Join patches and windows to learn from, without any of a patient left out or linked to one by shared pixels.

    Args:
        learning: mammograms whose windows are cut, as patches of their patients.
        left_out: mammograms of other patients.
        patches: to join the windows to.
        seed: of the windows anywhere.

    Raises:
        DataError: as for :meth:`microcalc.data.Data.join`.
        ImageError: as for :func:`learning_windows`.
    """
    cut = [(known, learning_windows(known, seed + number)) for number, known in enumerate(learning)]
    windows = Data.of_patients(
        "mammograms",
        np.concatenate([each.pixels for _, each in cut]),
        np.concatenate([each.labels for _, each in cut]),
        [f"{known.scanned.file}#{number}" for known, each in cut for number in range(len(each.labels))],
        [known.case.patient for known, each in cut for _ in each.labels],
    )
    joined = Data.join([*patches, windows])
    kept = [known.case.patient for known in left_out]  # may be folders and a name, where file names give the patients
    theirs = np.isin(joined.patients, [*kept, *(patient.rpartition("/")[2] for patient in kept)])
    return joined.select(~np.isin(joined.groups, joined.groups[theirs]))
