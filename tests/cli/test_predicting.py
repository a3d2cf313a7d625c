"""A committee asked about files: what it answers, in which form, and what a bad file costs."""

import csv
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from microcalc.cli import main, next_commands
from microcalc.committee.calibration import Calibration
from microcalc.committee.committee import Committee, ExpertShape
from microcalc.config import Looks, WaveletSettings
from microcalc.data.phantom import make_phantom
from microcalc.errors import RequestError
from microcalc.networks.film import Film
from microcalc.networks.hypermodel import build_network
from microcalc.predicting import files as reading
from microcalc.predicting.files import find_files
from microcalc.predicting.predictions import BATCH, predict_files
from microcalc.training.novelty import fit_novelty

IMAGES, LABELS, NAMES, _ = make_phantom(patients=20, patches_per_patient=4, seed=0)
COLUMNS = ["file", "probability", "decision", "expert_0", "expert_1", "outlier"]


@pytest.fixture(scope="module")
def committee() -> Committee:
    shapes = (ExpertShape(2, 1, 0.0, "detail"), ExpertShape(3, 1, 0.0, "detail"))
    networks = tuple(build_network(**vars(shape), seed=number) for number, shape in enumerate(shapes))
    weights, films = np.array([0.4, 0.6]), (Film.of(IMAGES),) * 2
    calibration, wavelet = Calibration(1.2, 0.1), WaveletSettings("none")
    made = Committee(networks, shapes, weights, calibration, 0.5, wavelet, looks="quarters", films=films)
    middle = float(np.median(made.predict_proba(IMAGES[:8])))
    return replace(made, threshold=middle, novelty=fit_novelty(IMAGES, np.unique(NAMES, return_inverse=True)[1]))


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


