"""Make the second opinion of the scan, and its operating point, for a committee: a few minutes.

Run as `python benchmarks/scan_model.py [--committee DIR] [--out FILE]`. It learns on hybrid mammograms only: films of
one CBIS-DDSM patient (CC BY 3.0) with calcifications of INFN patients that the judging part of benchmarks/froc.py does
not hold, and phantom mammograms. Each film, and each phantom, is left out once; the scores of what was
left out give the FROC that is printed, and the operating point: the lowest threshold with at most 0.3 false marks an
image. Without --out the package's own second opinion is replaced.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hybrid import fitting_hybrids
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from microcalc import Committee, Data
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.evaluation.froc import RATES, ScoredImage, froc_curve, resampled_sensitivity, score_findings
from microcalc.images.resample import TRUE_PIXEL_MM, to_true_scale
from microcalc.mammograms import second_opinion
from microcalc.mammograms.breast import find_breast
from microcalc.mammograms.clusters import find_clusters
from microcalc.mammograms.truth import TrueImage, phantom_truth

PLACE = Path(second_opinion.__file__).parents[1] / "pretrained" / "scan" / "second_opinion.json"
COPIES, PHANTOMS, STRENGTH, FALSE_MARKS = 6, 8, 0.1, 0.3


@dataclass(frozen=True, eq=False)
class Described:
    """The clusters of one image: (n, k) features, (n, 2) centres in pixels of 85 um, and its true clusters' boxes."""

    source: str
    features: np.ndarray
    centers: np.ndarray
    boxes: np.ndarray

    def scored(self, scores: np.ndarray) -> ScoredImage:
        """The image with these scores for its clusters."""
        return score_findings(self.centers, scores, self.boxes, (TRUE_PIXEL_MM, TRUE_PIXEL_MM))

    def labels(self) -> np.ndarray:
        """Whether each cluster hits a true one."""
        return np.array([len(self._one(center).false_marks) == 0 for center in self.centers])

    def _one(self, center: np.ndarray) -> ScoredImage:
        return score_findings([center], [1.0], self.boxes, (TRUE_PIXEL_MM, TRUE_PIXEL_MM))


def examples(data: Data, seed: int) -> Iterator[tuple[str, np.ndarray, TrueImage]]:
    for hybrid in fitting_hybrids(data, seed, COPIES):
        yield hybrid.normal.name, hybrid.normal.pixels, hybrid.truth
    for number, made in enumerate(iter_phantom_mammograms(PHANTOMS, seed=seed + 1000)):
        yield f"phantom {number}", made.pixels.astype(np.float32) / np.float32(65535), phantom_truth(made)


def describe(name: str, pixels: np.ndarray, truth: TrueImage, committee: Committee) -> Described:
    image = to_true_scale(pixels, truth.pixel_size_mm)
    spots, clusters = find_clusters(image, find_breast(image).mask, committee)
    scale = np.array(truth.pixel_size_mm[::-1]) / TRUE_PIXEL_MM
    return Described(
        name,
        second_opinion.features(clusters, spots),
        np.array([cluster.center for cluster in clusters]).reshape(-1, 2),
        np.array([cluster.box_px for cluster in truth.clusters]).reshape(-1, 4) * np.tile(scale, 2),
    )


def fit(described: list[Described]) -> second_opinion.SecondOpinion:
    known = np.concatenate([image.features for image in described])
    labels = np.concatenate([image.labels() for image in described])
    scaler = StandardScaler().fit(known)
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(scaler.transform(known), labels)
    return second_opinion.SecondOpinion(
        features=second_opinion.FEATURES,
        mean=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        weights=tuple(model.coef_[0].tolist()),
        bias=float(model.intercept_[0]),
        threshold=0.5,
    )


def left_out(described: list[Described]) -> list:
    """Each image scored by a model that saw no image of its source."""
    scored = []
    for image in described:
        model = fit([other for other in described if other.source != image.source])
        scored.append(image.scored(model.scores(image.features)))
    return scored


def show(title: str, scored: list) -> None:
    (found,) = resampled_sensitivity(scored, np.ones((1, len(scored))), RATES)
    print(
        f"{title}: " + ", ".join(f"{rate:g}: {share:.2f}" for rate, share in zip(RATES, found, strict=True)), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--committee", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, default=PLACE, metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    committee = Committee.load(options.committee) if options.committee else Committee.pretrained("scan")
    data = Data.load("infn")
    described = [describe(*example, committee) for example in examples(data, options.seed)]
    films = [not image.source.startswith("phantom") for image in described]
    alone = [image.scored(image.features[:, 0]) for image in described]
    scored = left_out(described)
    for name, kind in (("hybrid films", True), ("phantoms", False)):
        for title, values in (("committee alone", alone), ("second opinion", scored)):
            show(f"{name}, {title}", [value for value, film in zip(values, films, strict=True) if film == kind])
    threshold = froc_curve([value for value, film in zip(scored, films, strict=True) if film]).threshold_at(FALSE_MARKS)
    opinion = replace(fit(described), threshold=float(1 / (1 + np.exp(-threshold))))
    opinion.save(options.out)
    print(f"operating point {opinion.threshold:.3f}; written to {options.out}")
    for name, weight in zip(opinion.features, opinion.weights, strict=True):
        print(f"  {name:<28} {weight:+.2f}")


if __name__ == "__main__":
    main()
