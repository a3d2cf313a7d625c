"""Which patch goes where in a study: recorders stand in for training and prediction, and the sets are spelled out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Ledger, Recorder, Training, make_data, mark_of, read_rows, record
from scipy.stats import rankdata

from microcalc import Committee, Data, Model
from microcalc.config import AugmentationSettings, SearchSettings, StudyConfig, TrainingSettings
from microcalc.evaluation.intervals import bootstrap_intervals
from microcalc.evaluation.predictions_csv import read_predictions
from microcalc.report.gallery import wrong_patches

pytestmark = pytest.mark.slow

FOLDS = 3
CONFIG = StudyConfig(
    search=SearchSettings(dim=(2, 3), depth=(1, 2), dropout=(0.0,), searching_fraction=0.5, epochs=4),
    training=TrainingSettings(epochs=3),
    augmentation=AugmentationSettings(brightness=0.05),
    folds=FOLDS,
    committee_fraction=0.2,
    gradcam=4,
    seed=5,
)
SPIED = (
    *("learn_weights", "fit_calibration", "choose_threshold"),
    *("gradcam", "overlay", "roc_folds", "roc_curve", "reliability_diagram"),
    *("labelled_patches", "learning_curves"),
)


@dataclass
class Recorded:
    """A finished study, what its parts got, and its tables read again."""

    model: Model
    recorder: Recorder
    calls: dict[str, list[dict[str, Any]]]
    metrics: dict[str, Any]
    table: list[dict[str, str]]

    @property
    def own(self) -> Data:
        return self.model.data

    def role(self, name: str) -> list[dict[str, str]]:
        return [row for row in self.table if row["role"] == name]

    def rows(self, role: str, fold: int | None = None) -> list[int]:
        """Rows of the study's own patches of a role, by the file names in ``predictions.csv``."""
        of_file = {file: row for row, file in enumerate(self.own.files)}
        chosen = [row for row in self.role(role) if fold is None or row["fold"] == str(fold)]
        return sorted(of_file[row["file"]] for row in chosen)

    def development(self, fold: int) -> list[int]:
        """All that the expert of a fold may see: what is neither in its test fold nor with the committee."""
        return sorted(set(self.rows("development")) - set(self.rows("development", fold)))

    def patients(self, rows: list[int]) -> set[int]:
        return set(self.own.groups[rows].tolist())

    def experts(self) -> list[Training]:
        return [self.recorder.training_of(network) for network in self.model.committee.networks]

    def trials(self, fold: int) -> list[Training]:
        """The trials that were given the development set of a fold, in two parts."""
        wanted = self.development(fold)
        return [
            one for one in self.recorder.trainings if sorted(one.rows + one.holdout_rows) == wanted and one.is_trial
        ]

    def history(self, fold: int) -> dict[str, Any]:
        return json.loads((self.model.out / "search" / f"fold_{fold}" / "history.json").read_text())


@pytest.fixture(scope="module")
def sets() -> dict[str, Data]:
    return {
        "own": make_data("own", 56, seed=1, linked=3),
        "external": make_data("external", 14, seed=2),
        "test": make_data("test", 12, seed=3),
    }


