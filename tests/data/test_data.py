"""Data: any folder of patches becomes a dataset or one clear line; what a study holds is checked when it is made."""

import os
import pickle
import re
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images.test_images import dicom
from PIL import Image

from microcalc.config import AugmentationSettings
from microcalc.data import Data, archives, dataset, sources
from microcalc.data.groups import read_groups
from microcalc.data.phantom import make_phantom
from microcalc.errors import DataError, FailedError, ImageError, RequestError, UnreachableError
from microcalc.model import Model
from microcalc.transforms.wavelet import wavelet_filter


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No MICROCALC_DATA, an empty cache, and no way out."""

    def offline() -> Path:
        raise UnreachableError("no answer; download it in a browser, then give --archive FILE")

    monkeypatch.delenv("MICROCALC_DATA", raising=False)
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(dataset, "download_infn", offline)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 60, 60), dtype=np.uint8)


def some_data(n: int = 12) -> Data:
    labels = np.arange(n, dtype=np.int64) % 2
    names = tuple(f"{label}/{row}.png" for row, label in enumerate(labels))
    return Data("mine", noise(n) / np.float32(255), labels, np.arange(n, dtype=np.int64), names, names)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".dcm":
        path.write_bytes(dicom(pixels, 8))
    else:
        Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of two normal patches and two with clusters, in four formats."""
    root = tmp_path / "clinic"
    for name, pixels in zip(("0/a.png", "0/b.pgm", "1/a.tif", "1/c.dcm"), noise(4), strict=True):
        write(root / name, pixels)
    return root


