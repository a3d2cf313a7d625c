"""Measurement report: the marked findings as planar regions, for viewers without CAD SR (TID 1500 and 1410, PS3.16)."""

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComprehensiveSRStorage, generate_uid

from microcalc.dicom import content_items as sr
from microcalc.dicom.results import (
    IMPLEMENTATION_UID,
    MODEL,
    Outcome,
    dataset,
    identify,
    in_dicom,
    outline,
    percent,
    reference,
)
from microcalc.mammograms.findings import Finding, ScannedImage

_DCM = codes.DCM


def make_regions_report(outcome: Outcome, scanned: ScannedImage) -> Dataset | None:
    """Write the marked findings that no reader has rejected; None where there is none."""
    shown = [each for each in scanned.findings if each.marked and each.number not in outcome.rejected]
    if not shown:
        return None
    content = [
        sr.code(sr.MODIFIER, _DCM.LanguageOfContentItemAndDescendants, sr.ENGLISH),
        sr.code(sr.CONTEXT, _DCM.ObserverType, _DCM.Device),
        sr.item(sr.CONTEXT, "UIDREF", _DCM.DeviceObserverUID, UID=IMPLEMENTATION_UID),
        sr.text(sr.CONTEXT, _DCM.DeviceObserverName, MODEL),
        sr.code(sr.MODIFIER, _DCM.ProcedureReported, codes.cid100.ImagingProcedure),
        sr.container(sr.CONTAINS, _DCM.ImagingMeasurements, [_region(each, scanned, outcome) for each in shown]),
    ]
    report = sr.root(outcome, _DCM.ImagingMeasurementReport, "1500", content)
    return identify(report, outcome, "regions", ComprehensiveSRStorage, "SR", 9404)


def _region(finding: Finding, scanned: ScannedImage, outcome: Outcome) -> Dataset:
    """Return a finding: its outline, with probability, length and number of calcifications (TID 1410)."""
    points = [coordinate for point in in_dicom(outline(finding, scanned)) for coordinate in point]
    image = sr.item("SELECTED FROM", "IMAGE", None, ReferencedSOPSequence=[reference(outcome.source.header)])
    name = generate_uid(entropy_srcs=["region", outcome.source.sop_instance_uid, str(finding.center_px)])
    group = sr.container(
        sr.CONTAINS,
        _DCM.MeasurementGroup,
        [
            sr.text(sr.CONTEXT, _DCM.TrackingIdentifier, f"finding {finding.number}"),
            sr.item(sr.CONTEXT, "UIDREF", _DCM.TrackingUniqueIdentifier, UID=name),
            *sr.algorithm(outcome, sr.MODIFIER),
            sr.code(sr.CONTAINS, _DCM.Finding, codes.SCT.CalcificationCluster),
            sr.item(sr.CONTAINS, "SCOORD", _DCM.ImageRegion, [image], GraphicType="POLYLINE", GraphicData=points),
            sr.number(sr.CONTAINS, _DCM.CertaintyOfFinding, percent(finding), codes.UCUM.Percent),
            sr.number(sr.CONTAINS, codes.SCT.LongAxis, finding.extent_mm, sr.MILLIMETER),
            sr.number(sr.CONTAINS, _DCM.NumberOfCalcifications, len(finding.calcifications_px), codes.UCUM.NoUnits),
        ],
    )
    group.ContentTemplateSequence = [dataset(MappingResource="DCMR", TemplateIdentifier="1410")]
    return group