@pytest.fixture(scope="module")
def study(sets: dict[str, Data], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(Ledger(**sets))
        recorder.put(patch)
        out = tmp_path_factory.mktemp("recorded") / "study"
        model = Model(sets["own"], sets["external"], test=sets["test"], config=CONFIG, out=out, jobs=1)
        with pytest.MonkeyPatch.context() as spies:
            calls = {part: record(spies, part) for part in SPIED}
            model.train()
        metrics = json.loads((out / "metrics.json").read_text())
        yield Recorded(model, recorder, calls, metrics, read_rows(out / "predictions.csv"))


def other_study(sets: dict[str, Data], out: Path, patch: pytest.MonkeyPatch, **changed: Any) -> tuple[Model, Recorder]:
    """A study like the recorded one but for something, not yet trained."""
    recorder = Recorder(Ledger(**sets))
    recorder.put(patch)
    config = replace(CONFIG, **changed)
    return Model(sets["own"], sets.get("external"), test=sets.get("test"), config=config, out=out, jobs=1), recorder


# The plan


def test_every_patient_is_tested_in_one_fold_or_serves_the_committee(study: Recorded) -> None:
    files = [row["file"] for row in study.table if row["role"] in ("development", "committee")]
    assert sorted(files) == sorted(study.own.files)
    assert {row["fold"] for row in study.role("development")} == {"0", "1", "2"}
    assert {row["fold"] for row in study.role("committee")} == {""}
    parts = [study.rows("committee"), *(study.rows("development", fold) for fold in range(FOLDS))]
    patients = [study.patients(part) for part in parts]
    assert sum(map(len, patients)) == len(set().union(*patients)) == len(set(study.own.groups.tolist()))


@pytest.mark.parametrize(
    ("changed", "role"), [({"committee_fraction": 0.35}, "committee"), ({"validation_fraction": 0.5}, "holdout")]
)
def test_another_share_in_the_settings_is_another_share_of_the_patches(changed, role, sets) -> None:
    split = Model(sets["own"], config=replace(CONFIG, **changed)).split
    development = [len(fold.training) + len(fold.holdout) for fold in split.folds]
    share = len(split.committee) / len(sets["own"])
    held_out = np.mean([len(fold.holdout) / n for fold, n in zip(split.folds, development, strict=True)])
    expected = {"committee": CONFIG.committee_fraction, "holdout": CONFIG.validation_fraction}
    expected[role] = {"committee": 1 / 3, "holdout": 0.5}[role]
    assert share == pytest.approx(expected["committee"], abs=0.06)
    assert held_out == pytest.approx(expected["holdout"], abs=0.08)


# Search and training


def test_each_expert_is_trained_on_the_whole_development_set_of_its_fold_and_on_nothing_else(study: Recorded) -> None:
    for fold, training in enumerate(study.experts()):
        assert sorted(training.rows) == study.development(fold)
        assert training.labels == study.own.labels[training.rows].tolist()
        assert not training.is_trial
    assert sum(not training.is_trial for training in study.recorder.trainings) == FOLDS


def test_a_search_trains_and_chooses_within_the_development_set_of_its_fold_on_different_patients(study) -> None:
    for fold in range(FOLDS):
        trials = study.trials(fold)
        assert len(trials) == CONFIG.search.trials == 2
        for trial in trials:
            assert not study.patients(trial.rows) & study.patients(trial.holdout_rows)
            assert trial.labels == study.own.labels[trial.rows].tolist()
            assert trial.holdout_labels == study.own.labels[trial.holdout_rows].tolist()
            assert (trial.rows, trial.holdout_rows) == (trials[0].rows, trials[0].holdout_rows)
            assert set(trial.labels) == set(trial.holdout_labels) == {0, 1}
    assert sum(training.is_trial for training in study.recorder.trainings) == FOLDS * CONFIG.search.trials


def test_trials_and_experts_train_as_the_settings_say(study: Recorded) -> None:
    for training in study.recorder.trainings:
        assert training.augmentation == CONFIG.training_augmentation
        assert training.settings == CONFIG.training
        assert training.epochs == (CONFIG.search.epochs if training.is_trial else CONFIG.training.epochs)


def test_a_trial_is_scored_by_its_best_epoch_and_the_best_trial_is_chosen(study: Recorded) -> None:
    for fold in range(FOLDS):
        history, trials = study.history(fold), study.trials(fold)
        assert [trial["holdout_loss"] for trial in history["trials"]] == [min(trial.curve) for trial in trials]
        for record_, trial in zip(history["trials"], trials, strict=True):
            best = min(trial.curve)
            assert record_["holdout_accuracy"] == pytest.approx(1 - best)
            assert record_["holdout_auc"] == pytest.approx(best / 2)
            assert record_["curves"]["holdout_loss"] == trial.curve
        scores = [min(trial.curve) for trial in trials]
        assert history["best"] == scores.index(min(scores))
        chosen = history["trials"][history["best"]]
        assert history["hyperparameters"] == {name: chosen[name] for name in ("dim", "depth", "dropout")}


def test_an_expert_starts_from_the_weights_of_the_best_trial_of_its_own_fold(study: Recorded) -> None:
    for fold, expert in enumerate(study.experts()):
        assert expert.start_mark == min(study.trials(fold), key=lambda trial: min(trial.curve)).mark


def test_every_trial_starts_afresh(study: Recorded) -> None:
    assert {training.start_mark for training in study.recorder.trainings if training.is_trial} == {0}


def test_the_committee_holds_the_experts_in_the_order_of_their_folds_as_they_were_after_training(study) -> None:
    saved = Committee.load(study.model.out / "committee")
    assert [mark_of(network) for network in saved.networks] == [training.mark for training in study.experts()]
    for fold, shape in enumerate(saved.shapes):
        wanted = study.history(fold)["hyperparameters"]
        assert (shape.dim, shape.depth, shape.dropout) == (wanted["dim"], wanted["depth"], wanted["dropout"])


def test_every_fold_has_its_own_seed_and_another_study_has_other_seeds_and_splits(study, sets, tmp_path) -> None:
    seeds = [{training.seed for training in study.trials(fold)} | {study.experts()[fold].seed} for fold in range(FOLDS)]
    assert len(set().union(*seeds)) == FOLDS
    with pytest.MonkeyPatch.context() as patch:
        model, recorder = other_study(sets, tmp_path / "other", patch, seed=6)
        model.fold()
    assert not {training.seed for training in recorder.trainings} & set().union(*seeds)
    assert model.split.committee.tolist() != study.model.split.committee.tolist()
    untrained = {training.start[0].tobytes() for training in recorder.trainings if training.is_trial}
    before = {training.start[0].tobytes() for training in study.recorder.trainings if training.is_trial}
    constant = len(before) == len(untrained) == 1  # a first layer that starts the same for every seed
    assert constant or not untrained & before


def test_the_same_seed_gives_the_same_study_with_or_without_an_external_and_a_test_set(study, sets, tmp_path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        model, recorder = other_study({"own": sets["own"]}, tmp_path / "alone", patch)
        model.train()
    for again, before in zip(recorder.trainings, study.recorder.trainings, strict=True):
        assert (again.rows, again.holdout_rows, again.seed) == (before.rows, before.holdout_rows, before.seed)
        assert all(np.array_equal(*pair) for pair in zip(again.start, before.start, strict=True))
    saved = [json.loads((out / "committee/committee.json").read_text()) for out in (model.out, study.model.out)]
    assert saved[0] == saved[1]
    metrics = json.loads((model.out / "metrics.json").read_text())
    assert metrics["external"] is metrics["test"] is None
    assert metrics["cross_validation"] == study.metrics["cross_validation"]


# The committee


def experts_of(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[f"expert_{k}"]) for k in range(FOLDS)] for row in rows])


