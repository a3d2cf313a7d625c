"""Does Grad-CAM point at the calcifications? Hit rates on phantom clusters, whose masks are known.

Run as `python benchmarks/localisation.py [RUN]`. RUN is a finished study of a phantom; without it one is trained first,
which takes some minutes. On patients of another seed, a hit is a map whose hottest point lies in the mask or at most
2 pixels away; only patches are counted in which the committee rightly sees a cluster.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from microcalc import Committee, Data, Model
from microcalc.data.phantom import make_phantom
from microcalc.explain.committee import Explained, explain_committee
from microcalc.explain.gradcam import Variant, hit_rate

MARGIN = 2
TARGET = 0.90
METHODS: list[tuple[str, Explained, Variant]] = [
    ("most reliable expert, Grad-CAM", "most_reliable", "gradcam"),
    ("most reliable expert, HiResCAM", "most_reliable", "hirescam"),
    ("committee's average, Grad-CAM", "committee", "gradcam"),
    ("committee's average, HiResCAM", "committee", "hirescam"),
]


def trained_committee(run: Path) -> Committee:
    if not (run / "committee" / "committee.json").exists():
        Model(Data.load("phantom"), fast_execution=True, out=run).train()
    return Committee.load(run / "committee")


def chance(masks: NDArray[np.bool_]) -> float:
    """Share of the patch within the margin: how often a point drawn at random is a hit."""
    return float(np.mean([(ndimage.distance_transform_edt(~mask) <= MARGIN).mean() for mask in masks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a finished study of a phantom")
    committee = trained_committee(parser.parse_args().run or Path(tempfile.mkdtemp()) / "run")
    images, labels, _, masks = make_phantom(patients=100, seed=1)
    called = (labels == 1) & (committee.predict_proba(images) >= committee.threshold)
    images, masks = images[called], masks[called]
    print(f"{called.sum()} of {(labels == 1).sum()} patches with a cluster are called so; hits in these:")
    for name, of, variant in METHODS:
        rate = hit_rate(explain_committee(committee, images, of, variant), masks, MARGIN)
        print(f"  {name:32s} {rate:6.1%}{'' if rate >= TARGET else f'  below {TARGET:.0%}'}")
    print(f"  {'a point drawn at random':32s} {chance(masks):6.1%}")


if __name__ == "__main__":
    main()
