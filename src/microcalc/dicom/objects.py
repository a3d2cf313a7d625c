"""All DICOM results of one mammogram: made, and written to files."""

import hashlib
import io
import os
from collections.abc import Collection
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from microcalc.dicom.cad_report import make_cad_report
from microcalc.dicom.capture import make_secondary_capture
from microcalc.dicom.presentation import make_presentation_state
from microcalc.dicom.regions_report import make_regions_report
from microcalc.dicom.results import Algorithm, NotAnalyzed, Outcome
from microcalc.dicom.source import read_source
from microcalc.errors import naming
from microcalc.files import write_atomically
from microcalc.images.silence import quiet
from microcalc.mammograms.findings import ScannedImage

Mammogram = str | os.PathLike[str] | bytes
"""A DICOM file, or the bytes of it."""


def make_objects(outcome: Outcome, overlay: bytes | None) -> dict[str, Dataset]:
    """Make the CAD report and, where the image was analyzed, the presentation state, the overlay and the regions.

    The SOP Instance UID of each follows from all its other content: equal objects have equal UIDs, others have not.

    Args:
        outcome: of the scan.
        overlay: a PNG of :func:`microcalc.mammograms.overlay.draw_overlay`; None where the image was not analyzed.

    Returns:
        The objects by the suffixes of their files: ``.sr.dcm``, ``.pr.dcm``, ``.sc.dcm``, and ``.regions.dcm`` where
        something is marked.
    """
    with quiet():
        made = {".sr.dcm": make_cad_report(outcome)}
        if isinstance(outcome.scanned, ScannedImage) and overlay is not None:
            made[".pr.dcm"] = make_presentation_state(outcome, outcome.scanned)
            made[".sc.dcm"] = make_secondary_capture(outcome, outcome.scanned, overlay)
            if regions := make_regions_report(outcome, outcome.scanned):
                made[".regions.dcm"] = regions
        for each in made.values():
            uid = generate_uid(entropy_srcs=[hashlib.sha256(encode(each)).hexdigest()])
            each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = uid
    return made


def make_results(
    mammogram: Mammogram,
    scanned: ScannedImage | NotAnalyzed,
    overlay: bytes | None,
    algorithm: Algorithm,
    rejected: Collection[int] = (),
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Make the DICOM results of one mammogram.

    Args:
        mammogram: that was scanned.
        scanned: its findings, or why it could not be analyzed; then there is a report alone.
        overlay: the picture for the Secondary Capture, a PNG file; None where there is none.
        algorithm: what made the findings.
        rejected: numbers of the findings that a reader has rejected: they are Not for Presentation.

    Returns:
        The files by their suffixes, and what an MG image should have and this one lacks, a sentence each.

    Raises:
        ImageError: the mammogram is no DICOM image, lacks what results must refer to, or is not the image of these
            findings; or there are none, and it is no mammogram.
    """
    source = read_source(mammogram)
    with naming("" if isinstance(mammogram, bytes) else os.fspath(mammogram)):
        outcome = Outcome(source, scanned, algorithm, rejected)
    return {suffix: encode(made) for suffix, made in make_objects(outcome, overlay).items()}, source.notes


def write_results(
    mammogram: str | os.PathLike[str],
    scanned: ScannedImage | NotAnalyzed,
    overlay: bytes | None,
    algorithm: Algorithm,
    folder: Path,
    rejected: Collection[int] = (),
) -> tuple[list[Path], tuple[str, ...]]:
    """Write the results of :func:`make_results` to files named as the mammogram, such as ``NAME.sr.dcm``.

    Raises:
        ImageError: as there.
        FailedError: the results cannot be written.
    """
    results, notes = make_results(mammogram, scanned, overlay, algorithm, rejected)
    file = Path(mammogram)
    name = file.name if file.suffix[1:].isdigit() else file.stem  # a UID has no suffix
    for suffix, content in results.items():
        write_atomically(folder / (name + suffix), content)
    return [folder / (name + suffix) for suffix in results], notes


def encode(dataset: Dataset) -> bytes:
    """Return a data set as the bytes of a DICOM file."""
    with quiet(), io.BytesIO() as file:
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()
