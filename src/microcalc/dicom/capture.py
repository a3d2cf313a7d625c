"""Secondary Capture: the overlay as a picture that any viewer shows (PS3.3 A.8.1)."""

import io

import PIL.Image
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from microcalc.dicom.results import Outcome, dataset, identify, reference
from microcalc.images.dicom import laterality, orientation
from microcalc.mammograms.findings import ScannedImage


def make_secondary_capture(outcome: Outcome, scanned: ScannedImage, overlay: bytes) -> Dataset:
    """Wrap the overlay, a PNG of :func:`microcalc.mammograms.overlay.draw_overlay`, as a Secondary Capture."""
    picture = PIL.Image.open(io.BytesIO(overlay), formats=["PNG"]).convert("RGB")
    header = outcome.source.header
    capture = dataset(
        ImageType=["DERIVED", "SECONDARY", "OTHER"],
        ConversionType="WSD",
        DerivationDescription="Overlay of suspected clusters of microcalcifications; not for diagnosis",
        SourceImageSequence=[reference(header)],
        PatientOrientation=list(orientation(header) or ("", "")),
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        Rows=picture.height,
        Columns=picture.width,
        PixelSpacing=[
            float(f"{scanned.pixel_size_mm[0] * scanned.rows / picture.height:.6g}"),
            float(f"{scanned.pixel_size_mm[1] * scanned.columns / picture.width:.6g}"),
        ],
        PixelRepresentation=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    capture.add_new("PixelData", "OB", picture.tobytes() + bytes(picture.height * picture.width * 3 % 2))
    if side := laterality(header):
        capture.ImageLaterality = side
    else:
        capture.Laterality = ""  # of the series; must be present where the image's is not, and may be empty
    if header.get("BurnedInAnnotation") in ("YES", "NO"):
        capture.BurnedInAnnotation = header.BurnedInAnnotation
    return identify(capture, outcome, "overlay", SecondaryCaptureImageStorage, "OT", 9403)