def committee_rows(study: Recorded) -> list[tuple[Any, ...]]:
    """Experts' probabilities, label and patient of the patches set aside for the committee, by ``predictions.csv``."""
    rows = study.role("committee")
    groups = {file: int(group) for file, group in zip(study.own.files, study.own.groups, strict=True)}
    return sorted(
        (*values, int(row["label"]), groups[row["file"]])
        for values, row in zip(experts_of(rows).tolist(), rows, strict=True)
    )


def test_the_weights_are_learned_on_the_patches_set_aside_and_on_no_other(study: Recorded) -> None:
    (call,) = study.calls["learn_weights"]
    given = zip(
        np.asarray(call["probabilities"]).tolist(), call["labels"].tolist(), call["groups"].tolist(), strict=True
    )
    assert sorted((*values, label, group) for values, label, group in given) == committee_rows(study)
    assert call["seed"] == CONFIG.seed


def test_calibration_and_threshold_are_fitted_on_the_patches_set_aside_and_on_no_other(study: Recorded) -> None:
    rows, committee = study.role("committee"), study.model.committee
    raw = experts_of(rows) @ committee.weights
    labels = [int(row["label"]) for row in rows]
    for part, values in (("fit_calibration", raw), ("choose_threshold", committee.calibration.apply(raw))):
        (call,) = study.calls[part]
        given = sorted(zip(np.round(call["probabilities"], 9), np.asarray(call["labels"]).tolist(), strict=True))
        assert given == sorted(zip(np.round(values, 9), labels, strict=True)), part
    assert call["sensitivity"] is None


