"""Figures of a scan against known truth, with intervals by bootstrap over patients.

The JAFROC figure of merit is the probability that a cluster scores higher than the highest false mark of a normal
image: Chakraborty and Berbaum, "Observer studies involving detection and localization: modeling, analysis, and
validation", Med. Phys. 31 (2004) 2313-2330, doi:10.1118/1.1769352.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from microcalc.errors import RequestError
from microcalc.evaluation.froc import RATES, Floats, ScoredImage, resampled_sensitivity
from microcalc.evaluation.intervals import FEWEST_PATIENTS, resamples, weighted_auc

BAND = tuple(np.geomspace(0.02, 4, 40).round(4).tolist())
"""False marks an image at which the curve has a band."""


class Case(NamedTuple):
    """One image with known truth: its scored findings, and any names of its patient and its breast."""

    scored: ScoredImage
    patient: str
    breast: str


class Estimate(NamedTuple):
    """A figure with its 95 % interval; None where the images do not define it, or patients are too few for one.

    >>> f"{Estimate(0.9, (0.85, 0.95)):.2f}"
    '0.90 (0.85 to 0.95)'
    """

    value: float | None
    ci95: tuple[float, float] | None

    def __format__(self, form: str) -> str:
        interval = f" ({self.ci95[0]:{form}} to {self.ci95[1]:{form}})" if self.ci95 else ""
        return "-" if self.value is None else f"{self.value:{form}}{interval}"


class Measured(NamedTuple):
    """Figures by name: their values, NaN where not defined; and (rounds,) in resamples of the patients.

    The latter are NaN wherever the patients are too few for an interval.
    """

    values: dict[str, float]
    resampled: dict[str, Floats]
    jafroc_error: float
    """Standard error of the JAFROC figure of merit, by the jackknife over patients."""

    def estimates(self, other: "Measured | None" = None) -> dict[str, Estimate]:
        """All figures; or how they differ from those of another scan of the same images, paired by resample."""
        if other is None:
            return {name: _estimate(value, self.resampled[name]) for name, value in self.values.items()}
        return {
            name: _estimate(value - other.values[name], self.resampled[name] - other.resampled[name])
            for name, value in self.values.items()
        }


def measure(cases: Sequence[Case], threshold: float, seed: int = 0, rounds: int = 2000) -> Measured:
    """Measure a scan on images with known truth.

    Patients are drawn with replacement, with all their images; thresholds that give a rate of false marks are chosen
    anew in each resample. The same images and seed give the same resamples, whatever was found.

    Args:
        cases: at least one; a score is at least 0.
        threshold: the operating point; a finding of at least this score is a mark.
        seed: of the resampling.
        rounds: number of resamples.

    Returns:
        ``sensitivity_at_RATE`` for each of ``RATES`` and ``BAND``; ``sensitivity``, ``false_marks`` (an image),
        ``false_marks_on_normals`` and ``false_marks_beside_clusters`` at the threshold; ``auc_by_image``,
        ``auc_by_breast``, ``auc_by_patient`` of the highest finding; ``jafroc``.

    Raises:
        RequestError: there is no image.

    >>> from microcalc.evaluation.froc import score_findings
    >>> hit = score_findings([(5, 5), (90, 90)], [0.9, 0.6], [(0, 0, 9, 9)], (0.1, 0.1))
    >>> cases = [Case(hit, "a", "aL"), Case(score_findings([(5, 5)], [0.7], [], (0.1, 0.1)), "b", "bL")]
    >>> found = measure(cases, 0.5, rounds=20).estimates()
    >>> found["sensitivity"].value, found["false_marks"].value, found["auc_by_image"].value
    (1.0, 1.0, 1.0)
    """
    if not cases:
        raise RequestError("an evaluation needs at least one image: got none")
    sample = _Sample(cases, threshold)
    patients = sample.patient.max() + 1
    size = 16 * len(cases) + int(sample.clusters.sum())
    drawn = [sample.figures(weights) for weights in resamples(np.ones((1, patients)), rounds, seed, size)]
    values = {name: float(value[0]) for name, value in sample.figures(np.ones((1, patients))).items()}
    enough = {name: 1.0 if sample.patients_behind(name) >= FEWEST_PATIENTS else np.nan for name in values}
    resampled = {name: np.concatenate([part[name] for part in drawn]) * enough[name] for name in values}
    without_one = sample.jafroc(1 - np.eye(patients))
    return Measured(values, resampled, float(np.sqrt((patients - 1) * without_one.var())))


def unit_scores(cases: Sequence[Case]) -> dict[str, tuple[Any, Floats]]:
    """By image, breast and patient: which have a cluster, (n,), and the score of the highest finding, (n,)."""
    return {name: (holds, best) for name, (_, holds, best) in _Sample(cases, 0.0).units.items()}


class _Sample:
    """Images as arrays, for weighted figures; ``weights`` is (rounds, patients), how often each patient counts."""

    def __init__(self, cases: Sequence[Case], threshold: float) -> None:
        self.images = [case.scored for case in cases]
        self.clusters, self.hits, self.false = np.transpose(
            [
                (each.clusters.size, (each.clusters >= threshold).sum(), (each.false_marks >= threshold).sum())
                for each in self.images
            ]
        )
        self.patient = np.unique([case.patient for case in cases], return_inverse=True)[1]
        breast = np.unique([case.breast for case in cases], return_inverse=True)[1]
        units = {"image": np.arange(len(cases)), "breast": breast, "patient": self.patient}
        self.units = {name: self._unit(unit) for name, unit in units.items()}

    def _unit(self, unit: Any) -> tuple[Any, Any, Floats]:
        """Return for each image, breast or patient: its patient, whether it has a cluster, its highest score."""
        owner, holds, best = (np.zeros(unit.max() + 1, kind) for kind in (np.intp, np.bool_, np.float64))
        owner[unit] = self.patient
        np.logical_or.at(holds, unit, self.clusters > 0)
        np.maximum.at(best, unit, [max(*each.clusters, *each.false_marks, 0, 0) for each in self.images])
        return owner, holds, best

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """All figures, (rounds,) each."""
        each, normal, everything = weights[:, self.patient], self.clusters == 0, self.clusters >= 0
        rates = (*RATES, *BAND)
        names = [f"sensitivity_at_{rate:g}" for rate in rates]
        found = dict(zip(names, resampled_sensitivity(self.images, each, rates).T, strict=True))
        parts = {"": everything, "_on_normals": normal, "_beside_clusters": ~normal}
        with np.errstate(invalid="ignore"):
            found["sensitivity"] = (each @ self.hits) / (each @ self.clusters)
            for name, chosen in parts.items():
                found[f"false_marks{name}"] = (each @ (self.false * chosen)) / (each @ chosen)
        for unit, (owner, holds, best) in self.units.items():
            found[f"auc_by_{unit}"] = weighted_auc(weights[:, owner], holds, best)
        return {**found, "jafroc": self.jafroc(weights)}

    def patients_behind(self, name: str) -> int:
        """Return how many patients have what a figure needs; of two kinds of image, those who have the rarer."""
        owner, holds, _ = self.units.get(name.removeprefix("auc_by_"), self.units["image"])
        with_cluster, without = (len(np.unique(owner[chosen])) for chosen in (holds, ~holds))
        if name.startswith(("auc", "jafroc")):
            return min(with_cluster, without)
        return {"false_marks": int(owner.max()) + 1, "false_marks_on_normals": without}.get(name, with_cluster)

    def jafroc(self, weights: Floats) -> Floats:
        """(rounds,): how often a cluster scores above the highest false mark of a normal image; ties count one half."""
        normal = np.flatnonzero(self.clusters == 0)
        highest = [self.images[n].false_marks.max(initial=0.0) for n in normal]
        scores = np.concatenate([*(image.clusters for image in self.images), highest])
        owner = np.concatenate([np.repeat(self.patient, self.clusters), self.patient[normal]])
        return weighted_auc(weights[:, owner], np.arange(len(scores)) < self.clusters.sum(), np.maximum(scores, 0.0))


def _estimate(value: float, resampled: Floats) -> Estimate:
    if np.isnan(value):
        return Estimate(None, None)
    if np.isnan(resampled).all():
        return Estimate(value, None)
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Estimate(value, (float(low), float(high)))
