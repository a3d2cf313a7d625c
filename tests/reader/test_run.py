"""Many files and one store: what a second command does, and what it refuses."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reader.tasks import SizeTask

from microcalc.errors import FailedError, ImageError, RequestError, TransientImageError
from microcalc.reader import content, run
from microcalc.reader.inputs import Inputs
from microcalc.reader.run import read_files
from microcalc.reader.store import Entry, Store
from microcalc.reader.tasks import committee_sha256


@pytest.fixture(autouse=True)
def done(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that were worked on, in order."""
    monkeypatch.setattr(run, "PAUSE_SECONDS", 0.0)
    SizeTask.done.clear()
    yield SizeTask.done


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Nine files of 10 to 18 bytes: more than two batches."""
    paths = [tmp_path / "in" / f"{number}.dcm" for number in range(9)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        path.write_bytes(bytes(10 + number))
    return paths


def read(out: Path, files: list[Path], **settings: Any) -> dict[str, Entry]:
    """Work on files as a command does; the entries that it reports, by name."""
    task, entries = SizeTask.of(**settings), {}
    inputs = Inputs({str(file): file.name for file in files})
    with Store.opened(out, task.settings()) as store:
        read_files(task, inputs, store, lambda entry, notes: entries.update({Path(entry.file).name: entry}))
    return entries


def pictures(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((out / "overlays").iterdir())}


def test_each_file_is_done_once_and_a_second_command_does_what_is_missing(
    tmp_path: Path, files: list[Path], done: list[str]
) -> None:
    first = read(tmp_path / "out", files[:5])
    assert [entry.result for entry in first.values()] == [{"size": 10 + number} for number in range(5)]
    assert done == [f"{number}.dcm" for number in range(5)]
    both = read(tmp_path / "out", files)
    assert list(both) == [file.name for file in files] and {name: both[name] for name in first} == first
    assert done == [file.name for file in files]
    with Store.opened(tmp_path / "out", SizeTask.of().settings()) as store:
        names = [Path(entry.file).stem for entry in store.entries([str(files[3])])]
    assert names == [*"301245678"]


@pytest.mark.parametrize("end", ['{"file": "half', '{"file": "/other.dcm", "stamp": []', "\0\0\0"])
def test_a_command_that_was_killed_goes_on_behind_its_last_whole_line(
    end: str, tmp_path: Path, files: list[Path], done: list[str]
) -> None:
    read(tmp_path / "out", files[:3])
    path = tmp_path / "out" / "results.jsonl"
    whole = path.read_text()
    path.write_text(whole + end)
    (tmp_path / "out" / "overlays" / ".0.png.123.part").touch()
    read(tmp_path / "out", files[:4])
    assert done == ["0.dcm", "1.dcm", "2.dcm", "3.dcm"]
    assert path.read_text().startswith(whole) and end not in path.read_text()
    assert list(pictures(tmp_path / "out")) == ["0.png", "1.png", "2.png", "3.png"]


def test_a_file_that_changed_is_done_again_also_at_the_same_size_and_time(
    tmp_path: Path, files: list[Path], done: list[str]
) -> None:
    before, status = read(tmp_path / "out", files[:3]), files[0].stat()
    files[0].write_bytes(bytes(9) + b"x")
    os.utime(files[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    files[1].write_bytes(bytes(30))
    files[2].touch()
    done.clear()
    after = read(tmp_path / "out", files[:3])
    assert done == ["0.dcm", "1.dcm", "2.dcm"]
    assert [after[name].sha256 == before[name].sha256 for name in after] == [False, False, True]
    assert after["1.dcm"].result == {"size": 30} and pictures(tmp_path / "out")["1.png"] == "30 at 0.5"
    read(tmp_path / "out", files[:3])
    assert len(done) == 3


def test_hash_and_result_come_from_the_same_bytes_and_the_stamp_from_before(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = content.read_content

    def changed_after(path: str) -> bytes:
        data = kept(path)
        Path(path).write_bytes(bytes(77))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(content, "read_content", changed_after)
        before = read(tmp_path / "out", files[:1])["0.dcm"]
    assert before.result == {"size": 10} and not before.is_current()
    assert read(tmp_path / "out", files[:1])["0.dcm"].result == {"size": 77}


def test_only_a_reason_that_may_pass_is_tried_again_and_three_times(
    tmp_path: Path, files: list[Path], done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, tries = content.read_content, dict.fromkeys("012345678", 0)

    def fail(path: str) -> bytes:
        number = Path(path).stem
        tries[number] += 1
        if number == "0" or (number == "1" and tries[number] < 3):
            raise TransientImageError("cannot be read", path)
        if number == "2":
            raise ImageError("may not be read", path)
        return kept(path)

    files[3].write_bytes(b"x")
    monkeypatch.setattr(content, "read_content", fail)
    entries = read(tmp_path / "out", files[:5])
    assert [tries[number] for number in "01234"] == [3, 3, 1, 1, 1]
    reasons = {name: (entry.reason, entry.transient) for name, entry in entries.items() if entry.result is None}
    assert reasons == {
        "0.dcm": ("cannot be read", True),
        "2.dcm": ("may not be read", False),
        "3.dcm": ("is too short", False),
    }
    read(tmp_path / "out", files[:5])
    assert [tries[number] for number in "01234"] == [6, 3, 2, 1, 1]  # a file that could not be read has no stamp
    files[3].write_bytes(bytes(20))
    assert read(tmp_path / "out", files[:5])["3.dcm"].result == {"size": 20}


def test_pictures_that_are_gone_are_drawn_anew_for_the_whole_folder_without_new_results(
    tmp_path: Path, files: list[Path]
) -> None:
    before = read(tmp_path / "out", files[:3])
    files[0].unlink()
    for name in ("0.png", "2.png"):
        (tmp_path / "out" / "overlays" / name).unlink()
    after = read(tmp_path / "out", files[2:4], point=0.25)
    assert pictures(tmp_path / "out") == {"1.png": "11 at 0.5", "2.png": "12 at 0.25", "3.png": "13 at 0.25"}
    assert after["2.dcm"] == replace(before["2.dcm"], made={"overlays": 0.25})
    with Store.opened(tmp_path / "out") as store:
        assert store.get(str(files[0])).result == before["0.dcm"].result


def test_settings_that_differ_are_named_with_both_values(tmp_path: Path, files: list[Path]) -> None:
    read(tmp_path / "out", files[:1])
    with pytest.raises(RequestError, match=r"out: holds results of other settings \(unit: 1 there, 7 now\)"):
        read(tmp_path / "out", files[:1], unit=7)


def test_a_folder_without_a_result_is_free(tmp_path: Path, files: list[Path]) -> None:
    files[0].write_bytes(b"x")
    assert read(tmp_path / "out", files[:1])["0.dcm"].result is None
    assert read(tmp_path / "out", files[:2], unit=7)["1.dcm"].result == {"size": 77}


def test_one_command_at_a_time_and_only_a_folder_of_results(tmp_path: Path, files: list[Path]) -> None:
    settings = SizeTask.of().settings()
    with (
        Store.opened(tmp_path / "out", settings),
        pytest.raises(RequestError, match="another microcalc is working in it"),
        Store.opened(tmp_path / "out", settings),
    ):
        pass
    for name, content_, problem in (
        ("results.jsonl", "[]\n", "is not what this version"),
        ("results.jsonl", '{"schema": 2, "settings": {}}\n', "is not what this version"),
        ("findings.json", "{}", "holds findings of an earlier version"),
    ):
        (tmp_path / name).write_text(content_)
        with pytest.raises(RequestError, match=problem), Store.opened(tmp_path, settings):
            pass
        (tmp_path / name).unlink()


def test_a_full_disk_ends_the_command_and_what_is_whole_stays(
    tmp_path: Path, files: list[Path], done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: Store, entry: Entry) -> None:
        if entry.file.endswith("5.dcm"):
            store._file.write(b'{"file": "')
            raise FailedError("no room")
        add(store, entry)

    add = Store.add
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", full)
        with pytest.raises(FailedError, match="no room"):
            read(tmp_path / "out", files)
    done.clear()
    assert len(read(tmp_path / "out", files)) == 9
    assert done == ["5.dcm", "6.dcm", "7.dcm", "8.dcm"]


def test_names_of_pictures_are_those_of_files_and_differ_on_every_disk(tmp_path: Path) -> None:
    names = ["1.2.3.1", "a.DCM", "a.png", "A.b", "Zoe\u0308.dcm", "Zoë.png", "\udcff.dcm", "x" * 251 + ".png"]
    with Store.opened(tmp_path, {}) as store:
        made = [store.free_name(f"/in/{name}") for name in names]
        assert store.free_name("https://example.org/scans/film.dcm?key=1") == "film"
    expected = ["1.2.3.1", "a", "a-2", "A.b", "Zoe\u0308", "Zoë-2", "\udcff", "x" * 200]
    assert made == expected


def test_the_hash_of_a_committee_covers_its_second_opinion_and_each_of_its_experts(tmp_path: Path) -> None:
    import shutil

    from microcalc.mammograms import second_opinion

    shutil.copytree(Path(second_opinion.__file__).parents[1] / "pretrained", tmp_path / "scan")
    hashes = [committee_sha256(tmp_path / "scan")]
    for name in ("second_opinion.json", "expert_3.safetensors", "committee.json"):
        path = tmp_path / "scan" / name
        if name == "second_opinion.json":
            opinion = json.loads(path.read_text())
            path.write_text(json.dumps({**opinion, "threshold": 0.123}))
            assert committee_sha256(tmp_path / "scan") == hashes[0]  # marks are made anew for each threshold
            path.write_text(json.dumps({**opinion, "bias": opinion["bias"] + 0.1}))
        else:
            path.write_bytes(path.read_bytes() + b" ")
        hashes.append(committee_sha256(tmp_path / "scan"))
    assert len(set(hashes)) == 4
