"""All DICOM results of one mammogram: made, and written to files."""

import io
import os
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from microcalc.dicom import cad_report, capture, presentation
from microcalc.dicom.results import Algorithm, NotAnalyzed, Outcome
from microcalc.dicom.source import read_source
from microcalc.files import write_atomically
from microcalc.images.silence import quiet
from microcalc.mammograms.findings import ScannedImage

SUFFIXES = {cad_report.KIND: ".sr.dcm", presentation.KIND: ".pr.dcm", capture.KIND: ".sc.dcm"}
"""What is added to the name of a mammogram for each kind of result."""


def make_objects(outcome: Outcome, overlay: bytes | None) -> dict[str, Dataset]:
    """Make the CAD report and, where the image was analyzed, the presentation state and the overlay.

    Args:
        outcome: of the scan.
        overlay: a PNG of :func:`microcalc.mammograms.overlay.draw_overlay`; None where the image was not analyzed.
    """
    with quiet():
        made = {cad_report.KIND: cad_report.make_cad_report(outcome)}
        if isinstance(outcome.scanned, ScannedImage) and overlay is not None:
            made[presentation.KIND] = presentation.make_presentation_state(outcome)
            made[capture.KIND] = capture.make_secondary_capture(outcome, overlay)
    return made


def write_results(
    mammogram: str | os.PathLike[str],
    scanned: ScannedImage | NotAnalyzed,
    overlay: bytes | None,
    algorithm: Algorithm,
    folder: Path,
    name: str | None = None,
    created: datetime | None = None,
) -> tuple[list[Path], tuple[str, ...]]:
    """Write the DICOM results of one mammogram: ``NAME.sr.dcm``, ``NAME.pr.dcm`` and ``NAME.sc.dcm``.

    Args:
        mammogram: the DICOM file that was scanned.
        scanned: its findings, or why it could not be analyzed; then there is a report alone.
        overlay: the picture for the Secondary Capture, a PNG file; None where there is none.
        algorithm: what made the findings.
        folder: for the files.
        name: of the files; that of the mammogram without its suffix where not given.
        created: the time that the results state; now where not given. UIDs do not depend on it.

    Returns:
        The files, and what an MG image should have and this one lacks, a sentence each.

    Raises:
        ImageError: the mammogram is no DICOM image, or lacks what results must refer to.
        FailedError: the results cannot be written.
        ValueError: the findings are not those of this mammogram.
    """
    source = read_source(mammogram)
    outcome = Outcome(source, scanned, algorithm, created or datetime.now())
    name = Path(mammogram).stem if name is None else name
    paths = []
    for kind, made in make_objects(outcome, overlay).items():
        path = folder / (name + SUFFIXES[kind])
        write_atomically(path, encode(made))
        paths.append(path)
    return paths, source.notes


def encode(dataset: Dataset) -> bytes:
    """A data set as the bytes of a DICOM file."""
    with quiet(), io.BytesIO() as file:
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()
