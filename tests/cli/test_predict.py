"""A committee asked about files: what it answers, in which form, and what a bad file costs."""

import csv
import io
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from cli.asked import ask
from pydicom.uid import ExplicitVRLittleEndian
from rich.console import Console

from microcalc.cli import main
from microcalc.cli.progress import study_progress
from microcalc.cli.run import next_commands
from microcalc.committee.calibration import Calibration, DecisionRule
from microcalc.committee.committee import Committee, ExpertShape
from microcalc.committee.predictions import predict_patches
from microcalc.config import StudyConfig, WaveletSettings
from microcalc.data.patch_files import PatchFile
from microcalc.data.phantom import make_phantom
from microcalc.errors import RequestError
from microcalc.explain.drawing import overlay
from microcalc.explain.maps import explain
from microcalc.images.tiles import views
from microcalc.networks.hypermodel import build_network
from microcalc.training.task import Progress

IMAGES, _, _, _ = make_phantom(patients=20, patches_per_patient=4, seed=0)
COLUMNS = ["file", "probability", "decision", "expert_0", "expert_1", "pixel_size_mm"]


@pytest.fixture(scope="module")
def committee() -> Committee:
    shapes = (ExpertShape(2, 1, 0.0, "high_pass"), ExpertShape(3, 1, 0.0, "high_pass"))
    networks = tuple(build_network(**vars(shape), seed=number) for number, shape in enumerate(shapes))
    weights = np.array([0.4, 0.6])
    calibration, wavelet = Calibration(1.2, 0.1), WaveletSettings("none")
    made = Committee(networks, shapes, weights, calibration, 0.5, wavelet)
    middle = float(np.median(made.predict_proba(IMAGES[:8])))
    unknown_scale = DecisionRule(Calibration(0.8, -0.5), middle)
    return replace(made, threshold=middle, unknown_scale=unknown_scale)


