"""Manifests and the folder of results: what is refused, and what a second start finds."""

from pathlib import Path

import pytest

pytest.importorskip("distributed")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from archive.idle import IdleTask
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.archive.fetch import Failure, fetched, may_pass
from microcalc.archive.folder import ArchiveFolder, archive_status
from microcalc.archive.manifest import in_batches, read_manifest
from microcalc.archive.task import run_batch
from microcalc.cli import main
from microcalc.errors import RequestError

IDENTITY = {"kind": "idle"}


def part(names: list[str]) -> bytes:
    return run_batch(IdleTask(), names, "/").part


@pytest.mark.parametrize(
    "content, problem",
    [
        (None, "cannot be read"),
        (b"", "names no file"),
        (b"\n\r\n", "names no file"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"nosuch://a.dcm\n", "nosuch:// cannot be read here"),
    ],
)
def test_a_bad_manifest_is_one_line_that_names_it(content: bytes | None, problem: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "manifest.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as leaving:
        main(["scan", "--manifest", str(path), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert leaving.value.code == 2 and error.count("\n") == 1
    assert str(path) in error and problem in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, problem",
    [
        (["predict", "a.png", "--manifest", "m"], "images and --manifest cannot both be given"),
        (["predict", "--manifest", "m"], "--manifest needs --out"),
        (["predict", "--manifest", "m", "--out", "o", "--csv", "c"], "--csv does not go with --manifest"),
        (["predict", "--manifest", "m", "--out", "o", "--adapt"], "--adapt does not go with --manifest"),
        (["predict", "a.png", "--out", "o"], "--out needs --manifest"),
        (["predict", "a.png", "--workers", "2"], "--cluster and --workers need --manifest"),
        (["scan", "--manifest", "m", "--out", "o", "--dicom"], "--dicom does not go with --manifest"),
        (["scan", "--manifest", "m", "--out", "o", "--threshold", "7"], "--threshold must be a probability"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], problem: str, capsys) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(options)
    assert leaving.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, problem",
    [
        (["--cluster", "tcp://127.0.0.1:1", "--workers", "2"], "cannot both be given"),
        (["--workers", "0"], "workers must be from 1 to 1024: got 0"),
    ],
)
def test_an_impossible_number_of_workers_is_refused(options: list[str], problem: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "manifest.txt").write_text("a.pgm\n")
    with pytest.raises(SystemExit) as leaving:
        main(["predict", "--manifest", str(tmp_path / "manifest.txt"), "--out", str(tmp_path / "out"), *options])
    assert leaving.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_manifest_keeps_names_as_they_are_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.txt"
    path.write_text("\ufeffb c.dcm\r\n\n#1.dcm\nhttps://example.org/%20a.dcm\nb c.dcm\nfile:///x/é.dcm\n")
    assert read_manifest(path) == ["b c.dcm", "#1.dcm", "https://example.org/%20a.dcm", "file:///x/é.dcm"]


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 300), st.integers(1, 600))
def test_batches_hold_each_name_once_in_order_and_are_not_too_large(count: int, workers: int, largest: int) -> None:
    names = [str(number) for number in range(count)]
    batches = in_batches(names, workers, largest)
    assert [name for batch in batches for name in batch] == names
    assert max(map(len, batches)) <= largest
    assert len(batches) >= min(count, 2 * workers)


