"""The built-in phantom: film-like patches made by the package, for when no real archive is at hand."""

import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from microcalc.errors import RequestError
from microcalc.files import filled_folder
from microcalc.images.pictures import encode

SIZE = 60
PIXEL_UM = 85.0
SMALLEST_UM, LARGEST_UM = 100.0, 500.0
FEWEST, MOST = 3, 30

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]
Masks = NDArray[np.bool_]
Reals = NDArray[np.floating[Any]]

_FIELD = 96  # the texture is periodic: it is made larger than the patch, and cropped
_GRAIN_BLUR = (0.6, 0.5)  # pixels; as in the INFN patches, a little longer along the digitiser's travel
_SYSTEM_BLUR = 0.6  # pixels; film, screen and digitiser blur the calcifications, never the dust
_LEVELS = (0.07, 0.85)  # no patch is black or white all over, or patients would share its flat blocks
_CANDIDATES = 60
_REACH = np.arange(-4, 5)  # pixels from a calcification's centre that it may touch


def make_phantom(
    patients: int = 80, patches_per_patient: int = 6, difficulty: float = 0.5, seed: int = 0
) -> tuple[Pixels, Labels, tuple[str, ...], Masks]:
    """Make patches of film mammograms, with and without clusters of microcalcifications.

    Each patient has a tissue of its own (brightness, texture, lines, grain), so patches must be split by patient. Of
    every ten patients five have normal tissue only, four clusters only, and one both. See :func:`iter_phantom`.

    Args:
        patients: number of patients, at least 2 so that both classes occur.
        patches_per_patient: patches of each, at least 1.
        difficulty: 0 (plain to see) to 1 (hardly above the grain): scales the calcifications' contrast.
        seed: the same seed gives the same patches, whatever the number of patients that follow.

    Returns:
        images (n, 60, 60) float32 in [0, 1], quantised to 8 bit, 85 um a pixel; labels (n,), 1 where there is a
        cluster; the patient of each patch; masks (n, 60, 60), each 8-connected component one calcification.

    Raises:
        RequestError: a number out of its range.

    >>> images, labels, patients, masks = make_phantom(patients=4, patches_per_patient=2)
    >>> images.shape, labels.tolist(), patients[:3]
    ((8, 60, 60), [0, 0, 1, 1, 0, 0, 1, 1], ('phantom00000', 'phantom00000', 'phantom00001'))
    """
    if patients < 2:
        raise RequestError(f"a phantom needs at least 2 patients, for both classes to occur: got {patients}")
    number = patients * patches_per_patient
    images, labels = np.empty((number, SIZE, SIZE), np.float32), np.empty(number, np.int64)
    masks = np.empty((number, SIZE, SIZE), np.bool_)
    for patient, made in enumerate(iter_phantom(patients, patches_per_patient, difficulty, seed)):
        here = slice(patient * patches_per_patient, (patient + 1) * patches_per_patient)
        images[here], labels[here], masks[here] = made
    names = tuple(patient_name(seed, patient) for patient in range(patients) for _ in range(patches_per_patient))
    return images, labels, names, masks


def iter_phantom(
    patients: int = 80, patches_per_patient: int = 6, difficulty: float = 0.5, seed: int = 0
) -> Iterator[tuple[Pixels, Labels, Masks]]:
    """Yield the phantom a patient at a time, in constant memory; arguments and errors as :func:`make_phantom`.

    Tissue texture has a power spectrum of 1/f^3 (Burgess, Jacobson and Judy, "Human observer detection experiments
    with mammograms and power-law noise", Med. Phys. 28 (2001) 419-437, doi:10.1118/1.1355308); brightness, texture,
    grain and dust have the sizes measured on the INFN patches. Clusters hold 3 to 30 irregular calcifications, 100 to
    500 um long, none touching another.

    >>> images, labels, masks = next(iter_phantom(patients=1, seed=3))
    >>> images.shape, labels.tolist(), bool(masks.any())
    ((6, 60, 60), [0, 0, 0, 0, 0, 0], False)
    """
    if patients < 1 or patches_per_patient < 1:
        raise RequestError(f"a phantom needs patients and patches: got {patients} of {patches_per_patient} each")
    check_phantom(difficulty, seed)
    for patient in range(patients):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(patient,)))
        yield _patient(random, _labels(patient, patches_per_patient), difficulty)


