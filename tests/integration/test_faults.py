"""Faults and bad input: each ends in one clear line with its exit code, and everything earlier stays."""

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from microcalc.cli import Audit, main
from microcalc.data.phantom import make_phantom

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

SETTINGS = [
    *("run", "--external", "none", "--test", "none", "--folds", "2", "--gradcam", "1", "--jobs", "1"),
    *("--dim", "2", "3", "--depth", "1", "--dropout", "0.0", "--searching-fraction", "1"),
    *("--search-epochs", "1", "--epochs", "1"),
]
PATIENT = "ROSSI^MARIA"


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "patches"
    main(["phantom", "--out", str(folder), "--patients", "30", "-q"])
    return folder


@pytest.fixture(scope="module")
def finished(patches: Path, tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Path:
    """The run directory of a finished study, not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "study"
    main([*SETTINGS, "--data", str(patches), "--out", str(out), "-q"])
    return out


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished study, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


class Ask:
    """Run a command; give its exit code and its standard error."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(self, *arguments: Any) -> tuple[int, str]:
        self.capfd.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        line = self.capfd.readouterr().err
        if code:
            assert line.startswith("microcalc: ") and line.count("\n") == 1, line
        return code, line

    def resuming(self, out: Path, data: Path, *more: Any) -> tuple[int, str]:
        return self(*SETTINGS, "--data", data, "--out", out, "--resume", "-q", *more)


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    return Ask(capfd)


def results(out: Path) -> tuple[dict[str, Any], bytes]:
    """All that a study finds out, timing aside."""
    metrics = json.loads((out / "metrics.json").read_text())
    return {**metrics, "timing": None}, (out / "predictions.csv").read_bytes()


def contents(out: Path) -> dict[str, bytes]:
    """Every file that counts, by its path."""
    files = (path for path in out.rglob("*") if path.is_file() and "keras_tuner" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


# Requests that would mix two studies


def test_a_used_directory_is_refused_without_resume(study: Path, patches: Path, ask: Ask) -> None:
    before = contents(study)
    code, line = ask(*SETTINGS, "--data", patches, "--out", study)
    assert code == 2 and "is not empty" in line and "resume" in line
    assert contents(study) == before


def test_a_missing_directory_is_started_with_resume(patches: Path, finished: Path, tmp_path: Path, ask: Ask) -> None:
    assert ask.resuming(tmp_path / "new", patches) == (0, "")
    assert results(tmp_path / "new") == results(finished)


def test_other_settings_are_refused_by_name(study: Path, patches: Path, ask: Ask) -> None:
    before = contents(study)
    code, line = ask.resuming(study, patches, "--epochs", "7", "--seed", "3")
    assert code == 2 and "settings.seed: 0 -> 3; settings.training.epochs: 1 -> 7" in line
    assert contents(study) == before


def test_other_data_are_refused_by_name(study: Path, patches: Path, tmp_path: Path, ask: Ask) -> None:
    others = shutil.copytree(patches, tmp_path / "patches")
    one, other, *_ = sorted((others / "0").iterdir())
    one.write_bytes(other.read_bytes())
    before = contents(study)
    code, line = ask.resuming(study, others)
    assert code == 2 and "data.own.sha256" in line and "settings." not in line
    assert contents(study) == before


def test_a_directory_in_use_is_refused(study: Path, patches: Path, ask: Ask) -> None:
    with FileLock(study / ".lock"):
        code, line = ask.resuming(study, patches)
    assert code == 2 and "another microcalc is working in it" in line


# Faults of the machine


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Any]:
    """A disk of some size, and a way to remount it with other options."""
    folder.mkdir()

    def mount(*options: str) -> bool:
        order = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder]
        return subprocess.run(order, capture_output=True).returncode == 0

    if os.name != "posix" or os.getuid() != 0 or not mount(f"size={kibibytes}k"):
        pytest.skip("only root may mount a small disk to fill")
    try:
        yield lambda option: mount("remount", option)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_loses_nothing(jobs: int, patches: Path, finished: Path, tmp_path: Path, ask: Ask) -> None:
    out = tmp_path / "disk" / "study"
    with small_disk(tmp_path / "disk", 8) as remount:
        before: dict[str, bytes] = {}
        for kibibytes in (8, 3600) if jobs == 1 else (64, 800):
            assert remount(f"size={kibibytes}k")
            code, line = ask.resuming(out, patches, "--jobs", jobs)
            assert code == 1 and "No space left on device" in line and "resume" in line
            after = contents(out)
            for name, content in before.items():
                assert name in after
                if name.startswith("search/") and not name.endswith("best.safetensors"):  # a later trial may be better
                    assert after[name] == content
            for name, content in after.items():
                assert content and not name.rpartition("/")[2].startswith(".")
                if name.endswith(".json"):
                    json.loads(content)
            before = after
        assert remount("size=64m")
        assert ask.resuming(out, patches)[0] == 0
        assert results(out) == results(finished)


