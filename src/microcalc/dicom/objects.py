"""All DICOM results of one mammogram: made, and written to files."""

import hashlib
import io
import os
from collections.abc import Collection
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from microcalc.dicom import cad_report, capture, presentation
from microcalc.dicom.results import Algorithm, NotAnalyzed, Outcome
from microcalc.dicom.source import read_source
from microcalc.errors import ImageError
from microcalc.files import write_atomically
from microcalc.images.silence import quiet
from microcalc.mammograms.findings import ScannedImage

SUFFIXES = {cad_report.KIND: ".sr.dcm", presentation.KIND: ".pr.dcm", capture.KIND: ".sc.dcm"}
"""Suffix of the file of each kind of result."""


def make_objects(outcome: Outcome, overlay: bytes | None) -> dict[str, Dataset]:
    """Make the CAD report and, where the image was analyzed, the presentation state and the overlay.

    The SOP Instance UID of each follows from all its other content: equal objects have equal UIDs, others have not.

    Args:
        outcome: of the scan.
        overlay: a PNG of :func:`microcalc.mammograms.overlay.draw_overlay`; None where the image was not analyzed.
    """
    with quiet():
        made = {cad_report.KIND: cad_report.make_cad_report(outcome)}
        if isinstance(outcome.scanned, ScannedImage) and overlay is not None:
            made[presentation.KIND] = presentation.make_presentation_state(outcome, outcome.scanned)
            made[capture.KIND] = capture.make_secondary_capture(outcome, overlay)
        for each in made.values():
            uid = generate_uid(entropy_srcs=[hashlib.sha256(encode(each)).hexdigest()])
            each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = uid
    return made


def write_results(
    mammogram: str | os.PathLike[str] | bytes,
    scanned: ScannedImage | NotAnalyzed,
    overlay: bytes | None,
    algorithm: Algorithm,
    folder: Path,
    name: str | None = None,
    rejected: Collection[int] = (),
) -> tuple[list[Path], tuple[str, ...]]:
    """Write the DICOM results of one mammogram: ``NAME.sr.dcm``, ``NAME.pr.dcm`` and ``NAME.sc.dcm``.

    Args:
        mammogram: the DICOM file that was scanned, or the bytes of it.
        scanned: its findings, or why it could not be analyzed; then there is a report alone.
        overlay: the picture for the Secondary Capture, a PNG file; None where there is none.
        algorithm: what made the findings.
        folder: for the files.
        name: of the files, without suffix; that of the mammogram where None.
        rejected: numbers of the findings that a reader has rejected: the report says that they are not to be shown.

    Returns:
        The files, and what an MG image should have and this one lacks, a sentence each.

    Raises:
        ImageError: the mammogram is no DICOM image, lacks what results must refer to, or is not the image of these
            findings; or there are none, and it is no mammogram.
        FailedError: the results cannot be written.
        ValueError: the overlay is no PNG file.
    """
    source = read_source(mammogram)
    if name is None:
        file = Path("mammogram" if isinstance(mammogram, bytes) else mammogram)
        name = file.name if file.suffix[1:].isdigit() else file.stem  # a UID has no suffix
    try:
        outcome = Outcome(source, scanned, algorithm, rejected)
    except ImageError as error:
        error.file = "" if isinstance(mammogram, bytes) else os.fspath(mammogram)
        raise
    paths = []
    for kind, made in make_objects(outcome, overlay).items():
        path = folder / (name + SUFFIXES[kind])
        write_atomically(path, encode(made))
        paths.append(path)
    return paths, source.notes


def encode(dataset: Dataset) -> bytes:
    """Return a data set as the bytes of a DICOM file."""
    with quiet(), io.BytesIO() as file:
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()