def test_weights_and_threshold_in_the_files_are_those_that_were_found(study: Recorded) -> None:
    saved = Committee.load(study.model.out / "committee")
    assert saved.weights.tolist() == study.metrics["committee"]["weights"]
    assert saved.threshold == study.metrics["committee"]["threshold"]
    share = np.mean([int(row["label"]) for row in study.role("committee")])
    assert saved.threshold == pytest.approx(share)
    assert vars(saved.calibration) == study.metrics["committee"]["calibration"]
    assert len(set(saved.weights.tolist())) == FOLDS


# Tables and figures


def test_every_row_of_the_predictions_speaks_of_its_own_patch(study: Recorded, sets: dict[str, Data]) -> None:
    assert len(study.table) == sum(map(len, sets.values()))
    for name, data in sets.items():
        rows = {row["file"]: row for row in study.table if (row["role"] in sets) == (name != "own")}
        rows = {file: row for file, row in rows.items() if name == "own" or row["role"] == name}
        experts = study.model.get_predictions(data.images)
        committee = study.model.committee.predict_proba(data.images)
        first: dict[int, str] = {}
        for patient, group in zip(data.patients, data.groups.tolist(), strict=True):
            first.setdefault(group, patient)
        for i, file in enumerate(data.files):
            row = rows[file]
            assert (row["label"], row["patient"]) == (str(data.labels[i]), first[int(data.groups[i])])
            assert [float(row[f"expert_{k}"]) for k in range(FOLDS)] == pytest.approx(experts[i].tolist(), rel=1e-6)
            assert float(row["committee"]) == pytest.approx(committee[i], rel=1e-6)


def test_experts_are_certain_of_what_they_have_seen_and_the_table_says_which(study: Recorded) -> None:
    """The recorders give 0.02 or 0.98 to what an expert was trained on; out of fold that must not be so."""
    for fold in range(FOLDS):
        for row in study.role("development"):
            seen = float(row[f"expert_{fold}"]) == pytest.approx(0.02 + 0.96 * int(row["label"]))
            assert seen or row["fold"] == str(fold)
    certain = [float(row["out_of_fold"]) in (0.02, 0.98) for row in study.role("development")]
    assert np.mean(certain) < 0.1


def test_the_unseen_probability_is_by_the_expert_of_the_fold_or_by_the_committee(study: Recorded) -> None:
    for row in study.table:
        expected = {"development": f"expert_{row['fold']}", "test": "committee", "external": "committee"}
        source = expected.get(row["role"])
        assert row["out_of_fold"] == (row[source] if source else "")


def recomputed(rows: list[dict[str, str]], threshold: float, column: str = "out_of_fold") -> dict[str, Any]:
    """Figures of some rows of ``predictions.csv``, counted one by one."""
    pairs = [(int(row["label"]), float(row[column])) for row in rows]
    tp = sum(label == 1 and value >= threshold for label, value in pairs)
    fp = sum(label == 0 and value >= threshold for label, value in pairs)
    fn = sum(label == 1 and value < threshold for label, value in pairs)
    tn = sum(label == 0 and value < threshold for label, value in pairs)
    positives = [value for label, value in pairs if label == 1]
    negatives = [value for label, value in pairs if label == 0]
    won = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    return {
        "n": len(pairs),
        "auc": pytest.approx(won / (len(positives) * len(negatives))),
        "accuracy": pytest.approx((tp + tn) / len(pairs)),
        "balanced_accuracy": pytest.approx((tp / (tp + fn) + tn / (tn + fp)) / 2),
        "sensitivity": pytest.approx(tp / (tp + fn)),
        "specificity": pytest.approx(tn / (tn + fp)),
        "confusion": [[tn, fp], [fn, tp]],
    }


def test_the_figures_of_every_fold_follow_from_its_rows(study: Recorded) -> None:
    for fold, figures in enumerate(study.metrics["folds"]):
        expected = recomputed([each for each in study.role("development") if each["fold"] == str(fold)], 0.5)
        assert {name: figures[name] for name in expected} == expected
        assert figures["fold"] == fold
        assert figures["hyperparameters"] == study.history(fold)["hyperparameters"]