def zipped(folder: Path, prefix: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


# A folder or a ZIP archive of anyone


def test_a_folder_with_0_and_1_is_a_dataset_whatever_the_format(folder: Path) -> None:
    data = Data.load(folder)
    assert data.name == "clinic"
    assert data.files == ("0/a.png", "0/b.pgm", "1/a.tif", "1/c.dcm")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(np.rint(data.images * 255), noise(4))
    assert data.patients == data.files
    assert data.groups.tolist() == [0, 1, 2, 3]
    assert data.official_test is None
    assert data.masks is None


@pytest.mark.parametrize("prefix", ["", "clinic/", "any name/"])
def test_a_zip_of_the_folder_is_the_same_dataset(folder: Path, prefix: str) -> None:
    data = Data.load(str(zipped(folder, prefix)))
    assert data.name == "clinic"
    assert data.fingerprint == Data.load(folder).fingerprint


def test_files_that_do_not_name_their_patient_are_a_warning(folder: Path) -> None:
    [warning] = Data.load(folder).warnings
    assert warning.startswith("4 of 4 files do not name their patient, and each counts as a patient of its own: 0/a.p")
    assert "and 1 more; give a groups.csv" in warning


@pytest.mark.parametrize("odd", ["0/0036t1_4_0_1 copy.png", "0/overview.png", "0/0036T1_4_0_3.png"])
def test_one_odd_name_among_those_of_the_archive_costs_no_other_its_patient(odd: str, tmp_path: Path) -> None:
    names = ["0/0036t1_4_0_1.png", "0/0036t1_4_0_2.png", "1/0312u1_1_1_1_5.png", odd]
    for name, pixels in zip(names, noise(4), strict=True):
        write(tmp_path / "set" / name, pixels)
    data = Data.load(tmp_path / "set")
    patients = dict(zip(data.files, data.patients, strict=True))
    assert patients[names[0]] == patients[names[1]] == "0036" and patients[odd] == odd
    [warning] = data.warnings
    assert warning.startswith("1 of 4 files do not name their patient") and odd in warning


def test_patches_in_folders_are_found_and_each_folder_is_a_patient(tmp_path: Path) -> None:
    names = ["0/P1/a.png", "0/P2/left/a.png", "1/p1/b.png", "1/P3/deep/er/a.png", "1/c.png"]
    for name, pixels in zip(names, noise(5), strict=True):
        write(tmp_path / "set" / name, pixels)
    data = Data.load(tmp_path / "set")
    assert dict(zip(data.files, data.patients, strict=True)) == dict(
        zip(names, ["P1", "P2", "P1", "P3", "1/c.png"], strict=True)
    )
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    told = " | ".join(data.warnings)
    assert "'P1' and 'p1' are counted as one" in told
    assert "each folder such as 0/P1/ counts as one patient" in told
    assert "1 of 5 files do not name their patient" in told and "1/c.png" in told


@pytest.mark.parametrize("third", ["2", "benign", "masks"])
def test_a_third_folder_is_named(third: str, folder: Path) -> None:
    write(folder / third / "x.png", noise(1)[0])
    assert f"{third}/ beside 0/ and 1/ was not read: a dataset has two classes" in Data.load(folder).warnings
    assert f"{third}/ beside 0/ and 1/ was not read: a dataset has two classes" in Data.load(zipped(folder)).warnings


def test_images_beside_the_classes_are_named(folder: Path) -> None:
    write(folder / "x.png", noise(1)[0])
    assert "x.png was not read: images of a dataset lie in 0/ and 1/" in Data.load(folder).warnings


def test_files_that_are_left_out_are_counted(folder: Path) -> None:
    for name in ("0/a.bmp", "0/notes.txt", "1/deep/b.bmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"BM")
    assert "in 0/ and 1/, 3 files were left out, as they are no images: 2 .bmp, 1 .txt" in Data.load(folder).warnings


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user to try")
@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
@pytest.mark.parametrize("closed", [".", "0", "1/deep"])
def test_a_folder_that_cannot_be_listed_is_an_error(closed: str, mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        for file, pixels in zip(("0/a.png", "1/b.png", "1/deep/c.png"), noise(3), strict=True):
            write(folder / file, pixels)
        Path(name).chmod(0o755)
        (folder / closed).chmod(mode)
        os.seteuid(65534)
        try:
            with pytest.raises(FailedError, match="cannot be listed"):
                Data.load(folder)
        finally:
            os.seteuid(0)


def test_warnings_stay_with_a_part_of_the_data_and_its_variants(folder: Path) -> None:
    data = Data.load(folder)
    assert data.warnings == data.select([0]).warnings == data.wavelet().warnings


def test_a_folder_of_a_built_in_name_is_not_taken_for_the_built_in_set(folder: Path) -> None:
    assert Data.load(folder.rename(folder.with_name("phantom"))).name == "folder phantom"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: None, "no such dataset; give infn, phantom, external, or a folder"),
        (lambda path: path.mkdir(), "no image in 0/; a dataset holds 0/"),
        (lambda path: write(path / "0" / "a.png", noise(1)[0]), "no image in 1/"),
        (lambda path: path.write_bytes(b"some file"), "not a folder or ZIP .* archive"),
    ],
    ids=["nothing", "empty", "one class", "a file"],
)
def test_what_is_no_dataset_is_refused_by_name(make: Callable[[Path], None], complaint: str, tmp_path: Path) -> None:
    make(tmp_path / "set")
    with pytest.raises(DataError, match=rf"set: {complaint}"):
        Data.load(tmp_path / "set")


def test_an_image_of_another_size_is_refused_by_name_and_size(folder: Path) -> None:
    write(folder / "1" / "large.png", np.zeros((100, 90), np.uint8))
    with pytest.raises(ImageError, match=r"1/large\.png: 90 x 100 pixels and no pixel size, .*; give the pixel size"):
        Data.load(folder)


