"""Outputs respect what is there: permissions, links, pipes and devices, other outputs, and inputs."""

import csv
import errno
import itertools
import os
import re
import stat
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge

from microcalc.errors import FailedError, RequestError
from microcalc.files import (
    TEMPORARY_SUFFIX,
    FileName,
    check_outputs,
    check_unused,
    checked,
    locked,
    opened_atomically,
    read_record,
    write_atomically,
    write_csv,
    write_json,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes are those of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize(("mask", "expected"), [(0o077, 0o600), (0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(
    mask: int, expected: int, tmp_path: Path, umask: None
) -> None:
    os.umask(mask)
    write_json(tmp_path / "a.json", {})
    assert mode(tmp_path / "a.json") == expected


@pytest.mark.parametrize("permissions", [0o600, 0o664, 0o640])
def test_a_file_that_is_replaced_keeps_its_permissions(permissions: int, tmp_path: Path, umask: None) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(permissions)
    with opened_atomically(path) as file:
        file.write(b"new")
        [part] = tmp_path.glob(f".*{TEMPORARY_SUFFIX}")
        assert mode(part) == permissions
    assert (path.read_text(), mode(path)) == ("new", permissions)


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_and_the_file_behind_it_is_written(there: bool, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link, second = tmp_path / "real" / "a.csv", tmp_path / "link.csv", tmp_path / "second.csv"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    second.symlink_to("link.csv")
    write_atomically(second, "new")
    assert link.is_symlink() and second.is_symlink() and not target.is_symlink()
    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.rglob("*")} == {"real", "a.csv", "link.csv", "second.csv"}


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    path, received = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    write_atomically(path, "rows")
    reader.join(10)
    assert received == [b"rows"] and path.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_without_room_is_an_error() -> None:
    with pytest.raises(FailedError, match=r"/dev/full: cannot be written .*make room"):
        write_atomically(Path("/dev/full"), "rows")


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_written_to(name: str, capfd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    print("before")
    write_atomically(Path(name), "rows\n")
    print("after")
    assert capfd.readouterr().out == "before\nrows\nafter\n"
    assert not list(tmp_path.iterdir())


def test_the_longest_name_that_the_disk_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    write_atomically(path, "rows")
    assert path.read_text() == "rows"
    with pytest.raises(FailedError, match="cannot be written"):
        write_atomically(tmp_path / ("a" * 256), "rows")


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user to try")
@pytest.mark.parametrize("closed", ["folder", "file"])
def test_a_file_that_may_not_be_written_stays_and_the_error_names_permissions(closed: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name, "a.csv")
        path.write_text("old")
        folder.chmod(0o755 if closed == "folder" else 0o777)
        os.seteuid(65534)
        try:
            with pytest.raises(FailedError, match="you may not write there") as caught:
                write_atomically(path, "new")
        finally:
            os.seteuid(0)
        assert "make room" not in str(caught.value)
        assert path.read_text() == "old" and [entry.name for entry in folder.iterdir()] == ["a.csv"]


def test_two_outputs_on_one_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "link").symlink_to("a.csv")
    first = tmp_path / "a.csv"
    for second in (first, tmp_path / "." / "a.csv", tmp_path / "link"):
        with pytest.raises(RequestError, match="is named for both --csv and --json"):
            check_outputs({"--csv": first, "--json": second})
    with pytest.raises(RequestError, match="both"):
        check_outputs({"--csv": Path("-"), "--json": Path("/dev/stdout")})
    check_outputs({"--csv": first, "--json": tmp_path / "b.json", "--more": None})


def test_an_output_over_an_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "link").symlink_to("a.png")
    other = tmp_path / "nowhere" / ".." / "a.png"
    for output, given in itertools.permutations([tmp_path / "a.png", tmp_path / "link", other], 2):
        with pytest.raises(RequestError, match="is an input, and --csv would overwrite it"):
            check_outputs({"--csv": output}, [given])
    check_outputs({"--csv": tmp_path / "b.csv"}, [tmp_path / "a.png"])


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    check_unused(tmp_path / "new")
    check_unused(tmp_path)
    (tmp_path / ".hidden").touch()
    with pytest.raises(RequestError, match="is not empty; give another folder"):
        check_unused(tmp_path)
    with pytest.raises(RequestError, match="cannot be used as a folder"):
        check_unused(tmp_path / ".hidden")


def test_a_lock_that_another_holds_and_a_disk_without_locks_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, busy = tmp_path / "new" / "lock", "new: another microcalc is working"
    with locked(lock), pytest.raises(RequestError, match=busy), locked(lock):
        pass
    with locked(lock):  # it was given back
        pass

    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without_locks)
    with pytest.raises(RequestError, match=r"cannot be locked \(No locks available\)"), locked(tmp_path / "lock"):
        pass


@dataclass(frozen=True)
class Spot:
    center: tuple[float, float]
    number: Annotated[int, Ge(1)]
    kind: Literal["round", "branching"] | None
    note: str = ""


@dataclass(frozen=True)
class Named:
    file: FileName


WHOLE = {"center": [0.5, 12], "number": 3, "kind": None}


def test_json_becomes_the_dataclass_and_its_lists_tuples(tmp_path: Path) -> None:
    write_json(tmp_path / "spots.json", [WHOLE, {**WHOLE, "kind": "round", "note": "b"}, {**WHOLE, "number": 2}])
    expected = (Spot((0.5, 12.0), 3, None), Spot((0.5, 12.0), 3, "round", "b"), Spot((0.5, 12.0), 2, None))
    assert read_record(tmp_path / "spots.json", tuple[Spot, ...], "make it anew") == expected
    assert checked(Spot, expected[1]) == expected[1]
    assert checked(Spot, {**WHOLE, "number": np.int64(3), "center": (np.float32(0.5), 12.0)}) == expected[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"number": True}, "number must be a valid integer: got True"),
        ({"number": "3"}, "number must be a valid integer: got '3'"),
        ({"number": 3.0}, "number must be a valid integer: got 3.0"),
        ({"number": 0}, "number must be at least 1: got 0"),
        ({"center": [True, 2]}, "center.0 must be a valid number: got True"),
        ({"center": [1, float("nan")]}, "center.1 must be a valid number: got 'NaN'"),
        ({"center": [1, 2, 3]}, "center must have at most 2 items: got [1, 2, 3]"),
        ({"center": [1]}, "center.1 is missing"),
        ({"center": 1.5}, "center must be a list: got 1.5"),
        ({"kind": "square"}, "kind must be 'round' or 'branching': got 'square'"),
        ({"note": None}, "note must be a valid string: got None"),
        ({"more": 1}, "more is not known"),
        ({"note": object()}, "the value must be plain numbers and text"),
        ({"note": "\ud800"}, "the value must be plain numbers and text"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line_that_names_its_key(
    change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RequestError, match=f"^{re.escape(problem)}"):
        checked(Spot, {**WHOLE, **change})
    named = "^spots" if "the value" in problem else f"^spots.1.{re.escape(problem)}"
    with pytest.raises(RequestError, match=named):
        checked(tuple[Spot, ...], [WHOLE, {**WHOLE, **change}, {}], "spots")


def test_a_record_holds_names_of_any_bytes_and_keys_of_later_versions(tmp_path: Path) -> None:
    for name in ("\udc80\udcff.dcm", "😀.dcm", "a\udcc3.dcm"):
        write_json(tmp_path / "names.json", {"file": name, "later": [name]})
        assert read_record(tmp_path / "names.json", Named, "make it anew") == Named(name)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400, "true", "null", "[]"])
