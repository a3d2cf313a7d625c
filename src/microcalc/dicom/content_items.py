"""Content items of structured reports (PS3.3 C.17.3), and what all our reports share."""

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from microcalc.dicom.results import Outcome, dataset, plain_text, reference

CONTAINS, INFERRED, PROPERTIES = "CONTAINS", "INFERRED FROM", "HAS PROPERTIES"
MODIFIER, ACQUISITION, CONTEXT = "HAS CONCEPT MOD", "HAS ACQ CONTEXT", "HAS OBS CONTEXT"
ENGLISH = Code("en", "RFC5646", "English")
MILLIMETER = Code("mm", "UCUM", "millimeter")

_DCM = codes.DCM


def root(outcome: Outcome, concept: Code, template: str, children: Sequence[Dataset]) -> Dataset:
    """Return the report of a mammogram: its root container, complete, with the mammogram as evidence."""
    header = outcome.source.header
    report = container(None, concept, children)
    report.ContentTemplateSequence = [dataset(MappingResource="DCMR", TemplateIdentifier=template)]
    report.ReferencedPerformedProcedureStepSequence = []
    report.PerformedProcedureCodeSequence = []
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    series = dataset(SeriesInstanceUID=header.SeriesInstanceUID, ReferencedSOPSequence=[reference(header)])
    study = dataset(StudyInstanceUID=header.StudyInstanceUID, ReferencedSeriesSequence=[series])
    report.CurrentRequestedProcedureEvidenceSequence = [study]
    return report


def algorithm(outcome: Outcome, relationship: str = PROPERTIES) -> list[Dataset]:
    """Return name and version, which must be given for each finding, then the parameters (TID 4019)."""
    made_by = outcome.algorithm
    return [
        text(relationship, _DCM.AlgorithmName, "microcalc"),
        text(relationship, _DCM.AlgorithmVersion, plain_text(made_by.version)),
        *(text(relationship, _DCM.AlgorithmParameters, line) for line in made_by.parameters),
    ]


def item(
    relationship: str | None, value_type: str, concept: Code | None, children: Sequence[Dataset] = (), **values: Any
) -> Dataset:
    """Return a content item (PS3.3 C.17.3)."""
    made = dataset(ValueType=value_type, **values)
    if relationship:
        made.RelationshipType = relationship
    if concept:
        made.ConceptNameCodeSequence = [coding(concept)]
    if children:
        made.ContentSequence = list(children)
    return made


def coding(code: Code) -> Dataset:
    """Return a code as an item of a sequence."""
    return dataset(CodeValue=code.value, CodingSchemeDesignator=code.scheme_designator, CodeMeaning=code.meaning)


def container(relationship: str | None, concept: Code, children: Sequence[Dataset]) -> Dataset:
    """Return a container of other items."""
    return item(relationship, "CONTAINER", concept, children, ContinuityOfContent="SEPARATE")


def code(relationship: str, concept: Code, value: Code, children: Sequence[Dataset] = ()) -> Dataset:
    """Return an item whose value is a code."""
    return item(relationship, "CODE", concept, children, ConceptCodeSequence=[coding(value)])


def text(relationship: str, concept: Code, value: str) -> Dataset:
    """Return an item whose value is a text."""
    return item(relationship, "TEXT", concept, TextValue=value)


def number(relationship: str, concept: Code, value: float, unit: Code) -> Dataset:
    """Return an item whose value is a measurement."""
    measured = dataset(NumericValue=f"{value:.7g}", MeasurementUnitsCodeSequence=[coding(unit)])
    return item(relationship, "NUM", concept, MeasuredValueSequence=[measured])