def test_images_of_known_pixel_size_are_brought_to_85_um(folder: Path) -> None:
    wide = np.tile(np.arange(120, dtype=np.uint8)[:, None] * 2, (1, 120))
    for path in folder.rglob("*.*"):
        path.unlink()
    write(folder / "0" / "ramp.png", wide)
    write(folder / "1" / "ramp.png", wide.T)
    data = Data.load(folder, pixel_size_mm=0.0425)
    expected = (wide.reshape(60, 2, 60, 2).mean(axis=(1, 3)) / 255).astype(np.float32)
    assert np.abs(data.images[0] - expected)[3:-3].max() < 0.003
    assert np.abs(data.images[1] - expected.T)[:, 3:-3].max() < 0.003
    assert data.pixel_size == "known"


def test_a_size_that_was_assumed_is_noted(folder: Path) -> None:
    data = Data.load(folder)
    assert data.pixel_size == "assumed"
    assert Data.load(folder, pixel_size_mm=0.085).pixel_size == "known"


def test_images_of_unknown_size_are_kept_as_they_are(folder: Path) -> None:
    data, assumed = Data.load(folder, pixel_size_mm="unknown"), Data.load(folder)
    np.testing.assert_array_equal(data.images, assumed.images)
    assert data.pixel_size == "unknown"
    assert data.fingerprint != assumed.fingerprint


def test_a_larger_field_in_a_dataset_is_refused(folder: Path) -> None:
    write(folder / "1" / "large.png", np.zeros((100, 90), np.uint8))
    with pytest.raises(DataError, match=r"1/large\.png: shows more than a patch .*; cut the part in question out"):
        Data.load(folder, pixel_size_mm=0.085)


