"""Mammograms and findings made for the tests of the DICOM room; nothing of them comes from a patient."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from microcalc.dicom.objects import encode
from microcalc.dicom.results import Algorithm, Outcome
from microcalc.dicom.source import read_source
from microcalc.mammograms.findings import Finding, ScannedImage

ROWS, COLUMNS = 400, 300
ALGORITHM = Algorithm("0.2.0", "pretrained 0.2.0", operating_point=0.5)
SPACING = (0.08, 0.05)

JAPANESE = ["", "ISO 2022 IR 87"]
NAMES = {
    "ISO_IR 100": "Müller^Jürgen",
    "ISO_IR 192": "Ω^Ελένη",
    "japanese": "Yamada^Tarou=山田^太郎=やまだ^たろう",
}


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def make_mammogram(number: int = 0, study: int = 0, charset: str = "ISO_IR 100", **changes: Any) -> Dataset:
    """A digital mammogram with every attribute that its object must have; None as a change removes an attribute."""
    random = np.random.default_rng(number)
    image = Dataset()
    image.SpecificCharacterSet = JAPANESE if charset == "japanese" else charset
    image.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    image.SOPInstanceUID = generate_uid(entropy_srcs=["test image", str(study), str(number)])
    image.StudyInstanceUID = generate_uid(entropy_srcs=["test study", str(study)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=["test series", str(study)])
    image.FrameOfReferenceUID = generate_uid(entropy_srcs=["test frame", str(study)])
    image.PatientName, image.PatientID = NAMES[charset], f"TEST{study}"
    image.PatientBirthDate, image.PatientSex, image.PatientAge = "19600101", "F", "066Y"
    image.StudyDate = image.SeriesDate = image.ContentDate = image.AcquisitionDate = "20260101"
    image.StudyTime = image.SeriesTime = image.ContentTime = image.AcquisitionTime = "101500"
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", "A1", ""
    image.Modality, image.PresentationIntentType = "MG", "FOR PRESENTATION"
    image.SeriesNumber, image.InstanceNumber = "1", str(number + 1)
    image.Manufacturer, image.BodyPartExamined = "none", "BREAST"
    image.ImageType = ["DERIVED", "PRIMARY"]
    image.ImageLaterality, image.OrganExposed = "R", "BREAST"
    image.PatientOrientation = ["P", "L"]
    image.ViewCodeSequence = [coded("399162004", "SCT", "cranio-caudal")]
    image.ViewCodeSequence[0].ViewModifierCodeSequence = []
    image.PixelSpacing = None
    image.ImagerPixelSpacing = list(SPACING)
    image.BurnedInAnnotation, image.LossyImageCompression = "NO", "00"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = ROWS, COLUMNS
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelIntensityRelationship, image.PixelIntensityRelationshipSign = "LOG", 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = 2048, 4096
    image.PixelData = random.integers(500, 3500, (ROWS, COLUMNS), dtype=np.uint16).tobytes()
    for keyword, value in {"PixelSpacing": None, **changes}.items():
        if value is None:
            del image[keyword]
        else:
            setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def write_mammogram(path: Path, **options: Any) -> Path:
    make_mammogram(**options).save_as(path, enforce_file_format=True)
    return path


def make_findings(count: int, image: Dataset | None = None) -> ScannedImage:
    """The stand-in for a scan of an image: findings of three calcifications each, the first half of them marked."""
    image = image or make_mammogram()
    findings = []
    for number in range(1, count + 1):
        column, row = 20.0 + 5 * (number % 50), 30.0 + 7 * (number // 2 % 50)
        spots = ((column, row), (column + 6.5, row + 3.25), (column + 3.0, row + 8.0))
        center = (column + 9.5 / 3, row + 11.25 / 3)
        box = (int(column), int(row), int(column) + 7, int(row) + 8)
        probability = 0.99 - 0.9 * number / (count + 1)
        logit = float(np.log(probability / (1 - probability)))
        findings.append(
            Finding(number, logit, probability, probability >= 0.5, center, box, 0.72, spots, (0.25, 0.5, 0.75), 0.5)
        )
    uid, shape = str(image.SOPInstanceUID), (image.Rows, image.Columns)
    return ScannedImage("a.dcm", uid, "0" * 64, SPACING, *shape, 600.0, 0.1, (), tuple(findings))


def outcome_of(count: int, image: Dataset | None = None) -> Outcome:
    """Made findings in an image, all of it in memory."""
    image = image or make_mammogram()
    return Outcome(read_source(encode(image)), make_findings(count, image), ALGORITHM)


def scan(content: bytes) -> tuple[ScannedImage, bytes]:
    """The stand-in for the scan of a node."""
    return make_findings(2, pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)), make_overlay()


def items(dataset: Dataset, meaning: str) -> Iterator[Dataset]:
    """All content items below one whose concept name has a meaning."""
    for item in dataset.get("ContentSequence") or []:
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            yield item
        yield from items(item, meaning)


def make_overlay() -> bytes:
    """The stand-in for the picture of a scan."""
    written = io.BytesIO()
    PIL.Image.new("RGB", (COLUMNS, ROWS), (10, 20, 30)).save(written, "PNG")
    return written.getvalue()


def remark(report: Dataset) -> str:
    """The text of a CAD report."""
    return str(next(items(report, "Impression Description")).TextValue)
