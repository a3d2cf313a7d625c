"""Grayscale Softcopy Presentation State: the marked findings drawn over the mammogram (PS3.3 A.33.1)."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset

from microcalc.dicom.results import MANUFACTURER, MODEL, Outcome, identify, in_dicom, outline, percent
from microcalc.dicom.source import DISPLAY
from microcalc.mammograms.findings import Finding, ScannedImage

KIND = "presentation state"
_SERIES_NUMBER = 9402
_CALCIFICATION_RADIUS_MM = 0.4


def make_presentation_state(outcome: Outcome) -> Dataset:
    """Draw the marked findings: outline, single calcifications and probability; the greys stay as they are.

    Findings below the operating point are in the CAD SR alone, as viewers show all of a presentation state at once.

    Raises:
        TypeError: the image was not analyzed, so that there is nothing to draw.
    """
    scanned = outcome.scanned
    if not isinstance(scanned, ScannedImage):
        raise TypeError("a presentation state needs findings: got an image that was not analyzed")
    try:
        state = _draw(outcome, scanned, DISPLAY)
    except (TypeError, ValueError):  # a window without a centre or a slope that is no number: viewers choose their own
        state = _draw(outcome, scanned, ())
    identify(state, outcome, KIND, modality="PR", series_number=_SERIES_NUMBER)
    state.Laterality = ""  # of the series, which may hold both breasts
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    return state


def _draw(outcome: Outcome, scanned: ScannedImage, display: Sequence[str]) -> Dataset:
    image = _image(outcome.source.header, display)
    layer = GraphicLayer(layer_name="FINDINGS", order=1, description="Suspected clusters of microcalcifications")
    marked = [finding for finding in scanned.findings if finding.marked]
    shape = "INVERSE" if outcome.source.header.get("PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"
    return GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=outcome.series_uid(KIND),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=outcome.uid(KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=outcome.algorithm.version,
        device_serial_number="0",
        content_label="MICROCALC",
        content_description=f"{len(marked)} suspected clusters of microcalcifications",
        graphic_layers=[layer] if marked else None,
        graphic_annotations=[_annotation(finding, scanned, image, layer) for finding in marked] or None,
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
    )


def _image(header: Dataset, display: Sequence[str]) -> Dataset:
    """What highdicom must know of the mammogram: its UIDs, size and display, and an empty patient to be filled later.

    highdicom checks names and sexes more strictly than scanners do, so it is given none.
    """
    image = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"):
        setattr(image, keyword, header.get(keyword))
    image.SamplesPerPixel = 1
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(image, keyword, "")
    image.StudyDate = image.StudyTime = None
    for keyword in display:
        if header.get(keyword) not in (None, ""):
            image[keyword] = deepcopy(header[keyword])
    return image


def _annotation(finding: Finding, scanned: ScannedImage, image: Dataset, layer: GraphicLayer) -> GraphicAnnotation:
    edge = in_dicom(outline(finding, scanned))
    radius = _CALCIFICATION_RADIUS_MM / scanned.pixel_size_mm[1]
    circles = [
        [(column, row), (min(column + radius, scanned.columns), row)]
        for column, row in in_dicom(finding.calcifications_px)
    ]
    return GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=layer,
        graphic_objects=[
            GraphicObject("POLYLINE", np.array(edge), units="PIXEL"),
            *(GraphicObject("CIRCLE", np.array(circle), units="PIXEL") for circle in circles),
        ],
        text_objects=[
            TextObject(
                f"{finding.number}: {percent(finding):g} %",
                units="PIXEL",
                anchor_point=(float(edge[1][0]), float(edge[1][1])),
                anchor_point_visible=False,
            )
        ],
    )