def patient_name(seed: int, patient: int) -> str:
    """Name a patient, whom no other seed has, so that phantoms can be joined.

    >>> patient_name(0, 3), patient_name(7, 3)
    ('phantom00003', 'phantom7-00003')
    """
    return f"phantom{f'{seed}-' if seed else ''}{patient:05d}"


def check_phantom(difficulty: float, seed: int) -> None:
    """Refuse a difficulty or a seed out of its range.

    Raises:
        RequestError: naming it.
    """
    if not 0 <= difficulty <= 1:
        raise RequestError(f"the phantom's difficulty must lie in [0, 1]: got {difficulty}")
    if seed < 0:
        raise RequestError(f"seed must not be negative: got {seed}")


def write_phantom(folder: Path, images: Pixels, labels: Labels, patients: Sequence[str], masks: Masks) -> None:
    """Write what :func:`make_phantom` made as a dataset of files: all of it, or nothing.

    Args:
        folder: gets ``0/`` and ``1/`` of 8-bit PNG images; ``masks.zip``, which holds one of the same name for each
            image of ``1/`` (0 or 255), where nobody takes it for a patch; and ``groups.csv`` (file, patient). Empty or
            missing.

    Raises:
        RequestError: there is something at ``folder`` already.
        FailedError: no room, or no right to write there.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "phantom"
    >>> write_phantom(folder, *make_phantom(patients=2, patches_per_patient=1))
    >>> sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    ['0/phantom00000_00000.png', '1/phantom00001_00001.png', 'groups.csv', 'masks.zip']
    """
    with filled_folder(folder) as whole, zipfile.ZipFile(whole / "masks.zip", "w") as archive:
        for name in ("0", "1"):
            (whole / name).mkdir()
        rows = ["file,patient"]
        for row, patient in enumerate(patients):
            name = f"{patient}_{row:05d}.png"
            (whole / str(labels[row]) / name).write_bytes(encode(np.rint(images[row] * 255).astype(np.uint8)))
            if labels[row]:
                archive.writestr(zipfile.ZipInfo(name), encode(masks[row].astype(np.uint8) * 255))
            rows.append(f"{labels[row]}/{name},{patient}")
        (whole / "groups.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _labels(patient: int, patches: int) -> Labels:
    """Even patients are normal, odd ones have clusters; every tenth has both."""
    if patient % 10 == 7:
        return np.arange(patches, dtype=np.int64) % 2
    return np.full(patches, patient % 2, np.int64)


def _patient(random: np.random.Generator, labels: Labels, difficulty: float) -> tuple[Pixels, Labels, Masks]:
    patches = len(labels)
    brightness = 0.05 + 0.8 * random.beta(2.2, 2.8)
    texture = (0.3 + brightness) * 0.028 * random.lognormal(0.0, 0.4)
    lines, grain, dust = random.gamma(2.0, 0.9), grain_deviation(random, brightness), random.gamma(1.5, 0.6)
    level = np.clip(brightness + random.normal(0.0, 0.03, (patches, 1, 1)), *_LEVELS)
    images = level + texture * _texture(random, patches) + _linear_structures(random, patches, lines, texture)
    calcifications, masks = np.zeros(images.shape, np.float32), np.zeros(images.shape, np.bool_)
    calcifications[labels == 1], masks[labels == 1] = draw_clusters(random, int(labels.sum()))
    contrast = calcification_contrast(grain, difficulty) * random.lognormal(0.0, 0.25, (patches, 1, 1))
    images += contrast * ndimage.gaussian_filter(calcifications, (0, _SYSTEM_BLUR, _SYSTEM_BLUR))
    images += draw_grain(random, images.shape, grain)
    add_dust(random, images, int(random.poisson(dust * patches)))
    quantised = np.rint(np.clip(images, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return quantised, labels, masks


def _texture(random: np.random.Generator, patches: int) -> Reals:
    """Gaussian noise of power spectrum 1/f^3 and unit standard deviation, its mean over a patch left as it falls."""
    white = scipy.fft.rfft2(random.standard_normal((patches, _FIELD, _FIELD), dtype=np.float32))
    field: Reals = scipy.fft.irfft2(white * _amplitude(), s=(_FIELD, _FIELD))
    return field[:, :SIZE, :SIZE]


@cache
def _amplitude() -> Pixels:
    """Half plane of a filter f^-1.5 that leaves unit white noise with unit standard deviation."""
    frequency = np.hypot(np.fft.fftfreq(_FIELD)[:, None], np.fft.rfftfreq(_FIELD))
    frequency[0, 0] = np.inf
    amplitude: Reals = frequency**-1.5
    both_halves = np.full(amplitude.shape[1], 2.0)
    both_halves[[0, -1]] = 1.0
    amplitude *= _FIELD / np.sqrt((amplitude**2 * both_halves).sum())
    return amplitude.astype(np.float32)


def _linear_structures(random: np.random.Generator, patches: int, mean: float, height: float) -> Reals:
    """Ducts, vessels and ligaments, ``mean`` a patch: gently curved ridges that fade towards their ends."""
    number = random.poisson(mean, patches)
    shape = (patches, max(1, int(number.max())), 1, 1)
    angle, curvature = random.uniform(0, np.pi, shape), random.normal(0.0, 0.006, shape)
    width, length = random.uniform(0.8, 4.0, shape), random.uniform(10.0, 50.0, shape)
    heights = height * random.uniform(0.3, 2.0, shape)
    heights[np.arange(shape[1]) >= number[:, None]] = 0.0
    row = np.arange(SIZE)[:, None] - random.uniform(0, SIZE, shape)
    column = np.arange(SIZE) - random.uniform(0, SIZE, shape)
    along = column * np.cos(angle) + row * np.sin(angle)
    across = row * np.cos(angle) - column * np.sin(angle) + curvature * along**2
    ridges: Reals = (heights * np.exp(-((across / width) ** 2 + (along / length) ** 2) / 2)).sum(axis=1)
    return ridges


def grain_deviation(random: np.random.Generator, brightness: float) -> float:
    """Draw the standard deviation of a film's grain, which bright tissue has more of."""
    return float((0.010 + 0.006 * brightness) * random.lognormal(0.0, 0.15))


def calcification_contrast(grain: float, difficulty: float) -> float:
    """Return the grey levels of a calcification of usual contrast, from 6 (difficulty 1) to 36 times the grain."""
    return grain * 6.0 * float(6.0 ** (1 - difficulty))


def draw_grain(random: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Pixels:
    """Draw the grain of film for (n, rows, columns) images, of this standard deviation over all of them."""
    white = random.standard_normal(shape, dtype=np.float32)
    grain: Pixels = ndimage.gaussian_filter(white, (0, *_GRAIN_BLUR), mode="wrap")
    return grain * float(deviation / grain.std())


def add_dust(random: np.random.Generator, images: Reals, specks: int) -> None:
    """Add specks of one or two pixels to (n, rows, columns) images, in place: sharp, for they lie on the film."""
    count, rows, columns = images.shape
    image, row = random.integers(0, count, specks), random.integers(0, rows, specks)
    column, second = random.integers(0, columns - 1, specks), random.integers(0, 2, specks)
    height = (0.04 + random.exponential(0.05, specks)) * np.where(random.random(specks) < 0.9, 1, -1)
    np.add.at(images, (image, row, column), height)
    np.add.at(images, (image, row, column + second), height * second)


def draw_clusters(random: np.random.Generator, patches: int) -> tuple[Pixels, Masks]:
    """Draw one cluster a patch, sharp: its relative contrast, at most 1, and its mask, (n, 60, 60) each.

    >>> contrast, masks = draw_clusters(np.random.default_rng(0), patches=2)
    >>> contrast.shape, bool((contrast[masks] > 0).all())
    ((2, 60, 60), True)
    """
    radius = _radii(random, patches)
    row, column = _places(random, patches)
    patch, chosen = np.nonzero(_choose(row, column, radius, random.integers(FEWEST, MOST + 1, patches)))
    row, column, radius = row[patch, chosen], column[patch, chosen], radius[patch, chosen]
    profile, inside = draw_calcifications(random, row, column, radius)
    where = (
        patch[:, None, None],
        np.rint(row).astype(int)[:, None, None] + _REACH[:, None],
        np.rint(column).astype(int)[:, None, None] + _REACH,
    )
    contrast, masks = np.zeros((patches, SIZE, SIZE), np.float32), np.zeros((patches, SIZE, SIZE), np.bool_)
    np.maximum.at(contrast, where, profile)
    np.logical_or.at(masks, where, inside)
    return contrast, masks


def _radii(random: np.random.Generator, patches: int) -> Reals:
    """(patches, candidates): half lengths in pixels; a cluster is mostly fine or mostly coarse."""
    typical = random.lognormal(np.log(220.0), 0.35, (patches, 1))
    length: Reals = np.clip(typical * random.lognormal(0.0, 0.3, (patches, _CANDIDATES)), SMALLEST_UM, LARGEST_UM)
    return length / (2 * PIXEL_UM)


def _places(random: np.random.Generator, patches: int) -> tuple[Reals, Reals]:
    """(patches, candidates) rows and columns, uniform in an ellipse inside the patch.

    The first three stand far apart near the rim, so that :func:`_choose` finds room for at least three.
    """
    one, many = (patches, 1), (patches, _CANDIDATES)
    half_length, squash, tilt = random.uniform(10, 24, one), random.uniform(0.65, 1, one), random.uniform(0, np.pi, one)
    distance, angle = random.random(many) ** 0.7, random.uniform(0, 2 * np.pi, many)
    distance[:, :FEWEST] = 0.75 + 0.25 * distance[:, :FEWEST]
    angle[:, :FEWEST] = angle[:, :1] + np.arange(FEWEST) * (2 * np.pi / FEWEST)
    along, across = half_length * distance * np.cos(angle), half_length * squash * distance * np.sin(angle)
    margin = half_length + 4
    row, column = (random.uniform(margin, SIZE - 1 - margin) for _ in range(2))
    return (
        row + along * np.sin(tilt) + across * np.cos(tilt),
        column + along * np.cos(tilt) - across * np.sin(tilt),
    )


def _choose(row: Reals, column: Reals, radius: Reals, number: Labels) -> Masks:
    """Take candidates in turn, up to ``number`` a patch, leaving out those that would touch one taken before."""
    apart = np.hypot(row[:, :, None] - row[:, None], column[:, :, None] - column[:, None])
    touching = apart < radius[:, :, None] + radius[:, None] + 1.5
    taken = np.zeros(row.shape, np.bool_)
    for candidate in range(_CANDIDATES):
        free = ~(touching[:, candidate] & taken).any(axis=1)
        taken[:, candidate] = free & (taken.sum(axis=1) < number)
    return taken


def draw_calcifications(random: np.random.Generator, row: Reals, column: Reals, radius: Reals) -> tuple[Reals, Masks]:
    """(calcifications, 9, 9): relative contrast and mask of lobed, elongated grains, thickest in the middle."""
    one = (len(row), 1, 1)
    aspect, tilt, phase = random.uniform(0.6, 1, one), random.uniform(0, np.pi, one), random.uniform(0, 2 * np.pi, one)
    lobes, depth = random.integers(2, 5, one), random.uniform(0, 0.4, one)
    row, column, radius = (values.reshape(one) for values in (row, column, radius))
    down, right = np.rint(row) + _REACH[:, None] - row, np.rint(column) + _REACH - column
    distance, angle = np.hypot(down, right), np.arctan2(down, right) - tilt
    edge = radius * aspect / np.hypot(aspect * np.cos(angle), np.sin(angle))
    edge = edge * (1 - depth * (1 + np.cos(lobes * angle + phase)) / 2)
    coverage = np.clip(edge - distance + 0.5, 0, 1)
    contrast = coverage * (1 - (distance / (edge + 0.5)) ** 2 / 2) * random.uniform(0.3, 1, one)
    centre = (np.abs(down) <= 0.5) & (np.abs(right) <= 0.5)
    return contrast, (coverage >= 0.5) | centre
