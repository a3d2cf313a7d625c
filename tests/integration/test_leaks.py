"""A planted patient is found in every fold, and sets that change, are filtered, copied or set aside stay apart."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from recorders import Ledger, Recorder, make_data, mark_of, original, read_rows, record

import microcalc.model
from microcalc import Committee, Data, Model
from microcalc.cli import main
from microcalc.config import AugmentationSettings, SearchSettings, StudyConfig, TrainingSettings, WaveletSettings
from microcalc.errors import RequestError
from microcalc.evaluation.intervals import bootstrap_intervals
from microcalc.explain.maps import explain
from microcalc.model import run_naively, run_nested
from microcalc.training.naive import augment_before_split
from microcalc.training.plan import set_test_aside
from microcalc.training.splits import LeakError

pytestmark = pytest.mark.slow

FOLDS = 3
SIDES = ("training", "holdout", "test")
CONFIG = StudyConfig(
    search=SearchSettings(dim=(2, 3), depth=(1,), dropout=(0.0,), searching_fraction=0.5, epochs=3),
    training=TrainingSettings(epochs=2),
    folds=FOLDS,
    committee_fraction=0.2,
    gradcam=1,
    seed=3,
)


@pytest.fixture(scope="module")
def own() -> Data:
    return make_data("own", 60, seed=11, linked=2)


@pytest.fixture(scope="module")
def external() -> Data:
    return make_data("external", 12, seed=12)


@pytest.fixture(scope="module")
def recorder(own: Data, external: Data) -> Iterator[Recorder]:
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(Ledger(own=own, external=external))
        recorder.put(patch)
        yield recorder


@pytest.fixture(scope="module")
def finished(own: Data, external: Data, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Model:
    model = Model(own, external, config=CONFIG, out=tmp_path_factory.mktemp("leaks") / "study", jobs=1)
    model.train()
    return model


@pytest.fixture
def copied(finished: Model, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.out, tmp_path / "copy"))


def metrics_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "metrics.json").read_text())


# A planted patient


def with_patch_on_two_sides(model: Model, fold: int, first: str, second: str) -> None:
    """Let a patch of one side of a fold, or of the committee, stand on another as well, and on no third."""
    split = model.split
    sides = {name: getattr(split.folds[fold], name) for name in SIDES} | {"committee": split.committee}
    planted = np.append(sides[second], sides[first][0])
    if second == "committee":
        model.split = replace(split, committee=planted)
    else:
        folds = list(split.folds)
        folds[fold] = replace(folds[fold], **{second: planted})
        model.split = replace(split, folds=tuple(folds))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("training", "test"), ("holdout", "test"), ("holdout", "training"), ("committee", "test")),
        *(("committee", "training"), ("committee", "holdout"), ("training", "committee")),
    ],
)
def test_a_planted_patient_stops_the_committee_before_anything_is_learned(
    first: str, second: str, own: Data, external: Data, copied: Path, monkeypatch
) -> None:
    learned, calibrated = record(monkeypatch, "learn_weights"), record(monkeypatch, "fit_calibration")
    model = Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True)
    with_patch_on_two_sides(model, FOLDS - 1, first, second)
    before = (copied / "committee" / "committee.json").read_bytes()
    with pytest.raises(LeakError, match="is both in"):
        model.get_ensemble()
    assert not learned and not calibrated
    assert (copied / "committee" / "committee.json").read_bytes() == before


def test_without_a_planted_patient_the_same_steps_end_well(own, external, copied: Path, finished: Model) -> None:
    again = Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True).get_ensemble()
    assert again.weights.tolist() == finished.committee.weights.tolist()


def leaking(number: int) -> Any:
    """Outer folds of which one holds a patient of its own rest."""
    honest = original("grouped_folds")

    def folds(labels, groups, *given: Any, **named: Any) -> Iterator[tuple[Any, Any]]:
        for fold, (rest, part) in enumerate(honest(labels, groups, *given, **named)):
            yield (rest, np.sort(np.append(part, rest[0]))) if fold == number else (rest, part)

    return folds


@pytest.mark.parametrize("number", range(FOLDS))
def test_a_patient_planted_in_an_outer_fold_stops_the_nested_study(number, own, external, copied, monkeypatch) -> None:
    model = Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True)
    monkeypatch.setattr(microcalc.model, "grouped_folds", leaking(number))
    with pytest.raises(LeakError, match="nested"):
        run_nested(model)
    assert "nested" not in metrics_of(copied)
    assert not (copied / "nested" / f"fold_{number}").exists()


# The nested study


@pytest.fixture(scope="module")
def nested(finished: Model, recorder: Recorder) -> dict[str, Any]:
    start = len(recorder.trainings)
    metrics = run_nested(finished)
    return {"figures": metrics["nested"], "trainings": recorder.trainings[start:]}


def test_every_outer_fold_is_judged_by_a_study_of_all_other_patients(nested, finished: Model, recorder) -> None:
    own, judged = finished.data, []
    for number in range(FOLDS):
        out = finished.out / "nested" / f"fold_{number}"
        inner = {row["file"] for row in read_rows(out / "predictions.csv")}
        part = np.array([file not in inner for file in own.files])
        judged += np.flatnonzero(part).tolist()
        assert not set(own.groups[part]) & set(own.groups[~part])
        for network in Committee.load(out / "committee").networks:
            assert set(recorder.training_of(network).rows) <= set(np.flatnonzero(~part))
    assert sorted(judged) == list(range(len(own)))


def test_the_nested_figures_follow_from_the_committees_of_the_outer_folds(nested, finished: Model) -> None:
    own = finished.data
    probabilities, decisions = np.full(len(own), np.nan), np.full(len(own), np.nan)
    for number in range(FOLDS):
        out = finished.out / "nested" / f"fold_{number}"
        inner = {row["file"] for row in read_rows(out / "predictions.csv")}
        committee = Committee.load(out / "committee")
        for i, file in enumerate(own.files):
            if file not in inner:
                probabilities[i] = committee.predict_proba(own.images[i : i + 1])[0]
                decisions[i] = probabilities[i] >= committee.threshold
    figures, truth = nested["figures"], own.labels == 1
    assert figures["n"] == len(own)
    assert figures["accuracy"] == pytest.approx(np.mean(decisions == truth))
    assert figures["sensitivity"] == pytest.approx(decisions[truth].mean())
    assert figures["specificity"] == pytest.approx(1 - decisions[~truth].mean())
    pairs = probabilities[truth][:, None] - probabilities[~truth]
    assert figures["auc"] == pytest.approx(np.mean((pairs > 0) + (np.abs(pairs) == 0) / 2), abs=1e-4)
    assert figures["brier_score"] == pytest.approx(np.mean((probabilities - truth) ** 2), abs=1e-6)
    assert figures["patients"] == len(set(own.groups.tolist()))
    ranked = bootstrap_intervals(own.labels, probabilities, own.groups, seed=CONFIG.seed)
    decided = bootstrap_intervals(own.labels, decisions, own.groups, seed=CONFIG.seed)
    for key, bounds in {**decided, "auc_ci95": ranked["auc_ci95"]}.items():
        assert figures[key] == pytest.approx(bounds, abs=0.003), key
    assert metrics_of(finished.out)["nested"] == figures


def test_a_nested_probability_at_the_threshold_is_a_cluster(own, external, copied, monkeypatch) -> None:
    label_of = {image.tobytes(): label for image, label in zip(own.images, own.labels, strict=True)}

    def at_the_threshold(committee: Committee, images: Any) -> Any:
        labels = np.array([label_of[image.tobytes()] for image in images])
        return np.where(labels == 1, committee.threshold, committee.threshold / 2)

    monkeypatch.setattr(Committee, "predict_proba", at_the_threshold)
    figures = run_nested(Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True))["nested"]
    assert figures["sensitivity"] == figures["specificity"] == figures["accuracy"] == 1


# Resuming


@pytest.mark.parametrize("part", ["own", "external", "test"])
def test_going_on_with_other_data_is_refused_and_named(part: str, external, recorder, tmp_path: Path) -> None:
    own, test = set_test_aside(make_data("own", 60, seed=11), "0.2", seed=0)
    sets = {"own": own, "external": external, "test": test}

    def search(**more: Any) -> None:
        given = {"test": sets["test"], "config": CONFIG, "out": tmp_path / "run", "jobs": 1, **more}
        Model(sets["own"], sets["external"], **given).tuner(0)

    search()
    sets[part] = sets[part].select(np.arange(len(sets[part]))[::-1])
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(RequestError, match=rf"data\.{part}\.sha256"):
        search(resume=True)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


@pytest.mark.parametrize("without", ["external", "config"])
def test_going_on_without_the_external_set_or_with_another_seed_is_refused(without, own, external, copied) -> None:
    config = replace(CONFIG, seed=4) if without == "config" else CONFIG
    given = None if without == "external" else external
    with pytest.raises(RequestError, match=r"settings\.seed: 3 -> 4" if without == "config" else r"data\.external"):
        Model(own, given, config=config, out=copied, jobs=1, resume=True).train()


def test_a_finished_study_goes_on_to_the_same_figures_without_any_training(
    own, external, copied: Path, recorder: Recorder, finished: Model
) -> None:
    before, start = metrics_of(copied), len(recorder.trainings)
    tables = [(copied / name).read_bytes() for name in ("predictions.csv", "folds.csv")]
    again = Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True).train()
    assert len(recorder.trainings) == start
    before.pop("nested", None)
    assert {**again, "timing": 0} == {**before, "timing": 0}
    assert tables == [(copied / name).read_bytes() for name in ("predictions.csv", "folds.csv")]


def test_a_study_goes_on_with_the_fold_that_is_missing_and_with_no_other(own, external, copied, recorder) -> None:
    tables = (copied / "predictions.csv").read_bytes()
    shutil.rmtree(copied / "search" / "fold_1")
    start = len(recorder.trainings)
    model = Model(own, external, config=CONFIG, out=copied, jobs=1, resume=True)
    model.fold()
    fold = model.split.folds[1]
    assert {tuple(sorted(one.rows + one.holdout_rows)) for one in recorder.trainings[start:]} == {
        tuple(np.sort(np.concatenate([fold.training, fold.holdout])).tolist())
    }
    assert len(recorder.trainings) - start == CONFIG.search.trials + 1
    assert (copied / "predictions.csv").read_bytes() == tables


# Files


def test_every_line_of_predict_speaks_of_its_own_file_and_the_threshold_itself_is_a_cluster(
    own: Data, copied: Path, recorder: Recorder, tmp_path: Path, capsys
) -> None:
    committee = Committee.load(copied / "committee")
    probabilities = committee.predict_proba(own.images)
    order = np.random.default_rng(0).permutation(len(own))[:75]
    folder = tmp_path / "patches"
    folder.mkdir()
    for place, row in enumerate(order):
        Image.fromarray(np.rint(own.images[row] * 255).astype(np.uint8)).save(folder / f"{place:03d}.png")
    (folder / "040.png").write_bytes(b"torn")
    kept = ["--csv", str(tmp_path / "out.csv"), "--json", str(tmp_path / "out.json")]
    command = ["predict", str(folder), "--committee", str(copied / "committee"), *kept]
    with pytest.raises(SystemExit):  # of the torn file
        main(command)
    exact = [each["probability"] for each in json.loads((tmp_path / "out.json").read_text())["predictions"]]
    threshold = sorted(exact)[30]
    description = json.loads((copied / "committee" / "committee.json").read_text())
    (copied / "committee" / "committee.json").write_text(json.dumps({**description, "threshold": threshold}))
    with pytest.raises(SystemExit):
        main(command)
    told = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert [each["decision"] for each in told] == [int(probability >= threshold) for probability in exact]
    lines = {Path(line["file"]).name: line for line in read_rows(tmp_path / "out.csv")}
    assert sorted(lines) == [f"{place:03d}.png" for place in range(75) if place != 40]
    experts = committee.expert_probabilities(own.images)
    for place, row in enumerate(order):
        if place != 40:
            line = lines[f"{place:03d}.png"]
            assert float(line["probability"]) == pytest.approx(probabilities[row], rel=1e-6)
            assert [float(line[f"expert_{k}"]) for k in range(FOLDS)] == pytest.approx(experts[row].tolist())
            assert int(line["decision"]) == (probabilities[row] >= threshold - 1e-9)


def as_folder(data: Data, folder: Path) -> Path:
    """The patches as pictures in a folder, with a groups.csv of mixed rows."""
    for file, image in zip(data.files, data.images, strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / file)
    order = np.random.default_rng(0).permutation(len(data))
    lines = [f"{data.files[row]},{data.patients[row]}" for row in order]
    (folder / "groups.csv").write_text("\n".join(["file,patient", *lines]))
    return folder


def test_a_study_by_the_command_line_keeps_its_sets_apart(own: Data, external: Data, tmp_path: Path) -> None:
    folders = [as_folder(data, tmp_path / data.name / "patches") for data in (own, external)]
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(Ledger(own=own, external=external))
        recorder.put(patch)
        sets = ["--data", str(folders[0]), "--external", str(folders[1]), "--test", "0.2"]
        space = ["--dim", "2", "3", "--depth", "1", "--dropout", "0.0", "--searching-fraction", "0.5"]
        rest = ["--folds", "3", "--epochs", "2", "--gradcam", "1", "--jobs", "1", "--out", str(tmp_path / "run"), "-q"]
        main(["run", *sets, *space, *rest])
    table = read_rows(tmp_path / "run" / "predictions.csv")
    roles = {role: [row for row in table if row["role"] == role] for role in ("development", "committee", "test")}
    assert sorted(row["file"] for rows in roles.values() for row in rows) == sorted(own.files)
    assert sorted(row["file"] for row in table if row["role"] == "external") == sorted(external.files)
    patients = [{row["patient"] for row in rows} for rows in roles.values()]
    assert sum(map(len, patients)) == len(set(own.patients))
    facts = {
        file: (str(label), patient)
        for data in (own, external)
        for file, label, patient in zip(data.files, data.labels, data.patients, strict=True)
    }
    assert all((row["label"], row["patient"]) == facts[row["file"]] for row in table)
    trained = {own.files[row] for training in recorder.trainings for row in training.rows + training.holdout_rows}
    assert trained == {row["file"] for row in roles["development"]}
    assert len(roles["test"]) / len(own) == pytest.approx(0.2, abs=0.05)


def test_every_picture_of_explain_is_of_its_own_file(own: Data, copied: Path, recorder: Recorder, tmp_path) -> None:
    committee = Committee.load(copied / "committee")
    few = own.select(np.random.default_rng(1).permutation(len(own))[:30])
    folder = tmp_path / "patches"
    folder.mkdir()
    for place, image in enumerate(few.images):
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / f"{place:03d}.png")
    with pytest.MonkeyPatch.context() as spies:
        calls = record(spies, "overlay")
        main(["explain", str(folder), "--committee", str(copied / "committee"), "--out", str(tmp_path / "out")])
    votes, heaviest = committee.expert_probabilities(few.images), committee.highest_weight
    probabilities = committee.combine(votes)
    assert sorted(call["name"] for call in calls) == [f"patches/{place:03d}.png" for place in range(30)]
    for call in calls:
        place = int(Path(call["name"]).stem)
        assert np.array_equal(call["image"], few.images[place])
        assert call["probability"] == pytest.approx(probabilities[place])
        assert call["vote"] == (heaviest, pytest.approx(votes[place, heaviest]))


# The naive protocol


def test_every_naive_copy_has_the_label_the_file_and_the_patient_of_its_original(own: Data) -> None:
    """Flat patches stay flat however they are turned, so that their grey level tells which is which."""
    levels = np.linspace(0.2, 0.8, len(own), dtype=np.float32)
    flat = replace(own, images=np.broadcast_to(levels[:, None, None], own.images.shape).copy())
    settings = AugmentationSettings(brightness=0.0, gamma=0.0, noise=0.0)
    copies = augment_before_split(flat, settings, seed=0)
    origin = np.abs(copies.images[:, 30, 30][:, None] - levels).argmin(axis=1)
    assert len(copies) > len(own) and len(set(copies.groups.tolist())) == len(copies)
    assert np.bincount(origin).tolist() == [len(copies) // len(own)] * len(own)
    assert copies.labels.tolist() == own.labels[origin].tolist()
    assert copies.patients == tuple(own.patients[row] for row in origin)
    assert [file.partition("#")[0] for file in copies.files] == [own.files[row] for row in origin]
    assert len(set(copies.files)) == len(copies)


def test_naive_copies_differ_from_their_originals_and_with_the_seed(own: Data) -> None:
    first, other = (augment_before_split(own, AugmentationSettings(), seed=seed).images for seed in (0, 1))
    assert np.array_equal(first[: len(own)], own.images)
    assert not any(np.array_equal(*pair) for pair in zip(first[len(own) :], own.images, strict=True))
    assert not np.array_equal(first[len(own) :], other[len(own) :])


def test_the_naive_protocol_weighs_on_all_patches_and_tests_on_external_clusters_alone(own, external, tmp_path) -> None:
    config = replace(CONFIG, augmentation=None)  # no copies, so that the recorders know every patch
    with pytest.MonkeyPatch.context() as patch:
        Recorder(Ledger(own=own, external=external)).put(patch)
        model = Model(own, external, config=config, out=tmp_path / "run", jobs=1)
        model.train()
        clusters = Recorder(Ledger(own=own, external=external.select(external.labels == 1)))
    with pytest.MonkeyPatch.context() as patch:
        clusters.put(patch)
        learned = record(patch, "learn_weights")
        naive = run_naively(model)
    assert len(learned[0]["labels"]) == len(own)
    assert naive["committee"]["images"] == len(own)
    assert naive["external"]["n"] == int(external.labels.sum())
    assert naive["external"]["specificity"] is None
    assert naive["protocol"]["name"] == "naive" and naive["protocol"]["grouped"] is False
    assert naive["cross_validation"]["n"] == len(own)
    assert naive["protocol"]["seed"] == CONFIG.seed
    experts = [training for training in clusters.trainings if not training.is_trial]
    assert all(len(training.rows) == pytest.approx(len(own) * (1 - 1 / FOLDS), abs=2) for training in experts)
    shares = [len(one.holdout_rows) / len(one.rows + one.holdout_rows) for one in clusters.trainings if one.is_trial]
    assert shares == pytest.approx([CONFIG.validation_fraction] * len(shares), abs=0.02)
    assert json.loads((tmp_path / "run" / "naive.json").read_text()) == naive
    assert "Naive protocol" in naive["warnings"][0]
    assert "NAIVE PROTOCOL" in (tmp_path / "run" / "naive" / "report.html").read_text()
    assert "optimism" in (tmp_path / "run" / "report.html").read_text()


# The wavelet filter


@pytest.fixture(scope="module")
def filtered_study(
    own, external, tmp_path_factory
) -> Iterator[tuple[Model, Recorder, dict[str, list[dict[str, Any]]]]]:
    """A study of filtered patches, whose recorders know the filtered ones and no others."""
    wavelet = WaveletSettings("haar", 1.2)
    ledger = Ledger(own=own.wavelet("haar", 1.2), external=external.wavelet("haar", 1.2))
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(ledger)
        recorder.put(patch)
        out = tmp_path_factory.mktemp("filtered") / "study"
        model = Model(own, external, config=replace(CONFIG, wavelet=wavelet), out=out, jobs=1)
        with pytest.MonkeyPatch.context() as spies:
            calls = {part: record(spies, part) for part in ("gradcam",)}
            model.train()
        yield model, recorder, calls


def test_search_training_and_prediction_get_filtered_patches_alone(filtered_study) -> None:
    model, recorder, _ = filtered_study
    assert len(recorder.trainings) == FOLDS * (CONFIG.search.trials + 1)
    assert metrics_of(model.out)["external"]["n"] == len(model.external)


def test_grad_cam_explains_what_the_expert_saw_filtered_patches_of_its_test_fold(filtered_study) -> None:
    model, recorder, calls = filtered_study
    call, *_ = calls["gradcam"]
    rows = recorder.ledger.rows(call["images"])
    heaviest = int(np.argmax(model.committee.weights))
    assert set(rows) <= set(model.split.folds[heaviest].test.tolist())


@pytest.mark.parametrize("of", ["one", "committee"])
def test_a_committee_of_filtered_patches_explains_and_predicts_raw_ones_through_the_filter(of, filtered_study) -> None:
    model, recorder, _ = filtered_study
    committee = Committee.load(model.out / "committee")
    with pytest.MonkeyPatch.context() as patch:
        calls = record(patch, "gradcam")
        explain(committee, model.data.images[:5], **({"of": "committee"} if of == "committee" else {}))
    assert calls
    for call in calls:
        assert recorder.ledger.rows(call["images"]) == [0, 1, 2, 3, 4]
    explained = [mark_of(call["network"]) for call in calls]
    marks = [mark_of(network) for network in committee.networks]
    assert explained == (marks if of == "committee" else [marks[int(np.argmax(committee.weights))]])
    reported = [float(row["committee"]) for row in read_rows(model.out / "predictions.csv")[:5]]
    assert committee.predict_proba(model.data.images[:5]) == pytest.approx(reported, rel=1e-6)


# A stated sensitivity


def test_a_stated_sensitivity_reaches_the_threshold(own, external, copied: Path, recorder, tmp_path) -> None:
    config = replace(CONFIG, sensitivity=0.9)
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(Ledger(own=own, external=external))
        recorder.put(patch)
        model = Model(own, external, config=config, out=tmp_path / "run", jobs=1)
        calls = record(patch, "choose_threshold")
        model.train()
    (call,) = calls
    assert call["sensitivity"] == 0.9
    rows = [row for row in read_rows(model.out / "predictions.csv") if row["role"] == "committee"]
    clusters = sorted(float(row["committee"]) for row in rows if row["label"] == "1")
    called = [value >= model.committee.threshold - 1e-6 for value in clusters]
    assert np.mean(called) >= 0.9
    assert np.mean(called) - 1 / len(clusters) < 0.9
    external_rows = [row for row in read_rows(model.out / "predictions.csv") if row["role"] == "external"]
    hits = [float(row["committee"]) >= model.committee.threshold for row in external_rows if row["label"] == "1"]
    assert metrics_of(model.out)["external"]["sensitivity"] == pytest.approx(np.mean(hits))


# A test set that is set aside


def test_an_official_test_takes_whole_linked_patients_from_the_rest(own: Data) -> None:
    """The rest keeps no patch of a patient in Test, also where that patient has another name there."""
    chosen = np.random.default_rng(0).permutation(len(own))[: len(own) // 5]
    linked = [row for row in range(len(own)) if own.patients[row] == "own-000"]  # one patient with own-001
    mask = np.isin(np.arange(len(own)), [*chosen, *linked]) & (np.array(own.patients) != "own-001")
    rest, test = set_test_aside(replace(own, official_test=mask), "official", seed=0)
    in_test = {file for file, is_test in zip(own.files, mask, strict=True) if is_test}
    groups = {group for group, is_test in zip(own.groups.tolist(), mask, strict=True) if is_test}
    assert set(test.files) == in_test
    assert set(rest.files) == {file for file, group in zip(own.files, own.groups, strict=True) if group not in groups}
    assert "own-001" in own.patients and "own-001" not in rest.patients
    assert len(rest) + len(test) < len(own)


@pytest.mark.parametrize("fraction", ["0.2", "0.5"])
def test_a_random_test_takes_its_share_by_whole_patients_and_loses_no_patch(fraction: str, own: Data) -> None:
    rest, test = set_test_aside(own, fraction, seed=0)
    assert not set(rest.groups.tolist()) & set(test.groups.tolist())
    assert sorted([*rest.files, *test.files]) == sorted(own.files)
    assert len(test) / len(own) == pytest.approx(float(fraction), abs=0.05)
    assert set_test_aside(own, fraction, seed=1)[1].files != test.files
    assert set_test_aside(own, fraction, seed=0)[1].files == test.files
    label_of = dict(zip(own.files, own.labels.tolist(), strict=True))
    assert test.labels.tolist() == [label_of[file] for file in test.files]
