"""One patch in all the encodings in which DICOM may hold it: one value, and dcmtk's as a second opinion."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import PIL.Image
import pydicom
import pytest
from images.test_images import dicom, lut
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from microcalc.errors import ImageError
from microcalc.images import read_image, read_mammogram

STEPS = np.random.default_rng(0).integers(0, 16, (60, 60))
"""Sixteenths of the whole range: 4 bits that 8, 12 and 16 bits hold exactly."""

GREYS = STEPS / 15


def patch(bits: int) -> np.ndarray:
    """The patch over the whole range of a depth."""
    return np.rint(GREYS * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def signed(bits: int) -> np.ndarray:
    return (patch(bits).astype(np.int32) - 2 ** (bits - 1)).astype(np.int8 if bits <= 8 else np.int16)


def gdcm_compressed(content: bytes, syntax: int, folder: Path) -> bytes:
    (folder / "plain.dcm").write_bytes(content)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "plain.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(folder / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "packed.dcm").read_bytes()


def compressed(content: bytes, syntax: str, **options: object) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.compress(syntax, generate_instance_uid=False, **options)
    return saved(dataset)


def saved(dataset: Dataset) -> bytes:
    encoded = io.BytesIO()
    dataset.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def changed(content: bytes, change: Callable[[Dataset], None]) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    change(dataset)
    return saved(dataset)


def in_jp2_boxes(content: bytes) -> bytes:
    def wrap(dataset: Dataset) -> None:
        stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
        header = bytes.fromhex("0000000c6a5020200d0a870a 00000014667479706a703220000000006a703220")
        boxes = header + (len(stream) + 8).to_bytes(4, "big") + b"jp2c" + stream
        dataset.PixelData = encapsulate([boxes + bytes(len(boxes) % 2)])

    return changed(content, wrap)


def without_preamble(content: bytes) -> bytes:
    return content[132:]


def without_meta(content: bytes) -> bytes:
    return content[132 + 12 + int.from_bytes(content[140:144], "little") :]


def without_syntax(content: bytes) -> bytes:
    encoded = io.BytesIO()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    encoded.write(bytes(128) + b"DICM")
    pydicom.filewriter.write_file_meta_info(encoded, meta, enforce_standard=False)
    return encoded.getvalue() + without_meta(content)


def packed_lut(values: list[int], bits: int) -> list[Dataset]:
    """A LUT of 8-bit entries, two in a word."""
    item = lut(0, values, bits)[0]
    item.add_new("LUTData", "OW", bytes(values))
    return [item]


def in_functional_group(content: bytes, keyword: str, **elements: object) -> bytes:
    def put(dataset: Dataset) -> None:
        item, group = Dataset(), Dataset()
        for name, value in elements.items():
            setattr(item, name, value)
            if name in dataset:
                delattr(dataset, name)
        setattr(group, keyword, [item])
        dataset.SharedFunctionalGroupsSequence = [group]

    return changed(content, put)


HIGH = dicom(patch(12) << 4, 16, BitsStored=12, HighBit=15)
MIDDLE = dicom(patch(12) << 2, 16, BitsStored=12, HighBit=13)
HIGH_SIGNED = dicom((signed(12).astype(np.int16) << 4).astype(np.int16), 16, BitsStored=12, HighBit=15)
UNEXTENDED = dicom(signed(12).view(np.uint16) & 0xFFF, 12, PixelRepresentation=1)
DOWN = {"RescaleSlope": -1, "RescaleIntercept": 4095}
COMMA = dicom(patch(12), 12, RescaleSlope="1.0", RescaleIntercept="0.0").replace(b"1.0 ", b"1,0 ", 1)

ENCODINGS: dict[str, bytes | Callable[[Path], bytes]] = {
    **{f"{bits} bits": dicom(patch(bits), bits) for bits in range(8, 17)},
    **{f"{bits} bits, signed": dicom(signed(bits), bits) for bits in (8, 10, 12, 14, 16)},
    **{
        f"{bits} bits, MONOCHROME1": dicom(patch(bits) ^ (2**bits - 1), bits, PhotometricInterpretation="MONOCHROME1")
        for bits in (8, 12, 16)
    },
    "implicit": dicom(patch(12), 12, syntax=ImplicitVRLittleEndian),
    "big-endian": dicom(patch(8), 8, syntax=ExplicitVRBigEndian),
    "deflated": dicom(patch(12), 12, syntax=DeflatedExplicitVRLittleEndian),
    **{f"RLE, {bits} bits": compressed(dicom(patch(bits), bits), RLELossless) for bits in (8, 12, 16)},
    **{f"JPEG 2000, {bits} bits": compressed(dicom(patch(bits), bits), JPEG2000Lossless) for bits in (8, 12, 16)},
    "JPEG 2000, signed": compressed(dicom(signed(12), 12), JPEG2000Lossless),
    "JPEG 2000 in JP2 boxes": in_jp2_boxes(compressed(dicom(patch(12), 12), JPEG2000Lossless)),
    "JPEG 2000, lossy syntax": changed(
        compressed(dicom(patch(12), 12), JPEG2000Lossless),
        lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", JPEG2000),
    ),
    **{f"JPEG-LS, {bits} bits": compressed(dicom(patch(bits), bits), JPEGLSLossless) for bits in (8, 12, 16)},
    "JPEG-LS, signed": compressed(dicom(signed(12), 12), JPEGLSLossless),
    **{
        f"JPEG Lossless SV1, {bits} bits": (
            lambda folder, bits=bits: gdcm_compressed(
                dicom(patch(bits), bits), gdcm.TransferSyntax.JPEGLosslessProcess14_1, folder
            )
        )
        for bits in (8, 12, 16)
    },
    "JPEG Lossless, any predictor": lambda folder: gdcm_compressed(
        dicom(patch(12), 12), gdcm.TransferSyntax.JPEGLosslessProcess14, folder
    ),
    "values in the high bits": HIGH,
    "values in middle bits": MIDDLE,
    "values in the high bits, signed": HIGH_SIGNED,
    "values in the high bits, RLE": compressed(HIGH, RLELossless),
    "values in the high bits, big-endian": dicom(
        (patch(12) << 4).byteswap(), 16, syntax=ExplicitVRBigEndian, BitsStored=12, HighBit=15
    ),
    "signed without copies of the sign": UNEXTENDED,
    "rescaled": dicom(patch(12), 12, RescaleSlope=3, RescaleIntercept=-1024),
    "slope -1": dicom(patch(12) ^ 4095, 12, **DOWN),
    "slope -1, MONOCHROME1": dicom(patch(12), 12, PhotometricInterpretation="MONOCHROME1", **DOWN),
    "slope -1 in a functional group": in_functional_group(
        dicom(patch(12) ^ 4095, 12, **DOWN), "PixelValueTransformationSequence", **DOWN
    ),
    "decimal comma": COMMA,
    **{
        f"LUT of {bits} bits": dicom(
            patch(8), 8, ModalityLUTSequence=lut(0, [round(v * (2**bits - 1) / 255) for v in range(256)], bits)
        )
        for bits in (8, 10, 12, 16)
    },
    "LUT, packed": dicom(patch(8), 8, ModalityLUTSequence=packed_lut(list(range(256)), 8)),
    "LUT of signed values": dicom(signed(8), 8, ModalityLUTSequence=lut(-128, list(range(256)), 8)),
    "PIXEL REPRESENTATION missing": changed(
        dicom(patch(12), 12), lambda dataset: delattr(dataset, "PixelRepresentation")
    ),
    "monochrome2 in small letters": dicom(patch(12), 12).replace(b"MONOCHROME2", b"monochrome2"),
    "INVERSE with MONOCHROME1": dicom(
        patch(12) ^ 4095, 12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
    ),
    "IDENTITY with MONOCHROME2": dicom(patch(12), 12, PresentationLUTShape="IDENTITY"),
    "with a window": dicom(patch(12), 12, WindowCenter=7, WindowWidth=2),
    "no preamble": without_preamble(dicom(patch(12), 12)),
    "no preamble, deflated": without_preamble(dicom(patch(12), 12, syntax=DeflatedExplicitVRLittleEndian)),
    "no meta information": without_meta(dicom(patch(12), 12)),
    "no meta information, implicit": without_meta(dicom(patch(12), 12, syntax=ImplicitVRLittleEndian)),
    "no meta information, big-endian": without_meta(dicom(patch(8), 8, syntax=ExplicitVRBigEndian)),
    "no transfer syntax": without_syntax(dicom(patch(12), 12)),
    "a TIFF header in the preamble": b"II*\0" + dicom(patch(12), 12)[4:],
}  # fmt: skip


@pytest.fixture(params=ENCODINGS)
def encoded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    content = ENCODINGS[request.param]
    path = tmp_path / "patch.dcm"
    path.write_bytes(content(tmp_path) if callable(content) else content)
    return path


def test_one_patch_in_every_encoding_has_one_value(encoded: Path) -> None:
    dataset = pydicom.dcmread(encoded, force=True)
    exact = dataset.BitsStored in (8, 12, 16) and "ModalityLUTSequence" not in dataset
    np.testing.assert_allclose(read_image(encoded).pixels, GREYS, atol=1e-6 if exact else 0.501 / 511)


def test_a_window_and_a_spacing_in_functional_groups_count(tmp_path: Path) -> None:
    content = in_functional_group(
        dicom(patch(12), 12, Modality="MG"), "PixelMeasuresSequence", PixelSpacing=[0.07, 0.08]
    )
    (tmp_path / "sized.dcm").write_bytes(content)
    assert read_image(tmp_path / "sized.dcm").pixel_size_mm == (0.07, 0.08)
    window = {"WindowCenter": 2048, "WindowWidth": 1024, "VOILUTFunction": "SIGMOID"}
    for name, made in (
        ("top.dcm", dicom(patch(12), 12, Modality="MG", **window)),
        ("group.dcm", in_functional_group(dicom(patch(12), 12, Modality="MG"), "FrameVOILUTSequence", **window)),
    ):
        (tmp_path / name).write_bytes(made)
    top, group = (read_mammogram(tmp_path / name).pixels for name in ("top.dcm", "group.dcm"))
    np.testing.assert_array_equal(top, group)
    assert 0 < top.min() < 0.01


DCMTK = {JPEGLossless: "dcmj2pnm", JPEGLosslessSV1: "dcmj2pnm", JPEGLSLossless: "dcml2pnm"}


def dcmtk_greys(path: Path, *options: str) -> np.ndarray:
    """The picture that dcmtk shows, over 2**bits and not 2**bits - 1; skips where it cannot say."""
    syntax = pydicom.dcmread(path, force=True).file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    if "2000" in syntax.name:
        pytest.skip("dcmtk does not read JPEG 2000")
    tool = DCMTK.get(syntax, "dcm2pnm")
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} of dcmtk is not installed here; apt-get install dcmtk")
    target = path.with_suffix(".pgm")
    answer = subprocess.run(
        [tool, "-q", *options, "--write-16-bit-pnm", path, target], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip(f"dcmtk refuses this one: {answer.stderr.strip()}")
    return np.asarray(PIL.Image.open(target)) / 65535


@pytest.mark.slow
def test_dcmtk_shows_every_encoding_as_it_is_read_here(encoded: Path) -> None:
    shown = dcmtk_greys(encoded)
    bits = min(int(pydicom.dcmread(encoded, force=True).get("BitsStored")), 10)
    np.testing.assert_allclose(read_image(encoded).pixels, shown, atol=1.5 / 2**bits)


@pytest.mark.parametrize(("interpretation", "shape"), [("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")])
def test_two_elements_that_disagree_on_black_are_refused(interpretation: str, shape: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom(patch(12), 12, PhotometricInterpretation=interpretation, PresentationLUTShape=shape))
    with pytest.raises(ImageError, match=f"states {interpretation} and Presentation LUT Shape {shape}, which"):
        read_image(path)


REFUSED = {
    "values below the lowest bit": (dicom(patch(16), 16, BitsStored=12), "lie in bits 4 to 15"),
    "a high bit beyond the word": (dicom(patch(12), 12, HighBit=16), "High Bit 16, which do not fit together"),
    "32 bits": (dicom(patch(12), 12, BitsAllocated=32, BitsStored=32, HighBit=31), "has 32 of 32 bits a pixel"),
    "a slope of 0": (dicom(patch(12), 12, RescaleSlope=0, RescaleIntercept=7), "Rescale Slope of 0"),
    "two slopes": (
        changed(
            in_functional_group(dicom(patch(12), 12), "PixelValueTransformationSequence", RescaleSlope=-1),
            lambda dataset: setattr(dataset, "RescaleSlope", 1),
        ),
        "gives Rescale Slope twice",
    ),
    "two windows": (
        changed(
            in_functional_group(dicom(patch(12), 12), "FrameVOILUTSequence", VOILUTFunction="SIGMOID"),
            lambda dataset: setattr(dataset, "VOILUTFunction", "LINEAR"),
        ),
        "gives VOI LUT Function twice",
    ),
    "a comma that may separate thousands": (
        dicom(patch(12), 12, RescaleSlope="1.000", RescaleIntercept="0.0").replace(b"1.000 ", b"1,000 "),
        "'1,000' as a number of Rescale Slope",
    ),
    "a LUT that is too short": (
        dicom(patch(8), 8, ModalityLUTSequence=lut(0, list(range(200)), 8)).replace(
            b"\xc8\0\0\0\x08\0", b"\0\x01\0\0\x08\0"
        ),
        "look-up table of 200 entries, and not 256",
    ),
    "a LUT above its bits": (dicom(patch(8), 8, ModalityLUTSequence=lut(0, [4096] * 256, 12)), "above its 12 bits"),
    "no bits stored": (
        changed(dicom(patch(12), 12), lambda dataset: delattr(dataset, "BitsStored")),
        "lacks Bits Stored",
    ),
    "compressed, and no transfer syntax": (
        without_meta(compressed(dicom(patch(12), 12), RLELossless)),
        "is compressed, and does not state how",
    ),
    "a JPEG of another size": (
        changed(compressed(dicom(patch(12), 12), JPEGLSLossless), lambda dataset: setattr(dataset, "Rows", 61)),
        "JPEG image of another size",
    ),
    "pixels that are not square, without a size": (dicom(PixelAspectRatio=[2, 1]), "pixels of 2 : 1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_header_that_contradicts_its_pixels_is_refused(kind: str, tmp_path: Path) -> None:
    content, words = REFUSED[kind]
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.dcm")
    assert words in str(caught.value)