@pytest.mark.parametrize("zip_it", [False, True], ids=["folder", "zip"])
def test_an_unreadable_image_is_named_where_the_user_knows_it(folder: Path, zip_it: bool) -> None:
    (folder / "1" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    source = zipped(folder) if zip_it else folder
    with pytest.raises(ImageError) as error:
        Data.load(source)
    assert str(error.value).startswith(f"{source}/1/torn.png: ")


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "evil",
    [
        *(member(name) for name in ("../escaped.png", "0/../../escaped.png", "/escaped.png", "..\\escaped.png")),
        member("0/escaped.png", stat.S_IFLNK | 0o777),
    ],
)
def test_a_zip_with_an_evil_member_writes_nothing_outside_and_makes_no_link(
    evil: zipfile.ZipInfo, folder: Path, tmp_path: Path
) -> None:
    path = zipped(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(evil, str(folder / "0" / "a.png"))
    with archives.unpacked_zip(path) as unpacked:
        (escaped,) = unpacked.rglob("escaped.png")
        assert not escaped.is_symlink()
        assert list(tmp_path.rglob("escaped.png")) in ([], [escaped]) and not Path("/escaped.png").exists()


@pytest.mark.parametrize("prefix", ["", "clinic\\"])
def test_a_zip_with_backslashes_is_the_same_dataset(prefix: str, folder: Path) -> None:
    path = folder.with_name("windows.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            name = zipfile.ZipInfo()
            name.filename = prefix + str(file.relative_to(folder)).replace("/", "\\")
            archive.writestr(name, file.read_bytes())
    assert b"\\" in path.read_bytes()
    whole, read = Data.load(folder), Data.load(path)
    assert (read.files, read.patients) == (whole.files, whole.patients)
    np.testing.assert_array_equal(read.images, whole.images)


def test_a_zip_of_absurd_size_is_refused_before_it_is_unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_ZIP_BYTES", 1000)
    with pytest.raises(DataError, match="unpack it and give the folder"):
        Data.load(zipped(folder))


def test_an_encrypted_zip_says_so(folder: Path) -> None:
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    for entry in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[entry.start() + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"password required .*unpack it"):
        Data.load(path)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zip_with_any_bytes_changed_is_read_or_refused(folder: Path, data: st.DataObject) -> None:
    content = bytearray(zipped(folder).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder.with_name("fuzzed.zip")
    path.write_bytes(content)
    try:
        Data.load(path)
    except RequestError as error:
        assert "\n" not in str(error)


def test_nothing_unpacked_is_left_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    Data.load(zipped(folder))
    (folder / "0" / "torn.png").write_bytes(b"torn")
    with pytest.raises(ImageError):
        Data.load(zipped(folder))
    assert not list(temporary.iterdir())


# groups.csv


def test_groups_csv_tells_the_patients(folder: Path) -> None:
    (folder / "groups.csv").write_text(
        '\ufefffile,patient,note\r\n0/a.png,anna,x\r\nb.pgm,"bea, 2nd",\r\n1\\a.tif,anna,\r\n./1/c.dcm,carla,\r\n',
        encoding="utf-8",
    )
    data = Data.load(folder)
    assert data.patients == ("anna", "bea, 2nd", "anna", "carla")
    assert data.groups.tolist() == [0, 1, 0, 2]
    assert Data.load(zipped(folder)).patients == data.patients


ROWS = b"0/a.png,anna\nb.pgm,bea\n1/a.tif,anna\nc.dcm,carla\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "needs one column file; its first line is file,patient"),
        (b"file:patient\n", "needs one column file"),
        (b"file,person\n" + ROWS, "needs one column patient"),
        (b"file,patient\n" + ROWS + b"0/z.png,anna\n", r"line 6: '0/z\.png' is not in the dataset"),
        (b"file,patient\n" + ROWS.replace(b"1/a.tif", b"a.png"), r"line 4: 'a\.png' is named a second time"),
        (b"file,patient\n" + ROWS.replace(b",bea", b","), r"line 3: no patient for 'b\.pgm'"),
        (b"file,patient\n" + ROWS.replace(b",bea", b""), r"line 3: no patient for 'b\.pgm'"),
        (b"file,patient\n" + ROWS.replace(b"b.pgm,bea\n", b""), r"no row for 0/b\.pgm"),
        (b"file,patient\n" + ROWS.replace(b"bea", b"b\xe9a"), "cannot be read as CSV in UTF-8"),
        (("file,patient\n" + ROWS.decode()).encode("utf-16")[2:], "needs one column file|cannot be read as CSV"),
        (b"file,patient\n" + ROWS + b",dora\n", r"line 6: no file for the patient 'dora'; fill it in"),
        (b"file,patient\n" + ROWS.replace(b"bea", b"Doe, Jane"), "line 3: more values than named columns; .* ','"),
        (b"file;patient\n" + ROWS.replace(b",", b";").replace(b"bea", b"a;b"), "line 3: more .* ';' in double"),
        (b"file,patient,\n" + ROWS.replace(b"bea", b"Doe, Jane"), "line 3: more values than named columns"),
        (b"file,patient,patient\n" + ROWS, "needs one column patient"),
        (b"file,patient\n" + b"x" * 200_000, "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_groups_csv_that_does_not_fit_is_refused_with_its_line(content: bytes, complaint: str, folder: Path) -> None:
    (folder / "groups.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"groups\.csv: {complaint}"):
        Data.load(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"file;patient\n" + ROWS.replace(b",", b";"),
        b"file\tpatient\n" + ROWS.replace(b",", b"\t"),
        b"file;patient\r\n" + ROWS.replace(b",", b";").replace(b"\n", b"\r\n"),
        b"File,Patient\n" + ROWS,
        b" FILE , PATIENT \n" + ROWS.replace(b",", b" , "),
        b"file, patient\n" + ROWS.replace(b",", b", "),
        b"file,patient,\n" + ROWS.replace(b"\n", b",\n"),
        b"file,patient\n" + ROWS.replace(b"\n", b",,\n") + b",,,\n",
        b"file,patient\n\n" + ROWS.replace(b"\n", b"\n\n"),
        b"\xef\xbb\xbffile,patient\n" + ROWS,
        b"patient,note,file\n" + b"anna,x,0/a.png\nbea,,b.pgm\nanna,,1/a.tif\ncarla,,c.dcm\n",
        ("file,patient\n" + ROWS.decode()).encode("utf-16"),
        b"\xfe\xff" + ("file;patient\n" + ROWS.decode().replace(",", ";")).encode("utf-16-be"),
        b"file,patient\r" + ROWS.replace(b"\n", b"\r"),
    ],
)
def test_every_dialect_of_groups_csv_with_one_meaning_is_read(content: bytes, folder: Path) -> None:
    (folder / "groups.csv").write_bytes(content)
    assert Data.load(folder).patients == ("anna", "bea", "anna", "carla")


def test_a_quoted_name_with_a_comma_is_one_name(folder: Path) -> None:
    (folder / "groups.csv").write_bytes(b"file, patient\n" + ROWS.replace(b"anna", b' "Doe, Jane"'))
    assert Data.load(folder).patients == ("Doe, Jane", "bea", "Doe, Jane", "carla")


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
def test_the_unicode_normal_form_of_a_name_does_not_matter(on_disk: str, in_table: str, tmp_path: Path) -> None:
    files = [f"{label}/\u00e9\u00fc{label}.png" for label in "01"]
    for file, pixels in zip(files, noise(2), strict=True):
        write(tmp_path / "set" / unicodedata.normalize(on_disk, file), pixels)
    rows = "file,patient\n" + "".join(f"{file},Jos\u00e9\n" for file in files)
    (tmp_path / "set" / "groups.csv").write_text(unicodedata.normalize(in_table, rows), encoding="utf-8")
    assert Data.load(tmp_path / "set").patients == ("Jos\u00e9", "Jos\u00e9")


@pytest.mark.parametrize("name", ["Groups.csv", "groups.CSV", "GROUPS.CSV"])
def test_capitals_in_the_name_of_groups_csv_do_not_matter(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"file,patient\n" + ROWS)
    assert Data.load(folder).patients == ("anna", "bea", "anna", "carla")


@pytest.mark.parametrize(
    "name",
    [
        "groups.csv.txt",
        "groups.txt",
        "groups.xlsx",
        "group.csv",
        "groups 1.csv",
        "Patients.tsv",
        "1/groups.csv",
        "groups",
    ],
)
def test_a_misnamed_or_misplaced_groups_csv_is_refused_and_not_passed_over(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"file,patient\n" + ROWS)
    with pytest.raises(DataError, match=f"{re.escape(name)}: looks like a groups.csv"):
        Data.load(folder)
    (folder / "groups.csv").write_bytes(b"file,patient\n" + ROWS)
    assert Data.load(folder).patients == ("anna", "bea", "anna", "carla")


@pytest.mark.parametrize("name", ["notes.txt", "regrouping.doc", "README", "patient_consent_form.pdf"])
def test_other_notes_are_not_taken_for_a_misnamed_groups_csv(name: str, folder: Path) -> None:
    (folder / name).touch()
    assert len(Data.load(folder)) == 4


def test_two_groups_csv_are_refused(folder: Path) -> None:
    for name in ("Groups.csv", "groups.csv"):
        (folder / name).write_bytes(b"file,patient\n" + ROWS)
    if len(list(folder.glob("*.csv"))) == 2:  # a Mac or Windows disk has one file of both names
        with pytest.raises(DataError, match=r"is there a second time as groups\.csv"):
            Data.load(folder)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        *(("P1", "p1", True), ("007", "7", True), ("Doe  Jane", "doe jane", True), ("P-01", "P-1", True)),
        *(("\uff11", "1", True), ("10", "1", False), ("P1", "P2", False), ("a b", "ab", False), ("100", "1000", False)),
    ],
)
def test_spellings_of_one_patient_are_one_patient_with_a_warning(
    one: str, other: str, same: bool, folder: Path
) -> None:
    rows = ROWS.decode().replace("0/a.png,anna", f"0/a.png,{one}").replace("1/a.tif,anna", f"1/a.tif,{other}")
    (folder / "groups.csv").write_text("file,patient\n" + rows, encoding="utf-8")
    data = Data.load(folder)
    warning = f"the patients {one!r} and {other!r} are counted as one: they differ in capitals, leading zeros or spaces"
    assert data.patients[2] == (one if same else other)
    assert data.groups.tolist() == ([0, 1, 0, 2] if same else [0, 1, 2, 3])
    assert data.warnings == ((f"{warning} alone",) if same else ())


def test_a_bare_name_that_two_files_have_is_ambiguous(folder: Path) -> None:
    (folder / "1" / "a.tif").rename(folder / "1" / "a.png")
    (folder / "groups.csv").write_bytes(b"file,patient\na.png,anna\n")
    with pytest.raises(DataError, match=r"'a\.png' is both 0/a\.png and 1/a\.png; give the path as in '0/a\.png'"):
        Data.load(folder)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([*ROWS.decode().split("\n"), "file,patient", '"', ",", "\0"]), max_size=8).map(
            lambda lines: "\n".join(["file,patient", *lines]).encode()
        ),
    )
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_groups_csv_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes(content)
    files = ["0/a.png", "0/b.pgm", "1/a.tif", "1/c.dcm"]
    try:
        patients = read_groups(path, files)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert len(patients) == 4
        assert all(patients)