def test_the_figures_of_the_cross_validation_follow_from_all_rows_of_the_folds(study: Recorded) -> None:
    figures, rows = study.metrics["cross_validation"], study.role("development")
    expected = recomputed(rows, 0.5)
    assert {name: figures[name] for name in expected} == expected
    assert figures["patients"] == len({row["patient"] for row in rows})
    accuracies = [float(row["accuracy"]) for row in read_rows(study.model.out / "folds.csv")]
    mean = sum(accuracies) / FOLDS
    assert figures["accuracy_mean"] == pytest.approx(mean)
    variance = sum((accuracy - mean) ** 2 for accuracy in accuracies) / (FOLDS - 1)
    assert figures["accuracy_std"] == pytest.approx(variance**0.5)


@pytest.mark.parametrize("name", ["external", "test"])
def test_the_figures_of_external_and_test_set_follow_from_their_rows_at_the_committees_threshold(name, study) -> None:
    rows, figures = study.role(name), study.metrics[name]
    threshold = study.metrics["committee"]["threshold"]
    expected = recomputed(rows, threshold)
    assert {key: figures[key] for key in expected} == expected
    assert expected["confusion"] != recomputed(rows, 0.5)["confusion"]
    assert figures["threshold"] == threshold
    assert figures["patients"] == len({row["patient"] for row in rows}) < len(rows)
    squares = [(float(row["committee"]) - int(row["label"])) ** 2 for row in rows]
    assert figures["brier_score"] == pytest.approx(sum(squares) / len(rows))
    ranked = sorted((float(row["committee"]), int(row["label"])) for row in rows)
    tenths = np.array_split(np.array(ranked), 10)
    error = sum(abs(part[:, 0].sum() - part[:, 1].sum()) for part in tenths) / len(rows)
    assert figures["expected_calibration_error"] == pytest.approx(error, abs=0.05)


def intervals(rows: list[dict[str, str]], threshold: float, unit: str = "patient") -> dict[str, np.ndarray]:
    """Percentile intervals from resamples of whole patients, figure by figure."""
    generator = np.random.default_rng(123)
    units = sorted({row[unit] for row in rows})
    labels = np.array([int(row["label"]) for row in rows])
    values = np.array([float(row["out_of_fold"]) for row in rows])
    members = [np.flatnonzero([row[unit] == each for row in rows]) for each in units]
    drawn: dict[str, list[float]] = {"auc": [], "accuracy": [], "sensitivity": [], "specificity": []}
    while len(drawn["auc"]) < 400:
        chosen = np.concatenate([members[i] for i in generator.integers(0, len(units), len(units))])
        truth, score = labels[chosen], values[chosen]
        if 0 < truth.sum() < len(truth):
            called = score >= threshold
            ranks, positives = rankdata(score)[truth == 1], truth.sum()
            won = ranks.sum() - positives * (positives + 1) / 2
            drawn["auc"].append(won / (positives * (len(truth) - positives)))
            drawn["accuracy"].append(np.mean(called == truth))
            drawn["sensitivity"].append(np.mean(called[truth == 1]))
            drawn["specificity"].append(np.mean(~called[truth == 0]))
    return {name: np.quantile(each, (0.025, 0.975)) for name, each in drawn.items()}


@pytest.mark.parametrize("name", ["cross_validation", "external", "test"])
def test_intervals_are_over_patients_from_the_seed_of_the_study(name: str, study: Recorded) -> None:
    rows = study.role("development" if name == "cross_validation" else name)
    threshold = 0.5 if name == "cross_validation" else study.metrics["committee"]["threshold"]
    labels, values = ([float(row[column]) for row in rows] for column in ("label", "out_of_fold"))
    groups = [row["patient"] for row in rows]
    figures = study.metrics[name]
    for key, bounds in bootstrap_intervals(labels, values, groups, threshold, seed=CONFIG.seed).items():
        assert figures[key] == pytest.approx(bounds, abs=0.004), key
    for key, bounds in intervals(rows, threshold).items():
        assert figures[f"{key}_ci95"] == pytest.approx(bounds, abs=0.05), key
    by_patch = intervals(rows, threshold, unit="file")
    assert max(np.abs(bounds - figures[f"{key}_ci95"]).max() for key, bounds in by_patch.items()) > 0.03


