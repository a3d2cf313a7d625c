"""A phantom mammogram as a DICOM file: Digital Mammography X-Ray Image, For Presentation (PS3.3 A.27)."""

import hashlib
import io

from microcalc.data.phantom_mammograms import PhantomMammogram

_VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}  # PS3.16 CID 4014
_ORIENTATIONS = {"LCC": ["A", "R"], "RCC": ["P", "L"], "LMLO": ["A", "FR"], "RMLO": ["P", "FL"]}


def phantom_dicom(mammogram: PhantomMammogram) -> bytes:
    """Return the file of a phantom mammogram, the same whenever it is made.

    Study and series have UIDs of the phantom's settings, the image one of its pixels. Nothing of it is of a patient.

    >>> import pydicom
    >>> from microcalc.data.phantom_mammograms import iter_phantom_mammograms
    >>> made = next(iter_phantom_mammograms(1, field_mm=(80, 60)))
    >>> image = pydicom.dcmread(io.BytesIO(phantom_dicom(made)))
    >>> image.PatientID, image.ImageLaterality, image.ViewCodeSequence[0].CodeMeaning, image.Rows
    ('phantom00000', 'L', 'cranio-caudal', 1142)
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    def uid(kind: str, *parts: str) -> str:
        return str(generate_uid(entropy_srcs=["microcalc phantom", kind, mammogram.study, *parts]))

    def code(value: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
        return item

    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    image.SOPInstanceUID = uid("image", mammogram.name, hashlib.sha256(mammogram.pixels.tobytes()).hexdigest())
    image.StudyInstanceUID, image.SeriesInstanceUID = uid("study"), uid("series")
    image.PatientName, image.PatientID = f"Phantom^{mammogram.patient}", mammogram.patient
    image.PatientBirthDate, image.PatientSex, image.StudyID = "", "", "1"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20260101"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "120000"
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.Manufacturer, image.ManufacturerModelName = "microcalc", "phantom"
    image.Modality, image.PresentationIntentType = "MG", "FOR PRESENTATION"
    image.SeriesNumber, image.InstanceNumber = 1, 1 + list(_ORIENTATIONS).index(mammogram.side + mammogram.view)
    image.ImageType = ["DERIVED", "PRIMARY"]
    image.BodyPartExamined, image.OrganExposed = "BREAST", "BREAST"
    image.AnatomicRegionSequence, image.AcquisitionContextSequence = [code("76752008", "Breast")], []
    image.PositionerType, image.DetectorType = "MAMMOGRAPHIC", ""
    image.ImageLaterality = mammogram.side
    image.PatientOrientation = _ORIENTATIONS[mammogram.side + mammogram.view]
    image.ViewCodeSequence = [code(*_VIEWS[mammogram.view])]
    image.ViewCodeSequence[0].ViewModifierCodeSequence = []
    image.ImagerPixelSpacing = [mammogram.pixel_size_mm] * 2
    image.BurnedInAnnotation, image.LossyImageCompression = "NO", "00"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = mammogram.pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelIntensityRelationship, image.PixelIntensityRelationshipSign = "LOG", 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "US"
    image.PresentationLUTShape, image.WindowCenter, image.WindowWidth = "IDENTITY", 32768, 65536
    image.add_new("PixelData", "OW", mammogram.pixels.astype("<u2").tobytes())
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = io.BytesIO()
    image.save_as(content, enforce_file_format=True)
    return content.getvalue()