@pytest.fixture(scope="module")
def saved(committee: Committee, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("committee")
    committee.save(directory)
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight patches as PNG in two folders, and a note."""
    for number, image in enumerate(IMAGES[:8]):
        write(tmp_path / "scans" / str(number % 2) / f"patch_{number}.png", image)
    (tmp_path / "scans" / "notes.txt").write_text("not an image")
    return tmp_path / "scans"


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(path)
    return path


def dicom(path: Path, image: np.ndarray, **elements: object) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    dataset.set_pixel_data(np.rint(255 * image).astype(np.uint8), "MONOCHROME2", 8, generate_instance_uid=False)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# predict


def test_predictions_are_those_of_the_committee_in_table_csv_and_json(
    folder: Path, saved: Path, committee: Committee, capsys: pytest.CaptureFixture[str]
) -> None:
    table, plain = folder / "p.csv", folder / "p.json"
    code, out, err = ask(capsys, "predict", folder, "--committee", saved, "--csv", table, "--json", plain)
    assert (code, err) == (0, "")
    assert "8 patches, 4 with a cluster" in out and "1 file was left out, as it is no image: 1 .txt" in out
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    found = rows(table)
    assert list(found[0]) == COLUMNS
    assert [Path(row["file"]).name for row in found] == [f"patch_{number}.png" for number in order]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in found], committee.predict_proba(IMAGES[order]), atol=1e-6
    )
    experts = committee.expert_probabilities(IMAGES[order])
    np.testing.assert_allclose([[float(row["expert_0"]), float(row["expert_1"])] for row in found], experts, atol=1e-6)
    assert {row["decision"] for row in found} == {"0", "1"}
    told = json.loads(plain.read_text())
    assert told["threshold"] == committee.threshold
    assert told["unreadable"] == []
    assert list(told["predictions"][0]) == [*COLUMNS, "warnings"]


def test_unreadable_files_are_named_at_the_end_and_cost_only_themselves(folder: Path, saved: Path, capsys) -> None:
    (folder / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.png").touch()
    (folder / "folder.png").mkdir()
    write(folder / "small.png", IMAGES[0][:30])
    write(folder / "mammogram.png", np.zeros((1200, 900)))
    requests = [folder, folder / "folder.png", "--committee", saved, "--json", folder / "p.json"]
    code, _, err = ask(capsys, "predict", *requests)
    lines = err.splitlines()
    assert code == 1
    assert len(lines) == 6 and lines[-1].startswith("microcalc: 5 of 13 files could not be used")
    for name, problem in {
        "broken.png": "damaged",
        "empty.png": "is empty",
        "folder.png": "is a folder",
        "small.png": "60 x 30 pixels and no pixel size, while a patch is 60 x 60; give the pixel size in mm",
        "mammogram.png": "900 x 1200 pixels and no pixel size",
    }.items():
        assert any(name in line and problem in line for line in lines)
    told = json.loads((folder / "p.json").read_text())
    assert (len(told["predictions"]), len(told["unreadable"])) == (8, 5)


def test_the_answer_of_a_larger_field_is_that_of_its_highest_patch(
    tmp_path: Path, saved: Path, committee: Committee, capsys
) -> None:
    field = np.rint(255 * np.block([[IMAGES[0], IMAGES[1]], [IMAGES[2], IMAGES[3]]])) / 255
    write(tmp_path / "large.png", field)
    table, options = tmp_path / "p.csv", ["--pixel-size", 0.085, "--committee", saved]
    code, out, _ = ask(capsys, "predict", tmp_path / "large.png", *options, "--csv", table)
    assert code == 0 and "1 patch," in out and "assumed" not in out
    starts = range(0, 61, 30)
    tiles = np.stack([field[row : row + 60, column : column + 60] for row in starts for column in starts])
    (row,) = rows(table)
    assert float(row["probability"]) == pytest.approx(committee.predict_proba(tiles.astype(np.float32)).max(), abs=1e-6)
    assert row["pixel_size_mm"] == "0.085"


def test_a_file_s_own_pixel_size_counts_and_its_source_is_named(tmp_path: Path, saved: Path, capsys) -> None:
    write(tmp_path / "patch.png", IMAGES[0])
    dicom(tmp_path / "sized.dcm", np.kron(IMAGES[0], np.ones((2, 2))), PixelSpacing=[0.0425, 0.0425])
    table = tmp_path / "p.csv"
    _, out, _ = ask(capsys, "predict", tmp_path, "--committee", saved, "--csv", table)
    assert [row["pixel_size_mm"] for row in rows(table)] == ["0.085 (assumed)", "0.0425"]
    assert "assumed to be 0.085 mm" in " ".join(out.split()) and "1 of 2 files" in " ".join(out.split())
    ask(capsys, "predict", tmp_path, "--committee", saved, "--csv", table, "--pixel-size", "unknown")
    assert [row["pixel_size_mm"] for row in rows(table)] == ["unknown", "0.0425"]
    _, out, _ = ask(capsys, "predict", tmp_path, "--pixel-size", 0.1, "--committee", saved)
    assert "its own pixel size of 0.0425 x 0.0425 mm was used, and not 0.1 mm as given" in " ".join(out.split())


def test_of_unknown_size_the_highest_magnification_counts(
    tmp_path: Path, saved: Path, committee: Committee, capsys
) -> None:
    write(tmp_path / "patch.png", IMAGES[5])
    ask(capsys, "predict", tmp_path, "--committee", saved, "--csv", tmp_path / "p.csv", "--pixel-size", "unknown")
    seen = views((np.rint(255 * IMAGES[5]) / 255).astype(np.float32), "unknown")
    raw = (committee.expert_probabilities(seen) @ committee.weights).max()
    highest = committee.unknown_scale.calibration.apply(raw)
    assert float(rows(tmp_path / "p.csv")[0]["probability"]) == pytest.approx(highest, abs=1e-5)


def test_of_a_larger_field_the_highest_patch_is_explained(
    tmp_path: Path, saved: Path, committee: Committee, monkeypatch, capsys
) -> None:
    drawn: list[np.ndarray] = []

    def noted(image: np.ndarray, heat: np.ndarray, probability: float, **more: Any) -> object:
        drawn.append(image)
        return overlay(image, heat, probability, **more)

    monkeypatch.setattr("microcalc.reader.tasks.overlay", noted)
    field = (np.rint(255 * np.hstack([IMAGES[0], IMAGES[1]])) / 255).astype(np.float32)
    write(tmp_path / "large.png", field)
    options = ["--pixel-size", 0.085, "--committee", saved, "--committee-average", "--out", tmp_path / "out"]
    assert ask(capsys, "explain", tmp_path / "large.png", *options)[0] == 0
    tiles = views(field, 0.085)
    np.testing.assert_allclose(drawn, tiles[[committee.predict_proba(tiles).argmax()]], atol=1e-6)


def test_a_field_too_small_a_mammogram_and_an_impossible_size_are_refused(tmp_path: Path, saved: Path, capsys) -> None:
    write(tmp_path / "patch.png", IMAGES[0])
    write(tmp_path / "mammogram.png", np.zeros((1500, 700)))
    code, _, err = ask(capsys, "predict", tmp_path, "--pixel-size", 0.07, "--committee", saved)
    assert code == 1
    assert "patch.png: shows 4.2 x 4.2 mm, and a patch is 5.1 x 5.1 mm; give a larger part" in err
    assert "mammogram.png: shows 105.0 x 49.0 mm, a mammogram or a large part of one; use microcalc scan" in err
    code, _, err = ask(capsys, "predict", tmp_path, "--pixel-size", 85, "--committee", saved)
    assert code == 2 and "the pixel size must be 0.005 to 1.0 mm: got 85" in err


def test_what_does_not_exist_is_a_wrong_request(tmp_path: Path, saved: Path, capsys) -> None:
    for request in (tmp_path / "missing.png", tmp_path / "*.png"):
        code, _, err = ask(capsys, "predict", request, "--committee", saved, "--csv", tmp_path / "p.csv")
        assert code == 2 and err.count("\n") == 1 and "does not exist" in err
    code, _, err = ask(capsys, "predict", "--committee", saved)
    assert code == 2 and "no images are named" in err
    code, _, err = ask(capsys, "predict", tmp_path, "--committee", tmp_path)
    assert code == 2 and err.count("\n") == 1
    assert not (tmp_path / "p.csv").exists()


def test_a_package_without_committee_says_what_to_give(folder: Path, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr("microcalc.committee.committee.resources.files", lambda _: tmp_path)
    for command in ("predict", "explain"):
        code, _, err = ask(capsys, command, folder)
        assert code == 2 and "name the committee/ of a finished run" in err


def test_the_terminal_shows_no_more_rows_than_asked_and_the_count_of_the_rest(
    folder: Path, saved: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # long names fold
    _, out, _ = ask(capsys, "predict", folder, "--committee", saved, "--rows", 3)
    assert out.count("patch_") == 3 and "and 5 more" in out
    assert ask(capsys, "predict", folder, "--committee", saved, "--quiet")[1] == ""


def test_csv_on_standard_output_is_nothing_but_the_table(folder: Path, saved: Path, capfd) -> None:
    request = ["predict", folder, "--committee", saved]
    for name in ("-", "/dev/stdout"):
        code, out, err = ask(capfd, *request, "--csv", name)
        assert code == 0 and "8 patches" in err
        assert len(list(csv.DictReader(out.splitlines()))) == 8 and out.startswith("file,probability")
    code, out, _ = ask(capfd, *request, "--json", "-", "-q")
    assert code == 0 and len(json.loads(out)["predictions"]) == 8


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_an_output_over_a_patch_or_the_committee_is_refused_before_any_work(
    option: str, folder: Path, saved: Path, capsys
) -> None:
    for over in (folder / "0" / "patch_0.png", saved / "committee.json", saved / "expert_0.safetensors"):
        before = over.read_bytes()
        code, _, err = ask(capsys, "predict", folder, "--committee", saved, option, over)
        assert code == 2 and f"is an input, and {option} would overwrite it" in err
        assert over.read_bytes() == before


def test_a_run_may_be_named_for_its_committee(
    folder: Path, committee: Committee, saved: Path, tmp_path: Path, capsys
) -> None:
    committee.save(tmp_path / "run" / "committee")
    probabilities = Committee.load(saved).predict_proba(IMAGES)
    for given in (tmp_path / "run", tmp_path / "run" / "committee", tmp_path / "run" / "committee" / "committee.json"):
        np.testing.assert_array_equal(Committee.load(given).predict_proba(IMAGES), probabilities)
        assert ask(capsys, "predict", folder, "--committee", given, "-q") == (0, "", "")
    over = tmp_path / "run" / "committee" / "committee.json"
    assert ask(capsys, "predict", folder, "--committee", tmp_path / "run", "--csv", over)[0] == 2
    code, _, err = ask(capsys, "predict", folder, "--committee", tmp_path)
    assert code == 2 and "give a finished run or its committee/" in err


def test_explaining_into_a_used_folder_is_refused_before_any_work(folder: Path, saved: Path, capsys) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    for out in (folder, folder / "0"):
        code, _, err = ask(capsys, "explain", folder, "--committee", saved, "--out", out)
        assert code == 2 and "is not empty; give another folder" in err
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_names_of_any_bytes_are_kept_and_cannot_steer_the_terminal(
    tmp_path: Path, saved: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    hostile = tmp_path / "in" / "[bold]\x1b[31m\udcff,'.png"
    write(tmp_path / "in" / "patch.png", IMAGES[0]).rename(hostile)
    results = ["--csv", tmp_path / "p.csv", "--json", tmp_path / "p.json"]
    code, out, _ = ask(capsys, "predict", hostile.parent, "--committee", saved, *results)
    assert code == 0 and "\x1b" not in out and "[bold]" in out.replace("\n", "")
    assert json.loads((tmp_path / "p.json").read_text())["predictions"][0]["file"] == str(hostile)
    assert len(rows(tmp_path / "p.csv")) == 1


def test_a_run_ends_with_commands_that_can_be_pasted() -> None:
    predict, explain, compare = next_commands(Path("my runs/first")).splitlines()
    assert shlex.split(predict)[:5] == ["microcalc", "predict", "IMAGES", "--committee", "my runs/first/committee"]
    assert shlex.split(explain)[4] == "my runs/first/committee"
    assert shlex.split(compare)[2] == "my runs/first"


def test_an_interrupted_prediction_leaves_no_part_of_a_file(folder: Path, saved: Path, monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("microcalc.reader.tasks.predict_patches", interrupted)
    out = folder.parent / "out"
    code, _, err = ask(
        capsys, "predict", folder, "--committee", saved, "--csv", out / "p.csv", "--json", out / "p.json"
    )
    assert code == 1 and "interrupted" in err
    assert not out.exists()


# explain


def test_explaining_draws_a_picture_a_file_with_the_answer_of_predict(
    folder: Path, saved: Path, committee: Committee, tmp_path: Path, capsys, monkeypatch
) -> None:
    drawn: list[tuple[str, float]] = []

    def noted(image: np.ndarray, heat: np.ndarray, probability: float, **more: Any) -> object:
        drawn.append((more["name"], probability))
        return overlay(image, heat, probability, **more)

    monkeypatch.setattr("microcalc.reader.tasks.overlay", noted)
    twin = write(tmp_path / "patch_0.png", IMAGES[1])
    (tmp_path / "empty.png").touch()
    files, out = [folder / "0" / "patch_0.png", twin, tmp_path / "empty.png"], tmp_path / "out"
    code, said, err = ask(capsys, "explain", *files, "--committee", saved, "--out", out)
    assert code == 1 and "empty.png" in err and "pictures of 2 patches" in said
    names, probabilities = zip(*drawn, strict=True)
    assert names == ("0/patch_0.png", f"{tmp_path.name}/patch_0.png")
    assert probabilities == pytest.approx(committee.predict_proba(IMAGES[:2]), abs=1e-6)
    pictures = {path.name for path in (out / "pictures").iterdir()}
    assert pictures == {"patch_0.png", "patch_0-2.png"}
    assert all(PIL.Image.open(out / "pictures" / name).width > 500 for name in pictures)
    page = (out / "index.html").read_text()
    assert all(f"probability {probability:.3f}" in page for probability in probabilities)
    assert ask(capsys, "explain", *files, "--committee", saved, "--out", out)[0] == 1 and len(drawn) == 2


def test_a_patch_is_explained_whatever_its_name(saved: Path, tmp_path: Path, capfd) -> None:
    names = ["M\udcfcller.png", "\u65e5\u672c.png", "plain.png"]
    for number, name in enumerate(names):
        write(tmp_path / "patches" / name, IMAGES[number])
    code, said, err = ask(capfd, "explain", tmp_path / "patches", "--committee", saved, "--out", tmp_path / "out")
    assert (code, err) == (0, "") and "pictures of 3 patches" in said
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == sorted(names)


@pytest.mark.parametrize("options", [[], ["--committee-average"]])
def test_explain_shows_the_probability_of_predict_and_names_the_vote_of_an_expert(
    options: list[str], folder: Path, saved: Path, committee: Committee, tmp_path: Path, capsys, monkeypatch
) -> None:
    """On larger fields too, where the highest patch by the committee is not always that of one expert."""
    for number in (0, 2, 4):
        write(folder / f"field_{number}.png", np.hstack(IMAGES[number : number + 2]))
    titles: list[str] = []
    monkeypatch.setattr("microcalc.reader.tasks.png", lambda figure: titles.append(figure.get_suptitle()) or b"")
    given = ["--committee", saved, "--pixel-size", 0.085]
    ask(capsys, "explain", folder, *given, "--out", tmp_path / "out", *options)
    ask(capsys, "predict", folder, *given, "--csv", tmp_path / "p.csv")
    best, table = committee.highest_weight, rows(tmp_path / "p.csv")
    assert len(table) == len(titles) == 11
    for row, title in zip(table, titles, strict=True):
        alone = "" if options else f" (expert {best} alone: {float(row[f'expert_{best}']):.3f})"
        assert title.endswith(f"\nprobability of a cluster {float(row['probability']):.3f}{alone}")


@pytest.mark.parametrize("of", ["highest_weight", "committee"])
def test_explanations_are_maps_in_the_unit_range(of: str, committee: Committee) -> None:
    maps = explain(committee, IMAGES[:5], of)
    assert maps.shape == (5, 60, 60) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() == 1


def test_the_committee_average_weighs_the_maps_of_the_experts(committee: Committee) -> None:
    def alone(expert: int) -> np.ndarray:
        return explain(replace(committee, weights=np.eye(2)[expert]), IMAGES[:5])

    average = 0.4 * alone(0) + 0.6 * alone(1)
    peaks = average.max((1, 2), keepdims=True)
    np.testing.assert_allclose(explain(committee, IMAGES[:5], "committee"), average / peaks, atol=1e-5)
    np.testing.assert_array_equal(explain(committee, IMAGES[:5]), alone(1))


def test_what_is_explained_is_checked(committee: Committee) -> None:
    with pytest.raises(RequestError, match="of must be 'highest_weight' or 'committee': got 'everyone'"):
        explain(committee, IMAGES[:1], "everyone")  # type: ignore[arg-type]


# export and the other engine


def test_the_bfloat16_engine_stays_as_near_as_the_help_says() -> None:
    committee = Committee.pretrained()
    patches = [PatchFile(image[None], (0.085, 0.085)) for image in IMAGES[:8]]
    exact, rounded = (
        np.array([(answer.probability, *answer.experts) for answer in predict_patches(committee, patches, engine)])
        for engine in ("torch", "torch-bfloat16")
    )
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(exact, rounded, rtol=0, atol=0.02)


def test_a_committee_with_a_wavelet_filter_is_not_exported(committee: Committee, tmp_path: Path, capsys) -> None:
    pytest.importorskip("onnx")
    replace(committee, wavelet=WaveletSettings("haar")).save(tmp_path / "haar")
    code, _, err = ask(capsys, "export", "--onnx", tmp_path / "c.onnx", "--committee", tmp_path / "haar")
    assert code == 2 and "wavelet haar" in err and not (tmp_path / "c.onnx").exists()


# Terminals


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 20])
def test_files_and_figures_are_whole_at_any_width(
    width: int, folder: Path, saved: Path, committee: Committee, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(folder)
    code, out, _ = ask(capsys, "predict", "0", "--committee", saved)
    probabilities = committee.predict_proba(IMAGES[[0, 2, 4, 6]])
    assert code == 0 and "\N{HORIZONTAL ELLIPSIS}" not in out
    assert all(f"{probability:.4f}" in out for probability in probabilities)
    if width >= 40:
        assert all(f"0/patch_{number}.png" in out for number in (0, 2, 4, 6))
    assert ("probability: " in out) == (width < 60)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_terminal_of_any_code_page_is_no_reason_to_stop(encoding: str, saved: Path, tmp_path: Path) -> None:
    for number, name in enumerate(["z\u00f3\u0142w.png", "\u65e5\u672c.png", "plain.png"]):
        write(tmp_path / "scans" / name, IMAGES[number])
    (tmp_path / "scans" / "\u0142.png").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        for stream in ("stdout", "stderr"):
            patch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        with pytest.raises(SystemExit, match="1"):
            main(["predict", str(tmp_path / "scans"), "--committee", str(saved)])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(encoding) for stream in (sys.stdout, sys.stderr))
    assert "3 patches" in out and "plain.png" in out and "is empty" in err
    assert ("\u65e5\u672c.png" in out) == (encoding == "utf-8") == (r"\u65e5\u672c.png" not in out)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_progress_is_shown_in_letters_that_the_terminal_has(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, force_terminal=True)
    with study_progress(console, StudyConfig()) as show:
        show({"fold 0": Progress("training", epoch=1, done=1, total=2)})
    stream.flush()
    assert "epoch 1 of 80" in stream.buffer.getvalue().decode(encoding)
