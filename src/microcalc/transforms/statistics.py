"""A few numbers a patch: its grey levels, and how much fine detail it has."""

import warnings

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy.stats import kurtosis

WAVELET = "sym3"
LEVELS = 3

Images = NDArray[np.float32]
Statistics = NDArray[np.float64]


def intensity_statistics(images: Images) -> Statistics:
    """Mean, standard deviation, minimum and maximum of each patch: (n, height, width) to (n, 4).

    >>> intensity_statistics(np.float32([[[0, 1], [1, 0]]]))
    array([[0.5, 0.5, 0. , 1. ]])
    """
    pixels = images.reshape(len(images), -1).astype(np.float64)
    return np.stack([pixels.mean(axis=1), pixels.std(axis=1), pixels.min(axis=1), pixels.max(axis=1)], axis=1)


def wavelet_statistics(images: Images) -> Statistics:
    """Standard deviation, mean magnitude and kurtosis of the details of each patch, in 3 bands at each of 3 levels.

    Args:
        images: (n, height, width), 40 pixels a side or more for sym3 to reach level 3.

    Returns:
        (n, 27); the kurtosis of a band without variation is taken as 0.

    >>> wavelet_statistics(np.zeros((2, 60, 60), np.float32)).shape
    (2, 27)
    """
    with warnings.catch_warnings():
        # Flat bands have no kurtosis; nan_to_num gives them 0.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        columns = [
            (band.std(axis=1), np.abs(band).mean(axis=1), np.nan_to_num(kurtosis(band, axis=1)))
            for band in _detail_bands(images)
        ]
    return np.stack([column for three in columns for column in three], axis=1)


def _detail_bands(images: Images) -> list[Statistics]:
    """The nine (n, coefficients) detail bands, coarsest first."""
    levels = pywt.wavedec2(images.astype(np.float64), WAVELET, level=LEVELS, axes=(1, 2))[1:]
    return [band.reshape(len(images), -1) for level in levels for band in level]
