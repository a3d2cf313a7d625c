"""Which patches come from the same patient: known by their names, and by the pixels that they share."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from microcalc.errors import DataError

BLOCK_SIZE = 16

_INFN = re.compile(
    r"(?P<patient>\d{4})(?P<view>[a-z]\d)_(?P<roi>\d+)_(?:(?P<cluster>\d+)_)?(?P<label>[01])_(?P<crop>\d+)", re.ASCII
)
_DDSM = re.compile(r"(?P<patient>D\d_[A-D]_\d+_\d+)\.(?:LEFT|RIGHT)_(?:CC|MLO)(?: \(\d+\))?", re.ASCII)

# Blocks hashed at a time: bounds the memory of the search for shared blocks to half a gigabyte.
_HASHES_AT_A_TIME = 1 << 23
_IMAGES_AT_A_TIME = 64
_LEAST_VARIED = 0.25

Images = NDArray[np.float32]
Indices = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class InfnName:
    """The parts of an INFN patch's name; ``cluster`` is None for normal tissue."""

    patient: str
    view: str
    roi: int
    cluster: int | None
    label: int
    crop: int


def parse_infn_name(name: str) -> InfnName:
    """Read the name of an INFN patch, such as ``0312u1_1_1_1_5.png``: patient, view, ROI, cluster, label, crop.

    Raises:
        DataError: the name is not of that form.

    >>> parse_infn_name("0036t1_4_0_1.png")
    InfnName(patient='0036', view='t1', roi=4, cluster=None, label=0, crop=1)
    >>> parse_infn_name("Train/1/0312u1_1_1_1_5.png").cluster
    1
    """
    match = _INFN.fullmatch(PurePath(name).stem)
    if match is None:
        raise DataError(f"{name}: not the name of an INFN patch, which reads like 0036t1_4_0_1.png")
    numbers: dict[str, Any] = {name: match[name] and int(match[name]) for name in ("roi", "cluster", "label", "crop")}
    return InfnName(match["patient"], match["view"], **numbers)


def patients_from_names(files: Sequence[str]) -> tuple[str, ...]:
    """The patient of each file by its name, where that follows a known convention; else the file itself.

    The conventions are the INFN archive's, where ``0036t1_4_0_1.png`` is of patient 0036, and that of the mammograms
    of the external set, where ``D1_A_1882_1.LEFT_CC (2).png`` is of patient D1_A_1882_1: whatever precedes the dot.

    >>> patients_from_names(["0/D1_A_1882_1.LEFT_CC (2).png", "1/D1_A_1882_1.LEFT_CC.png", "0/scan.png"])
    ('D1_A_1882_1', 'D1_A_1882_1', '0/scan.png')
    """
    matches = (_INFN.fullmatch(stem) or _DDSM.fullmatch(stem) for stem in (PurePath(file).stem for file in files))
    return tuple(match["patient"] if match else file for match, file in zip(matches, files, strict=True))


