"""How hard is the phantom? Grouped cross-validated AUC of simple detectors, by difficulty and seed.

Run as `python benchmarks/phantom_difficulty.py [seeds]`. The first detector sees brightness and contrast alone and
should fail; the other two look for small bright grains and should succeed until the grain of the film drowns them.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from microcalc.data.phantom import make_phantom

Features = NDArray[np.float32]


def mean_and_deviation(images: Features) -> Features:
    return np.stack([images.mean((1, 2)), images.std((1, 2))], axis=1)


def white_top_hat(images: Features) -> Features:
    """Grains narrower than 9 pixels, after a blur that takes the dust and the film grain down."""
    smooth = ndimage.gaussian_filter(images, (0, 0.8, 0.8))
    return _brightest(ndimage.white_tophat(smooth, size=(1, 9, 9)))


def matched_filter(images: Features) -> Features:
    """A difference of Gaussians, which matches a blurred calcification of a fifth of a millimetre."""
    return _brightest(ndimage.gaussian_filter(images, (0, 1, 1)) - ndimage.gaussian_filter(images, (0, 3, 3)))


def _brightest(response: Features) -> Features:
    """Upper quantiles of each patch's response, in units of its median absolute value."""
    pixels = response.reshape(len(response), -1)
    upper = np.quantile(pixels, [0.9, 0.95, 0.98, 0.99, 0.995, 0.999], axis=1).T
    return np.log(np.abs(upper) / np.median(np.abs(pixels), axis=1, keepdims=True))


def grouped_auc(features: Features, labels: NDArray[np.int64], patients: tuple[str, ...]) -> float:
    """AUC of logistic regression over 5 folds that never split a patient."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, labels, groups=patients, cv=folds, method="decision_function")
    return float(roc_auc_score(labels, scores))


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    detectors = (mean_and_deviation, white_top_hat, matched_filter)
    print("difficulty  " + "  ".join(f"{detector.__name__:>24}" for detector in detectors))
    for difficulty in (0.0, 0.25, 0.5, 0.75, 1.0):
        phantoms = [make_phantom(difficulty=difficulty, seed=seed) for seed in seeds]
        cells = []
        for detector in detectors:
            aucs = [grouped_auc(detector(images), labels, patients) for images, labels, patients, _ in phantoms]
            cells.append(f"{np.mean(aucs):.3f} ({min(aucs):.3f} to {max(aucs):.3f})")
        print(f"{difficulty:10.2f}  " + "  ".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
