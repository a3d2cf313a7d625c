"""Mammography CAD SR: the findings as a structured report (TID 4000, PS3.16; IOD in PS3.3 A.35.5)."""

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from microcalc.dicom.results import (
    NotAnalyzed,
    Outcome,
    dataset,
    identify,
    in_dicom,
    outline,
    percent,
    plain_text,
    reference,
)
from microcalc.images.dicom import laterality, orientation
from microcalc.mammograms.findings import Finding, Point, ScannedImage
from microcalc.mammograms.words import in_one_line

_IMAGE_IN_LIBRARY = [1, 2, 1]  # the report's second item is the image library, whose first is the image

_CONTAINS, _INFERRED, _PROPERTIES = "CONTAINS", "INFERRED FROM", "HAS PROPERTIES"
_MODIFIER, _ACQUISITION = "HAS CONCEPT MOD", "HAS ACQ CONTEXT"
_DCM = codes.DCM
_ENGLISH = Code("en", "RFC5646", "English")
_MILLIMETER = Code("mm", "UCUM", "millimeter")
_IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")  # pydicom's meaning is not ASCII
_REQUIRED = _DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent
_OPTIONAL = _DCM.PresentationOptionalRenderingDeviceMayPresent
_REJECTED = _DCM.NotForPresentationRenderingDeviceExpectedNotToPresent
_BREASTS = {"L": codes.SCT.LeftBreast, "R": codes.SCT.RightBreast, "B": codes.SCT.BothBreasts}


def make_cad_report(outcome: Outcome) -> Dataset:
    """Write the findings of one mammogram as a Mammography CAD SR.

    Marked findings are Presentation Required, rejected ones Not for Presentation, the others Presentation Optional. An
    image that was not analyzed gives a report that says so.
    """
    report = _container(None, _DCM.MammographyCADReport, _content(outcome))
    report.ContentTemplateSequence = [dataset(MappingResource="DCMR", TemplateIdentifier="4000")]
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(outcome.source.header)]
    return identify(report, outcome, "CAD report", MammographyCADSRStorage, "SR", 9401)


def _evidence(header: Dataset) -> Dataset:
    series = dataset(SeriesInstanceUID=header.SeriesInstanceUID, ReferencedSOPSequence=[reference(header)])
    return dataset(StudyInstanceUID=header.StudyInstanceUID, ReferencedSeriesSequence=[series])


def _content(outcome: Outcome) -> list[Dataset]:
    return [
        _code(_MODIFIER, _DCM.LanguageOfContentItemAndDescendants, _ENGLISH),
        _container(_CONTAINS, _DCM.ImageLibrary, [_library_entry(outcome)]),
        _overall_impression(outcome),
        _summary_of_detections(outcome),
        _code(_CONTAINS, _DCM.SummaryOfAnalyses, _DCM.NotAttempted),
    ]


def _library_entry(outcome: Outcome) -> Dataset:
    """Return the mammogram with what its header gives (TID 4020)."""
    header, details = outcome.source.header, []
    if side := laterality(header):
        details.append(_code(_ACQUISITION, _DCM.ImageLaterality, _BREASTS[side]))
    details += _view(header)
    if directions := orientation(header):
        details.append(_text(_ACQUISITION, _DCM.PatientOrientationRow, directions[0]))
        details.append(_text(_ACQUISITION, _DCM.PatientOrientationColumn, directions[1]))
    for keyword in ("StudyDate", "StudyTime", "ContentDate", "ContentTime"):
        if value := header.get(keyword):
            kind = keyword[-4:]
            details.append(_item(_ACQUISITION, kind.upper(), getattr(_DCM, keyword), **{kind: str(value)}))
    if isinstance(outcome.scanned, ScannedImage):
        between_rows, between_columns = outcome.scanned.pixel_size_mm
        details.append(_number(_ACQUISITION, _DCM.HorizontalPixelSpacing, between_columns, _MILLIMETER))
        details.append(_number(_ACQUISITION, _DCM.VerticalPixelSpacing, between_rows, _MILLIMETER))
    return _item(_CONTAINS, "IMAGE", None, details, ReferencedSOPSequence=[reference(header)])


def _view(header: Dataset) -> list[Dataset]:
    """Return the view and its modifiers, in the codes of the header; those without a code are left out."""
    views = [code for item in header.get("ViewCodeSequence") or [] if (code := _coded(item))]
    if not views:
        return []
    modifiers = header.ViewCodeSequence[0].get("ViewModifierCodeSequence") or []
    children = [_code(_MODIFIER, _DCM.ImageViewModifier, code) for item in modifiers if (code := _coded(item))]
    return [_code(_ACQUISITION, _DCM.ImageView, views[0], children)]


