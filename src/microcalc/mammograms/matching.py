"""Findings of a scan joined to the truth of its images: by UID, by the pixels' hash, or else by an unambiguous name."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from microcalc.errors import RequestError
from microcalc.evaluation.detection import Case
from microcalc.evaluation.froc import find_hits, score_findings
from microcalc.evaluation.truth.image import Box, ImageTruth
from microcalc.images.folders import IMAGE_SUFFIXES
from microcalc.images.names import parts_of, side_and_view
from microcalc.mammograms.findings import Finding, Scan, ScannedImage
from microcalc.mammograms.truth import link_clusters

Others = Literal["normal", "skip"] | None
Parts = tuple[str, ...]

MOST_KINDS = 8
TOLERANCE = 1.0
"""Pixels by which a box may reach over the edge of its image: programs differ in where a pixel begins."""


@dataclass(frozen=True, eq=False)
class KnownImage:
    """One scanned image, its true clusters, the findings that hit none, and its case, scored by probability."""

    scanned: ScannedImage
    boxes_px: tuple[Box, ...]
    false: tuple[Finding, ...]
    case: Case


def join(scan: Scan, truth: Sequence[ImageTruth], others: Others = None) -> tuple[list[KnownImage], list[str]]:
    """Join scanned images to their truth.

    Args:
        scan: that was finished.
        truth: of :func:`microcalc.evaluation.truth.read_truth`.
        others: images without truth: "normal" takes them as such; "skip" leaves them out, and truth without an image.

    Returns:
        The images with truth, in the order of the scan; and the files with truth that could not be scanned.

    Raises:
        RequestError: an image has no truth, or two; truth has no image, or several; a cluster lies outside its image.
    """
    names, failed = [_name(image.file) for image in scan.images], [_name(str(each["file"])) for each in scan.failed]
    known: dict[int, ImageTruth] = {}
    not_scanned: list[str] = []
    for true in truth:
        numbers = _images_of(true, scan.images, names)
        lost = [str(scan.failed[number]["file"]) for number in _named(true.name, failed)]
        if len(numbers) > 1:
            shown = ", ".join(scan.images[number].file for number in numbers[:3])
            raise RequestError(
                f"{true.name}: is the truth of {len(numbers)} images ({shown}); name it by its folder too"
            )
        if not (numbers or lost or others == "skip"):
            raise RequestError(f"{true.name}: has truth but is not in the scan; scan it, or give others as skip")
        not_scanned += [] if numbers else lost
        for number in numbers:
            if (other := known.setdefault(number, true)) is not true:
                file = scan.images[number].file
                raise RequestError(f"{file}: has two truths, as {other.name} and as {true.name}; remove one")
    missing = [image.file for number, image in enumerate(scan.images) if number not in known]
    if missing and others is None:
        raise RequestError(
            f"{missing[0]}: has no truth ({len(missing)} of {len(names)} images have none); mark it as read in the "
            "viewer, or give others (--others) as normal or skip"
        )
    pattern = next((true.patient_in_name for true in truth if true.patient_in_name), "")
    chosen = [
        (image, known.get(n) or ImageTruth(image.file, patient_in_name=pattern))
        for n, image in enumerate(scan.images)
        if n in known or others == "normal"
    ]
    patients = _patients(chosen)
    return [_known(*each, patient) for each, patient in zip(chosen, patients, strict=True)], not_scanned


def groups(images: Sequence[KnownImage]) -> dict[str, dict[str, list[Case]]]:
    """The images by view, side, folder and pixel size, where there are two kinds to eight, and fewer than patients."""
    paths = [parts_of(image.scanned.file)[:-1] for image in images]
    shared = next((n for n, level in enumerate(zip(*paths, strict=False)) if len(set(level)) > 1), min(map(len, paths)))
    kinds: dict[str, dict[str, list[Case]]] = {"side": {}, "view": {}, "folder": {}, "pixel size": {}}
    for image, path in zip(images, paths, strict=True):
        size = " x ".join(f"{length:.4g}" for length in image.scanned.pixel_size_mm) + " mm"
        values = (*_side_and_view(image.scanned), "".join(path[shared : shared + 1]), size)
        for kind, value in zip(kinds, values, strict=True):
            kinds[kind].setdefault(value or "unknown", []).append(image.case)
    most = min(MOST_KINDS, len({image.case.patient for image in images}) - 1)
    return {kind: dict(sorted(values.items())) for kind, values in kinds.items() if 1 < len(values) <= most}


def _side_and_view(scanned: ScannedImage) -> tuple[str | None, str | None]:
    """Side and view by the scan, or by the name of the file in a scan of an earlier version."""
    side, view = side_and_view(scanned.file)
    return scanned.side or side, scanned.view or view


def _known(scanned: ScannedImage, true: ImageTruth, patient: str) -> KnownImage:
    shape, size = (scanned.rows, scanned.columns), scanned.pixel_size_mm
    linked = link_clusters(true.calcifications_px, size)
    boxes = (*true.boxes_px, *((*each.min(axis=0).tolist(), *each.max(axis=0).tolist()) for each in linked))
    for left, top, right, bottom in boxes:
        if max(-left, -top, right - scanned.columns + 1, bottom - scanned.rows + 1) > TOLERANCE:
            place = f"{left:g}, {top:g}, {right:g}, {bottom:g}"
            raise RequestError(f"{scanned.file}: a cluster of its truth {true.name} lies outside the image: {place}")
    if true.shape not in (None, shape):
        raise RequestError(f"{scanned.file}: has {shape} rows and columns, but {true.shape} in its truth {true.name}")
    centers, scores = [each.center_px for each in scanned.findings], [each.probability for each in scanned.findings]
    hit = np.any(find_hits(centers, boxes, size), axis=1)
    false = tuple(finding for finding, is_hit in zip(scanned.findings, hit, strict=True) if not is_hit)
    side = _side_and_view(scanned)[0]
    case = Case(score_findings(centers, scores, boxes, size), patient, f"{patient} {side}" if side else scanned.file)
    return KnownImage(scanned, boxes, false, case)


def _patients(chosen: Sequence[tuple[ScannedImage, ImageTruth]]) -> list[str]:
    """The patients that the truth gives, also to the other images of these patients; else the images' own."""
    given, by_own = [_given_patient(*each) for each in chosen], defaultdict[str, set[str]](set)
    for (scanned, _), patient in zip(chosen, given, strict=True):
        by_own[scanned.patient_name] |= {patient} if patient else set()
    owns = [scanned.patient_name for scanned, _ in chosen]
    linked = [min(by_own[own]) if len(by_own[own]) == 1 else own for own in owns]
    return [patient or other for patient, other in zip(given, linked, strict=True)]