# The built-in names


def test_the_phantom_is_a_dataset_with_masks_the_same_for_the_same_seed() -> None:
    data = Data.load("phantom", seed=3)
    images, labels, patients, masks = make_phantom(seed=3)
    assert data.name == "phantom"
    assert data.masks is not None
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.labels, labels)
    assert np.array_equal(data.masks, masks)
    assert data.patients == patients
    assert len(set(data.groups.tolist())) == len(set(patients))
    assert len(set(data.files)) == len(data)


def test_auto_is_the_phantom_where_the_infn_data_is_nowhere() -> None:
    assert Data.load("auto").name == "phantom"


def test_infn_never_falls_back() -> None:
    with pytest.raises(DataError, match="download it in a browser, then give --archive FILE"):
        Data.load("infn")


def test_auto_does_not_hide_an_archive_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "DL_class_data.tar.gz").write_bytes(b"rot")
    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"DL_class_data\.tar\.gz: not a readable tar archive"):
        Data.load("auto")


@pytest.mark.parametrize(
    "content", [b"<html>log in first</html>", b"", b"\x1f\x8b" + bytes(40)], ids=["a web page", "empty", "damaged"]
)
def test_auto_does_not_hide_a_download_that_is_not_the_archive(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "download_infn", sources.download_infn)
    monkeypatch.setattr(sources, "_download", lambda *_: content)
    with pytest.raises(DataError, match="archive"):
        Data.load("auto")


