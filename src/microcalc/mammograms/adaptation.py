"""A reader made to suit a user's mammograms: the operating point, and with true clusters the second opinion too.

All figures are of patients left out: each patient is scored and marked by what the other patients gave.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined
from scipy.optimize import minimize
from scipy.special import expit

from microcalc import __version__
from microcalc.committee.committee import Committee
from microcalc.errors import ImageError, RequestError
from microcalc.evaluation.detection import Case, Measured, measure
from microcalc.evaluation.froc import (
    RATES,
    Floats,
    ScoredImage,
    find_hits,
    froc_curve,
    resampled_sensitivity,
    resampled_thresholds,
    score_findings,
)
from microcalc.evaluation.intervals import FEWEST_PATIENTS, resamples
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.images import read_mammogram
from microcalc.mammograms.clusters import logit
from microcalc.mammograms.findings import Scan, ScannedImage
from microcalc.mammograms.matching import KnownImage, Others, join
from microcalc.mammograms.scanner import known_pixel_size, scan_mammogram
from microcalc.mammograms.second_opinion import SecondOpinion, features

FEWEST_NORMALS, FEW_NORMALS, FEWEST_CLUSTERS = 10, 30, 10
PARTS, STRENGTH, ROUNDS = 10, 0.1, 1000


class Adapted(NamedTuple):
    """A second opinion with its new operating point and the 95 % interval of that; figures on patients left out.

    The interval is None where fewer than six patients have normal mammograms. ``relearned`` is the mean sensitivity at
    ``RATES`` before and after the second opinion was fitted; None where it was not.
    """

    opinion: SecondOpinion
    interval: tuple[float, float] | None
    relearned: tuple[float, float] | None
    kept: bool
    before: Measured
    after: Measured


def check_truth(
    files: Sequence[Path],
    truth: Sequence[ImageTruth],
    pixel_size_mm: float | None = None,
    others: Others = None,
    on_file: Callable[[int], None] = lambda done: None,
) -> None:
    """Read mammograms and refuse them before the long scan where they and their truth do not fit each other.

    Arguments and errors are those of :func:`look`, which reports the files that cannot be read.
    """

    def read(file: Path) -> ScannedImage:
        mammogram = read_mammogram(file)
        rows, columns = mammogram.pixels.shape
        size, known = known_pixel_size(mammogram, pixel_size_mm), (mammogram.sop_instance_uid, mammogram.pixels_sha256)
        return ScannedImage(str(file), *known, size, rows, columns, 0.0, 0.0, (), ())

    join(_scan(files, read, on_file), truth, others)


def look(
    files: Sequence[Path],
    truth: Sequence[ImageTruth],
    committee: Committee,
    opinion: SecondOpinion,
    pixel_size_mm: float | None = None,
    others: Others = None,
    on_file: Callable[[int], None] = lambda done: None,
    on_failed: Callable[[ImageError], None] = lambda error: None,
) -> list[KnownImage]:
    """Scan mammograms for all their candidates, of however low a probability, and join them to their truth.

    Arguments are those of :func:`microcalc.mammograms.scanner.scan_mammogram` and
    :func:`microcalc.mammograms.matching.join`; ``on_file`` is given the number of files that are done, ``on_failed``
    the error of each that cannot be read or scanned, which is left out.

    Raises:
        RequestError: as for :func:`microcalc.mammograms.matching.join`.
    """

    def scan(file: Path) -> ScannedImage:
        return scan_mammogram(read_mammogram(file), str(file), pixel_size_mm, committee, opinion, floor=0.0)

    return join(_scan(files, scan, on_file, on_failed), truth, others)[0]


def _scan(
    files: Sequence[Path],
    scan: Callable[[Path], ScannedImage],
    on_file: Callable[[int], None],
    on_failed: Callable[[ImageError], None] = lambda error: None,
) -> Scan:
    images, failed = list[ScannedImage](), list[dict[str, str]]()
    for number, file in enumerate(files, start=1):
        try:
            images.append(scan(file))
        except ImageError as error:
            failed.append({"file": str(file), "reason": error.problem})
            on_failed(error)
        on_file(number)
    return Scan(2, "", 0.5, tuple(images), tuple(failed))


def halves(images: Sequence[KnownImage], seed: int = 0) -> tuple[list[KnownImage], list[KnownImage]]:
    """Deal the patients into two halves: to learn from, and left out; those with clusters and those without apart."""
    holders = {each.case.patient for each in images if each.boxes_px}
    rest = {each.case.patient for each in images} - holders
    random = np.random.default_rng(seed)
    learning = {patient for kind in (holders, rest) for patient in random.permutation(sorted(kind))[::2].tolist()}
    parts: tuple[list[KnownImage], list[KnownImage]] = [], []
    for each in images:
        parts[each.case.patient not in learning].append(each)
    return parts


def known_truth(images: Sequence[KnownImage]) -> list[ImageTruth]:
    """Return the truth of images that were joined to it, for another scan of them."""
    return [ImageTruth(each.scanned.file, each.boxes_px, patient=each.case.patient) for each in images]


def adapt(
    images: Sequence[KnownImage],
    opinion: SecondOpinion,
    false_marks: float,
    seed: int = 0,
    before: Sequence[KnownImage] | None = None,
) -> Adapted:
    """Choose the operating point that gives so many false marks a normal image; fit the second opinion to clusters.

    The latter where there are ten clusters, of two patients: drawn towards the given one, and kept where its mean
    sensitivity at 0.05 to 2 false marks an image is not lower on the patients left out.

    Args:
        images: of :func:`look`; or of a finished scan, if none has a cluster.
        opinion: to begin with, by which they were scanned.
        false_marks: wished on an image without a cluster.
        seed: of the parts into which patients are dealt, and of the resamples.
        before: the same images, seen by the reader whose figures are given for comparison; None for ``images``.

    Raises:
        RequestError: too few images are normal: below ten, below one false mark in all, or of one patient.
    """
    check_normals(images, false_marks)
    scored = [each.case for each in images]
    crossed = _crossed(images, opinion, seed)
    relearned = (_mean_sensitivity(scored), _mean_sensitivity(crossed)) if crossed else None
    kept = relearned is not None and relearned[1] >= relearned[0]
    after = crossed if crossed and kept else scored
    final = replace(_fit(images, opinion) if kept else opinion, threshold=_threshold(after, false_marks))
    by_patient = {
        patient: _threshold([case for case in after if case.patient != patient], false_marks)
        for patient in {case.patient for case in after}
    }
    marked = [case._replace(scored=_marks(case.scored, by_patient[case.patient])) for case in after]
    return Adapted(
        final,
        _interval(after, false_marks, seed),
        relearned,
        kept,
        measure([each.case for each in before or images], opinion.threshold, seed, ROUNDS),
        measure(marked, 0.5, seed, ROUNDS),
    )


def check_normals(images: Sequence[KnownImage], false_marks: float) -> None:
    """Refuse a rate of false marks that so few normal images cannot show.

    Raises:
        RequestError: as for :func:`adapt`.
    """
    if false_marks <= 0:
        raise RequestError(f"false_marks must be above 0: got {false_marks:g}")
    needed = max(FEWEST_NORMALS, int(np.ceil(1 / false_marks)))
    patients = [each.case.patient for each in images if not each.boxes_px]
    if len(patients) < needed:
        raise RequestError(
            f"{len(patients)} mammograms without a cluster are too few for a rate of {false_marks:g} false marks; "
            f"give at least {needed}"
        )
    if len(set(patients)) == 1:
        raise RequestError(f"all mammograms without a cluster are of one patient, {patients[0]}; give others' too")


def described(known: KnownImage) -> Floats:
    """(n, 2) features of the findings, which are all candidates of their image."""
    return features(logit(np.array([finding.committee for finding in known.scanned.findings], np.float64)))


def _scored(known: KnownImage, opinion: SecondOpinion) -> Case:
    """An image with its candidates scored by another second opinion."""
    probabilities = expit(opinion.scores(described(known)))
    centers = [finding.center_px for finding in known.scanned.findings]
    scored = score_findings(centers, probabilities, known.boxes_px, known.scanned.pixel_size_mm)
    return known.case._replace(scored=scored)


def _crossed(images: Sequence[KnownImage], opinion: SecondOpinion, seed: int) -> list[Case]:
    """All images, each scored by a second opinion fitted to other patients; none where clusters are too few for it."""
    patients = np.array([each.case.patient for each in images])
    holders = {each.case.patient for each in images if each.boxes_px}
    if sum(len(each.boxes_px) for each in images) < FEWEST_CLUSTERS or len(holders) < 2:
        return []
    scored: dict[int, Case] = {}
    for part in np.array_split(np.random.default_rng(seed).permutation(np.unique(patients)), PARTS):
        inside = np.isin(patients, part)
        fitted = _fit([images[n] for n in np.flatnonzero(~inside).tolist()], opinion)
        scored |= {n: _scored(images[n], fitted) for n in np.flatnonzero(inside).tolist()}
    return [scored[n] for n in range(len(images))]


def _fit(images: Sequence[KnownImage], opinion: SecondOpinion) -> SecondOpinion:
    """Logistic regression, penalised by how far its weights lie from those of the given second opinion."""
    table: Floats = np.concatenate([described(each) for each in images])
    labels: Floats = np.concatenate([_labels(each) for each in images])
    start = np.array([*opinion.weights, opinion.bias])

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores, moved = table @ weights[:-1] + weights[-1], weights[:-1] - start[:-1]
        missing = expit(scores) - labels
        value = np.logaddexp(0, scores).sum() - labels @ scores + moved @ moved / (2 * STRENGTH)
        return value, np.array([*(missing @ table + moved / STRENGTH), missing.sum()])

    *weights, bias = minimize(loss, start, jac=True, method="L-BFGS-B").x.tolist()
    return replace(opinion, weights=tuple(weights), bias=bias)


def _labels(known: KnownImage) -> Floats:
    centers = [finding.center_px for finding in known.scanned.findings]
    hits = find_hits(centers, known.boxes_px, known.scanned.pixel_size_mm)
    return np.asarray(np.any(hits, axis=1), np.float64)


def _threshold(cases: Sequence[Case], false_marks: float) -> float:
    """The lowest probability that gives at most so many false marks an image without a cluster; else 1."""
    return min(froc_curve(_normals(cases)).threshold_at(false_marks), 1.0)


def _normals(cases: Sequence[Case]) -> list[ScoredImage]:
    return [case.scored for case in cases if not case.scored.clusters.size]


def _interval(cases: Sequence[Case], false_marks: float, seed: int) -> tuple[float, float] | None:
    owner = np.unique([case.patient for case in cases if not case.scored.clusters.size], return_inverse=True)[1]
    if owner.max() + 1 < FEWEST_PATIENTS:
        return None
    drawn = np.concatenate(list(resamples(np.ones((1, owner.max() + 1)), ROUNDS, seed, 16 * len(owner))))
    thresholds = resampled_thresholds(_normals(cases), drawn[:, owner], false_marks)
    low, high = np.quantile(np.minimum(thresholds, 1.0), (0.025, 0.975))
    return float(low), float(high)


def _marks(scored: ScoredImage, threshold: float) -> ScoredImage:
    """1 for what is marked at a threshold, 0 for the rest."""
    return ScoredImage(*(np.where(each >= threshold, 1.0, 0.0) for each in (scored.clusters, scored.false_marks)))


def _mean_sensitivity(cases: Sequence[Case]) -> float:
    return float(resampled_sensitivity([case.scored for case in cases], np.ones((1, len(cases))), RATES).mean())


def describe(
    images: Sequence[KnownImage], adapted: Adapted, before: SecondOpinion, committee: str, training: str = ""
) -> str:
    """Describe a reader in Markdown: the mammograms that it was made from, and its figures on patients left out.

    Args:
        images: that were adapted to.
        adapted: to these.
        before: the second opinion to begin with.
        committee: the name of the committee to begin with.
        training: the data that a new committee was trained on; empty where there is none.
    """
    template = resources.files("microcalc.mammograms").joinpath("card.md.j2").read_text(encoding="utf-8")
    cases = [each.case for each in images]
    return (
        Environment(undefined=StrictUndefined, trim_blocks=True)
        .from_string(template)
        .render(
            version=__version__,
            committee=committee,
            training=training,
            images=len(cases),
            patients=len({case.patient for case in cases}),
            normals=len(_normals(cases)),
            few=FEW_NORMALS,
            clusters=sum(case.scored.clusters.size for case in cases),
            opinion=before,
            adapted=adapted,
            before=adapted.before.estimates(),
            after=adapted.after.estimates(),
        )
    )
