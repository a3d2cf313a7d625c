"""Dice of the breast and of the pectoral muscle against the masks of CSAW-S, which nothing here was fitted to.

Run as `python benchmarks/breast.py`. The breast of CSAW-S is the union of all its masks but text and foreign objects.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from microcalc.images.resample import to_true_scale
from microcalc.mammograms.breast import find_breast

NO_TISSUE = ("text", "foreign_object", "unclassified")
WIDE = (3584, 2816)


def mask(paths: list[Path], shape: tuple[int, int], size: float) -> np.ndarray:
    joint = np.zeros(shape, bool)
    for path in paths:
        with Image.open(path) as image:
            joint |= np.asarray(image.convert("L")) > 0
    return to_true_scale(joint.astype(np.float32), size) > 0.5


def dice(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return 2 * (one & other).sum() / total if total else float("nan")


def main() -> None:
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms" / "csaw_s"
    found = []
    for path in sorted(path for path in folder.glob("*/*.png") if path.stem.count("_") == 1):
        with Image.open(path) as image:
            pixels = np.asarray(image, np.float32) / 255
        size = 0.085 if pixels.shape == WIDE else 0.070
        masks = [each for each in path.parent.glob(f"{path.stem}_*.png") if not each.stem.endswith(NO_TISSUE)]
        muscles = [each for each in masks if each.stem.endswith("pectoral_muscle")]
        breast = find_breast(to_true_scale(pixels, size))
        muscle = mask(muscles, pixels.shape, size)
        found.append((dice(breast.mask, mask(masks, pixels.shape, size)), dice(breast.pectoral, muscle)))
        shown = f"{found[-1][1]:.3f}" if muscle.any() or breast.pectoral.any() else "none, and none found"
        print(f"{path.stem}: breast {found[-1][0]:.3f}, pectoral muscle {shown}", flush=True)
    breasts, muscles = np.array(found).T
    print(f"median: breast {np.median(breasts):.3f}, pectoral muscle {np.nanmedian(muscles):.3f}")


if __name__ == "__main__":
    main()
