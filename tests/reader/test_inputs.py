"""The files that a request names: which are taken, once each, and which are ours."""

import unicodedata
from pathlib import Path

import pytest
from dicom.made import write_mammogram

from microcalc.errors import RequestError
from microcalc.reader.content import is_result_of_ours, read_once
from microcalc.reader.inputs import find_inputs, read_manifest

PGM = b"P5 8 8 255\n" + bytes(64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.pgm", "b/1.pgm", "b/2.pgm", "b/notes.txt"):
        write(tmp_path / "scans" / name)
    return tmp_path / "scans"


def write(path: Path, content: bytes = PGM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if path.suffix != ".txt" else b"no image")
    return path


def found(*requests: object, manifest: Path | None = None) -> list[str]:
    return list(find_inputs([str(request) for request in requests], manifest).names.values())


def test_files_folders_patterns_and_a_manifest_name_each_file_once_and_in_order(folder: Path) -> None:
    everything = [f"{folder}/a.pgm", f"{folder}/b/1.pgm", f"{folder}/b/2.pgm"]
    assert found(folder) == found(f"{folder}/**/*.pgm") == everything
    names = found(f"{folder}/b/2.pgm", folder / "b" / ".." / "a.pgm", folder)
    assert names == [f"{folder}/{name}" for name in ("b/2.pgm", "b/../a.pgm", "b/1.pgm")]
    manifest = folder.parent / "files.txt"
    manifest.write_text(f"{folder}/b/1.pgm\n{folder}/c.pgm\n")
    assert found(f"{folder}/b/1.pgm", manifest=manifest) == [f"{folder}/b/1.pgm", f"{folder}/c.pgm"]
    assert find_inputs([str(folder)]).note() == "1 file was left out, as it is no image: 1 .txt"


def test_a_name_is_taken_as_it_stands_or_in_the_other_spelling_of_its_accents(tmp_path: Path) -> None:
    for name in ("[12].pgm", "1.pgm", unicodedata.normalize("NFD", "Zoë.pgm"), "\udcff.pgm", "#1 %20?.pgm"):
        write(tmp_path / name)
    assert found(tmp_path / "[12].pgm") == [str(tmp_path / "[12].pgm")]
    (zoe,) = found(tmp_path / unicodedata.normalize("NFC", "Zoë.pgm"))
    assert zoe == str(tmp_path / unicodedata.normalize("NFD", "Zoë.pgm"))
    assert len(found(tmp_path)) == 5


def test_results_of_ours_are_left_out_and_counted_and_nothing_else_is_a_wrong_request(folder: Path) -> None:
    for name in ("overlays/1.pgm", "overlays/2.pgm"):
        write(folder / "found" / name)
    (folder / "found" / "results.jsonl").write_text("{}")
    inputs = find_inputs([str(folder)])
    assert len(inputs.names) == 3 and "2 files were left out, as microcalc made them" in inputs.note()
    with pytest.raises(RequestError, match=r"overlays: 2 files were left out, as microcalc made them, and nothing is"):
        find_inputs([str(folder / "found" / "overlays")])


@pytest.mark.parametrize("request_", ["missing.png", "*.png", "x" * 300, "nul\0byte"])
def test_a_name_without_a_file_is_refused(request_: str, folder: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        found(folder / request_)


def test_nothing_that_microcalc_wrote_is_an_input(folder: Path) -> None:
    expected = found(folder)
    for kind in ("overlays", "heatmaps", "dicom", "pictures"):
        write(folder / "found" / kind / "a.pgm")
        write(folder / "b" / kind / "kept.pgm")
        expected.append(f"{folder}/b/{kind}/kept.pgm")
    (folder / "found" / "results.jsonl").touch()
    ours = write_mammogram(folder / "b" / "copied.sc.dcm", ManufacturerModelName="microcalc")
    write_mammogram(folder / "b" / "film.dcm", ManufacturerModelName="Scanner")
    expected.append(f"{folder}/b/film.dcm")
    assert sorted(found(folder)) == sorted(found(f"{folder}/**/*.*m")) == sorted(expected)
    assert is_result_of_ours(ours) and is_result_of_ours(ours.read_bytes())


def test_a_folder_of_results_may_be_the_folder_of_the_images_or_one_above_it(folder: Path) -> None:
    before = found(folder)
    for place in (folder, folder.parent):
        (place / "results.jsonl").touch()
        write(place / "overlays" / "a.pgm")
    assert found(folder) == before


def test_a_manifest_keeps_names_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "manifest.txt"
    path.write_bytes(
        b"\xef\xbb\xbfb c.dcm\r\n\n#1.dcm\nhttps://example.org/%20a.dcm\nb c.dcm\nfile:///x/\xc3\xa9.dcm\n\xff.dcm"
    )
    names = ["b c.dcm", "#1.dcm", "https://example.org/%20a.dcm", "b c.dcm", "file:///x/é.dcm", "\udcff.dcm"]
    assert read_manifest(path) == names
    expected = [name if "://" in name else f"{Path.cwd()}/{name}" for name in dict.fromkeys(names)]
    assert list(find_inputs([], path).names) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"\n\r\n", "names no file"),
        (b"\xff\xfea\0", "is not text in UTF-8"),
        (b"nosuch://a.dcm\n", "nosuch:// cannot be read here"),
    ],
)
def test_a_bad_manifest_is_refused_in_one_line_that_names_it(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=f"manifest.txt: {problem}"):
        read_manifest(path)


def test_a_url_is_read_like_a_file_and_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    fsspec.filesystem("memory").pipe("/there.dcm", b"pixels")
    local = write(tmp_path / "local.pgm")
    assert read_once("memory://there.dcm").data == b"pixels"
    assert read_once(local.as_uri()).sha256 == read_once(str(local)).sha256
    assert list((tmp_path / "copies").iterdir()) == []
    for url, problem in (("memory://missing.dcm", "does not exist"), ("nosuch://a", "cannot be fetched")):
        with pytest.raises(RequestError, match=problem):
            read_once(url)