def test_a_write_of_keras_tuner_that_fails_ends_the_study_and_not_just_the_trial(
    study: Path, finished: Path, patches: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("search.json", "history.json", "trial_1.json"):
        (study / "search" / "fold_0" / name).unlink()
    calls: list[int] = []

    def full(oracle: Any, trial: Any) -> None:
        calls.append(1)
        if len(calls) == 2:  # after trial 0 has run, where KerasTuner would mark it invalid and go on
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("keras_tuner.src.engine.oracle.Oracle._save_trial", full)
        code, line = ask.resuming(study, patches)
    assert code == 1 and "No space left on device" in line and "resume" in line
    code, line = ask.resuming(study, patches)
    assert code == 0, line
    assert results(study) == results(finished)


def test_a_read_only_directory_is_refused(patches: Path, tmp_path: Path, ask: Ask) -> None:
    with small_disk(tmp_path / "disk", 64) as remount:
        (tmp_path / "disk" / "study").mkdir()
        assert remount("ro")
        for out in (tmp_path / "disk" / "study", tmp_path / "disk" / "new"):
            code, line = ask.resuming(out, patches)
            assert code == 2 and "Read-only file system" in line and "give another folder" in line


def test_a_data_file_that_vanishes_half_way_is_named(
    patches: Path, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(patches, tmp_path / "patches")
    from microcalc.data import folder

    listed = folder.find_images

    def vanish(path: Path) -> Any:
        found = listed(path)
        found.files[-1].unlink()
        return found

    monkeypatch.setattr(folder, "find_images", vanish)
    code, line = ask.resuming(tmp_path / "study", data)
    assert code == 2 and ".png: does not exist" in line
    assert not (tmp_path / "study").exists()


def test_a_fault_of_our_own_is_one_line_without_traceback(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(Audit, "run", fail)
    assert ask("audit", "phantom") == (1, "microcalc: ZeroDivisionError: by zero; give --debug to see where\n")
    with pytest.raises(ZeroDivisionError):
        main(["audit", "phantom", "--debug"])


# Run directories of someone else


class Harm:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


HOSTILE = ["null", "[]", '"__import__"', "{}", "{", "[" * 5000, "NaN", '{"settings": {"seed": "\\u001b[31m"}}']


@pytest.mark.parametrize("content", HOSTILE)
def test_a_crafted_config_is_refused(content: str, study: Path, patches: Path, ask: Ask) -> None:
    (study / "config.json").write_text(content)
    code, line = ask.resuming(study, patches)
    assert code == 2 and "\x1b" not in line and len(line) < 1000


ABSURD = {"dim": 10**9, "depth": 1, "dropout": 0.0}
TRIALS: dict[str, dict[str, Any]] = {
    "text": {"holdout_loss": "__import__('os').system('touch harmed')"},
    "not a number": {"holdout_loss": float("nan")},
    "absurd": {"holdout_loss": 10**400},
    "a network too large to build": {"dim": 10**9},
    "another combination": {"dim": 3, "depth": 5},
    "another trial": {"trial": 1},
    "curves of another length": {"curves": {"loss": [], "accuracy": [], "holdout_loss": [], "holdout_accuracy": []}},
}
SEARCHES: dict[str, dict[str, Any]] = {
    "a network too large to build": {"hyperparameters": ABSURD},
    "hyperparameters of no trial": {"hyperparameters": {"dim": 2, "depth": 3, "dropout": 0.0}},
    "a trial that is not there": {"best": -1},
    "no trials": {"trials": []},
    "an absurd network of a trial, too": {"forged": True},
}
CRAFTED = {
    f"{name}, {kind}": (name, change)
    for name, changes in {"trial_0.json": TRIALS, "search.json": SEARCHES, "history.json": SEARCHES}.items()
    for kind, change in changes.items()
}


@pytest.mark.parametrize(("name", "change"), CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_record_is_refused(name: str, change: dict[str, Any], study: Path, patches: Path, ask: Ask) -> None:
    fold = study / "search" / "fold_0"
    for later in {"trial_0.json": ["search.json", "history.json"], "search.json": ["history.json"]}.get(name, []):
        (fold / later).unlink()
    record = json.loads((fold / name).read_text())
    if "forged" in change:  # it agrees with itself
        record["trials"][record["best"]]["dim"] = 10**9
        change = {"hyperparameters": ABSURD}
    (fold / name).write_text(json.dumps(record | change))
    code, line = ask.resuming(study, patches)
    assert code == 2 and f"{name}: " in line and "delete it and resume the study" in line


def test_a_deleted_record_is_made_anew(study: Path, finished: Path, patches: Path, ask: Ask) -> None:
    fold = study / "search" / "fold_1"
    for path in (fold / "search.json", fold / "history.json", fold / "trial_0.json", study / "metrics.json"):
        path.unlink()
    code, line = ask.resuming(study, patches)
    assert code == 0, line
    assert results(study) == results(finished)


@pytest.mark.parametrize("name", ["best.safetensors", "expert.safetensors"])
def test_crafted_weights_are_refused_and_nothing_in_them_runs(
    name: str, study: Path, patches: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    fold = study / "search" / "fold_0"
    if name == "best.safetensors":
        (fold / "history.json").unlink()
    (fold / name).write_bytes(pickle.dumps(Harm()))
    code, line = ask.resuming(study, patches)
    assert code == 2 and f"{name}: is not a file of weights" in line
    assert not (study.parent / "harmed").exists()


# Identifiers of patients


@pytest.fixture(scope="module")
def dicoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches as DICOM files, whose headers hold a name that the file names do not."""
    folder = tmp_path_factory.mktemp("dicoms") / "patches"
    images, labels, patients, _ = make_phantom(patients=30)
    for number, (image, label, patient) in enumerate(zip(images, labels, patients, strict=True)):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, f"1.2.{number}"
        dataset.PatientName, dataset.PatientID = PATIENT, PATIENT
        dataset.set_pixel_data(np.rint(image * 255).astype(np.uint8), "MONOCHROME2", 8, generate_instance_uid=False)
        path = folder / str(label) / f"{patient}_{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
    return folder


def test_no_name_of_a_dicom_header_is_in_any_output(
    dicoms: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    main([*SETTINGS, "--data", str(dicoms), "--out", str(out)])
    with pytest.raises(SystemExit):
        main([*SETTINGS, "--data", str(dicoms), "--out", str(out)])
    broken = tmp_path / "broken"
    for label in "01":
        (broken / label).mkdir(parents=True)
        whole = next((dicoms / label).iterdir()).read_bytes()
        (broken / label / "cut.dcm").write_bytes(whole[:-100])
    with pytest.raises(SystemExit):
        main([*SETTINGS, "--data", str(broken), "--out", str(tmp_path / "other")])
    outputs = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(outputs) > 20
    printed = "".join(capfd.readouterr())
    assert "cut.dcm" in printed
    for name in PATIENT.split("^"):
        assert name not in printed
        assert not [path for path, content in outputs.items() if name.encode() in content]
