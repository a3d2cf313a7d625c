"""Mammography CAD SR: the findings as a structured report (TID 4000, PS3.16; IOD in PS3.3 A.35.5)."""

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from microcalc.dicom import content_items as sr
from microcalc.dicom.results import NotAnalyzed, Outcome, dataset, identify, in_dicom, outline, percent, reference
from microcalc.images.dicom import laterality, orientation
from microcalc.mammograms.findings import Finding, Point, ScannedImage
from microcalc.mammograms.words import in_one_line

_IMAGE_IN_LIBRARY = [1, 2, 1]  # the report's second item is the image library, whose first is the image

_DCM = codes.DCM
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
    report = sr.root(outcome, _DCM.MammographyCADReport, "4000", _content(outcome))
    return identify(report, outcome, "CAD report", MammographyCADSRStorage, "SR", 9401)


def _content(outcome: Outcome) -> list[Dataset]:
    return [
        sr.code(sr.MODIFIER, _DCM.LanguageOfContentItemAndDescendants, sr.ENGLISH),
        sr.container(sr.CONTAINS, _DCM.ImageLibrary, [_library_entry(outcome)]),
        _overall_impression(outcome),
        _summary_of_detections(outcome),
        sr.code(sr.CONTAINS, _DCM.SummaryOfAnalyses, _DCM.NotAttempted),
    ]


def _library_entry(outcome: Outcome) -> Dataset:
    """Return the mammogram with what its header gives (TID 4020)."""
    header, details = outcome.source.header, []
    if side := laterality(header):
        details.append(sr.code(sr.ACQUISITION, _DCM.ImageLaterality, _BREASTS[side]))
    details += _view(header)
    if directions := orientation(header):
        details.append(sr.text(sr.ACQUISITION, _DCM.PatientOrientationRow, directions[0]))
        details.append(sr.text(sr.ACQUISITION, _DCM.PatientOrientationColumn, directions[1]))
    for keyword in ("StudyDate", "StudyTime", "ContentDate", "ContentTime"):
        if value := header.get(keyword):
            kind = keyword[-4:]
            details.append(sr.item(sr.ACQUISITION, kind.upper(), getattr(_DCM, keyword), **{kind: str(value)}))
    if isinstance(outcome.scanned, ScannedImage):
        between_rows, between_columns = outcome.scanned.pixel_size_mm
        details.append(sr.number(sr.ACQUISITION, _DCM.HorizontalPixelSpacing, between_columns, sr.MILLIMETER))
        details.append(sr.number(sr.ACQUISITION, _DCM.VerticalPixelSpacing, between_rows, sr.MILLIMETER))
    return sr.item(sr.CONTAINS, "IMAGE", None, details, ReferencedSOPSequence=[reference(header)])


def _view(header: Dataset) -> list[Dataset]:
    """Return the view and its modifiers, in the codes of the header; those without a code are left out."""
    views = [coded for each in header.get("ViewCodeSequence") or [] if (coded := _coded(each))]
    if not views:
        return []
    modifiers = header.ViewCodeSequence[0].get("ViewModifierCodeSequence") or []
    children = [sr.code(sr.MODIFIER, _DCM.ImageViewModifier, coded) for each in modifiers if (coded := _coded(each))]
    return [sr.code(sr.ACQUISITION, _DCM.ImageView, views[0], children)]


def _coded(view: Dataset) -> Code | None:
    parts = [str(view.get(keyword) or "") for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
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
        remarks = sr.text(sr.PROPERTIES, _DCM.ImpressionDescription, " ".join(outcome.remarks))
        findings = [remarks, *sr.algorithm(outcome), *findings]
    return sr.code(sr.CONTAINS, _DCM.CADProcessingAndFindingsSummary, summary, findings)


def _impression(finding: Finding, scanned: ScannedImage, outcome: Outcome) -> Dataset:
    intent = _REQUIRED if finding.marked else _OPTIONAL
    if finding.number in outcome.rejected:
        intent = _REJECTED
    rendering = sr.code(sr.MODIFIER, _DCM.RenderingIntent, intent)
    return sr.container(sr.INFERRED, _IMPRESSION, [rendering, _cluster(finding, scanned, outcome, rendering)])


def _cluster(finding: Finding, scanned: ScannedImage, outcome: Outcome, rendering: Dataset) -> Dataset:
    """Return a calcification cluster and, below it, its single calcifications (TID 4006, 4010, 4021)."""
    made_by = sr.algorithm(outcome)
    count = len(finding.calcifications_px)
    children = [
        rendering,
        sr.text(sr.CONTEXT, _DCM.TrackingIdentifier, f"finding {finding.number}"),
        *made_by,
        sr.text(sr.PROPERTIES, _DCM.AlgorithmParameters, f"certainty of finding: {in_one_line(finding)}"),
        sr.number(sr.PROPERTIES, _DCM.CertaintyOfFinding, percent(finding), codes.UCUM.Percent),
        _coordinates(_DCM.Center, "POINT", (finding.center_px,)),
        _coordinates(_DCM.Outline, "POLYLINE", outline(finding, scanned)),
        sr.number(sr.PROPERTIES, _DCM.NumberOfCalcifications, count, codes.UCUM.NoUnits),
    ]
    for position in finding.calcifications_px:
        details = [rendering, *made_by[:2], _coordinates(_DCM.Center, "POINT", (position,))]
        children.append(sr.code(sr.INFERRED, _DCM.SingleImageFinding, codes.SCT.IndividualCalcification, details))
    return sr.code(sr.CONTAINS, _DCM.SingleImageFinding, codes.SCT.CalcificationCluster, children)


def _summary_of_detections(outcome: Outcome) -> Dataset:
    """Return the target, image and algorithm of the detection, and whether it worked (TID 4015 and 4017)."""
    concept, result = _DCM.SuccessfulDetections, _DCM.Succeeded
    if isinstance(outcome.scanned, NotAnalyzed):
        concept, result = _DCM.FailedDetections, _DCM.Failed
    details = [*sr.algorithm(outcome), _library_image(sr.PROPERTIES)]
    performed = sr.code(sr.CONTAINS, _DCM.DetectionPerformed, codes.SCT.CalcificationCluster, details)
    return sr.code(sr.CONTAINS, _DCM.SummaryOfDetections, result, [sr.container(sr.INFERRED, concept, [performed])])


def _coordinates(concept: Code, graphic_type: str, points: tuple[Point, ...]) -> Dataset:
    """Return positions in the mammogram (TID 4021)."""
    numbers = [coordinate for point in in_dicom(points) for coordinate in point]
    children = [_library_image("SELECTED FROM")]
    return sr.item(sr.PROPERTIES, "SCOORD", concept, children, GraphicType=graphic_type, GraphicData=numbers)


def _library_image(relationship: str) -> Dataset:
    """Return the mammogram, by its place in the image library."""
    return dataset(RelationshipType=relationship, ReferencedContentItemIdentifier=_IMAGE_IN_LIBRARY)
