"""Fit the outlier detector from patches of tissue alone: what is not tissue is made from them, or drawn."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, zoom
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from microcalc.committee.outliers import Images, OutlierDetector, Reals, distances_of, outlier_statistics

FALSE_ALARM_RATE = 0.01
FOLDS = 5
DRAWN = 400  # images of each kind that is drawn, or as many as there are patches
SIDE = 60
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/:.")


def fit_outlier_detector(
    images: Images, groups: NDArray[np.int64], rate: float = FALSE_ALARM_RATE, seed: int = 0
) -> OutlierDetector:
    """Fit the detector, and choose its threshold for a rate of false alarms on patients that it has not seen.

    Tissue is the patches, each once as it is and once as another device might show it (:func:`other_device`). Not
    tissue are the same inverted, enlarged and reduced three times, and images that are drawn. The threshold is the
    conformal quantile (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005) of the distances
    of the patches as they are, each from a model of four fifths of the patients, not its own.

    Args:
        images: (n, 60, 60) raw patches in [0, 1], of both classes.
        groups: (n,) patients, at least two.
        rate: of false alarms; with fewer than 1 / rate patches it becomes 1 / (n + 1), the least that n can show.
        seed: of all that is drawn.

    >>> from microcalc.data.phantom import make_phantom
    >>> images, _, patients, _ = make_phantom(patients=10, seed=0)
    >>> detector = fit_outlier_detector(images, np.unique(patients, return_inverse=True)[1])
    >>> bool((detector.distances(np.zeros((1, 60, 60), np.float32)) > detector.threshold).all())
    True
    """
    statistics, kinds, owners = _examples(images, groups, np.random.default_rng(seed))
    own = statistics[: len(images)]
    unseen = np.empty(len(images))
    for _, part in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(own, groups=groups):
        rest = ~np.isin(owners, groups[part])
        unseen[part] = distances_of(own[part], *_fit(statistics[rest], kinds[rest]))
    rate = max(rate, 1 / (len(images) + 1))
    rank = min(math.ceil((len(images) + 1) * (1 - rate)), len(images))
    return OutlierDetector(*_fit(statistics, kinds), threshold=float(np.sort(unseen)[rank - 1]), false_alarm_rate=rate)


def _examples(
    images: Images, groups: NDArray[np.int64], random: np.random.Generator
) -> tuple[Reals, NDArray[np.int64], NDArray[np.int64]]:
    """Statistics, kind (0 for tissue) and patient (one of its own for each drawn image); the patches come first."""
    statistics, kinds, owners = [], [], []
    for tissue in (images, other_device(images, random)):
        derived = (tissue, 1 - tissue, enlarged(tissue, random), reduced(tissue))
        for kind, made in enumerate(derived):
            statistics.append(outlier_statistics(made))
            kinds.append(np.full(len(made), kind))
            owners.append(groups)
    count = min(DRAWN, len(images))
    for kind, draw in enumerate((noise, gradients, shapes, text, background), start=4):
        statistics.append(outlier_statistics(draw(count, random)))
        kinds.append(np.full(count, kind))
        owners.append(groups.max() + 1 + np.arange(count))
    return np.concatenate(statistics), np.concatenate(kinds), np.concatenate(owners)


def _fit(statistics: Reals, kinds: NDArray[np.int64]) -> tuple[Reals, Reals]:
    """Weights and intercepts of each kind's score against tissue, for statistics that are not standardised."""
    scaler = StandardScaler().fit(statistics)
    model = LogisticRegression(max_iter=1000, tol=1e-3).fit(scaler.transform(statistics), kinds)
    weights = (model.coef_[1:] - model.coef_[0]) / scaler.scale_
    return weights, model.intercept_[1:] - model.intercept_[0] - weights @ scaler.mean_


def other_device(images: Images, random: np.random.Generator) -> Images:
    """(n, 60, 60) patches as another device might show them: sharpness, noise, gamma, contrast and brightness vary."""

    def between(low: float, high: float) -> Reals:
        return random.uniform(low, high, (len(images), 1, 1))

    fine = images - gaussian_filter(images, (0, 0.8, 0.8))
    grain = fine.std(axis=(1, 2), keepdims=True) * between(0, 1) * random.standard_normal(images.shape)
    shown = np.clip(images + between(-0.6, 0.6) * fine + grain, 0, 1) ** np.exp(between(-0.5, 0.5))
    mean = shown.mean(axis=(1, 2), keepdims=True)
    return _eight_bits(mean + between(-0.2, 0.2) + np.exp(between(-0.7, 1.4)) * (shown - mean))