def test_a_url_becomes_a_copy_that_is_gone_afterwards(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/there.dcm", b"pixels")
    (tmp_path / "local.dcm").write_bytes(b"pixels")
    url = (tmp_path / "local.dcm").as_uri()
    with fetched(["memory://there.dcm", "memory://missing.dcm", url, "x/y.dcm"], Path("/data")) as (files, failures):
        copy, local, relative = files
        assert copy.read_bytes() == b"pixels"
        assert (local, relative) == (tmp_path / "local.dcm", Path("/data/x/y.dcm"))
    assert not copy.exists() and local.exists()
    assert failures == [Failure("memory://missing.dcm", "does not exist; check its name")]


def test_what_may_pass() -> None:
    answers = {status: type("Answer", (Exception,), {"status": status})() for status in (403, 404, 408, 429, 500, 503)}
    assert {status for status, error in answers.items() if may_pass(error)} == {408, 429, 500, 503}
    assert may_pass(TimeoutError()) and may_pass(ConnectionResetError())
    assert not may_pass(PermissionError()) and not may_pass(ImportError())


def test_another_task_or_another_command_is_refused(tmp_path: Path) -> None:
    with (
        ArchiveFolder.opened(tmp_path / "out", IDENTITY, ["a"]),
        pytest.raises(RequestError, match="another command is working on it"),
        ArchiveFolder.opened(tmp_path / "out", IDENTITY, ["a"]),
    ):
        pass
    with (
        pytest.raises(RequestError, match="other settings"),
        ArchiveFolder.opened(tmp_path / "out", {"kind": "b"}, ["a"]),
    ):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with (
        pytest.raises(RequestError, match="something other"),
        ArchiveFolder.opened(tmp_path / "other", IDENTITY, ["a"]),
    ):
        pass
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_a_damaged_part_or_one_with_the_files_of_another_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ArchiveFolder.opened(out, IDENTITY, ["a", "b"]) as folder:
        folder.add(["a", "b"], part(["a", "b"]), [])
    (copied,) = (out / "results").iterdir()
    (out / "results" / "zz.parquet").write_bytes(copied.read_bytes())
    with pytest.raises(RequestError, match=r"zz.parquet: holds files that another part"):
        ArchiveFolder.opened(out, IDENTITY, ["a", "b"]).__enter__()
    (out / "results" / "zz.parquet").write_bytes(b"PAR1")
    with pytest.raises(RequestError, match=r"zz.parquet: cannot be read as Parquet; delete it"):
        ArchiveFolder.opened(out, IDENTITY, ["a", "b"]).__enter__()
    with pytest.raises(RequestError, match=r"zz.parquet: cannot be read as Parquet; delete it"):
        archive_status(out)


def test_failures_outlive_the_command_and_end_with_a_row(tmp_path: Path) -> None:
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a", "b", "c"]) as folder:
        folder.add(["a", "b", "c"], part(["c"]), [Failure("a", "broken"), Failure("b", "busy", transient=True)])
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a", "b", "c"]) as folder:
        assert folder.missing(["a", "b", "c", "d"]) == ["b", "d"]
        folder.add(["b"], b"", [Failure("b", "busy still", transient=True)])
        assert folder.failures["b"] == Failure("b", "busy still", tries=2, transient=True)
        folder.add(["b"], part(["b"]), [])
        assert folder.failures.keys() == {"a"} and folder.done == {"b", "c"}
    table = pq.read_table(tmp_path / "failures.parquet")
    assert table.to_pylist() == [{"file": "a", "reason": "broken", "tries": 1, "transient": False}]
    assert table.schema.field("tries").type == pa.int64()


def test_a_file_that_got_a_row_before_the_command_was_killed_is_no_failure(tmp_path: Path) -> None:
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a"]) as folder:
        folder.add(["a"], b"", [Failure("a", "busy", transient=True)])
    failures = (tmp_path / "failures.parquet").read_bytes()
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a"]) as folder:
        folder.add(["a"], part(["a"]), [])
    (tmp_path / "failures.parquet").write_bytes(failures)  # as a kill before the list is written leaves it
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a"]) as folder:
        assert (folder.done, folder.failures, folder.missing(["a"])) == ({"a"}, {}, [])
    assert pq.read_table(tmp_path / "failures.parquet").num_rows == 0


def test_files_of_an_earlier_manifest_count_among_all(tmp_path: Path) -> None:
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a", "b", "c"]) as folder:
        folder.add(["a", "b"], part(["a", "b"]), [])
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["d"]) as folder:
        assert folder.total == 3
        folder.add(["d"], part(["d"]), [])
    status = archive_status(tmp_path)
    assert (status.names, status.done, status.left) == (3, 3, 0)


@pytest.mark.parametrize(
    "description",
    ["[]", "{}", '{"schema": 1, "names": "x", "task": {"kind": "a"}}', '{"schema": 1, "names": 1, "task": {}}'],
)
def test_a_damaged_description_is_one_line(description: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "archive.json").write_text(description)
    with pytest.raises(SystemExit) as leaving:
        main(["archive", "status", str(tmp_path)])
    error = capsys.readouterr().err
    assert leaving.value.code == 2 and error.count("\n") == 1 and "archive.json: is not that of an archive" in error


def test_a_part_without_names_is_named(tmp_path: Path) -> None:
    with ArchiveFolder.opened(tmp_path, IDENTITY, ["a"]):
        pass
    (tmp_path / "results").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "results" / "other.parquet")
    with pytest.raises(RequestError, match=r"other.parquet: cannot be read as Parquet; delete it"):
        ArchiveFolder.opened(tmp_path, IDENTITY, ["a"]).__enter__()


@pytest.mark.parametrize("command", ["predict", "scan"])
@pytest.mark.parametrize("size", ["-1", "nan"])
def test_an_impossible_pixel_size_is_refused_before_a_folder_is_made(
    command: str, size: str, tmp_path: Path, capsys
) -> None:
    (tmp_path / "manifest.txt").write_text("a.pgm\n")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as leaving:
        main([command, "--manifest", str(tmp_path / "manifest.txt"), "--out", str(out), "--pixel-size", size])
    assert leaving.value.code == 2 and "pixel size must be" in capsys.readouterr().err
    assert not out.exists()


def test_status_of_a_folder_in_use_and_of_one_that_is_no_archive(tmp_path: Path, capsys) -> None:
    with ArchiveFolder.opened(tmp_path / "out", IDENTITY, ["a", "b", "c", "d", "e"]) as folder:
        folder.add(["a"], part(["a"]), [])
        main(["archive", "status", str(tmp_path / "out")])
        printed = capsys.readouterr().out
        assert "idle: 1 of 5 files done, 0 failed" in printed and "4 left" in printed and "no command" not in printed
    main(["archive", "status", str(tmp_path / "out")])
    assert "4 left; no command is working on it" in capsys.readouterr().out
    with pytest.raises(SystemExit) as leaving:
        main(["archive", "status", str(tmp_path)])
    assert leaving.value.code == 2 and "holds no archive" in capsys.readouterr().err
