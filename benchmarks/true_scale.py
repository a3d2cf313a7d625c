"""What the plain committee does on mammograms of known pixel size that nobody here trained on: CSAW-S at 85 um.

Run as `python benchmarks/true_scale.py [--committee DIR]`, with MICROCALC_DATA at the folder that holds mammograms/.
Six clusters of CSAW-S (three calcifications nearer than 5 mm), each seen as the patches that cover its box grown to
5.1 mm and answered by the highest of them; and 200 random tissue patches of the views without calcifications, one view
each and no test-time augmentation. The threshold is the committee's own; nothing is fitted to these images.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from froc import csaw_part
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from microcalc import Committee
from microcalc.images.resample import TRUE_PIXEL_MM, to_true_scale
from microcalc.images.tiles import PATCH_SIDE, views
from microcalc.mammograms.breast import find_breast

TISSUE_PATCHES = 200

Pixels = NDArray[np.float32]


def cluster_views(
    pixels: NDArray[np.float32], box: tuple[float, float, float, float], size: float
) -> NDArray[np.float32]:
    """All patches that cover a cluster's box, grown to a patch at least."""
    grown = max(0.0, PATCH_SIDE * TRUE_PIXEL_MM / size)
    left, top, right, bottom = box
    column, row = (left + right) / 2, (top + bottom) / 2
    half = max(grown, right - left, bottom - top) / 2
    rows, columns = pixels.shape
    first_row, first_column = (
        int(np.clip(at - half, 0, side - 2 * half)) for at, side in ((row, rows), (column, columns))
    )
    field = pixels[first_row : first_row + round(2 * half) + 1, first_column : first_column + round(2 * half) + 1]
    return views(field, size)


def has_calcifications(folder: Path, name: str) -> bool:
    """Whether the mask of a view holds a single calcification."""
    (path,) = (folder / "csaw_s").glob(f"*/{name}_calcifications.png")
    with Image.open(path) as mask:
        return bool(np.asarray(mask).any())


def tissue_patches(images: list[tuple[Pixels, float]], random: np.random.Generator) -> Pixels:
    """Random patches of breast tissue, equally many of each view, none half over another."""
    patches = []
    for number, (pixels, size) in enumerate(images):
        image = to_true_scale(pixels, (size, size))
        inner = ndimage.binary_erosion(find_breast(image).mask, iterations=PATCH_SIDE // 2)
        places = random.permutation(np.argwhere(inner))
        wanted = TISSUE_PATCHES * (number + 1) // len(images) - len(patches)
        taken: list[NDArray[np.int64]] = []
        for row, column in places:
            if len(taken) == wanted:
                break
            if all(max(abs(row - other[0]), abs(column - other[1])) >= PATCH_SIDE // 2 for other in taken):
                taken.append(np.array([row, column]))
        half = PATCH_SIDE // 2
        patches += [image[row - half : row + half, column - half : column + half] for row, column in taken]
    return np.stack(patches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committee", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms"
    committee = Committee.load(options.committee) if options.committee else Committee.pretrained()
    known = list(csaw_part(folder))
    clusters = [
        committee.predict_proba(cluster_views(normal.pixels, cluster.box_px, normal.pixel_size_mm)).max()
        for normal, truth in known
        for cluster in truth.clusters
    ]
    empty = [
        (normal.pixels, normal.pixel_size_mm) for normal, _ in known if not has_calcifications(folder, normal.name)
    ]
    tissue = committee.predict_proba(tissue_patches(empty, np.random.default_rng(options.seed)))
    found = int(np.sum(np.array(clusters) >= committee.threshold))
    print(f"CSAW-S at true scale, threshold {committee.threshold:.3f}")
    print(f"  clusters found: {found} of {len(clusters)} (probabilities {np.sort(clusters).round(3).tolist()})")
    print(f"  specificity on {len(tissue)} tissue patches: {np.mean(tissue < committee.threshold):.3f}")
    print(f"  AUC: {roc_auc_score([1] * len(clusters) + [0] * len(tissue), [*clusters, *tissue]):.4f}")


if __name__ == "__main__":
    main()
