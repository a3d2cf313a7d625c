"""Whole phantom mammograms: a breast made by the package, with calcifications whose places are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from microcalc.config import PhantomScanner
from microcalc.data.phantom import (
    PIXEL_UM,
    SIZE,
    add_dust,
    calcification_contrast,
    check_phantom,
    draw_calcifications,
    draw_clusters,
    draw_grain,
    grain_deviation,
    patient_name,
)
from microcalc.errors import RequestError

PIXEL_SIZE_MM = 0.07
FIELD_MM = (230.0, 180.0)
SMALLEST_FIELD_MM = 60.0
PIXEL_SIZES_MM = (0.02, 0.2)
IMAGES_A_PATIENT = 4

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

_COARSE_MM = 0.7  # the breast's shape, thickness and glands are smooth at this scale
_FINE_MM = 0.14  # vessels and ligaments are drawn at this scale
_MOST_CLUSTERS = 3
_APART_MM = 12.0  # three single calcifications must not make a cluster
_FROM_SKIN_MM = 8.0
_AIR = 0.03
_AT_SAME_DISTANCE_MM = 2.0  # from the nipple, a cluster in both views of its breast
_SYSTEM_BLUR_MM = 0.05
_SECOND_BLUR_MM, _SECOND_GRAIN = 0.07, 0.006
_COARSEST_TEXTURE_MM = 40.0


@dataclass(frozen=True, eq=False)
class PhantomMammogram:
    """One mammogram and all that is known of it.

    Attributes:
        patient: such as ``phantom00003``, or ``phantom7-00003`` with seed 7, who has two views of each breast.
        side: L or R.
        view: CC or MLO.
        study: names the study among all that other settings and seeds give.
        pixels: (rows, columns) uint16, bright where a calcification is.
        pixel_size_mm: of both rows and columns.
        breast_mm2: area of the breast, its pectoral muscle included.
        nipple_px: column and row of the nipple.
        clusters: (k, 2) column and row of the calcifications of each cluster, three or more.
    """

    patient: str
    side: Literal["L", "R"]
    view: Literal["CC", "MLO"]
    study: str
    pixels: NDArray[np.uint16]
    pixel_size_mm: float
    breast_mm2: float
    nipple_px: tuple[float, float]
    clusters: tuple[Points, ...]

    @property
    def name(self) -> str:
        """Patient, side and view, such as ``phantom00003_RMLO``."""
        return f"{self.patient}_{self.side}{self.view}"


@dataclass(frozen=True)
class _Plan:
    """A breast as both views share it: its reach, in fields, its brightness, and its clusters' distances from the
    nipple, in reaches."""

    reach: float
    brightness: float
    distances: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Breast:
    """On a grid of 0.7 mm, the chest wall at the left: distance from the skin in mm, pectoral muscle, nipple (mm)."""

    depth_mm: Reals
    pectoral: Mask
    nipple_mm: tuple[float, float]


def iter_phantom_mammograms(
    mammograms: int,
    *,
    difficulty: float = 0.5,
    seed: int = 0,
    pixel_size_mm: float = PIXEL_SIZE_MM,
    field_mm: tuple[float, float] = FIELD_MM,
    scanner: PhantomScanner = "first",
) -> Iterator[PhantomMammogram]:
    """Yield phantom mammograms one at a time: left and right, CC and MLO of each patient in turn.

    A breast has none to three clusters, in both views about as far from the nipple.

    The tissue has a power spectrum of 1/f^3 up to structures of 40 mm (Burgess, Jacobson and Judy, Med. Phys. 28
    (2001) 419-437, doi:10.1118/1.1355308), glands, vessels and ligaments that run to the nipple, and in MLO views a
    pectoral muscle. What must not be taken for a cluster is there too: dust, sharp as it does not pass through the
    breast, single calcifications at least 12 mm apart, and a marker of side and view.

    Args:
        mammograms: how many, at least 1.
        difficulty: as for :func:`microcalc.data.phantom.make_phantom`: 0 plain to see, 1 hardly above the grain.
        seed: the same seed gives the same mammograms, whatever the number of those that follow.
        pixel_size_mm: from 0.02 to 0.2.
        field_mm: height and width of the image, at least 60 each; small ones are quick to make.
        scanner: "second" shows the same breasts as another scanner might: more blur and noise, other greys.

    Raises:
        RequestError: a number out of its range.

    >>> small = next(iter_phantom_mammograms(1, field_mm=(80, 60)))
    >>> small.name, small.pixels.shape, small.pixels.dtype
    ('phantom00000_LCC', (1142, 857), dtype('uint16'))
    """
    if mammograms < 1:
        raise RequestError(f"the number of phantom mammograms must be at least 1: got {mammograms}")
    check_phantom(difficulty, seed)
    if not PIXEL_SIZES_MM[0] <= pixel_size_mm <= PIXEL_SIZES_MM[1]:
        raise RequestError(f"pixel_size_mm must lie in {list(PIXEL_SIZES_MM)}: got {pixel_size_mm}")
    if min(field_mm) < SMALLEST_FIELD_MM:
        raise RequestError(f"field_mm must be at least {SMALLEST_FIELD_MM:.0f} each: got {field_mm}")
    for number in range(mammograms):
        patient, image = divmod(number, IMAGES_A_PATIENT)
        name = patient_name(seed, patient)
        side: Literal["L", "R"] = "R" if image % 2 else "L"
        view: Literal["CC", "MLO"] = "MLO" if image // 2 else "CC"
        of_image, of_breast = (
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
            for key in ((number,), (patient, image % 2))
        )
        plan = _plan(of_breast)
        pixels, area, nipple, clusters = _draw(of_image, plan, side, view, difficulty, pixel_size_mm, field_mm, scanner)
        study = f"{name} {seed} {difficulty} {pixel_size_mm} {field_mm} {scanner}"
        yield PhantomMammogram(name, side, view, study, pixels, pixel_size_mm, area, nipple, clusters)


def _plan(random: np.random.Generator) -> _Plan:
    distances = random.uniform(0.3, 0.75, int(random.integers(0, _MOST_CLUSTERS + 1)))
    return _Plan(random.uniform(0.55, 0.75), random.uniform(0.2, 0.5), tuple(distances.tolist()))


def _draw(
    random: np.random.Generator,
    plan: _Plan,
    side: str,
    view: str,
    difficulty: float,
    pixel_mm: float,
    field_mm: tuple[float, float],
    scanner: PhantomScanner,
) -> tuple[NDArray[np.uint16], float, tuple[float, float], tuple[Points, ...]]:
    """Return pixels, area of the breast, nipple and clusters of one view."""
    shape = (int(field_mm[0] / pixel_mm), int(field_mm[1] / pixel_mm))
    breast = _draw_breast(random, view, field_mm, plan.reach)
    grain = grain_deviation(random, plan.brightness)
    level, texture = _levels(random, breast, plan.brightness)
    image = _enlarged(level, shape, _COARSE_MM / pixel_mm)
    image += _enlarged(texture, shape, _COARSE_MM / pixel_mm) * _texture(random, shape, pixel_mm)
    image += _enlarged(_linear_structures(random, breast, field_mm), shape, _FINE_MM / pixel_mm)
    contrast = calcification_contrast(grain, difficulty)
    clusters = _add_calcifications(random, image, breast, plan.distances, contrast, pixel_mm)
    image += draw_grain(random, (1, *shape), grain)[0]
    add_dust(random, image[None], int(random.poisson(image.size / 2e5)))
    if scanner == "second":
        image = _second_scanner(random, image, pixel_mm)
    row, column = (place / pixel_mm for place in breast.nipple_mm)
    if side == "R":
        image, column = image[:, ::-1], shape[1] - 1 - column
        clusters = [np.stack([shape[1] - 1 - cluster[:, 0], cluster[:, 1]], axis=1) for cluster in clusters]
    image = np.maximum(image, _marker(side + view, shape, pixel_mm))
    pixels = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16)
    area = float((breast.depth_mm > 0).sum() * _COARSE_MM**2)
    return pixels, area, (column, row), tuple(clusters)


def _second_scanner(random: np.random.Generator, image: Grey, pixel_mm: float) -> Grey:
    """Show a film as a made-up other scanner would: more blur, a coarser grain, a brighter grey scale."""
    blurred = ndimage.gaussian_filter(image, _SECOND_BLUR_MM / pixel_mm)
    blurred += ndimage.gaussian_filter(draw_grain(random, (1, *image.shape), 1.0)[0], 1.0) * _SECOND_GRAIN * 3
    seen: Grey = 0.1 + 0.85 * np.clip(blurred, 0, 1) ** np.float32(0.7)
    return seen


def _draw_breast(random: np.random.Generator, view: str, field_mm: tuple[float, float], reach: float) -> _Breast:
    """Half an ellipse at the chest wall; in MLO views lower, with the armpit above it and the pectoral muscle."""
    height, width = field_mm
    down, across = np.indices((ceil(height / _COARSE_MM), ceil(width / _COARSE_MM))) * _COARSE_MM
    reach, half = width * reach, height * random.uniform(0.3, 0.4)
    middle = height * (random.uniform(0.56, 0.6) if view == "MLO" else random.uniform(0.47, 0.53))
    rim = reach * np.sqrt(np.clip(1 - (np.abs(down - middle) / half) ** 2.2, 0, None))
    pectoral = np.zeros(down.shape, np.bool_)
    if view == "MLO":
        rim = np.maximum(rim, np.where(down < middle, reach * (0.4 + 0.6 * (down / middle) ** 2), 0))
        rim = ndimage.gaussian_filter1d(rim, 5 / _COARSE_MM, axis=0)
        foot, top = height * random.uniform(0.45, 0.6), width * random.uniform(0.22, 0.32)
        pectoral = across / top < np.clip(1 - down / foot, 0, None) ** random.uniform(0.7, 1.0)
    nipple = (middle, reach)
    inside = across < rim
    inside |= np.hypot(down - middle, across - reach + 1) < 4
    padded = np.pad(inside, ((1, 1), (0, 1)), constant_values=False)
    if view == "MLO":
        padded[0] = padded[1]
    depth = ndimage.distance_transform_edt(padded)[1:-1, :-1] * _COARSE_MM
    return _Breast(depth, pectoral, nipple)


def _levels(random: np.random.Generator, breast: _Breast, brightness: float) -> tuple[Reals, Reals]:
    """Mean grey level, and how strong the texture is, on the coarse grid."""
    down, across = np.indices(breast.depth_mm.shape) * _COARSE_MM
    middle, reach = breast.nipple_mm
    spread = reach * random.uniform(0.3, 0.45)
    glands = np.exp(-(((down - middle) / 1.3) ** 2 + (across - reach * 0.6) ** 2) / (2 * spread**2))
    rounding = reach / 4
    thickness = np.sqrt(1 - (1 - np.clip(breast.depth_mm / rounding, 0, 1)) ** 2)
    skin = 0.05 * ((breast.depth_mm > 0) & (breast.depth_mm < 2))
    muscle = ndimage.gaussian_filter(breast.pectoral.astype(np.float64), 1.0)
    level = _AIR + thickness * (brightness * (0.5 + 0.6 * glands) + 0.25 * muscle) + skin
    texture = 0.028 * (0.3 + brightness) * thickness * (0.4 + glands) * (1 - 0.7 * muscle) * random.lognormal(0.0, 0.3)
    return level, texture


def _enlarged(coarse: Reals, shape: tuple[int, int], zoom: float) -> Grey:
    """A smooth image on a grid ``zoom`` times as fine, of this shape, its upper left corner in place."""
    canvas = Image.fromarray(coarse.astype(np.float32))
    box = (0, 0, shape[1] / zoom, shape[0] / zoom)
    return np.array(canvas.resize(shape[::-1], Image.Resampling.BILINEAR, box))


def _texture(random: np.random.Generator, shape: tuple[int, int], pixel_mm: float) -> Grey:
    """Noise of power spectrum 1/f^3; what of it varies within 5 mm has unit standard deviation."""
    rows, columns = (scipy.fft.next_fast_len(side, real=True) for side in shape)
    white = scipy.fft.rfft2(random.standard_normal((rows, columns), dtype=np.float32))
    per_mm = np.hypot(
        scipy.fft.fftfreq(rows, pixel_mm).astype(np.float32)[:, None],
        scipy.fft.rfftfreq(columns, pixel_mm).astype(np.float32),
    )
    amplitude = (per_mm**2 + np.float32(_COARSEST_TEXTURE_MM**-2)) ** np.float32(-0.75)
    within = amplitude[per_mm > 1 / 5]
    amplitude *= np.float32(np.sqrt(rows * columns / (2 * np.square(within, dtype=np.float64).sum())))
    field: Grey = scipy.fft.irfft2(white * amplitude, s=(rows, columns))
    return field[: shape[0], : shape[1]]


def _linear_structures(random: np.random.Generator, breast: _Breast, field_mm: tuple[float, float]) -> Grey:
    """Vessels of 1 to 3 mm, and ligaments and ducts of 0.2 to 0.6 mm, curved, towards the nipple."""
    shape = (ceil(field_mm[0] / _FINE_MM), ceil(field_mm[1] / _FINE_MM))
    drawn = np.zeros(shape, np.float32)
    area = float((breast.depth_mm > 0).mean())
    for number, widths, heights, blur_mm in ((6, (1.0, 3.0), (0.02, 0.05), 0.4), (250, (0.2, 0.6), (0.02, 0.06), 0.12)):
        canvas = Image.new("F", shape[::-1])
        pen = ImageDraw.Draw(canvas)
        for _ in range(int(random.poisson(number * area))):
            line = _curve(random, breast, short=widths[1] < 1) / _FINE_MM
            width = max(1, round(random.uniform(*widths) / _FINE_MM))
            pen.line([(float(x), float(y)) for y, x in line], fill=float(random.uniform(*heights)), width=width)
        drawn += ndimage.gaussian_filter(np.asarray(canvas), blur_mm / _FINE_MM)
    inside = _enlarged(np.clip(breast.depth_mm / 5, 0, 1), shape, _COARSE_MM / _FINE_MM)
    return drawn * inside


def _curve(random: np.random.Generator, breast: _Breast, short: bool) -> Reals:
    """(20, 2) points in mm, row and column, of a quadratic Bezier curve that ends on its way to the nipple."""
    inside = np.argwhere(breast.depth_mm > 2) * _COARSE_MM
    start = inside[random.integers(len(inside))]
    end = start + (np.array(breast.nipple_mm) - start) * random.uniform(0.05, 0.3 if short else 0.95)
    bend = (start + end) / 2 + random.normal(0, 0.12, 2) * np.hypot(*(end - start))
    along = np.linspace(0, 1, 20)[:, None]
    curve: Reals = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
    return curve


def _add_calcifications(
    random: np.random.Generator,
    image: Grey,
    breast: _Breast,
    distances: Sequence[float],
    contrast: float,
    pixel_mm: float,
) -> list[Points]:
    """Add clusters at these distances from the nipple, and single calcifications, in place; return the former."""
    number = len(distances)
    places = _places(random, breast, [*distances, *[None] * int(random.poisson(5))])
    sharp = np.zeros_like(image)
    heights = contrast * random.lognormal(0.0, 0.25, len(places))
    clusters = []
    for place, height in zip(places[:number], heights[:number], strict=True):
        clusters.append(_add_cluster(random, sharp, place / pixel_mm, height, PIXEL_UM / 1000 / pixel_mm))
    if len(places) > number:
        row, column = (places[number:] / pixel_mm).T
        radius = random.uniform(0.1, 0.28, len(row)) / pixel_mm
        stamps, _ = draw_calcifications(random, row, column, np.minimum(radius, 4.0))
        for stamp, down, right, height in zip(stamps, np.rint(row), np.rint(column), heights[number:], strict=True):
            sharp[int(down) - 4 : int(down) + 5, int(right) - 4 : int(right) + 5] += height * stamp
    image += ndimage.gaussian_filter(sharp, _SYSTEM_BLUR_MM / pixel_mm)
    return clusters


def _add_cluster(random: np.random.Generator, sharp: Grey, middle: Reals, height: float, zoom: float) -> Points:
    contrasts, masks = draw_clusters(random, 1)
    side = int(SIZE * zoom)
    row, column = np.rint(middle - side / 2).astype(int).tolist()
    stamp = _enlarged(contrasts[0], (side, side), zoom)
    sharp[row : row + side, column : column + side] += height * stamp
    labels, count = ndimage.label(masks[0], np.ones((3, 3)))
    centers = np.array(ndimage.center_of_mass(masks[0], labels, range(1, count + 1)))
    found: Points = ((centers + 0.5) * zoom - 0.5 + (row, column))[:, ::-1]
    return found


def _places(random: np.random.Generator, breast: _Breast, distances: Sequence[float | None]) -> Points:
    """Return rows and columns in mm, (at most as many as distances, 2): deep in the breast, 12 mm apart, not in muscle.

    They are at the wished distances from the nipple, where one is given and there is room.
    """
    down, across = np.indices(breast.depth_mm.shape) * _COARSE_MM
    inside = (breast.depth_mm > _FROM_SKIN_MM) & ~ndimage.binary_dilation(breast.pectoral, iterations=6)
    for axis in (down, across):
        inside &= (axis > 4) & (axis < axis.max() - 4)
    middle, reach = breast.nipple_mm
    from_nipple = np.hypot(down - middle, across - reach)
    places: list[tuple[float, float]] = []
    for distance in distances:
        if not inside.any():
            break
        ring = inside if distance is None else inside & (abs(from_nipple - distance * reach) < _AT_SAME_DISTANCE_MM)
        free = np.argwhere(ring if ring.any() else inside)
        row, column = free[random.integers(len(free))] * _COARSE_MM
        places.append((float(row), float(column)))
        inside &= np.hypot(down - row, across - column) > _APART_MM
    return np.array(places).reshape(-1, 2)


def _marker(text: str, shape: tuple[int, int], pixel_mm: float) -> Grey:
    """Bright letters away from the chest wall, near the top; 0 elsewhere."""
    canvas = Image.new("F", shape[::-1])
    size = 0.03 * shape[0]
    place = (0.03 * shape[1], 0.02 * shape[0]) if text[0] == "R" else (0.97 * shape[1] - 2.6 * size, 0.02 * shape[0])
    ImageDraw.Draw(canvas).text(place, text, fill=0.9, font=ImageFont.load_default(size))
    return np.asarray(canvas)