def test_counts_and_settings_in_the_metrics_are_those_of_the_study(study: Recorded) -> None:
    own, metrics = study.own, study.metrics
    chosen = study.rows("committee")
    assert metrics["dataset"]["images"] == len(own)
    assert metrics["dataset"]["positives"] == sum(own.labels.tolist())
    assert metrics["dataset"]["groups"] == len(set(own.groups.tolist())) < len(set(own.patients))
    assert metrics["committee"]["share"] == pytest.approx(len(chosen) / len(own))
    assert metrics["committee"]["patients"] == len(study.patients(chosen))
    protocol = metrics["protocol"]
    assert protocol["grouped"] is True and protocol["folds"] == FOLDS and protocol["seed"] == CONFIG.seed
    assert protocol["validation_fraction"] == CONFIG.validation_fraction
    assert protocol["searching_fraction"] == CONFIG.search.searching_fraction
    assert protocol["trials_per_fold"] == len(study.history(0)["trials"]) == 2
    weights = metrics["committee"]["weights"]
    heaviest = [value for value in metrics["committee"].values() if type(value) is int and value < FOLDS]
    assert heaviest == [weights.index(max(weights))]


def test_the_report_explains_patches_of_the_test_fold_by_the_expert_that_never_saw_them(study: Recorded) -> None:
    call = study.calls["gradcam"][0]
    heaviest = int(np.argmax(study.metrics["committee"]["weights"]))
    rows = study.recorder.ledger.rows(call["images"])
    assert mark_of(call["network"]) == study.experts()[heaviest].mark
    assert set(rows) <= set(study.rows("development", heaviest))
    assert len(set(rows)) == len(rows) == CONFIG.gradcam


def test_every_explained_patch_is_drawn_with_its_own_label_name_and_probability(study: Recorded) -> None:
    heaviest = int(np.argmax(study.metrics["committee"]["weights"]))
    by_file = {row["file"]: row for row in study.table}
    assert len(study.calls["overlay"]) == CONFIG.gradcam
    for call in study.calls["overlay"]:
        (row,) = study.recorder.ledger.rows([call["image"]])
        file = study.own.files[row]
        assert call["name"] == Path(file).name
        assert call["label"] == study.own.labels[row]
        assert call["probability"] is None
        assert call["vote"] == (heaviest, pytest.approx(float(by_file[file][f"expert_{heaviest}"])))


def test_folds_csv_holds_the_figures_of_each_fold_and_the_weight_of_its_expert(study: Recorded) -> None:
    rows = read_rows(study.model.out / "folds.csv")
    assert len(rows) == FOLDS
    for fold, (row, figures) in enumerate(zip(rows, study.metrics["folds"], strict=True)):
        expected = {"fold": fold, **figures["hyperparameters"], "weight": study.metrics["committee"]["weights"][fold]}
        expected |= {name: figures[name] for name in ("n", "auc", "accuracy", "sensitivity", "specificity")}
        assert {name: float(cell) for name, cell in row.items()} == pytest.approx(expected)


def test_the_gallery_holds_the_wrong_patches_under_maps_of_experts_that_never_saw_them(study: Recorded) -> None:
    rows = read_predictions(study.model.out / "predictions.csv")
    wrong = wrong_patches(rows, study.metrics)
    heaviest, networks = study.model.committee.highest_weight, study.model.committee.networks
    assert {each.patch.role for each in wrong} == {"development", "test", "external"}
    expected = {(each.patch.file, heaviest if each.patch.fold is None else each.patch.fold) for each in wrong}
    sets = {"own": study.own, "external": study.model.external, "test": study.model.test}
    drawn = [
        (sets[name].files[row], [mark_of(network) for network in networks].index(mark_of(call["network"])))
        for call in study.calls["gradcam"][1:]
        for name, row in study.recorder.ledger.places(call["images"])
    ]
    assert len(drawn) == len(wrong) and set(drawn) == expected
    pictures = {path.stem for path in (study.model.out / "wrong").iterdir()}
    assert pictures == {str(each.number) for each in wrong}
    for each in wrong:
        assert (study.table[each.number]["file"], study.table[each.number]["role"]) == (
            each.patch.file,
            each.patch.role,
        )