def identical_pairs(images: Images) -> Indices:
    """All pairs of patches whose pixels are all equal.

    Args:
        images: (n, height, width).

    Returns:
        (m, 2) indices, the smaller first.

    >>> identical_pairs(np.zeros((3, 60, 60), np.float32)).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    copies: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        copies[_without_negative_zero(image).tobytes()].append(index)
    pairs = [pair for indices in copies.values() for pair in combinations(indices, 2)]
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def shared_blocks(images: Images, size: int = BLOCK_SIZE) -> Indices:
    """All pairs of patches that share a block of pixels, wherever it lies in either of them.

    Every block of every patch is hashed (a weighted sum of its pixels modulo 2^64), and blocks of equal hash are
    compared pixel by pixel. Blocks where less than a quarter of the pixels differ from their left neighbours are
    ignored: a black border or its edge does not link two patients.

    Args:
        images: (n, height, width).
        size: side of the block in pixels.

    Returns:
        (m, 2) indices, the smaller first, without repetition.

    >>> noise = np.random.default_rng(0).random((104, 104), dtype=np.float32)
    >>> patches = np.stack([noise[:60, :60], noise[44:, 44:]])
    >>> shared_blocks(patches).tolist(), shared_blocks(patches, size=17).tolist()
    ([[0, 1]], [])
    """
    return _pairs_sharing_a_block(images, size, neighbours_only=False)


def linked_groups(images: Images, patients: Sequence[str]) -> Indices:
    """Number the groups that must never be split: patches of one patient, or linked by a shared block of pixels.

    Links carry on: where A is linked to B and B to C, all three are in one group.

    Args:
        images: (n, height, width).
        patients: the patient of each patch, n in all.

    Returns:
        (n,) the group of each patch, from 0 to the number of groups less one.

    >>> noise = np.random.default_rng(0).random((4, 60, 60), dtype=np.float32)
    >>> noise[2] = noise[0]
    >>> linked_groups(noise, ["a", "a", "b", "c"]).tolist()
    [0, 0, 0, 1]
    """
    first_of_patient: dict[str, int] = {}
    same_patient = [(row, first_of_patient.setdefault(patient, row)) for row, patient in enumerate(patients)]
    links = np.concatenate([same_patient, _pairs_sharing_a_block(images, BLOCK_SIZE, neighbours_only=True)])
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(images), len(images)))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _pairs_sharing_a_block(images: Images, size: int, neighbours_only: bool) -> Indices:
    """As :func:`shared_blocks`; ``neighbours_only`` gives just enough pairs to connect all patches of each block."""
    if not len(images) or size > min(images.shape[1:]):
        return np.empty((0, 2), dtype=np.int64)
    images = _without_negative_zero(images)
    count = len(images)
    found = np.empty(0, dtype=np.int64)
    for patch, corner, run in _repeated_blocks(images, size):
        for one, other in _pairs_in_runs(patch, run, neighbours_only):
            pairs, first = np.unique(patch[one] * count + patch[other], return_index=True)
            unseen = first[~np.isin(pairs, found)]
            one, other = one[unseen], other[unseen]
            equal = _equal_blocks(images, size, patch[one], corner[one], patch[other], corner[other])
            found = np.union1d(found, patch[one[equal]] * count + patch[other[equal]])
    return np.stack(np.divmod(found, count), axis=1)


def _without_negative_zero(images: Images) -> Images:
    """-0.0 equals 0.0 yet has other bits; adding zero makes them one."""
    return np.asarray(images + np.float32(0), dtype=np.float32)


def _repeated_blocks(images: Images, size: int) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Blocks whose hash occurs more than once: their patch, their corner (flat index), their run of equal hashes.

    The hashes are taken in shares, so many at a time that they fit the memory; blocks of equal hash fall in one share.
    """
    blocks = (images.shape[1] - size + 1) * (images.shape[2] - size + 1)
    shares = -(-len(images) * blocks // _HASHES_AT_A_TIME)
    for share in range(shares):
        hashes, places = _hashes_of_share(images, size, share, shares)
        _, run, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        repeated = np.flatnonzero(counts[run] > 1)
        by_run = repeated[np.argsort(run[repeated], kind="stable")]
        patch, corner = np.divmod(places[by_run], blocks)
        yield patch, corner, run[by_run]


def _hashes_of_share(images: Images, size: int, share: int, shares: int) -> tuple[Hashes, Indices]:
    """The hashes of one share, and the place of each: patch x blocks in a patch + corner."""
    hashes, places = [], []
    start = 0
    for first in range(0, len(images), _IMAGES_AT_A_TIME):
        chunk = images[first : first + _IMAGES_AT_A_TIME]
        block_hashes = _block_hashes(chunk, size).ravel()
        wanted = np.flatnonzero(_varied(chunk, size).ravel() & ((block_hashes >> np.uint64(32)) % shares == share))
        hashes.append(block_hashes[wanted])
        places.append(wanted + start)
        start += len(block_hashes)
    return np.concatenate(hashes), np.concatenate(places)


def _block_hashes(images: Images, size: int) -> Hashes:
    """Hash of the block at each corner: (n, height - size + 1, width - size + 1)."""
    weights = np.random.default_rng(0).integers(0, 1 << 64, (2, size), np.uint64) | np.uint64(1)
    return _block_sums(_mixed(images.view(np.uint32).astype(np.uint64)), *weights)


def _mixed(values: Hashes) -> Hashes:
    """Spread each value over all 64 bits (the finaliser of SplitMix64), so that round numbers do not collide."""
    values = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _varied(images: Images, size: int) -> NDArray[np.bool_]:
    """Where a block holds enough detail to show where it comes from: (n, height - size + 1, width - size + 1)."""
    changes = np.zeros(images.shape, dtype=np.uint64)
    changes[:, :, 1:] = images[:, :, 1:] != images[:, :, :-1]
    ones = np.ones(size, np.uint64)
    return _block_sums(changes, ones, ones) >= _LEAST_VARIED * size * size


def _block_sums(values: Hashes, rows: Hashes, columns: Hashes) -> Hashes:
    """Sum of each block modulo 2^64, each value times the weight of its row and that of its column in the block."""
    across = sliding_window_view(values, len(columns), axis=2) @ columns
    sums: Hashes = sliding_window_view(across, len(rows), axis=1) @ rows
    return sums


def _pairs_in_runs(patch: Indices, run: Indices, neighbours_only: bool) -> Iterator[tuple[Indices, Indices]]:
    """Positions of two blocks of one run that lie in different patches, the patch of smaller index first."""
    one = np.arange(len(run))
    lag = 1
    while len(one := one[one + lag < len(run)]) and len(one := one[run[one] == run[one + lag]]):
        differ = one[patch[one] != patch[one + lag]]
        yield differ, differ + lag
        if neighbours_only:
            return
        lag += 1


def _equal_blocks(
    images: Images, size: int, patch: Indices, corner: Indices, other_patch: Indices, other_corner: Indices
) -> NDArray[np.bool_]:
    """Whether blocks are equal, pixel by pixel."""
    blocks_across = images.shape[2] - size + 1

    def block(index: int, place: int) -> Images:
        row, column = divmod(place, blocks_across)
        return images[index, row : row + size, column : column + size]

    places = zip(patch.tolist(), corner.tolist(), other_patch.tolist(), other_corner.tolist(), strict=True)
    return np.array([np.array_equal(block(a, at_a), block(b, at_b)) for a, at_a, b, at_b in places], dtype=np.bool_)
