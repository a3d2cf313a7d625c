"""Whole mammograms: shown as their file asks, with side, view and padding; and what is no mammogram."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images.test_images import PATIENT, dicom, lut
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing as FOR_PROCESSING

from microcalc.errors import ImageError
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.names import patient_of

GREYS = np.random.default_rng(0).integers(0, 4096, (60, 60)).astype(np.uint16)
WINDOW = {"WindowCenter": 2000, "WindowWidth": 1500}
unhurried = settings(deadline=None, max_examples=40)


def mammogram(pixels: np.ndarray = GREYS, bits: int = 12, **elements: object) -> bytes:
    return dicom(pixels, bits, **{"Modality": "MG", **elements})


def read(content: bytes, folder: Path) -> Mammogram:
    (folder / "m.dcm").write_bytes(content)
    return read_mammogram(folder / "m.dcm")


def voi_lut(depth: int) -> list[Dataset]:
    item = lut(0, [round((value / 4095) ** 2 * (2**depth - 1)) for value in range(4096)], depth)[0]
    del item.ModalityLUTType
    return [item]


def code(keyword: str, value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "view"
    return [item]


# The grey scale


@unhurried
@given(
    center=st.floats(-500, 5000),
    width=st.floats(2, 5000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([1, 0.5, 3]),
    inverted=st.booleans(),
)
def test_a_window_is_applied_as_pydicom_does(
    center: float, width: float, function: str, slope: float, inverted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = mammogram(
        WindowCenter=round(center, 3),
        WindowWidth=round(width, 3),
        VOILUTFunction=function,
        RescaleSlope=slope,
        RescaleIntercept=-100,
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
    )
    dataset = pydicom.dcmread(io.BytesIO(content))
    shown = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    expected = (shown + 100) / (4095 * slope)
    image = read(content, tmp_path_factory.getbasetemp())
    found = image.pixels
    np.testing.assert_allclose(found, 1 - expected if inverted else expected, atol=1e-5)
    if function == "SIGMOID":
        assert image.file_values is None
    elif image.file_values is not None:
        black, white = image.file_values
        values = dataset.pixel_array.astype(float) * slope - 100
        np.testing.assert_allclose(np.clip((values - black) / (white - black), 0, 1), found, atol=2e-3)


def test_the_values_of_the_file_at_both_ends_of_the_grey_scale_are_known(tmp_path: Path) -> None:
    assert read(mammogram(RescaleSlope=2, RescaleIntercept=-100), tmp_path).file_values == (-100, 8090)
    inverted = mammogram(**WINDOW, VOILUTFunction="LINEAR_EXACT", PhotometricInterpretation="MONOCHROME1")
    assert read(inverted, tmp_path).file_values == (2750, 1250)
    assert read(mammogram(VOILUTSequence=voi_lut(12)), tmp_path).file_values is None


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_a_voi_lut_of_any_depth_is_applied_and_comes_before_a_window(depth: int, tmp_path: Path) -> None:
    found = read(mammogram(VOILUTSequence=voi_lut(depth), **WINDOW), tmp_path).pixels
    np.testing.assert_allclose(found, (GREYS / 4095) ** 2, atol=0.51 / (2**depth - 1))


@pytest.mark.parametrize(
    ("elements", "options"),
    [
        *(({**WINDOW, "VOILUTFunction": function}, ["+Wi", "1"]) for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")),
        ({**WINDOW, "PhotometricInterpretation": "MONOCHROME1"}, ["+Wi", "1"]),
        ({"WindowCenter": [2000, 5], "WindowWidth": [1500, 6]}, ["+Wi", "1"]),
        ({"RescaleSlope": 0.5, "RescaleIntercept": -9, "WindowCenter": 900, "WindowWidth": 750}, ["+Wi", "1"]),
        ({"VOILUTSequence": voi_lut(10)}, ["+Wl", "1"]),
        ({}, []),
    ],
)
def test_dcmtk_shows_a_mammogram_alike(elements: dict[str, object], options: list[str], tmp_path: Path) -> None:
    if shutil.which("dcm2pnm") is None:
        pytest.skip("dcm2pnm of dcmtk is not installed here; apt-get install dcmtk")
    found = read(mammogram(**elements), tmp_path).pixels
    command = ["dcm2pnm", "-q", *options, "--write-16-bit-pnm", tmp_path / "m.dcm", tmp_path / "m.pgm"]
    subprocess.run(command, check=True)
    shown = np.asarray(PIL.Image.open(tmp_path / "m.pgm")) / 65535
    np.testing.assert_allclose(found, shown, atol=0.001)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 5, "WindowWidth": 0}])
def test_without_a_possible_window_the_range_of_the_file_counts(window: dict[str, object], tmp_path: Path) -> None:
    found = read(mammogram(**window), tmp_path)
    assert found.warnings == (("the window of width 0 is impossible and was ignored",) if window else ())
    np.testing.assert_allclose(found.pixels, GREYS / 4095, atol=1e-6)


def test_an_unknown_voi_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="VOI LUT Function 'CUBIC'"):
        read(mammogram(VOILUTFunction="CUBIC", **WINDOW), tmp_path)


THICKNESS = np.random.default_rng(1).random((60, 60))
"""Attenuation, 0 to 1; a detector records exp(-4 x) of the X-rays, a presentation shows x."""

RAYS = np.exp(-4 * THICKNESS)


def relation(kind: str, sign: int) -> dict[str, object]:
    return {"PixelIntensityRelationship": kind, "PixelIntensityRelationshipSign": sign}


@pytest.mark.parametrize(
    ("stored", "elements", "steps"),
    [
        (RAYS, relation("LIN", 1), "logarithm, inversion"),
        (1 - RAYS, relation("LIN", -1), "logarithm"),
        (THICKNESS, relation("LOG", -1), "range"),
        (1 - THICKNESS, relation("LOG", 1), "inversion"),
        (RAYS, {"PhotometricInterpretation": "MONOCHROME1"}, "logarithm, inversion"),
        (RAYS, {}, "logarithm, inversion"),
    ],
)  # fmt: skip
def test_dense_tissue_is_bright_whatever_a_detector_stores(
    stored: np.ndarray, elements: dict[str, object], steps: str, tmp_path: Path
) -> None:
    content = mammogram(np.rint(16383 * stored).astype(np.uint16), 14, SOPClassUID=FOR_PROCESSING, **WINDOW, **elements)
    found = read(content, tmp_path)
    assert found.warnings == (f"is For Processing, and was brought to a presentation-like scale: {steps}",)
    assert np.corrcoef(found.pixels.ravel(), THICKNESS.ravel())[0, 1] > 0.999
    assert found.pixels.min() == 0 and found.pixels.max() == 1


def test_the_intent_type_says_for_processing_too(tmp_path: Path) -> None:
    assert "For Processing" in read(mammogram(PresentationIntentType="FOR PROCESSING"), tmp_path).warnings[0]
    assert read(mammogram(PresentationIntentType="FOR PRESENTATION"), tmp_path).warnings == ()


# Padding, side, view


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_kept_as_a_mask(interpretation: str, tmp_path: Path) -> None:
    pixels = GREYS.copy()
    pixels[:20] = 4095
    content = mammogram(pixels, PixelPaddingValue=4095, PhotometricInterpretation=interpretation, **WINDOW)
    found = read(content, tmp_path)
    assert found.padding is not None
    np.testing.assert_array_equal(found.padding, pixels == 4095)
    assert (found.pixels[:20] == 0).all()
    assert found.pixels[20:].max() == 1


def test_padding_may_be_a_range_of_signed_values(tmp_path: Path) -> None:
    pixels = GREYS.astype(np.int16) - 2048
    content = mammogram(pixels, PixelPaddingValue=-2048, PixelPaddingRangeLimit=-2000)
    padding = read(content, tmp_path).padding
    assert padding is not None
    np.testing.assert_array_equal(padding, pixels <= -2000)


def test_padding_does_not_set_the_scale_of_an_image_for_processing(tmp_path: Path) -> None:
    pixels = np.rint(16000 * RAYS).astype(np.uint16)
    pixels[:30] = 1
    found = read(mammogram(pixels, 14, SOPClassUID=FOR_PROCESSING, PixelPaddingValue=1), tmp_path)
    assert 0.4 < found.pixels[30:].mean() < 0.6


@pytest.mark.parametrize(
    ("elements", "field", "value"),
    [
        ({"ImageLaterality": "R"}, "side", "R"),
        ({"Laterality": "L"}, "side", "L"),
        ({"ImageLaterality": "R", "Laterality": "L"}, "side", "R"),
        ({"ImageLaterality": "?", "Laterality": "L"}, "side", "L"),
        ({"ImageLaterality": "?"}, "side", None),
        ({"ImageLaterality": "B"}, "side", None),
        ({"ViewPosition": "MLO"}, "view", "MLO"),
        ({"ViewCodeSequence": code("", "399162004")}, "view", "CC"),
        ({"ViewCodeSequence": code("", "R-10226")}, "view", "MLO"),
        ({"ViewCodeSequence": code("", "1")}, "view", None),
        ({"PatientID": " P12 "}, "patient", "P12"),
        ({"PatientID": ""}, "patient", None),
        ({"StudyInstanceUID": "1.2.3"}, "study", "1.2.3"),
        ({}, "study", None),
        ({"PatientOrientation": ["P", "FL"]}, "orientation", ("P", "FL")),
        ({"PatientOrientation": "CC"}, "orientation", None),
        ({"ImagerPixelSpacing": [0.07, 0.07]}, "pixel_size_mm", (0.07, 0.07)),
        ({}, "sop_class", "1.2.840.10008.5.1.4.1.1.7"),
        ({}, "padding", None),
    ],
)
def test_side_view_and_orientation_are_as_the_file_has_them(
    elements: dict[str, object], field: str, value: object, tmp_path: Path
) -> None:
    assert getattr(read(mammogram(**elements), tmp_path), field) == value


# What is no mammogram, or one of a special kind

MAGNIFIED = "is a magnification view (factor 1.8), which shows a part of the breast"
IMPLANT = "shows an implant (Breast Implant Present), whose edge and folds may be marked"


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Modality": "CT"}, "is no mammogram but 'CT'"),
        *(
            ({"Modality": modality, "BodyPartExamined": "BREAST"}, f"is no mammogram but '{modality} BREAST'")
            for modality in ("US", "MR", "CT", "PT")
        ),
        ({"Modality": "us", "BodyPartExamined": "Breast"}, "is no mammogram but 'US BREAST'"),
        ({"Modality": "OT", "BodyPartExamined": "HAND"}, "is no mammogram but 'OT HAND'"),
        ({"Modality": "CR", "BodyPartExamined": "CHEST"}, "is no mammogram but 'CR CHEST'"),
        ({"Modality": "DX", "BodyPartExamined": "HAND"}, "is no mammogram but 'DX HAND'"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "is a tomosynthesis object; export the 2D mammogram"),
        ({"NumberOfFrames": 60, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "multi-frame DICOM file"),
    ],
)
def test_another_kind_of_image_is_refused_in_one_line(elements: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read(mammogram(**elements), tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and PATIENT not in str(caught.value)


@pytest.mark.parametrize(
    ("elements", "warning"),
    [
        ({"Modality": "CR", "BodyPartExamined": "BREAST"}, None),
        ({"Modality": "", "BodyPartExamined": "BREAST"}, None),
        ({"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2"}, None),
        ({"Modality": "OT"}, "does not state that it is a mammogram (Modality, Body Part Examined)"),
        ({"Modality": "CR"}, "does not state that it is a mammogram (Modality, Body Part Examined)"),
        ({"EstimatedRadiographicMagnificationFactor": 1.8}, MAGNIFIED),
        ({"BreastImplantPresent": "YES"}, IMPLANT),
        ({"PixelSpacing": [0, 0]}, "Pixel Spacing of 0 x 0 mm is impossible and was ignored"),
        ({"ImagerPixelSpacing": [85, 85]}, "Imager Pixel Spacing of 85 x 85 mm is impossible and was ignored"),
        (
            {"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.1, 0.08]},
            "Pixel Spacing of 0.1 x 0.2 mm was used, though Imager Pixel Spacing and magnification give 0.1 x 0.08 mm",
        ),
    ],
)  # fmt: skip
def test_a_special_mammogram_is_read_with_a_warning(
    elements: dict[str, object], warning: str | None, tmp_path: Path
) -> None:
    assert read(mammogram(**elements), tmp_path).warnings == ((warning,) if warning else ())


@pytest.mark.parametrize(
    ("name", "elements", "side_and_view"),
    [
        ("a_LCC.dcm", {}, ("L", "CC")),
        ("LEFT_MLO.dcm", {}, ("L", "MLO")),
        ("12_R_CC_3.dcm", {}, ("R", "CC")),
        ("P1_R_DM_MLO.dcm", {}, ("R", "MLO")),
        ("recc.dcm", {}, (None, None)),
        ("a_LCC.dcm", {"ImageLaterality": "R"}, ("R", "CC")),
        ("a_LCC.dcm", {"ViewPosition": "MLO"}, ("L", "MLO")),
    ],
)
def test_side_and_view_come_from_the_name_where_the_file_does_not_hold_them(
    name: str, elements: dict[str, object], side_and_view: tuple[str | None, str | None], tmp_path: Path
) -> None:
    content = mammogram(**elements)
    (tmp_path / name).write_bytes(content)
    for found in (read_mammogram(tmp_path / name), read_mammogram(content, f"LEFT_MLO/{name}")):
        assert (found.side, found.view) == side_and_view


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("/d/P12_LCC.png", "d/P12"),
        ("/d/P12/LCC.png", "d/P12"),
        ("/d/P12/right_mlo.png", "d/P12"),
        ("/d/LCC_12.png", "/d/LCC_12.png"),
        ("LCC.png", "LCC.png"),
        ("/d/MLO/P12_LMLO.png", "d/P12"),
        ("/d/P12/Left/CC/LCC.png", "d/P12"),
    ],
)
def test_the_patient_is_what_a_name_has_before_side_and_view_or_its_folder(name: str, patient: str) -> None:
    assert patient_of(name) == patient


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jpg"])
def test_a_picture_is_read_without_more(suffix: str, tmp_path: Path) -> None:
    PIL.Image.fromarray((GREYS // 16).astype(np.uint8)).save(tmp_path / f"m.{suffix}")
    found = read_mammogram(tmp_path / f"m.{suffix}")
    assert (found.view, found.pixel_size_mm, found.warnings, found.padding) == (None, None, (), None)