def _given_patient(scanned: ScannedImage, true: ImageTruth) -> str | None:
    """The patient that the truth gives, or its pattern of names."""
    match = re.search(true.patient_in_name, parts_of(scanned.file)[-1]) if true.patient_in_name else None
    return true.patient or (match[1] if match else None)


def _images_of(true: ImageTruth, images: Sequence[ScannedImage], names: Sequence[tuple[Parts, Parts]]) -> list[int]:
    """The images of a truth: by UID where both have one, else by hash where the truth has one, else by name."""
    uid, digest = true.sop_instance_uid, true.pixels_sha256
    by_name = _named(true.name, names) if digest is None else []
    return [
        number
        for number, image in enumerate(images)
        if (
            image.sop_instance_uid == uid
            if uid and image.sop_instance_uid
            else image.pixels_sha256 == digest or number in by_name
        )
    ]


def _named(name: str, files: Sequence[tuple[Parts, Parts]]) -> list[int]:
    """The file of that very path; else those where one path ends with the other, suffixes apart.

    Where there is none: those in a folder of that name, or with it before a "_", such as "12" of ``12_left.png``.
    """
    true, bare = _name(name)
    found = [n for n, (_, each) in enumerate(files) if each[-len(bare) :] == bare[-len(each) :]]
    if not found and len(true) == 1:
        return [n for n, (file, _) in enumerate(files) if true[0] in (*file[:-1], file[-1].split("_")[0])]
    return [n for n in found if files[n][0] == true] or [n for n in found if files[n][0][-1] == true[-1]] or found


def _name(file: str) -> tuple[Parts, Parts]:
    """The parts of a path, with the suffix of an image and without."""
    parts = parts_of(file)
    name = PurePosixPath(parts[-1])
    return parts, (*parts[:-1], name.stem) if name.suffix.lower() in IMAGE_SUFFIXES else parts
