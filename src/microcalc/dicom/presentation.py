"""Grayscale Softcopy Presentation State: the marked findings drawn over the mammogram (PS3.3 A.33.1)."""

import math

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage
from pydicom.valuerep import DSfloat

from microcalc.dicom.results import Outcome, dataset, identify, in_dicom, outline, percent, reference
from microcalc.dicom.source import Source
from microcalc.images.decoding import stored_range
from microcalc.images.dicom_file import numbers
from microcalc.mammograms.findings import Finding, Point, ScannedImage

_CALCIFICATION_RADIUS_MM = 0.4


def make_presentation_state(outcome: Outcome, scanned: ScannedImage) -> Dataset:
    """Draw the marked findings: outline, single calcifications and probability; the greys stay as they are.

    Findings below the operating point are in the CAD SR alone, as viewers show all of a presentation state at once.
    """
    header = outcome.source.header
    drawn = [finding for finding in scanned.findings if finding.marked and finding.number not in outcome.rejected]
    clusters = "cluster" if len(drawn) == 1 else "clusters"
    series = dataset(SeriesInstanceUID=header.SeriesInstanceUID, ReferencedImageSequence=[reference(header)])
    area = dataset(
        DisplayedAreaTopLeftHandCorner=[1, 1],
        DisplayedAreaBottomRightHandCorner=[scanned.columns, scanned.rows],
        PresentationSizeMode="SCALE TO FIT",
        PresentationPixelSpacing=[DSfloat(mm, auto_format=True) for mm in scanned.pixel_size_mm],
    )
    inverse = header.get("PhotometricInterpretation") == "MONOCHROME1"
    state = dataset(
        ContentLabel="MICROCALC",
        ContentDescription=f"{len(drawn)} suspected {clusters} of microcalcifications",
        ContentCreatorName="",
        Laterality="",  # of the series, which may hold both breasts
        ReferencedSeriesSequence=[series],
        DisplayedAreaSelectionSequence=[area],
        PresentationLUTShape="INVERSE" if inverse else "IDENTITY",
    )
    if drawn:
        description = "Suspected clusters of microcalcifications"
        layer = dataset(GraphicLayer="FINDINGS", GraphicLayerOrder=1, GraphicLayerDescription=description)
        state.GraphicLayerSequence = [layer]
        state.GraphicAnnotationSequence = [_annotation(finding, scanned, header) for finding in drawn]
    _add_greys(state, outcome.source)
    identify(state, outcome, "presentation state", GrayscaleSoftcopyPresentationStateStorage, "PR", 9402)
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    return state


def _annotation(finding: Finding, scanned: ScannedImage, header: Dataset) -> Dataset:
    edge = in_dicom(outline(finding, scanned))
    radius = _CALCIFICATION_RADIUS_MM / scanned.pixel_size_mm[1]
    circles = [
        [(column, row), (min(column + radius, scanned.columns), row)]
        for column, row in in_dicom(finding.calcifications_px)
    ]
    text = dataset(
        AnchorPointAnnotationUnits="PIXEL",
        UnformattedTextValue=f"{finding.number}: {percent(finding):g} %",
        AnchorPoint=list(edge[1]),
        AnchorPointVisibility="N",
    )
    return dataset(
        ReferencedImageSequence=[reference(header)],
        GraphicLayer="FINDINGS",
        TextObjectSequence=[text],
        GraphicObjectSequence=[_graphic("POLYLINE", edge), *(_graphic("CIRCLE", circle) for circle in circles)],
    )


def _graphic(kind: str, points: list[Point]) -> Dataset:
    return dataset(
        GraphicAnnotationUnits="PIXEL",
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(points),
        GraphicData=[coordinate for point in points for coordinate in point],
        GraphicType=kind,
        GraphicFilled="N",
    )


def _add_greys(state: Dataset, source: Source) -> None:
    """Repeat the Modality LUT and the first VOI LUT or window (PS3.3 C.11.1, C.11.8); what is odd is left out."""
    header = source.header
    if lut := _lut(source, "ModalityLUTSequence"):
        lut.ModalityLUTType = str(header.ModalityLUTSequence[0].get("ModalityLUTType") or "US")
        state.ModalityLUTSequence, lowest = [lut], 0.0
    else:
        slope, intercept = _number(header, "RescaleSlope") or 1, _number(header, "RescaleIntercept") or 0
        state.RescaleSlope, state.RescaleIntercept = slope, intercept
        state.RescaleType = str(header.get("RescaleType") or "US")
        lowest = min(float(slope) * value + float(intercept) for value in stored_range(header))
    if display := _voi_lut(source, lowest):
        state.SoftcopyVOILUTSequence = [display]


def _voi_lut(source: Source, lowest: float) -> Dataset:
    header, display = source.header, Dataset()
    center, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR")
    if lut := _lut(source, "VOILUTSequence"):
        display.VOILUTSequence = [lut]
    elif center is None or width is None or width < (1 if function == "LINEAR" else 1e-6):
        pass
    elif function == "SIGMOID" and 64 <= width <= 16384:
        display.VOILUTSequence = [_sigmoid(float(center), float(width), lowest)]
    else:
        display.WindowCenter, display.WindowWidth = center, width
        if function in ("LINEAR_EXACT", "SIGMOID"):
            display.VOILUTFunction = function
    return display


def _number(header: Dataset, keyword: str) -> DSfloat | None:
    try:
        (value, *_) = numbers(header, keyword)
        return DSfloat(value, auto_format=True) if math.isfinite(value) else None
    except ValueError:  # none, or no number
        return None


def _lut(source: Source, keyword: str) -> Dataset | None:
    """Return the first table of a sequence as it is, in words of little endian; None where it cannot be used."""
    try:
        item = source.header[keyword][0]
        entries, first, bits = (int(value) for value in item.LUTDescriptor)
        data = item.LUTData
    except (KeyError, IndexError, AttributeError, TypeError, ValueError):
        return None
    if not isinstance(data, bytes):
        data = np.atleast_1d(data).astype("<u2").tobytes()
    elif not source.header.original_encoding[1]:
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    if not 8 <= bits <= 16 or len(data) < (entries or 2**16):
        return None
    return _table(entries, first, bits, data)


def _sigmoid(center: float, width: float, lowest: float) -> Dataset:
    """Return a SIGMOID window (PS3.3 C.11.2.1.3.1) as a table: dcmtk, among others, knows none in presentation states.

    ``lowest`` is the lowest value of the Modality LUT; a table that begins below 0 is for values below 0 alone.
    """
    first = max(round(center - 2 * width), 0 if lowest >= 0 else -32768)
    values = np.arange(first, min(round(center + 2 * width), first + 65534) + 1)
    greys = np.rint(65535 / (1 + np.exp(-4 * (values - center) / width)))
    return _table(len(values), first, 16, greys.astype("<u2").tobytes())


def _table(entries: int, first: int, bits: int, data: bytes) -> Dataset:
    lut = Dataset()
    lut.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, bits])
    lut.add_new("LUTData", "OW", data)
    return lut