def test_a_file_without_the_expected_numbers_is_refused_with_the_way_out(number: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f'{{"a": {number}}}')
    with pytest.raises(RequestError, match=rf"^{tmp_path}/a\.json: .*; make it anew$"):
        read_record(tmp_path / "a.json", dict[Literal["a"], float], "make it anew")


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_outputs({"--csv": tmp_path / "new" / "a.csv", "--json": Path("-")})
    assert not list(tmp_path.iterdir())
    with pytest.raises(RequestError, match="is a folder; name a file to write"):
        check_outputs({"--csv": tmp_path})
    monkeypatch.setattr(os, "access", lambda place, how: place != tmp_path)  # root may write anywhere
    with pytest.raises(FailedError, match="you may not write there"):
        check_outputs({"--csv": tmp_path / "new" / "a.csv"})


def test_no_cell_of_a_table_is_a_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1.dcm", "+a", "-a", "@a", "\ta", "\rb", "a=b", "-1.5", "\udcff.dcm", 'a,"b".dcm']
    write_csv(tmp_path / "a.csv", [["file", "score"], *([name, -2.5] for name in names)])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    quoted = [f"'{name}" for name in names[:6]]
    assert rows == [["file", "score"], *([name, "-2.5"] for name in [*quoted, "a=b", "-1.5", r"\udcff.dcm", names[9]])]