def test_an_archive_for_another_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="archive is for the data infn or auto: got phantom"):
        Data.load("phantom", archive=tmp_path)


def test_the_external_set_says_where_it_is_looked_for() -> None:
    with pytest.raises(DataError, match="set MICROCALC_DATA to the folder that holds external_patches"):
        Data.load("external")


@pytest.mark.parametrize("source", ["infn", "auto"])
def test_the_real_archive_becomes_the_set_that_design_describes(
    source: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCALC_DATA", str(shared_data))
    data = Data.load(source)
    assert (data.name, len(data), int(data.labels.sum())) == ("infn", 797, 383)
    assert (len(set(data.patients)), len(set(data.groups.tolist())), data.identical_pairs) == (103, 97, 14)
    assert data.images.dtype == np.float32
    assert data.official_test is not None
    assert int(data.official_test.sum()) == 241
    assert data.official_test.tolist() == [file.startswith("Test/") for file in data.files]


def test_the_real_external_set_has_both_classes_and_keeps_its_patients_whole(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCALC_DATA", str(shared_data))
    data = Data.load("external")
    assert (data.name, np.bincount(data.labels).tolist()) == ("external", [38, 38])
    assert len(set(data.groups.tolist())) == len(set(data.patients)) == 57
    of_one = data.select(np.array(data.patients) == "D1_C_0249_1")
    assert set(of_one.labels.tolist()) == {0, 1}
    assert len(set(of_one.groups.tolist())) == 1
    assert Data.load(shared_data / "external_patches.zip", pixel_size_mm="unknown").fingerprint == data.fingerprint


# What Data is


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": np.zeros((12, 60, 60), np.uint8)}, r"images must be floats in \[0, 1\]: got uint8; divide by 255"),
        ({"images": np.zeros((12, 50, 60), np.float32)}, r"images must be of shape \(n, 60, 60\): got \(12, 50, 60\)"),
        ({"images": np.full((12, 60, 60), 255, np.float32)}, r"must lie in \[0, 1\]"),
        ({"images": np.full((12, 60, 60), np.nan, np.float32)}, "must be finite"),
        ({"labels": np.arange(12)}, "labels must be 0 or 1"),
        ({"labels": np.zeros(12, np.int32)}, r"labels must be int64 of shape \(12,\): got int32"),
        ({"labels": np.zeros(11, np.int64)}, r"labels must be int64 of shape \(12,\)"),
        ({"groups": np.zeros((12, 1), np.int64)}, "groups must be int64"),
        ({"files": ("a",)}, "files must be 12, one for each image: got 1"),
        ({"patients": ("a",)}, "patients must be 12"),
        ({"official_test": np.zeros(12, np.int64)}, "official_test must be bool"),
        ({"masks": np.zeros((12, 60), np.bool_)}, r"masks must be bool of shape \(12, 60, 60\)"),
    ],
)
def test_data_that_does_not_fit_together_cannot_be_made(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        replace(some_data(), **change)


@pytest.mark.parametrize("chosen", [[4, 2], np.array([4, 2])])
def test_select_takes_indices_in_their_order(chosen: object) -> None:
    data = replace(some_data(), official_test=np.arange(12) == 4, masks=np.ones((12, 60, 60), np.bool_))
    chosen_data = data.select(chosen)
    assert chosen_data.files == ("0/4.png", "0/2.png")
    assert chosen_data.patients == ("0/4.png", "0/2.png")
    assert chosen_data.groups.tolist() == [4, 2]
    assert np.array_equal(chosen_data.images, data.images[[4, 2]])
    assert chosen_data.official_test is not None
    assert chosen_data.official_test.tolist() == [True, False]
    assert chosen_data.masks is not None
    assert chosen_data.masks.shape == (2, 60, 60)


def test_select_takes_a_mask() -> None:
    data = some_data()
    assert data.select(data.labels == 1).groups.tolist() == [1, 3, 5, 7, 9, 11]
    assert len(data.select([])) == len(data.select(np.zeros(12, np.bool_))) == 0


def test_random_images_are_drawn_without_repetition_and_repeat_with_the_seed() -> None:
    data = some_data()
    images, labels = data.get_random_images(12, seed=1)
    assert len(np.unique(images, axis=0)) == 12
    assert sorted(labels.tolist()) == sorted(data.labels.tolist())
    again, _ = data.get_random_images(12, seed=1)
    other, _ = data.get_random_images(12, seed=2)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


def test_more_random_images_than_there_are_is_an_error() -> None:
    with pytest.raises(DataError, match=r"size must be from 0 to 6, the patches of classes \[1\]: got 7"):
        some_data().get_random_images(7, classes=[1])
    with pytest.raises(DataError, match=r"classes are 0 \(normal\) and 1 \(cluster\): got \[2\]"):
        some_data().get_random_images(1, classes=[2])
    with pytest.raises(DataError, match=r"size must be from 0 to 12.*: got -1"):
        some_data().get_random_images(-1)


def test_identical_pairs_counts_only_those_of_different_patients() -> None:
    data = some_data()
    images = data.images.copy()
    images[1] = images[2] = images[0]
    patients = ("anna", "anna", *data.patients[2:])
    assert replace(data, images=images, patients=patients).identical_pairs == 2


def test_the_fingerprint_changes_with_every_part_that_a_study_depends_on() -> None:
    data = some_data()
    images = data.images.copy()
    images[11, 59, 59] = 1 - images[11, 59, 59]
    changed = [
        replace(data, images=images),
        replace(data, labels=1 - data.labels),
        replace(data, groups=data.groups[::-1].copy()),
        replace(data, files=tuple(reversed(data.files))),
        data.select(range(11)),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in changed)}) == 6
    assert replace(data, name="other").fingerprint == data.fingerprint == some_data().fingerprint


