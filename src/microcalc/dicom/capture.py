"""Secondary Capture: the overlay as a picture that any viewer shows (PS3.3 A.8.1)."""

import io
from typing import Any

import numpy as np
import PIL.Image
from highdicom.sc import SCImage
from pydicom.dataset import Dataset

from microcalc.dicom.results import MANUFACTURER, Outcome, identify, reference
from microcalc.dicom.source import laterality, patient_orientation

KIND = "overlay"
_SERIES_NUMBER = 9403


def make_secondary_capture(outcome: Outcome, overlay: bytes) -> Dataset:
    """Wrap the overlay, a PNG of :func:`microcalc.mammograms.overlay.draw_overlay`, as a Secondary Capture.

    Raises:
        ValueError: it is no PNG file.
    """
    try:
        picture = np.asarray(PIL.Image.open(io.BytesIO(overlay), formats=["PNG"]).convert("RGB"))
    except OSError as error:
        raise ValueError("overlay must be a PNG file; give what draw_overlay makes") from error
    header = outcome.source.header
    capture: Any = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("P", "F"),  # highdicom demands one; it is replaced by that of the mammogram below
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=outcome.series_uid(KIND),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=outcome.series_uid(KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    identify(capture, outcome, KIND, modality="OT", series_number=_SERIES_NUMBER)
    capture.PatientOrientation = list(patient_orientation(header) or ("", ""))
    if side := laterality(header):
        capture.ImageLaterality = side
    else:
        capture.Laterality = ""  # of the series; must be present where the image's is not, and may be empty
    for keyword in ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"):
        capture.pop(keyword, None)  # as in identify
    capture.ConversionType = "WSD"
    capture.DerivationDescription = "Overlay of suspected clusters of microcalcifications; not for diagnosis"
    capture.SourceImageSequence = [reference(header)]
    if header.get("BurnedInAnnotation") in ("YES", "NO"):
        capture.BurnedInAnnotation = header.BurnedInAnnotation
    return capture
