"""The command line: what each request answers, and with which exit code."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli.asked import ask
from PIL import Image

from microcalc.cli import main, parsed
from microcalc.cli.run import Run
from microcalc.config import AugmentationSettings, StudyConfig, WaveletSettings

OPTIONS = "--dim 2 --depth 1 --dropout 0 --searching-fraction 1 --search-epochs 1 --epochs 1 --folds 2 --gradcam 1"
TINY = [*OPTIONS.split(), "--jobs", "1"]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the archive, on which every download fails."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("MICROCALC_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr("microcalc.data.sources.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("pooch.HTTPDownloader.__call__", refuse)
    return tmp_path


@pytest.mark.slow
def test_without_the_archive_a_study_runs_on_the_phantom_and_says_so_everywhere(nowhere: Path, capsys):
    code, out, _ = ask(capsys, "run", "--out", nowhere / "run", *TINY)
    assert code == 0
    assert out.startswith("PHANTOM DATA")
    assert json.loads((nowhere / "run" / "metrics.json").read_text())["dataset"]["built_in_phantom"]
    assert "<title>PHANTOM DATA" in (nowhere / "run" / "report.html").read_text()


def test_a_study_of_the_archive_never_falls_back(nowhere: Path, capsys):
    code, _, err = ask(capsys, "run", "--data", "infn", "--out", nowhere / "run")
    assert code == 2
    assert err.count("\n") == 1 and "archive" in err
    assert not (nowhere / "run").exists()


@pytest.mark.parametrize(
    "request_",
    [
        "run --data phantom --dim 0",
        "run --data phantom --folds 1",
        "run --data phantom --epochs 0",
        "run --data phantom --search-epochs 0",
        "run --data phantom --seed -1",
        "run --data phantom --seed 100000000000000000000",
        "run --data phantom --fast-execution --epochs -1",
        "phantom --seed -1 --out phantom",
        "run --data phantom --jobs 0",
        "run --data phantom --gradcam 26",
        "run --data phantom --wavelet sym3 --threshold 0",
        "run --data phantom --sensitivity 2",
        "run --data phantom --p-background-swap 1.5",
        "run --data phantom --scale-range 0.5 0.9",
        "run --data phantom --test official",
        "run --data nowhere",
        "audit nowhere",
        "compare nowhere nowhere",
        "run --jobs two",
        "run --unheard-of",
        "unheard-of",
    ],
)
def test_a_wrong_request_is_refused_with_nothing_written(request_: str, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = ask(capsys, *request_.split())
    assert code == 2
    assert err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_path_is_printed_as_it_is(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ask(capsys, "phantom", "--out", "[red][/b]:cat:", "--patients", 2) == (0, "phantom: [red][/b]:cat:\n", "")
    assert "[red]:cat:: does not exist" in ask(capsys, "predict", "[red]:cat:")[2]


def test_a_traceback_comes_with_debug_alone(capsys):
    with pytest.raises(Exception, match=r"dim\.0 must be"):
        main(["run", "--data", "phantom", "--dim", "0", "--debug"])


def settings(*options: str) -> StudyConfig:
    return parsed(["run", *options]).config


def test_the_command_line_and_python_have_the_same_settings():
    assert settings() == StudyConfig()
    assert settings("--p-background-swap", "0.2").augmentation == AugmentationSettings(p_background_swap=0.2)
    assert settings("--scale-range", "0.6", "1.3").augmentation.scale_range == (0.6, 1.3)
    assert settings("--no-augment").augmentation is None
    assert settings("--search-epochs", "3", "--epochs", "9").search.epochs == 3
    filtered = settings("--wavelet", "haar", "--p-power-law-noise", "0.2")
    assert filtered.wavelet == WaveletSettings("haar")
    assert filtered.training_augmentation.drawn() == {
        "p_linear_structures": 0.0, "p_power_law_noise": 0.2, "p_dust": 0.0
    }  # fmt: skip


@pytest.mark.slow
def test_a_quiet_run_says_nothing_and_compared_with_itself_does_not_differ(tmp_path: Path, capsys):
    code, out, err = ask(capsys, "run", "--data", "phantom", "--out", tmp_path / "run", "-q", *TINY)
    assert (code, out, err) == (0, "", "")
    code, out, _ = ask(capsys, "compare", tmp_path / "run", tmp_path / "run")
    assert code == 0 and "+0.0000" in out


@pytest.mark.slow
def test_a_folder_of_ones_own_is_a_dataset(tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    for label in (0, 1):
        (tmp_path / "mine" / str(label)).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 200, (60, 60)) + 50 * label
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "mine" / str(label) / f"{number}.png")
    (tmp_path / "mine" / "1" / "[notes].txt").touch()
    code, out, err = ask(capsys, "run", "--data", tmp_path / "mine", "--out", tmp_path / "run", *TINY)
    assert code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["dataset"]["name"] == "mine"
    warnings = [
        "mine: in 0/ and 1/, 1 file was left out, as it is no image: 1 .txt",
        "mine: 60 of 60 files do not name their patient, and each counts as a patient of its own: 0/0.png, 0/1.png, "
        "0/10.png and 57 more; give a groups.csv, or figures may be too good",
    ]
    assumed, *others = metrics["warnings"]
    assert "assumed to be 0.085 mm" in assumed and others == warnings
    assert err == "".join(f"microcalc: warning: {warning}\n" for warning in warnings)
    assert all(warning in " ".join(out.split()) for warning in warnings)
    assert all(warning in (tmp_path / "run" / "report.html").read_text() for warning in warnings)


def test_an_audit_tells_what_is_doubtful_about_a_dataset(tmp_path: Path, capsys):
    assert ask(capsys, "phantom", "--out", tmp_path / "own", "--patients", 12)[0] == 0
    (tmp_path / "own" / "2").mkdir()
    code, _, err = ask(capsys, "audit", tmp_path / "own", "-q", "--out", tmp_path / "audit.json")
    assert (code, err.count("\n")) == (0, 1) and "own: 2/ beside 0/ and 1/ was not read" in err
    assert json.loads((tmp_path / "audit.json").read_text())["warnings"] == [
        "2/ beside 0/ and 1/ was not read: a dataset has two classes"
    ]


def test_an_audit_says_what_to_know_and_writes_its_figures_where_asked_to(tmp_path: Path, capsys, monkeypatch):
    assert ask(capsys, "phantom", "--out", tmp_path / "own", "--patients", 12)[0] == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, _ = ask(capsys, "audit", "../own")
    assert code == 0 and "12 patients" in " ".join(out.split())
    assert not list(Path().iterdir()) and not list((tmp_path / "own").glob("*.json"))
    assert ask(capsys, "audit", "../own", "-q", "--out", "audit.json")[:2] == (0, "")
    assert json.loads(Path("audit.json").read_text())["dataset"]["name"] == "own"


@pytest.mark.parametrize("out", ["there", "file/audit.json"])
def test_an_audit_that_cannot_be_written_fails_before_the_work(out: str, tmp_path: Path, capsys, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr("microcalc.evaluation.audit.audit", pytest.fail)
    code, _, err = ask(capsys, "audit", "phantom", "--out", tmp_path / out)
    assert code in (1, 2) and str(tmp_path / out) in err


def test_an_audit_never_overwrites_its_dataset(tmp_path: Path, capsys):
    assert ask(capsys, "phantom", "--out", tmp_path / "own", "--patients", 4)[0] == 0
    for over in (tmp_path / "own" / "groups.csv", next(tmp_path.glob("own/1/*.png"))):
        before = over.read_bytes()
        code, _, err = ask(capsys, "audit", tmp_path / "own", "--out", over)
        assert code == 2 and "is an input" in err and over.read_bytes() == before


def test_fetching_checks_the_archive_at_hand(shared_data: Path, capsys):
    code, out, _ = ask(capsys, "fetch", "infn", "--archive", shared_data / "DL_class_data.tar.gz")
    assert code == 0 and "all patches checked" in out


def test_the_naive_protocol_repeats_an_honest_study() -> None:
    assert Run(settings=StudyConfig(protocol="naive")).config == StudyConfig()