def test_wavelet_filters_the_images_and_leaves_the_rest() -> None:
    data = some_data()
    filtered = data.wavelet("haar", threshold=1.0)
    assert np.array_equal(filtered.images, wavelet_filter(data.images, "haar", 1.0))
    assert (filtered.files, filtered.name) == (data.files, data.name)
    assert np.array_equal(filtered.groups, data.groups)
    assert (data.filtered_by, filtered.filtered_by) == ("none", "haar")


def test_nothing_is_drawn_into_filtered_patches_unless_asked_for(phantom: Data) -> None:
    filtered = phantom.select(range(60)).wavelet("haar")
    undrawn = AugmentationSettings(p_linear_structures=0.0, p_power_law_noise=0.0, p_dust=0.0)
    varied = filtered.augment(seed=1)
    assert np.array_equal(varied.images, filtered.augment(seed=1, settings=undrawn).images)
    dusted = filtered.augment(seed=1, settings=replace(undrawn, p_dust=1.0))
    assert not np.array_equal(varied.images, dusted.images)
    assert varied.filtered_by == varied.select(range(3)).filtered_by == pickle.loads(pickle.dumps(varied)).filtered_by


@pytest.mark.parametrize("variant", [Data.wavelet, lambda data: data.select(range(4)).wavelet("haar").augment()])
def test_filtered_patches_are_not_filtered_again(variant: Callable[[Data], Data]) -> None:
    with pytest.raises(ValueError, match=r"mine is already filtered by (sym3|haar); filter the raw patches"):
        variant(some_data()).wavelet()


