"""Mammography CAD SR: the findings as a structured report (TID 4000, PS3.16; IOD in PS3.3 A.35.5)."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from microcalc.dicom import codes
from microcalc.dicom.results import (
    NotAnalyzed,
    Outcome,
    identify,
    in_dicom,
    outline,
    percent,
    plain_text,
    reference,
)
from microcalc.dicom.source import laterality, patient_orientation
from microcalc.mammograms.findings import Finding, Point, ScannedImage

KIND = "CAD report"
_SERIES_NUMBER = 9401
_IMAGE_IN_LIBRARY = [1, 2, 1]  # the report's second item is the image library, whose first is the image


def make_cad_report(outcome: Outcome) -> Dataset:
    """Write the findings of one mammogram as a Mammography CAD SR.

    Marked findings are Presentation Required, rejected ones Not for Presentation, the others Presentation Optional. An
    image that was not analyzed gives a report that says so.
    """
    report = Dataset()
    report.SOPClassUID = MammographyCADSRStorage
    identify(report, outcome, KIND, modality="SR", series_number=_SERIES_NUMBER)
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.CurrentRequestedProcedureEvidenceSequence = [_evidence(outcome.source.header)]
    root = _container(None, codes.MAMMOGRAPHY_CAD_REPORT, _content(outcome))
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "4000"
    root.ContentTemplateSequence = [template]
    report.update(root)
    return report


def _evidence(header: Dataset) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ReferencedSOPSequence = [reference(header)]
    study = Dataset()
    study.StudyInstanceUID = header.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study


def _content(outcome: Outcome) -> list[Dataset]:
    library = _container("CONTAINS", codes.IMAGE_LIBRARY, [_library_entry(outcome)])
    return [
        _code("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
        library,
        _overall_impression(outcome),
        _summary_of_detections(outcome),
        _code("CONTAINS", codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED),
    ]


def _library_entry(outcome: Outcome) -> Dataset:
    """The mammogram and what its header says of it (TID 4020)."""
    header, context = outcome.source.header, "HAS ACQ CONTEXT"
    entry = _item("CONTAINS", "IMAGE", None)
    entry.ReferencedSOPSequence = [reference(header)]
    details = []
    if side := laterality(header):
        details.append(_code(context, codes.IMAGE_LATERALITY, codes.BREASTS[side]))
    details += _view(header)
    if orientation := patient_orientation(header):
        details.append(_text(context, codes.PATIENT_ORIENTATION_ROW, orientation[0]))
        details.append(_text(context, codes.PATIENT_ORIENTATION_COLUMN, orientation[1]))
    for keyword, concept in (
        ("StudyDate", codes.STUDY_DATE),
        ("StudyTime", codes.STUDY_TIME),
        ("ContentDate", codes.CONTENT_DATE),
        ("ContentTime", codes.CONTENT_TIME),
    ):
        if value := header.get(keyword):
            kind = keyword[-4:]
            details.append(_item(context, kind.upper(), concept))
            setattr(details[-1], kind, str(value))
    if isinstance(outcome.scanned, ScannedImage):
        between_rows, between_columns = outcome.scanned.pixel_size_mm
        details.append(_number(context, codes.HORIZONTAL_PIXEL_SPACING, between_columns, codes.MILLIMETER))
        details.append(_number(context, codes.VERTICAL_PIXEL_SPACING, between_rows, codes.MILLIMETER))
    return _with_children(entry, details)


def _view(header: Dataset) -> list[Dataset]:
    """The view and its modifiers, in the codes of the header; those without a code are left out."""
    views = [code for item in header.get("ViewCodeSequence") or [] if (code := _coded(item))]
    if not views:
        return []
    modifiers = header.ViewCodeSequence[0].get("ViewModifierCodeSequence") or []
    children = [
        _code("HAS CONCEPT MOD", codes.IMAGE_VIEW_MODIFIER, code) for item in modifiers if (code := _coded(item))
    ]
    return [_with_children(_code("HAS ACQ CONTEXT", codes.IMAGE_VIEW, views[0]), children)]


def _coded(item: Dataset) -> Code | None:
    parts = [str(item.get(keyword) or "") for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
    return Code(*parts) if all(parts) else None


def _overall_impression(outcome: Outcome) -> Dataset:
    """Whether all went well and whether there is anything, with each finding below (TID 4001 to 4003)."""
    scanned = outcome.scanned
    if isinstance(scanned, NotAnalyzed):
        summary, findings = codes.NONE_SUCCEEDED, []
    else:
        summary = codes.ALL_SUCCEEDED_WITH_FINDINGS if scanned.findings else codes.ALL_SUCCEEDED_WITHOUT_FINDINGS
        findings = [_impression(finding, scanned, outcome) for finding in scanned.findings]
    impression = _code("CONTAINS", codes.CAD_PROCESSING_AND_FINDINGS_SUMMARY, summary)
    if outcome.remarks:
        remarks = _text("HAS PROPERTIES", codes.IMPRESSION_DESCRIPTION, " ".join(outcome.remarks))
        findings = [remarks, *_algorithm(outcome), *findings]
    return _with_children(impression, findings)


def _impression(finding: Finding, scanned: ScannedImage, outcome: Outcome) -> Dataset:
    intent = codes.PRESENTATION_REQUIRED if finding.marked else codes.PRESENTATION_OPTIONAL
    if finding.number in outcome.rejected:
        intent = codes.NOT_FOR_PRESENTATION
    rendering = _code("HAS CONCEPT MOD", codes.RENDERING_INTENT, intent)
    cluster = _cluster(finding, scanned, outcome, intent)
    return _container("INFERRED FROM", codes.INDIVIDUAL_IMPRESSION, [rendering, cluster])


def _cluster(finding: Finding, scanned: ScannedImage, outcome: Outcome, intent: Code) -> Dataset:
    """A calcification cluster and, below it, its single calcifications (TID 4006, 4010, 4021)."""
    cluster = _code("CONTAINS", codes.SINGLE_IMAGE_FINDING, codes.CALCIFICATION_CLUSTER)
    algorithm, property_ = _algorithm(outcome), "HAS PROPERTIES"
    edge = in_dicom(outline(finding, scanned))
    children = [
        _code("HAS CONCEPT MOD", codes.RENDERING_INTENT, intent),
        _text("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, f"finding {finding.number}"),
        *algorithm,
        _number(property_, codes.CERTAINTY_OF_FINDING, percent(finding), codes.PERCENT),
        _coordinates(codes.CENTER, "POINT", in_dicom((finding.center_px,))),
        _coordinates(codes.OUTLINE, "POLYLINE", edge),
        _number(property_, codes.NUMBER_OF_CALCIFICATIONS, len(finding.calcifications_px), codes.NO_UNITS),
    ]
    for position in finding.calcifications_px:
        single = _code("INFERRED FROM", codes.SINGLE_IMAGE_FINDING, codes.INDIVIDUAL_CALCIFICATION)
        details = [
            _code("HAS CONCEPT MOD", codes.RENDERING_INTENT, intent),
            *algorithm[:2],
            _coordinates(codes.CENTER, "POINT", in_dicom((position,))),
        ]
        children.append(_with_children(single, details))
    return _with_children(cluster, children)


def _summary_of_detections(outcome: Outcome) -> Dataset:
    """What was looked for, in which image and by what, and whether that worked (TID 4015 and 4017)."""
    failed = isinstance(outcome.scanned, NotAnalyzed)
    performed = _code("CONTAINS", codes.DETECTION_PERFORMED, codes.CALCIFICATION_CLUSTER)
    _with_children(performed, [*_algorithm(outcome), _library_image("HAS PROPERTIES")])
    concept = codes.FAILED_DETECTIONS if failed else codes.SUCCESSFUL_DETECTIONS
    summary = _code("CONTAINS", codes.SUMMARY_OF_DETECTIONS, codes.FAILED if failed else codes.SUCCEEDED)
    return _with_children(summary, [_container("INFERRED FROM", concept, [performed])])


def _algorithm(outcome: Outcome) -> list[Dataset]:
    """Name and version, which must be given for each finding, then the parameters (TID 4019)."""
    algorithm = outcome.algorithm
    return [
        _text("HAS PROPERTIES", codes.ALGORITHM_NAME, "microcalc"),
        _text("HAS PROPERTIES", codes.ALGORITHM_VERSION, plain_text(algorithm.version)),
        *(_text("HAS PROPERTIES", codes.ALGORITHM_PARAMETERS, line) for line in algorithm.parameters),
    ]


def _item(relationship: str | None, value_type: str, concept: Code | None) -> Dataset:
    item = Dataset()
    if relationship:
        item.RelationshipType = relationship
    item.ValueType = value_type
    if concept:
        item.ConceptNameCodeSequence = [_coding(concept)]
    return item


def _coding(code: Code) -> Dataset:
    coding = Dataset()
    coding.CodeValue, coding.CodingSchemeDesignator, coding.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return coding


def _with_children(item: Dataset, children: Sequence[Dataset]) -> Dataset:
    if children:
        item.ContentSequence = list(children)
    return item


def _container(relationship: str | None, concept: Code, children: Sequence[Dataset]) -> Dataset:
    item = _item(relationship, "CONTAINER", concept)
    item.ContinuityOfContent = "SEPARATE"
    return _with_children(item, children)


def _code(relationship: str, concept: Code, value: Code) -> Dataset:
    item = _item(relationship, "CODE", concept)
    item.ConceptCodeSequence = [_coding(value)]
    return item


def _text(relationship: str, concept: Code, value: str) -> Dataset:
    item = _item(relationship, "TEXT", concept)
    item.TextValue = value
    return item


def _number(relationship: str, concept: Code, value: float, unit: Code) -> Dataset:
    measured = Dataset()
    measured.NumericValue = f"{value:.7g}"
    measured.MeasurementUnitsCodeSequence = [_coding(unit)]
    item = _item(relationship, "NUM", concept)
    item.MeasuredValueSequence = [measured]
    return item


def _coordinates(concept: Code, graphic_type: str, points: Sequence[Point]) -> Dataset:
    """Positions in the mammogram (TID 4021)."""
    item = _item("HAS PROPERTIES", "SCOORD", concept)
    item.GraphicType = graphic_type
    item.GraphicData = [coordinate for point in points for coordinate in point]
    return _with_children(item, [_library_image("SELECTED FROM")])


def _library_image(relationship: str) -> Dataset:
    """The mammogram, by its place in the image library."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = _IMAGE_IN_LIBRARY
    return item
