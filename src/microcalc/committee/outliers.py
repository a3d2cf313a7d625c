"""Find patches that are not breast tissue at 85 um a pixel: photographs, labels, tissue at another scale."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from microcalc.errors import RequestError

Images = NDArray[np.float32]
Reals = NDArray[np.float64]

KINDS = ("inverted", "enlarged", "reduced", "noise", "gradient", "shapes", "text", "background")
STATISTICS = 18
SIGMAS = (0.7, 1.4, 2.8, 5.6)  # pixels, an octave apart; bands coarser than the last hold too little in one patch
NEARBY = 11  # pixels: the neighbourhood over which the energy of a band is averaged
ORIENTED = 7  # pixels: the neighbourhood over which an orientation is taken
NOISE_FLOOR = 1e-3  # a quarter of an 8-bit grey level; it keeps the logarithm of a flat patch finite
CHUNK = 128  # patches at a time, so that the filters stay in the processor's cache


def outlier_statistics(images: Images) -> Reals:
    """Measure structure at four scales, from noise (0.06 mm) to ducts and vessels (0.5 mm).

    Differences of Gaussians split a patch into bands an octave apart. None of the statistics depends on brightness,
    and only the three deviations depend on gain:

    - logarithm of the deviation of each of the three finest bands: noise, sharpness and the slope of the spectrum;
    - skewness of each: calcifications, ducts, vessels and ligaments are brighter than what surrounds them;
    - kurtosis of each: edges and letters are rarer and stronger than tissue and noise;
    - correlation of each band's local energy with local brightness: dense tissue shows more detail, and fewer photons
      behind it leave more noise;
    - correlation of local energy between neighbouring bands: an edge shows in both at one place, noise does not;
    - coherence of the gradient at three scales: how far structures have one direction.

    Args:
        images: (n, rows, columns) raw patches in [0, 1].

    Returns:
        (n, 18).

    >>> outlier_statistics(np.zeros((2, 60, 60), np.float32)).shape
    (2, 18)
    """
    chunks = [_statistics(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return np.concatenate(chunks) if chunks else np.empty((0, STATISTICS))


def _statistics(images: Images) -> Reals:
    images = np.asarray(images, np.float32)
    smoothed = [images, *(gaussian_filter(images, (0, sigma, sigma), truncate=3.0) for sigma in SIGMAS)]
    bands = [fine - coarse for fine, coarse in itertools.pairwise(smoothed)]
    energies = [np.log(uniform_filter(band**2, (0, NEARBY, NEARBY)) + NOISE_FLOOR**2) for band in bands]
    columns = []
    for band in bands[:3]:
        square = band * band  # numpy's third and fourth powers take ten times as long
        variance = _mean(square)
        columns += [
            np.log(variance + NOISE_FLOOR**2) / 2,
            np.arcsinh(_mean(square * band) / (variance + NOISE_FLOOR**2 / 4) ** 1.5),
            np.log(1 + _mean(square * square) / (variance + NOISE_FLOOR**2 / 4) ** 2),
        ]
    columns += [_correlation(energy, smoothed[3]) for energy in energies[:3]]
    columns += [_correlation(fine, coarse) for fine, coarse in itertools.pairwise(energies)]
    columns += [_coherence(image) for image in smoothed[1:4]]
    return np.stack(columns, axis=1)


def _mean(pixels: Images) -> Reals:
    means: Reals = pixels.mean(axis=(1, 2), dtype=np.float64)
    return means


def _correlation(one: Images, other: Images) -> Reals:
    """(n,) correlations over the pixels of each patch; 0 where either does not vary."""
    one, other = (each - each.mean(axis=(1, 2), keepdims=True) for each in (one, other))
    return _mean(one * other) / np.sqrt(_mean(one**2) * _mean(other**2) + 1e-12)


def _coherence(images: Images) -> Reals:
    """(n,) means of the coherence of the structure tensor: 0 without a direction, 1 with one.

    After Bigun and Granlund, "Optimal orientation detection of linear symmetry", ICCV 1987.
    """
    down, across = np.gradient(images, axis=(1, 2))
    size = (0, ORIENTED, ORIENTED)
    rows, columns, both = (uniform_filter(each, size) for each in (down * down, across * across, down * across))
    strength = np.sqrt(np.maximum((rows - columns) ** 2 + 4 * both**2, 0))
    return _mean(strength / (rows + columns + (NOISE_FLOOR / 10) ** 2))


@dataclass(frozen=True, eq=False)
class OutlierDetector:
    """A multinomial logistic model: breast tissue at 85 um a pixel against eight kinds of what is not.

    Each kind has one linear score over :func:`outlier_statistics`, the logarithm of its odds against tissue.

    Attributes:
        weights: (8, 18), a row a kind, in the order of ``KINDS``.
        intercepts: (8,).
        threshold: a patch farther away than this is an outlier.
        false_alarm_rate: share of patches like those of the training data, of other patients, that lie farther away.

    Raises:
        RequestError: a value is not finite, has another shape, or lies outside its range.
    """

    weights: Reals
    intercepts: Reals
    threshold: float
    false_alarm_rate: float

    def __post_init__(self) -> None:
        finite = np.isfinite(self.weights).all() and np.isfinite(self.intercepts).all()
        sized = self.weights.shape == (len(KINDS), STATISTICS) and self.intercepts.shape == (len(KINDS),)
        if not (finite and sized and 0 < self.threshold < np.inf and 0 < self.false_alarm_rate < 1):
            raise RequestError(
                f"an outlier detector needs ({len(KINDS)}, {STATISTICS}) finite weights, {len(KINDS)} finite "
                f"intercepts, a threshold above 0 and a false alarm rate between 0 and 1"
            )

    def distances(self, images: Images) -> Reals:
        """(n, 60, 60) raw patches in [0, 1] to (n,) distances: minus the logarithm of the probability of tissue.

        >>> detector = OutlierDetector(np.zeros((8, 18)), np.zeros(8), threshold=3.0, false_alarm_rate=0.01)
        >>> detector.distances(np.zeros((1, 60, 60), np.float32)).round(2)
        array([2.2])
        """
        return distances_of(outlier_statistics(images), self.weights, self.intercepts)

    def plain(self) -> dict[str, Any]:
        """The detector as plain lists and numbers, for a JSON file."""
        return {**vars(self), "weights": self.weights.tolist(), "intercepts": self.intercepts.tolist()}


@dataclass(frozen=True)
class SavedDetector:
    """An outlier detector as ``committee.json`` holds it: plain lists and numbers."""

    weights: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
    threshold: float
    false_alarm_rate: float

    def __post_init__(self) -> None:
        self.detector()

    def detector(self) -> OutlierDetector:
        """Return the detector."""
        weights, intercepts = np.array(self.weights), np.array(self.intercepts)
        return OutlierDetector(weights, intercepts, self.threshold, self.false_alarm_rate)


def distances_of(statistics: Reals, weights: Reals, intercepts: Reals) -> Reals:
    """(n, 18) statistics to (n,) minus the logarithm of the probability of tissue, whose own score is 0.

    >>> distances_of(np.zeros((1, 18)), np.zeros((8, 18)), np.full(8, -1000.0))
    array([0.])
    """
    scores = np.pad(statistics @ weights.T + intercepts, ((0, 0), (1, 0)))
    distances: Reals = np.logaddexp.reduce(scores, axis=1)
    return distances
