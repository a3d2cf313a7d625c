"""Choose the operating point of the scan on normal mammograms of several sources, each left out in turn.

Run as `python benchmarks/operating_point.py COMMITTEE [--false-marks 0.3]`. For each source it prints the marks an
image at the point which the other sources give: the mean of their thresholds, in log odds. The point of all sources is
written to COMMITTEE/second_opinion.json. Needs the package `mammograms`, and in $MICROCALC_DATA/mammograms the folders
cdd_cesm_normal, of which the views are taken that `adapt --retrain` left out, and mini_mias.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hybrid import Normal, cdd_cesm_left_out, films, mini_mias
from scipy.special import expit

from microcalc import Committee
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.evaluation.froc import ScoredImage, froc_curve
from microcalc.mammograms.scanner import scan_image
from microcalc.mammograms.second_opinion import FEATURES, SecondOpinion

PHANTOMS = 40


def phantoms() -> Iterator[Normal]:
    """Those of some phantom mammograms that hold no cluster."""
    for made in iter_phantom_mammograms(PHANTOMS, seed=1):
        if not made.clusters:
            yield Normal(made.name, made.pixels.astype(np.float32) / np.float32(65535), made.pixel_size_mm, 65535)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("committee", type=Path, metavar="COMMITTEE")
    parser.add_argument("--false-marks", type=float, default=0.3)
    options = parser.parse_args()
    folder = Path(os.environ.get("MICROCALC_DATA", "../shared/data")) / "mammograms"
    sources: dict[str, Callable[[], Iterator[Normal]]] = {
        "CDD-CESM, views left out": lambda: cdd_cesm_left_out(folder),
        "mini-MIAS, normal films": lambda: (film for film, truth in mini_mias(folder / "mini_mias") if not truth),
        "CBIS-DDSM, films of one patient": lambda: films("P_00173"),
        "phantoms": phantoms,
    }
    committee = Committee.load(options.committee)
    opinion = SecondOpinion(FEATURES, (1.0, -1.0), 0.0, 0.5)
    scores: dict[str, list[np.ndarray]] = {}
    for name, normals in sources.items():
        found = [scan_image(each.pixels, each.pixel_size_mm, committee, opinion).findings for each in normals()]
        scores[name] = [np.array([finding.score for finding in findings]) for findings in found]
    curves = {name: froc_curve([ScoredImage(np.empty(0), each) for each in own]) for name, own in scores.items()}
    chosen = {name: curve.threshold_at(options.false_marks) for name, curve in curves.items()}
    print("| source left out | images | threshold of its own | of the others | marks an image at that |")
    for name, own in scores.items():
        others = float(np.mean([threshold for other, threshold in chosen.items() if other != name]))
        marks = np.mean([(each >= others).sum() for each in own])
        print(f"| {name} | {len(own)} | {chosen[name]:.2f} | {others:.2f} | {marks:.2f} |")
    point = float(expit(np.mean(list(chosen.values()))))
    SecondOpinion(FEATURES, opinion.weights, opinion.bias, point).save(options.committee / "second_opinion.json")
    print(f"operating point {point:.3f}, for {options.false_marks:g} false marks an image")


if __name__ == "__main__":
    main()