def test_the_curves_of_the_report_are_drawn_from_the_rows_of_their_part(study: Recorded) -> None:
    def pairs(labels: Any, values: Any) -> list[tuple[str, str]]:
        return sorted((str(int(label)), f"{value:.7g}") for label, value in zip(labels, values, strict=True))

    def expected(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
        return sorted((row["label"], row["out_of_fold"]) for row in rows)

    (call,) = study.calls["roc_folds"]
    (folds,) = call.values()
    for fold, (labels, values) in enumerate(folds):
        assert pairs(labels, values) == expected([row for row in study.role("development") if row["fold"] == str(fold)])
    for part in ("roc_curve", "reliability_diagram"):
        assert {call["title"] for call in study.calls[part]} == {"External set", "Test set"}
        for call in study.calls[part]:
            name = call["title"].split()[0].lower()
            assert pairs(call["labels"], call["probabilities"]) == expected(study.role(name))
            assert call.get("threshold", study.model.committee.threshold) == study.model.committee.threshold


def test_the_patches_that_cost_the_auc_most_are_shown_with_what_belongs_to_them(study: Recorded) -> None:
    by_name = {Path(row["file"]).name: row for row in study.table}
    costly = [call for call in study.calls["labelled_patches"] if call["captions"]]
    assert len(costly) == 2
    for call in costly:
        places = study.recorder.ledger.places(call["images"])
        assert len({name for name, _ in places}) == 1 and places[0][0] != "own"
        shown = zip(places, call["names"], call["labels"], call["captions"], strict=True)
        for (name, place), file, label, caption in shown:
            row = by_name[file]
            assert row["role"] == name
            assert row["file"] == study.recorder.ledger.datasets[name].files[place]
            assert row["label"] == str(label)
            assert caption.startswith(f", probability {float(row['committee']):.2f}\ncosts ")


def test_the_learning_curves_of_a_fold_are_its_own(study: Recorded) -> None:
    assert [call["fold"] for call in study.calls["learning_curves"]] == list(range(FOLDS))
    assert [call["history"] for call in study.calls["learning_curves"]] == [study.history(k) for k in range(FOLDS)]


def test_the_external_set_is_followed_by_its_own_labels_while_the_weights_are_learned(study: Recorded) -> None:
    history = json.loads((study.model.out / "committee" / "history.json").read_text())
    rows = study.role("external")
    labels = np.array([int(row["label"]) for row in rows])
    expected = [np.mean((experts_of(rows) @ np.array(w) >= 0.5) == (labels == 1)) for w in history["weights"]]
    assert np.mean(np.abs(np.array(history["external_accuracy"]) - expected) < 1e-9) > 0.8  # sums may round at 0.5


def test_the_audit_of_a_study_is_of_its_own_patches_and_measures_the_external_set_from_them(study, sets) -> None:
    figures = json.loads((study.model.out / "audit.json").read_text())
    assert figures["dataset"]["images"] == len(sets["own"])
    assert figures["dataset"]["positives"] == int(sets["own"].labels.sum())
    assert (figures["drift"]["first"], figures["drift"]["second"]) == ("own", "external")
    for kind, labels in (("all", (0, 1)), ("normal", (0,)), ("cluster", (1,))):
        means = [
            sets[name].images[np.isin(sets[name].labels, labels)].mean(dtype=float) for name in ("own", "external")
        ]
        assert figures["drift"][kind]["brightness"]["means"] == pytest.approx(means)


def test_a_search_of_one_fold_by_itself_is_that_of_the_fold(study: Recorded, sets, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        model, recorder = other_study(sets, tmp_path / "one", patch)
        found = model.tuner(1)
    assert [sorted(one.rows + one.holdout_rows) for one in recorder.trainings] == [study.development(1)] * 2
    assert [one.seed for one in recorder.trainings] == [one.seed for one in study.trials(1)]
    assert [trial["dim"] for trial in found.trials] == [trial["dim"] for trial in study.history(1)["trials"]]


def test_arguments_of_a_study_go_before_its_settings(sets: dict[str, Data]) -> None:
    model = Model(sets["own"], config=CONFIG, searching_fraction=0.75, fast_execution=True, seed=8)
    assert model.config == replace(
        CONFIG, search=replace(CONFIG.search, searching_fraction=0.75), fast_execution=True, seed=8
    )
    assert Model(sets["own"], config=CONFIG).config == CONFIG
    assert Model(sets["own"], config=CONFIG, fast_execution=False, seed=0).config == replace(CONFIG, seed=0)
