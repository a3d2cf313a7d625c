"""A scan against known truth: ``evaluation.json``, and one HTML page that needs nothing but itself."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined

from microcalc.errors import ImageError, RequestError
from microcalc.evaluation.detection import BAND, Case, Estimate, Measured, measure
from microcalc.evaluation.froc import RATES, froc_curve
from microcalc.evaluation.intervals import FEWEST_PATIENTS
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.files import write_atomically, write_json
from microcalc.images import Mammogram, read_mammogram
from microcalc.mammograms.findings import Scan
from microcalc.mammograms.matching import KnownImage, Others, groups, join
from microcalc.report.detection import Crop, draw_crops, draw_froc, draw_rocs, draw_thresholds, uri

LABELS = {
    **{f"sensitivity_at_{rate:g}": f"sensitivity at {rate:g} false marks an image" for rate in RATES},
    "sensitivity": "sensitivity at the operating point",
    "false_marks": "false marks an image at the operating point",
    "false_marks_on_normals": "... on images without a cluster",
    "false_marks_beside_clusters": "... on images with a cluster",
    "auc_by_image": "AUC by image (highest finding)",
    "auc_by_breast": "AUC by breast",
    "auc_by_patient": "AUC by patient",
    "jafroc": "JAFROC figure of merit",
}
"""The figures of ``evaluation.json``, and how tables name them."""

ROUNDS_OF_A_GROUP = 500
MOST_CROPS = 10


class Evaluation(NamedTuple):
    """A scan and its folder, its images with truth, their figures, and files with truth that could not be scanned."""

    folder: Path
    scan: Scan
    images: list[KnownImage]
    measured: Measured
    not_scanned: list[str]


def evaluate(folder: Path, truth: Sequence[ImageTruth], others: Others = None) -> Evaluation:
    """Join the finished scan in a folder to its truth, and measure it.

    Raises:
        RequestError: as for :func:`microcalc.mammograms.matching.join`; or there is no scan, or no image is left.
    """
    scan = Scan.read(folder)
    images, not_scanned = join(scan, truth, others)
    measured = measure([image.case for image in images], scan.operating_point)
    return Evaluation(folder, scan, images, measured, not_scanned)


def paired(evaluation: Evaluation, other: Evaluation) -> Evaluation:
    """Measure another scan again, with images in the order, and of the patients, of the first.

    Raises:
        RequestError: the two scans hold different images.
    """
    mine, theirs = ({_identity(image): image for image in each.images} for each in (evaluation, other))
    for key in mine.keys() ^ theirs.keys():
        file, lacking = (mine.get(key) or theirs[key]).scanned.file, (other if key in mine else evaluation).folder
        raise RequestError(f"{file}: is not in {lacking}; compare two scans of the same images")
    images = [
        replace(theirs[key], case=image.case._replace(scored=theirs[key].case.scored)) for key, image in mine.items()
    ]
    measured = measure([image.case for image in images], other.scan.operating_point)
    return other._replace(images=images, measured=measured)


def write_evaluation(folder: Path, evaluation: Evaluation, against: Evaluation | None = None) -> dict[str, Any]:
    """Write ``evaluation.json`` and ``evaluation.html``, and give the content of the former.

    Raises:
        FailedError: the folder cannot be written.
    """
    missed, false = _missed(evaluation), _false_marks(evaluation)
    cases = [image.case for image in evaluation.images]
    band = evaluation.measured.estimates()
    saved: dict[str, Any] = {
        "schema": 1,
        **_scan(evaluation),
        **_counts(cases),
        "patients_for_an_interval": FEWEST_PATIENTS,
        "normal_images": sum(not image.boxes_px for image in evaluation.images),
        "jafroc_standard_error": _plain(evaluation.measured.jafroc_error),
        "band": {"false_marks": BAND, "ci95": [band[f"sensitivity_at_{rate:g}"].ci95 for rate in BAND]},
        "groups": {
            kind: {value: _of_group(own, evaluation.scan.operating_point) for value, own in values.items()}
            for kind, values in groups(evaluation.images).items()
        },
        "missed": [crop.entry() for crop in missed],
        "false_marks": [crop.entry() for crop in false],
        "not_scanned": evaluation.not_scanned,
    }
    if against:
        differences = _figures(evaluation.measured.estimates(against.measured))
        saved["against"] = _scan(against) | {"differences": differences}
    write_json(folder / "evaluation.json", saved)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["estimate"] = lambda each: f"{Estimate(**each):.3f}"
    template = resources.files("microcalc.report").joinpath("evaluation.html.j2").read_text(encoding="utf-8")
    drawn = [draw_froc(saved)] if saved["clusters"] else []
    drawn += [draw_thresholds(saved)]
    drawn += [draw_rocs(cases)] if saved["figures"]["auc_by_image"]["value"] is not None else []
    page = environment.from_string(template).render(
        saved=saved,
        labels=LABELS,
        curves=list(map(uri, drawn)),
        crops=[_drawn(crops[:MOST_CROPS], evaluation) for crops in (missed, false)],
        most=MOST_CROPS,
    )
    write_atomically(folder / "evaluation.html", page)
    return saved


def _missed(evaluation: Evaluation) -> list[Crop]:
    """The clusters that no mark hits, those of lowest probability first."""
    found = [
        Crop(image, box, float(score) if np.isfinite(score) else None)
        for image in evaluation.images
        for box, score in zip(image.boxes_px, image.case.scored.clusters, strict=True)
        if score < evaluation.scan.operating_point
    ]
    return sorted(found, key=lambda crop: crop.probability or 0.0)


def _false_marks(evaluation: Evaluation) -> list[Crop]:
    """The marks that hit no cluster, those of highest probability first."""
    found = [
        Crop(image, finding.box_px, finding.probability)
        for image in evaluation.images
        for finding in image.false
        if finding.probability >= evaluation.scan.operating_point
    ]
    return sorted(found, key=lambda crop: -(crop.probability or 0.0))


def _drawn(crops: Sequence[Crop], evaluation: Evaluation) -> dict[str, Any]:
    """The picture of some crops, None where there is none; and a line on each image that cannot be shown."""
    read = functools.cache(read_mammogram)
    shown: list[tuple[Crop, Mammogram]] = []
    without: dict[str, str] = {}
    for crop in crops:
        scanned = crop.image.scanned
        try:
            mammogram = read(evaluation.folder / scanned.file)
        except ImageError as error:
            without[scanned.file] = str(error)
            continue
        if scanned.is_of(mammogram):
            shown.append((crop, mammogram))
        else:
            without[scanned.file] = f"{scanned.file}: has changed since it was scanned"
    picture = uri(draw_crops(shown, evaluation.scan.operating_point)) if shown else None
    return {"picture": picture, "without": list(without.values())}


def _scan(evaluation: Evaluation) -> dict[str, Any]:
    scored = [image.case.scored for image in evaluation.images]
    curve, normals = froc_curve(scored), [image for image in scored if not image.clusters.size]
    on_normals = np.sort(np.concatenate([[], *(image.false_marks for image in normals)]))
    left = len(on_normals) - np.searchsorted(on_normals, curve.thresholds)
    return {
        "found": str(evaluation.folder),
        "committee": evaluation.scan.committee,
        "operating_point": evaluation.scan.operating_point,
        "figures": _figures(evaluation.measured.estimates()),
        "thresholds": {f"{rate:g}": _plain(curve.threshold_at(rate)) for rate in RATES},
        "curve": {
            "threshold": list(map(_plain, curve.thresholds)),
            "false_marks": curve.false_marks.tolist(),
            "false_marks_on_normals": (left / len(normals)).tolist() if normals else None,
            "sensitivity": list(map(_plain, curve.sensitivity)),
        },
    }


def _counts(cases: Sequence[Case]) -> dict[str, Any]:
    clusters = sum(case.scored.clusters.size for case in cases)
    return {"images": len(cases), "patients": len({case.patient for case in cases}), "clusters": clusters}


def _of_group(cases: Sequence[Case], threshold: float) -> dict[str, Any]:
    return _counts(cases) | {"figures": _figures(measure(cases, threshold, rounds=ROUNDS_OF_A_GROUP).estimates())}


def _figures(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimates[name]._asdict() for name in LABELS}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _identity(image: KnownImage) -> str:
    return image.scanned.sop_instance_uid or image.scanned.pixels_sha256
