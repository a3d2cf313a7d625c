"""Which files of a folder are images, and what is said of the others."""

import os
from pathlib import Path

import pytest

from microcalc.errors import FailedError
from microcalc.images import find_images

PGM = b"P5 8 8 255\n" + bytes(64)
DICOM = bytes(128) + b"DICM"


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder).files]


def test_images_are_found_by_content_and_sorted_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b.PNG", "a", "deep/er/c.JPG", "deep/d.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PGM)
    (tmp_path / "IM0001").write_bytes(DICOM)
    assert names(tmp_path) == ["IM0001", "a", "b.PNG", "deep/d.bmp", "deep/er/c.JPG"]


def test_what_is_left_out_is_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("a.bmp", "b.BMP", "notes.txt", "README"):
        (tmp_path / name).write_bytes(b"BM and more")
    found = find_images(tmp_path)
    assert found.files == []
    assert found.note() == "4 files were left out, as they are no images: 2 .bmp, 1 without suffix, 1 .txt"


def test_nothing_left_out_needs_no_note(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(PGM)
    (tmp_path / ".DS_Store").write_bytes(b"hidden")
    assert find_images(tmp_path).note() == ""


def test_a_damaged_image_and_a_broken_link_are_listed_so_that_they_are_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "torn.dcm").write_bytes(b"torn")
    assert names(tmp_path) == ["gone.png", "torn.dcm"]


def test_a_linked_folder_is_followed_once_and_a_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.pgm").write_bytes(PGM)
    (tmp_path / "set" / "0").mkdir(parents=True)
    (tmp_path / "set" / "0" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "0" / "loop").symlink_to(tmp_path / "set")
    assert names(tmp_path / "set") == ["0/linked/a.pgm"]


def test_a_pipe_is_left_out_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert find_images(tmp_path).left_out == {"": 1}


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refuse(path: os.PathLike[str]) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FailedError, match=r"shut: cannot be listed \(Permission denied\); change its permissions"):
        find_images(tmp_path)
    with pytest.raises(FailedError, match=r"none: cannot be listed \(No such file or directory\)"):
        find_images(tmp_path / "none")