def enlarged(images: Images, random: np.random.Generator) -> Images:
    """A third of each side, enlarged three times."""
    places = random.integers(0, SIDE - SIDE // 3 + 1, (len(images), 2))
    parts = np.stack([image[y : y + 20, x : x + 20] for image, (y, x) in zip(images, places, strict=True)])
    order = [1, 3]
    halves = [zoom(parts[start::2], (1, 3, 3), order=order[start], grid_mode=True, mode="nearest") for start in (0, 1)]
    return _eight_bits(np.concatenate(halves))


def reduced(images: Images) -> Images:
    """Each patch reduced three times by averaging, and mirrored at its borders to fill a patch again.

    Mirroring changes structures as long as a third of a patch; :func:`outlier_statistics` measures finer ones only.
    """
    small = images.reshape(-1, 20, 3, 20, 3).mean(axis=(2, 4))
    return _eight_bits(np.pad(small, ((0, 0), (20, 20), (20, 20)), mode="symmetric"))


def noise(count: int, random: np.random.Generator) -> Images:
    """Noise with a power spectrum of 1 / f^b, b from 0 (white) to 2; that of tissue is about 3."""
    deviation = np.exp(random.uniform(np.log(0.05), np.log(0.3), (count, 1, 1)))
    return _eight_bits(random.uniform(0.2, 0.8, (count, 1, 1)) + deviation * _coloured(count, 2, random))


def _coloured(count: int, steepest: float, random: np.random.Generator) -> Reals:
    """(count, 60, 60) noise of mean 0 and deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    frequency[0, 0] = np.inf
    exponent = random.uniform(0, steepest, (count, 1, 1)) / 2
    white = np.fft.fft2(random.standard_normal((count, SIDE, SIDE)))
    pixels = np.fft.ifft2(white * np.where(np.isinf(frequency), 0, np.minimum(frequency, 1) ** -exponent)).real
    return np.asarray(pixels / pixels.std(axis=(1, 2), keepdims=True))


def gradients(count: int, random: np.random.Generator) -> Images:
    """Smooth gradients, straight and curved."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle, contrast, bend, bowl = (
        random.uniform(low, high, (count, 1, 1))
        for low, high in ((0, 2 * np.pi), (0.02, 0.4), (-0.5, 0.5), (-0.5, 0.5))
    )
    along = np.cos(angle) * x + np.sin(angle) * y
    return _eight_bits(0.5 + contrast * (along + bend * along**2 + bowl * (x**2 + y**2)))


def shapes(count: int, random: np.random.Generator) -> Images:
    """Opaque ellipses and polygons of all sizes, one before the other: a photograph's statistics.

    The dead leaves model: Lee, Mumford and Huang, International Journal of Computer Vision 41 (2001) 35-59.
    """
    side = 4 * SIDE
    pictures = np.empty((count, SIDE, SIDE), np.float32)
    for number in range(count):
        picture = Image.new("L", (side, side), int(random.integers(256)))
        pen = ImageDraw.Draw(picture)
        smallest = random.uniform(2, 10)
        for radius in random.uniform((side / 2) ** -2, smallest**-2, 200) ** -0.5:
            (x, y), (wide, high) = random.uniform(0, side, 2), radius * random.uniform(0.5, 1.5, 2)
            grey, corners = int(random.integers(256)), int(random.integers(3, 7))
            if random.uniform() < 0.5:
                pen.ellipse((x - wide, y - high, x + wide, y + high), fill=grey)
            else:
                pen.regular_polygon((x, y, radius), corners, rotation=random.uniform(0, 360), fill=grey)
        pictures[number] = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))
    contrast, speckle = random.uniform(0.3, 1, (count, 1, 1)), random.uniform(0, 0.03, (count, 1, 1))
    shaded = contrast * pictures / 255 + random.uniform(0, 1, (count, 1, 1)) * (1 - contrast)
    blurred = np.stack([gaussian_filter(each, random.uniform(0, 1)) for each in shaded])
    return _eight_bits(blurred + speckle * random.standard_normal(blurred.shape))


def text(count: int, random: np.random.Generator) -> Images:
    """Lines of letters of 7 to 47 pixels, light or dark, with and without noise."""
    pictures = np.empty((count, SIDE, SIDE), np.float32)
    for number, size in enumerate(random.integers(7, 48, count)):
        picture, font = Image.new("L", (SIDE, SIDE)), ImageFont.load_default(int(size))
        for row in range(int(random.integers(-size, 2)), SIDE, int(size * 1.2)):
            line = "".join(random.choice(LETTERS, 20))
            ImageDraw.Draw(picture).text((int(random.integers(-10, 4)), row), line, fill=255, font=font)
        pictures[number] = np.asarray(picture)
    paper = random.uniform(0, 1, (count, 1, 1))
    ink = paper + random.uniform(0.25, 1, paper.shape) * np.where(paper < 0.5, 1, -1)
    speckle = random.choice([0, 0.005, 0.02], paper.shape) * random.standard_normal(pictures.shape)
    return _eight_bits(paper + (ink - paper) * pictures / 255 + speckle)


def background(count: int, random: np.random.Generator) -> Images:
    """No structure: black, white or grey, with no noise or little."""
    level = np.where(random.uniform(size=count) < 0.5, random.integers(0, 2, count), random.uniform(0, 1, count))
    grain = np.where(random.uniform(size=count) < 0.4, 0, np.exp(random.uniform(np.log(1e-3), np.log(0.02), count)))
    return _eight_bits(level[:, None, None] + grain[:, None, None] * _coloured(count, 1, random))


def _eight_bits(images: NDArray[np.floating]) -> Images:
    """Clipped to [0, 1] and rounded as an 8-bit file would be."""
    rounded: Images = (np.round(np.clip(images, 0, 1) * 255) / 255).astype(np.float32)
    return rounded
