"""Show why no outlier detector ships: what two of them flag, each source of tissue left out in turn.

Run as `python benchmarks/outliers.py --data SHARED`, with the folder that holds DL_class_data.tar.gz, cbis_ddsm_rois/
and mammograms/. A detector of use flags at most 5 % of the tissue of a source that it was not fitted to, and 90 % each
of that tissue inverted, at half and at double scale, of text and of noise. The
threshold is set so that 5 % of the very tissue of the source left out are flagged: no threshold chosen without it can
do better, and those that pass 95 % of the fitted sources did far worse.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage, stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from microcalc import Data

Images = NDArray[np.float32]
Reals = NDArray[np.float64]
Measured = dict[str, list[Reals]]
RANDOM = np.random.default_rng(0)
KINDS = ("tissue", "inverted", "half scale", "double scale")
DRAWN = 300  # images of text and of noise to fit to, and as many to judge by


def resized(pixels: Images, factor: float) -> Images:
    rows, columns = (round(side * factor) for side in pixels.shape)
    return np.clip(np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC)), 0, 1)


def grey(path: Path) -> Images:
    return np.asarray(Image.open(path).convert("L"), np.float32) / 255


def infn(data: Path) -> Iterator[Images]:
    """Mirrored at their borders: a patch of 60 x 60 pixels has no tissue around it."""
    for patch in Data.load("infn", archive=data / "DL_class_data.tar.gz").images:
        yield np.pad(patch, 30, mode="symmetric")


def regions(data: Path) -> Iterator[Images]:
    for path in sorted((data / "cbis_ddsm_rois" / "mass").glob("*/*.jpg")):
        true = resized(grey(path), 0.0435 / 0.085)
        if min(true.shape) >= 120:
            y, x = (RANDOM.integers(side - 119) for side in true.shape)
            yield true[y : y + 120, x : x + 120]


def mammograms(data: Path) -> Iterator[Images]:
    """Squares of 120 x 120 pixels wholly inside the largest bright region of each image."""
    for path in sorted((data / "mammograms" / "cdd_cesm_normal").glob("*.jpg")):
        true = resized(grey(path), 0.1 / 0.085)
        smooth = ndimage.uniform_filter(true, 9)
        dark, bright = np.percentile(smooth, (1, 99))
        parts, _ = ndimage.label(ndimage.binary_opening(smooth > dark + 0.1 * (bright - dark), iterations=5))
        breast = ndimage.binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.flat)[1:]))
        inside = ndimage.minimum_filter(ndimage.binary_erosion(breast, iterations=30), 121)
        middles = np.argwhere(inside)
        for y, x in middles[RANDOM.choice(len(middles), min(15, len(middles)), replace=False)]:
            yield true[y - 60 : y + 60, x - 60 : x + 60]


SOURCES = {"INFN": infn, "CBIS-DDSM": regions, "CDD-CESM": mammograms}


def kinds_of(squares: Iterator[Images]) -> list[Images]:
    threes = [(each[30:90, 30:90], resized(each, 0.5), resized(each[45:75, 45:75], 2)) for each in squares]
    tissue, half, double = (np.stack(part) for part in zip(*threes, strict=True))
    return [tissue, 1 - tissue, half, double]


def text(count: int) -> Images:
    pictures = []
    for size in RANDOM.integers(7, 48, count):
        paper = int(RANDOM.integers(256))
        picture = Image.new("L", (60, 60), paper)
        for row in range(int(RANDOM.integers(-size, 2)), 60, int(size * 1.2)):
            line = "".join(RANDOM.choice(list("LRMCO0123456789abcdefgh-."), 20))
            place, font = (int(RANDOM.integers(-10, 4)), row), ImageFont.load_default(int(size))
            ImageDraw.Draw(picture).text(place, line, fill=(paper + 128) % 256, font=font)
        pictures.append(np.asarray(picture, np.float32) / 255)
    return np.stack(pictures)


def noise(count: int) -> Images:
    """Power spectra of 1 / f^b, b from 0 to 2; that of tissue is about 3."""
    frequency = np.hypot(np.fft.fftfreq(60)[:, None], np.fft.fftfreq(60))
    frequency[0, 0] = np.inf
    white = np.fft.fft2(RANDOM.standard_normal((count, 60, 60)))
    field = np.fft.ifft2(white * frequency ** -RANDOM.uniform(0, 1, (count, 1, 1))).real
    deviation = np.exp(RANDOM.uniform(np.log(0.05), np.log(0.3), (count, 1, 1)))
    return np.clip(0.5 + deviation * field / field.std((1, 2), keepdims=True), 0, 1).astype(np.float32)


def bands(images: Images) -> Reals:
    """Deviation, skewness, kurtosis and correlation with brightness of three bands an octave apart."""
    smoothed = [images, *(ndimage.gaussian_filter(images, (0, sigma, sigma)) for sigma in (0.7, 1.4, 2.8))]
    brightness = stats.zscore(smoothed[-1].reshape(len(images), -1), axis=1, nan_policy="omit")
    columns = []
    for fine, coarse in itertools.pairwise(smoothed):
        band = (fine - coarse).reshape(len(images), -1).astype(np.float64)
        energy = stats.zscore(np.log(band**2 + 1e-6), axis=1)
        columns += [np.log(band.std(axis=1) + 1e-3), stats.skew(band, axis=1), np.log(4 + stats.kurtosis(band, axis=1))]
        columns.append((energy * brightness).mean(axis=1))
    return np.nan_to_num(np.stack(columns, axis=1))


def bands_and_spectrum(images: Images) -> Reals:
    """The same, with the power in ten rings of the spectrum and its slope from ring to ring."""
    window = np.hanning(60)[:, None] * np.hanning(60)
    power = np.abs(np.fft.rfft2((images - images.mean((1, 2), keepdims=True)) * window)) ** 2
    frequency, rings = np.hypot(np.fft.fftfreq(60)[:, None], np.fft.rfftfreq(60)), np.geomspace(0.03, 0.5, 11)
    means = [power[:, (frequency >= low) & (frequency < high)].mean(1) for low, high in itertools.pairwise(rings)]
    logarithms = np.log(np.stack(means, axis=1) + 1e-8)
    return np.concatenate([bands(images), logarithms, np.diff(logarithms, axis=1)], axis=1)


TRIES = {
    "logistic, bands": (bands, lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
    "boosting, bands and spectrum": (bands_and_spectrum, lambda: HistGradientBoostingClassifier(random_state=0)),
}


def fitted(model: Any, measured: Measured, sources: list[str], drawn: list[Reals]) -> Callable[[Reals], Reals]:
    """Fit a detector to some sources, to give 1 less the probability of tissue."""
    parts = [*(np.concatenate(kind) for kind in zip(*(measured[each] for each in sources), strict=True)), *drawn]
    fit = model.fit(np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts]))
    return lambda statistics: 1 - fit.predict_proba(statistics)[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    images = {name: kinds_of(source(data)) for name, source in SOURCES.items()}
    drawn = [text(2 * DRAWN), noise(2 * DRAWN)]
    print(f"| detector | left out | {' | '.join(KINDS)} | text | noise |\n|{' --- |' * 8}")
    for name, (statistics, model) in TRIES.items():
        measured = {source: [statistics(kind) for kind in kinds] for source, kinds in images.items()}
        made, unseen = ([statistics(each[part]) for each in drawn] for part in (slice(DRAWN), slice(DRAWN, None)))
        for left in SOURCES:
            detector = fitted(model(), measured, [source for source in SOURCES if source != left], made)
            threshold = np.quantile(detector(measured[left][0]), 0.95)
            rates = [(detector(rows) > threshold).mean() for rows in (*measured[left], *unseen)]
            print(f"| {name} | {left} | {' | '.join(f'{rate:.0%}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()