@pytest.mark.parametrize("role", ["data", "external", "test"])
def test_filtered_patches_are_refused_in_a_study(role: str, phantom: Data, tmp_path: Path) -> None:
    sets = {"data": phantom, role: phantom.select(range(60)).wavelet("haar")}
    with pytest.raises(ValueError, match=f"{role} must hold raw patches: phantom is filtered by haar"):
        Model(**sets, out=tmp_path / "run")


def test_augmented_copies_stay_in_the_group_of_their_patch_and_are_named_after_it(phantom: Data) -> None:
    data = phantom.select(range(6))
    varied = data.augment(copies=2, seed=1)
    assert np.array_equal(varied.images[:6], data.images) and varied.augmented and not data.augmented
    for copy in (1, 2):
        part = varied.select(range(6 * copy, 6 * copy + 6))
        assert np.array_equal(part.labels, data.labels) and np.array_equal(part.groups, data.groups)
        assert part.patients == data.patients and part.files == tuple(f"{file}#{copy}" for file in data.files)
        assert not np.isclose(part.images, data.images).all((1, 2)).any() and part.augmented
    assert np.array_equal(data.augment(copies=2, seed=1).images, varied.images)
    assert not np.array_equal(data.augment(copies=2, seed=2).images[6:], varied.images[6:])


@pytest.mark.parametrize("role", ["external", "test"])
def test_augmented_data_are_refused_as_a_test_set(role: str, phantom: Data, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{role} must hold no augmented copies"):
        Model(phantom, **{role: phantom.select(range(60)).augment()}, out=tmp_path / "run")


def test_no_copies_are_refused() -> None:
    with pytest.raises(ValueError, match="copies must be at least 1: got 0"):
        some_data().augment(copies=0)
