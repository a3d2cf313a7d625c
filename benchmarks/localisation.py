"""Does Grad-CAM point at the calcifications? Pointing-game accuracy on phantom clusters, whose masks are known.

Run as `python benchmarks/localisation.py [COMMITTEE]`: of the committee that ships, if none is given. A hit is a map
whose peak lies in the mask or at most 2 pixels away; only patches in which the committee rightly sees a cluster count.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from microcalc import Committee
from microcalc.data.phantom import make_phantom
from microcalc.explain.maps import Explained, explain
from microcalc.explain.methods import METHODS
from microcalc.explain.pointing_game import pointing_game_accuracy

MARGIN = 2
EXPLAINED: dict[str, Explained] = {"expert of highest weight": "highest_weight", "committee's average": "committee"}


def chance(masks: NDArray[np.bool_]) -> float:
    """Share of the patch within the margin: how often a point drawn at random is a hit."""
    return float(np.mean([(ndimage.distance_transform_edt(~mask) <= MARGIN).mean() for mask in masks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("committee", type=Path, nargs="?")
    folder = parser.parse_args().committee
    committee = Committee.load(folder) if folder else Committee.pretrained()
    images, labels, _, masks = make_phantom(patients=100, seed=1)
    called = (labels == 1) & (committee.predict_proba(images) >= committee.threshold)
    images, masks = images[called], masks[called]
    print(f"{called.sum()} of {(labels == 1).sum()} patches with a cluster are called so; hits in these:")
    for (name, of), (method, details) in itertools.product(EXPLAINED.items(), METHODS.items()):
        accuracy = pointing_game_accuracy(explain(committee, images, of, method), masks, MARGIN)
        title = f"{name}, {details.title}"
        print(f"  {title:38s} {accuracy:6.1%}")
    print(f"  {'a point drawn at random':38s} {chance(masks):6.1%}")


if __name__ == "__main__":
    main()