def _coded(item: Dataset) -> Code | None:
    parts = [str(item.get(keyword) or "") for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
    return Code(*parts) if all(parts) else None


def _overall_impression(outcome: Outcome) -> Dataset:
    """Return whether all went well and whether there is anything, with each finding below (TID 4001 to 4003)."""
    scanned = outcome.scanned
    if isinstance(scanned, NotAnalyzed):
        summary, findings = _DCM.NoAlgorithmsSucceededWithoutFindings, []
    else:
        summary = _DCM.AllAlgorithmsSucceededWithoutFindings
        if scanned.findings:
            summary = _DCM.AllAlgorithmsSucceededWithFindings
        findings = [_impression(finding, scanned, outcome) for finding in scanned.findings]
    if outcome.remarks:
        remarks = _text(_PROPERTIES, _DCM.ImpressionDescription, " ".join(outcome.remarks))
        findings = [remarks, *_algorithm(outcome), *findings]
    return _code(_CONTAINS, _DCM.CADProcessingAndFindingsSummary, summary, findings)


def _impression(finding: Finding, scanned: ScannedImage, outcome: Outcome) -> Dataset:
    intent = _REQUIRED if finding.marked else _OPTIONAL
    if finding.number in outcome.rejected:
        intent = _REJECTED
    rendering = _code(_MODIFIER, _DCM.RenderingIntent, intent)
    return _container(_INFERRED, _IMPRESSION, [rendering, _cluster(finding, scanned, outcome, rendering)])


def _cluster(finding: Finding, scanned: ScannedImage, outcome: Outcome, rendering: Dataset) -> Dataset:
    """Return a calcification cluster and, below it, its single calcifications (TID 4006, 4010, 4021)."""
    algorithm = _algorithm(outcome)
    count = len(finding.calcifications_px)
    children = [
        rendering,
        _text("HAS OBS CONTEXT", _DCM.TrackingIdentifier, f"finding {finding.number}"),
        *algorithm,
        _text(_PROPERTIES, _DCM.AlgorithmParameters, f"certainty of finding: {in_one_line(finding)}"),
        _number(_PROPERTIES, _DCM.CertaintyOfFinding, percent(finding), codes.UCUM.Percent),
        _coordinates(_DCM.Center, "POINT", (finding.center_px,)),
        _coordinates(_DCM.Outline, "POLYLINE", outline(finding, scanned)),
        _number(_PROPERTIES, _DCM.NumberOfCalcifications, count, codes.UCUM.NoUnits),
    ]
    for position in finding.calcifications_px:
        details = [rendering, *algorithm[:2], _coordinates(_DCM.Center, "POINT", (position,))]
        children.append(_code(_INFERRED, _DCM.SingleImageFinding, codes.SCT.IndividualCalcification, details))
    return _code(_CONTAINS, _DCM.SingleImageFinding, codes.SCT.CalcificationCluster, children)


def _summary_of_detections(outcome: Outcome) -> Dataset:
    """Return the target, image and algorithm of the detection, and whether it worked (TID 4015 and 4017)."""
    concept, result = _DCM.SuccessfulDetections, _DCM.Succeeded
    if isinstance(outcome.scanned, NotAnalyzed):
        concept, result = _DCM.FailedDetections, _DCM.Failed
    details = [*_algorithm(outcome), _library_image(_PROPERTIES)]
    performed = _code(_CONTAINS, _DCM.DetectionPerformed, codes.SCT.CalcificationCluster, details)
    return _code(_CONTAINS, _DCM.SummaryOfDetections, result, [_container(_INFERRED, concept, [performed])])


def _algorithm(outcome: Outcome) -> list[Dataset]:
    """Return name and version, which must be given for each finding, then the parameters (TID 4019)."""
    algorithm = outcome.algorithm
    return [
        _text(_PROPERTIES, _DCM.AlgorithmName, "microcalc"),
        _text(_PROPERTIES, _DCM.AlgorithmVersion, plain_text(algorithm.version)),
        *(_text(_PROPERTIES, _DCM.AlgorithmParameters, line) for line in algorithm.parameters),
    ]


def _item(
    relationship: str | None, value_type: str, concept: Code | None, children: Sequence[Dataset] = (), **values: Any
) -> Dataset:
    """Return a content item (PS3.3 C.17.3)."""
    item = dataset(ValueType=value_type, **values)
    if relationship:
        item.RelationshipType = relationship
    if concept:
        item.ConceptNameCodeSequence = [_coding(concept)]
    if children:
        item.ContentSequence = list(children)
    return item


def _coding(code: Code) -> Dataset:
    return dataset(CodeValue=code.value, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)


def _container(relationship: str | None, concept: Code, children: Sequence[Dataset]) -> Dataset:
    return _item(relationship, "CONTAINER", concept, children, ContinuityOfContent="SEPARATE")


def _code(relationship: str, concept: Code, value: Code, children: Sequence[Dataset] = ()) -> Dataset:
    return _item(relationship, "CODE", concept, children, ConceptCodeSequence=[_coding(value)])


def _text(relationship: str, concept: Code, value: str) -> Dataset:
    return _item(relationship, "TEXT", concept, TextValue=value)


def _number(relationship: str, concept: Code, value: float, unit: Code) -> Dataset:
    measured = dataset(NumericValue=f"{value:.7g}", MeasurementUnitsCodeSequence=[_coding(unit)])
    return _item(relationship, "NUM", concept, MeasuredValueSequence=[measured])


def _coordinates(concept: Code, graphic_type: str, points: tuple[Point, ...]) -> Dataset:
    """Return positions in the mammogram (TID 4021)."""
    numbers = [coordinate for point in in_dicom(points) for coordinate in point]
    children = [_library_image("SELECTED FROM")]
    return _item(_PROPERTIES, "SCOORD", concept, children, GraphicType=graphic_type, GraphicData=numbers)


def _library_image(relationship: str) -> Dataset:
    """Return the mammogram, by its place in the image library."""
    return dataset(RelationshipType=relationship, ReferencedContentItemIdentifier=_IMAGE_IN_LIBRARY)