def dicom(path: Path, image: np.ndarray) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    dataset.set_pixel_data(np.rint(255 * image).astype(np.uint8), "MONOCHROME2", 8, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def ask(capsys: pytest.CaptureFixture[str], *request: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        main([str(word) for word in request])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


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
    assert "8 patches, 4 with a cluster" in out
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
    assert told["novelty"]["false_alarm_rate"] == committee.novelty.false_alarm_rate
    assert told["unreadable"] == []
    distances = [prediction["distance"] for prediction in told["predictions"]]
    np.testing.assert_allclose(distances, committee.outliers(IMAGES[order]), rtol=1e-4)
    assert list(told["predictions"][0]) == [*COLUMNS, "distance"]


def test_every_format_gives_the_same_probability(tmp_path: Path, saved: Path, capsys) -> None:
    grey = IMAGES[3]
    for name in ("a.png", "b.pgm", "c.tif"):
        write(tmp_path / name, grey)
    dicom(tmp_path / "d.dcm", grey)
    code, *_ = ask(capsys, "predict", tmp_path, "--committee", saved, "--csv", tmp_path / "p.csv", "-q")
    assert code == 0
    assert len({row["probability"] for row in rows(tmp_path / "p.csv")}) == 1
    assert len(rows(tmp_path / "p.csv")) == 4


def test_a_gradient_is_flagged_and_a_patch_is_not(tmp_path: Path, saved: Path, capsys) -> None:
    write(tmp_path / "gradient.png", np.mgrid[:60, :60][0] / 59)
    write(tmp_path / "patch.png", IMAGES[0])
    _, out, _ = ask(capsys, "predict", tmp_path, "--committee", saved, "--csv", tmp_path / "p.csv")
    assert [row["outlier"] for row in rows(tmp_path / "p.csv")] == ["1", "0"]
    assert "1 outliers" in out and "by mistake" in out


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
        "small.png": "60 x 30 pixels, not 60 x 60; cut it to that size, or give --resize",
        "mammogram.png": "900 x 1200 pixels, a mammogram",
    }.items():
        assert any(name in line and problem in line for line in lines)
    told = json.loads((folder / "p.json").read_text())
    assert (len(told["predictions"]), len(told["unreadable"])) == (8, 5)


def test_nothing_readable_fails_in_the_same_way(tmp_path: Path, saved: Path, capsys) -> None:
    (tmp_path / "a.png").touch()
    code, _, err = ask(capsys, "predict", tmp_path / "a.png", "--committee", saved, "--csv", tmp_path / "p.csv")
    assert code == 1 and "1 of 1 files" in err
    assert (tmp_path / "p.csv").read_text().split() == [",".join(COLUMNS)]


def test_other_sizes_are_resized_on_request_but_mammograms_never(tmp_path: Path, saved: Path, capsys) -> None:
    write(tmp_path / "large.png", np.kron(IMAGES[0], np.ones((2, 2))))
    write(tmp_path / "mammogram.png", np.zeros((601, 601)))
    code, out, err = ask(capsys, "predict", tmp_path, "--resize", "--committee", saved)
    assert code == 1
    assert "1 patches" in out and "mammogram.png" in err and "large.png" not in err


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
        assert code == 2 and "--committee" in err


def test_the_terminal_shows_no_more_rows_than_asked_and_the_count_of_the_rest(
    folder: Path, saved: Path, capsys
) -> None:
    _, out, _ = ask(capsys, "predict", folder, "--committee", saved, "--rows", 3)
    assert out.count("patch_") == 3 and "and 5 more" in out
    assert ask(capsys, "predict", folder, "--committee", saved, "--quiet")[1] == ""


def test_a_file_to_write_that_is_a_folder_is_refused_before_any_work(folder: Path, saved: Path, capsys) -> None:
    code, out, err = ask(capsys, "predict", folder, "--committee", saved, "--csv", folder)
    assert (code, out) == (2, "") and "is a folder" in err


def test_an_older_committee_predicts_without_outliers(
    folder: Path, committee: Committee, tmp_path: Path, capsys
) -> None:
    replace(committee, novelty=None).save(tmp_path / "old")
    code, out, _ = ask(capsys, "predict", folder, "--committee", tmp_path / "old", "--csv", tmp_path / "p.csv")
    assert code == 0 and "without its novelty" in out
    assert {row["outlier"] for row in rows(tmp_path / "p.csv")} == {""}
    with pytest.raises(RequestError, match="without its novelty"):
        Committee.load(tmp_path / "old").outliers(IMAGES)


def test_names_of_any_bytes_are_kept_and_cannot_steer_the_terminal(tmp_path: Path, saved: Path, capsys) -> None:
    hostile = tmp_path / "in" / "[bold]\x1b[31m\udcff,'.png"
    write(tmp_path / "in" / "patch.png", IMAGES[0]).rename(hostile)
    results = ["--csv", tmp_path / "p.csv", "--json", tmp_path / "p.json"]
    code, out, _ = ask(capsys, "predict", hostile.parent, "--committee", saved, *results)
    assert code == 0 and "\x1b" not in out and "[bold]" in out.replace("\n", "")
    assert json.loads((tmp_path / "p.json").read_text())["predictions"][0]["file"] == str(hostile)
    assert len(rows(tmp_path / "p.csv")) == 1


def test_files_are_read_a_batch_at_a_time(committee: Committee, monkeypatch) -> None:
    read: list[Path] = []

    def read_patch(path: Path, resize: bool) -> np.ndarray:
        read.append(path)
        return IMAGES[len(read) % len(IMAGES)]

    monkeypatch.setattr(reading, "read_patch", read_patch)
    outcomes = predict_files(committee, [Path(f"{number}.png") for number in range(3 * BATCH + 1)])
    for count, _ in enumerate(outcomes, start=1):
        assert len(read) < count + BATCH
    assert count == len(read) == 3 * BATCH + 1


def test_an_interrupted_prediction_leaves_no_part_of_a_file(folder: Path, saved: Path, monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> Iterator[object]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr("microcalc.predicting.predictions.predict_files", interrupted)
    out = folder.parent / "out"
    code, _, err = ask(
        capsys, "predict", folder, "--committee", saved, "--csv", out / "p.csv", "--json", out / "p.json"
    )
    assert code == 1 and "interrupted" in err
    assert list(out.iterdir()) == []


def test_a_run_ends_with_commands_that_can_be_pasted() -> None:
    predict, explain, compare = next_commands(Path("my runs/first")).splitlines()
    assert shlex.split(predict)[:5] == ["microcalc", "predict", "IMAGES", "--committee", "my runs/first/committee"]
    assert shlex.split(explain)[4] == "my runs/first/committee"
    assert shlex.split(compare)[2] == "my runs/first"


# find_files


def test_files_folders_and_patterns_name_each_file_once_and_in_order(folder: Path) -> None:
    everything = find_files([str(folder)])
    assert [path.name for path in everything] == [f"patch_{number}.png" for number in (0, 2, 4, 6, 1, 3, 5, 7)]
    assert find_files([f"{folder}/**/*.png"]) == everything
    assert find_files([f"{folder}/*"])[:8] == everything
    assert find_files([str(everything[0]), str(folder)]) == everything


def test_a_name_that_looks_like_a_pattern_is_taken_as_it_stands(tmp_path: Path) -> None:
    for name in ("[12].png", "1.png"):
        (tmp_path / name).touch()
    assert [path.name for path in find_files([f"{tmp_path}/[12].png"])] == ["[12].png"]


# explain


def test_explaining_draws_a_picture_a_file_and_a_contact_sheet(
    folder: Path, saved: Path, tmp_path: Path, capsys
) -> None:
    twin = write(tmp_path / "patch_0.png", IMAGES[1])
    sheet = write(tmp_path / "contact_sheet.png", IMAGES[1])
    (tmp_path / "empty.png").touch()
    files = [folder / "0" / "patch_0.png", twin, sheet, tmp_path / "empty.png"]
    code, out, err = ask(capsys, "explain", *files, "--committee", saved, "--out", tmp_path / "out")
    assert code == 1 and "empty.png" in err and "pictures of 3 patches" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"patch_0.png", "patch_0_2.png", "contact_sheet.png", "contact_sheet_2.png"}
    assert all(PIL.Image.open(tmp_path / "out" / name).width > 500 for name in names)


@pytest.mark.parametrize("of", ["most_reliable", "committee"])
def test_explanations_are_maps_in_the_unit_range(of: str, committee: Committee) -> None:
    maps = committee.explain(IMAGES[:5], of)
    assert maps.shape == (5, 60, 60) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() == 1


def test_the_committee_average_weighs_the_maps_of_the_experts(committee: Committee) -> None:
    def alone(expert: int) -> np.ndarray:
        return replace(committee, weights=np.eye(2)[expert]).explain(IMAGES[:5])

    average = 0.4 * alone(0) + 0.6 * alone(1)
    peaks = average.max((1, 2), keepdims=True)
    np.testing.assert_allclose(committee.explain(IMAGES[:5], "committee"), average / peaks, atol=1e-5)
    np.testing.assert_array_equal(committee.explain(IMAGES[:5]), alone(1))


def test_what_is_explained_is_checked(committee: Committee) -> None:
    with pytest.raises(RequestError, match="most_reliable, committee"):
        committee.explain(IMAGES[:1], "everyone")  # type: ignore[arg-type]


# other film


def test_adapting_to_a_handful_of_files_is_refused(folder: Path, saved: Path, capsys) -> None:
    code, _, err = ask(capsys, "predict", folder, "--committee", saved, "--adapt")
    assert code == 2 and "at least 50 patches to adapt to: got 8" in err


def test_adapting_to_many_files_changes_the_probabilities(tmp_path: Path, saved: Path, capsys) -> None:
    for number, image in enumerate(IMAGES[:52]):
        write(tmp_path / "site" / f"patch_{number}.png", image)
    for options in ([], ["--adapt"]):
        table = tmp_path / f"{len(options)}.csv"
        assert ask(capsys, "predict", tmp_path / "site", "--committee", saved, "--csv", table, *options)[0] == 0
    plain, adapted = ([row["probability"] for row in rows(tmp_path / f"{number}.csv")] for number in (0, 1))
    assert len(plain) == len(adapted) == 52 and plain != adapted


# export and the other engines


@pytest.mark.parametrize("looks", get_args(Looks))
def test_the_bfloat16_engine_stays_as_near_as_the_help_says(looks: Looks, folder: Path) -> None:
    committee, files = replace(Committee.pretrained(), looks=looks), find_files([str(folder)])
    exact, rounded = (
        np.array([(answer.probability, *answer.experts) for answer in predict_files(committee, files, engine)])
        for engine in ("torch", "torch-bfloat16")
    )
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(exact, rounded, rtol=0, atol=0.01)


def test_the_exported_graph_and_the_onnx_engine_agree_with_pytorch(
    folder: Path, saved: Path, committee, capsys
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    assert ask(capsys, "export", "--onnx", folder / "c.onnx", "--committee", saved)[0] == 0
    session = runtime.InferenceSession(folder / "c.onnx", providers=["CPUExecutionProvider"])
    probability = session.run(["probability"], {"patches": IMAGES})[0]
    np.testing.assert_allclose(probability, committee.predict_proba(IMAGES), atol=1e-5)
    for engine in ("torch", "onnx"):
        ask(capsys, "predict", folder, "--committee", saved, "--engine", engine, "--csv", folder / f"{engine}.csv")
    torch, onnx = (
        [float(row["probability"]) for row in rows(folder / f"{engine}.csv")] for engine in ("torch", "onnx")
    )
    np.testing.assert_allclose(torch, onnx, atol=1e-5)


def test_a_committee_with_a_wavelet_filter_is_not_exported(committee: Committee, tmp_path: Path, capsys) -> None:
    pytest.importorskip("onnx")
    replace(committee, wavelet=WaveletSettings("haar")).save(tmp_path / "haar")
    code, _, err = ask(capsys, "export", "--onnx", tmp_path / "c.onnx", "--committee", tmp_path / "haar")
    assert code == 2 and "wavelet haar" in err and not (tmp_path / "c.onnx").exists()
