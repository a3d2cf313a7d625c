import json
import subprocess
import sys
from pathlib import Path

import pytest

from microcalc.errors import FailedError, RequestError
from microcalc.files import read_json, write_atomically
from microcalc.runs import describe_environment, open_run

IDENTITY = {"settings": {"seed": 0, "search": {"epochs": 15}}}


OWNER = """
import sys, time
from pathlib import Path
from microcalc.runs import open_run
with open_run(Path(sys.argv[1]), {"settings": {"seed": 0}}, resume=True):
    print("held", flush=True)
    time.sleep(60)
"""


def test_an_empty_or_missing_directory_is_taken_with_and_without_resume(tmp_path: Path) -> None:
    for name, resume in (("a", False), ("b", True)):
        with open_run(tmp_path / name, IDENTITY, resume=resume) as run:
            assert read_json(run / "config.json") == IDENTITY


def test_a_used_directory_is_refused_unless_resumed_with_the_same_settings(tmp_path: Path) -> None:
    changed = {"settings": {"seed": 0, "search": {"epochs": 30}}}
    with open_run(tmp_path, IDENTITY, resume=False):
        pass
    for identity, resume, problem in ((IDENTITY, False, r"not empty.*resume"), (changed, True, "epochs: 15 -> 30")):
        with pytest.raises(RequestError, match=problem), open_run(tmp_path, identity, resume=resume):
            pass
    with open_run(tmp_path, IDENTITY, resume=True):
        pass


def test_a_second_study_in_one_directory_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None and owner.stdout.readline() == "held\n"
            with pytest.raises(RequestError, match="another microcalc"), open_run(tmp_path, {}, resume=True):
                pass
        finally:
            owner.kill()
    with open_run(tmp_path, {"settings": {"seed": 0}}, resume=True):
        pass


def test_leftovers_of_a_killed_write_are_swept_and_no_lock_stays(tmp_path: Path) -> None:
    with open_run(tmp_path, IDENTITY, resume=False):
        (tmp_path / ".metrics.json.x1.part").write_text("{")
    with open_run(tmp_path, IDENTITY, resume=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("microcalc.files.os.fsync", full)
    with pytest.raises(FailedError, match=r"No space left on device.*resume"):
        write_atomically(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("metrics.json", "old")]


def test_a_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = tmp_path / "file" / "run"
    with pytest.raises(RequestError, match="give another folder"), open_run(run, {}, resume=False):
        pass


def test_the_environment_is_plain_values() -> None:
    assert json.loads(json.dumps(describe_environment()))["packages"]["torch"]
