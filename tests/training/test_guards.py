"""Splits, search and weights, checked by patches, patients and figures alone."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorders import Ledger, Recorder, make_data
from recorders import replace as put
from safetensors.numpy import load_file

from microcalc import Data, Model
from microcalc.config import SearchSettings, StudyConfig, TrainingSettings
from microcalc.errors import RequestError
from microcalc.training.committee_fit import learn_weights
from microcalc.training.experts import saved_hyperparameters
from microcalc.training.loop import Curves
from microcalc.training.search import cannot_win, search
from microcalc.training.splits import Fold, LeakError, StudySplit, check_split, check_unseen, split_study
from microcalc.training.task import FoldTask

SIDES = ("training", "holdout", "test", "committee")
FOLDS = 4


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data("own", 90, seed=21, linked=3)


@pytest.fixture(scope="module")
def split(data: Data) -> StudySplit:
    shares = {"validation_fraction": 0.25, "committee_fraction": 0.2}
    return split_study(data.labels, data.groups, folds=FOLDS, **shares, seed=2)


# Splits


def test_every_side_of_every_fold_has_both_classes_about_as_in_all_patches(data: Data, split: StudySplit) -> None:
    for fold in split.folds:
        for side in (fold.training, fold.holdout, fold.test, split.committee):
            assert data.labels[side].mean() == pytest.approx(data.labels.mean(), abs=0.15)


def test_the_test_folds_part_the_patches_evenly_and_the_holdout_is_the_smaller_part(data, split) -> None:
    others = len(data) - len(split.committee)
    for fold in split.folds:
        assert len(fold.test) == pytest.approx(others / FOLDS, rel=0.25)
        assert len(fold.holdout) == pytest.approx(0.25 * len(fold.development), rel=0.3)
    assert len(split.committee) == pytest.approx(0.2 * len(data), rel=0.25)


@pytest.mark.parametrize("number", range(FOLDS))
@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(SIDES, 2)))
def test_a_patient_planted_on_any_two_sides_of_any_fold_is_refused(first, second, number, data, split) -> None:
    fold = split.folds[number]
    sides = {name: getattr(fold, name) for name in SIDES[:3]} | {"committee": split.committee}
    planted = np.append(sides[second], sides[first][0])
    folds = list(split.folds)
    if second == "committee":
        leaky = replace(split, committee=planted)
    else:
        folds[number] = replace(fold, **{second: planted})
        leaky = replace(split, folds=tuple(folds))
    check_split(split, data.groups)
    with pytest.raises(LeakError, match=f"group {data.groups[sides[first][0]]} is both in"):
        check_split(leaky, data.groups)


@pytest.mark.parametrize(("reported", "seen", "leaks"), [([0, 1], [2, 3], 0), ([1, 4], [2, 0], 1), ([4], [5], 1)])
def test_only_patches_whose_patient_was_seen_are_refused(reported, seen, leaks) -> None:
    groups = np.array([7, 7, 8, 8, 9, 9])
    if leaks:
        with pytest.raises(LeakError, match=f"figure: {leaks} of {len(reported)} patches"):
            check_unseen(np.array(reported), np.array(seen), groups, "figure")
    else:
        check_unseen(np.array(reported), np.array(seen), groups, "figure")


def test_the_committee_needs_two_patients_of_each_class() -> None:
    groups = np.arange(20)
    labels = (groups < 10).astype(np.int64)
    shares = {"folds": 2, "validation_fraction": 0.5, "seed": 0}
    assert len(split_study(labels, groups, committee_fraction=0.2, **shares).committee) == 4
    with pytest.raises(RequestError, match="leaves the committee 1 patient of label 0"):
        split_study(labels, groups, committee_fraction=0.1, **shares)


# Search


CONFIG = StudyConfig(
    search=SearchSettings(
        dim=(2, 3, 4), depth=(1, 2, 3), dropout=(0.0, 0.1, 0.2), searching_fraction=4 / 27, epochs=3, pruning=True
    ),
    training=TrainingSettings(epochs=2),
)


class Scored:
    """Stands in for network and training: a trial's best loss is given, and its weights tell which trial it was."""

    def __init__(self, patch: pytest.MonkeyPatch, losses: Any) -> None:
        self.losses = losses
        self.built: list[dict[str, Any]] = []
        self.seeds: list[int] = []
        self.given: list[dict[str, Any]] = []
        put(patch, "train", self.train)
        put(patch, "build_network", self.build)

    def build(self, **hyperparameters: Any) -> Any:
        self.seeds.append(hyperparameters.pop("seed"))
        self.built.append(hyperparameters)
        return Fake(len(self.built) - 1)

    def train(self, network: Any, images: Any, labels: Any, **given: Any) -> Curves:
        loss = self.losses(network.number, self.built[-1])
        self.given.append({"images": images, "labels": labels, **given})
        curves = Curves([0.5] * 3, [0.5] * 3, [0.97, loss, 0.98], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
        for done in (1, 2, 3):
            given["on_epoch"](Curves(*(curve[:done] for curve in vars(curves).values())))
        return curves


class Fake:
    """A network whose only weight is its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_weights(self) -> list[np.ndarray]:
        return [np.full((1, 1), self.number, np.float32)]


IMAGES = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((60, 60), np.float32) / 6
LABELS = np.array([0, 1, 0, 1, 0, 1])
FOLD = Fold(training=np.array([1, 2, 4, 5]), holdout=np.array([0, 3]), test=np.arange(0))


def explore(directory: Path, config: StudyConfig = CONFIG, seed: int = 4) -> Any:
    task = type("Task", (FoldTask,), {"seed": seed})
    return search(task(0, IMAGES, LABELS, FOLD, config, directory))


@pytest.mark.slow
@pytest.mark.parametrize(("fraction", "trials"), [(0.01, 1), (0.125, 1), (0.5, 4), (0.875, 7), (1.0, 8)])
def test_the_search_tries_exactly_the_stated_share_of_the_combinations(fraction, trials, monkeypatch, tmp_path) -> None:
    scored = Scored(monkeypatch, lambda number, _: 0.5 - number / 100)
    space = {"dim": (2, 3), "depth": (1, 2), "dropout": (0.0, 0.1), "searching_fraction": fraction}
    found = explore(tmp_path, replace(CONFIG, search=replace(CONFIG.search, **space)))
    assert len(scored.built) == len(found.trials) == trials
    assert len({(each["dim"], each["depth"], each["dropout"]) for each in scored.built}) == trials
    assert len(list(tmp_path.glob("trial_*.json"))) == trials


@pytest.mark.parametrize(
    ("losses", "best"),
    [([0.5, 0.3, 0.4], 1), ([0.3, 0.4, 0.5], 0), ([0.5, 0.4, 0.3], 2), ([0.4, 0.3, 0.3], 1), ([0.3, 0.3, 0.3], 0)],
)
def test_the_weights_kept_are_those_of_the_best_trial_the_first_of_equals(losses, best, monkeypatch, tmp_path) -> None:
    scored = Scored(monkeypatch, lambda number, _: losses[number])
    found = explore(tmp_path, replace(CONFIG, search=replace(CONFIG.search, searching_fraction=3 / 27)))
    assert found.best == best
    (weight,) = load_file(tmp_path / "best.safetensors").values()
    assert weight.item() == best
    wanted = {name: scored.built[best][name] for name in ("dim", "depth", "dropout")}
    assert found.hyperparameters == wanted
    assert {name: found.trials[best][name] for name in wanted} == wanted


def test_a_trial_is_recorded_with_the_figures_of_its_best_epoch(monkeypatch, tmp_path) -> None:
    Scored(monkeypatch, lambda number, _: 0.4)
    for trial in explore(tmp_path).trials:
        figures = [trial[name] for name in ("holdout_loss", "holdout_accuracy", "holdout_auc", "epochs")]
        assert figures == [0.4, 0.2, 0.5, 3]
        assert trial["stopped_early"] is False
        assert trial["curves"]["holdout_loss"] == [0.97, 0.4, 0.98]


def test_every_trial_gets_both_parts_and_the_settings_of_the_search(monkeypatch, tmp_path) -> None:
    scored = Scored(monkeypatch, lambda number, _: 0.4)
    explore(tmp_path, seed=9)
    assert set(scored.seeds) == {9}
    for given in scored.given:
        for (images, labels), rows in (((given["images"], given["labels"]), [1, 2, 4, 5]), (given["holdout"], [0, 3])):
            assert np.array_equal(images, IMAGES[rows]) and np.array_equal(labels, LABELS[rows])
        assert (given["seed"], given["epochs"]) == (9, CONFIG.search.epochs)
        assert (given["settings"], given["augmentation"]) == (CONFIG.training, CONFIG.training_augmentation)


@pytest.mark.slow
def test_after_its_random_trials_the_search_looks_where_the_loss_is_low(monkeypatch, tmp_path) -> None:
    """Over the whole space the loss averages 0.5; a search that went for high losses would end above that."""

    def bowl(_: int, values: dict[str, Any]) -> float:
        return 0.2 + 0.15 * (values["dim"] - 2) + 0.15 * (3 - values["depth"])

    means = []
    config = replace(CONFIG, search=replace(CONFIG.search, searching_fraction=6 / 27))
    for seed in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            Scored(patch, bowl)
            trials = explore(tmp_path / str(seed), config, seed).trials
        means.append(np.mean([trial["holdout_loss"] for trial in trials[3:]]))
    assert np.mean(means) < 0.45


def test_another_seed_explores_in_another_order(tmp_path) -> None:
    orders = []
    config = replace(CONFIG, search=replace(CONFIG.search, searching_fraction=4 / 27))
    for seed in (1, 1, 2):
        with pytest.MonkeyPatch.context() as patch:
            scored = Scored(patch, lambda number, _: 0.5 - number / 100)
            explore(tmp_path / f"{len(orders)}", config, seed)
        orders.append([tuple(sorted(each.items())) for each in scored.built])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("curve", "earlier", "epochs", "hopeless"),
    [
        ([0.6, 0.6], [[0.5, 0.5], [0.5, 0.5]], 6, True),  # a third of the epochs is enough
        ([0.6, 0.6], [[0.5, 0.5], [0.5, 0.5]], 7, False),  # less than a third is not
        ([0.6, 0.6], [[0.5, 0.5]], 6, False),  # one rival makes no median
        ([0.6, 0.6], [[0.5, 0.5], [0.5]], 6, False),  # nor does one that has not come this far
        ([0.5, 0.9], [[0.5, 0.5], [0.5, 0.5]], 6, False),  # as good as the median, and once was
        ([0.6, 0.7], [[0.5, 0.9], [0.5, 0.9]], 6, True),  # the rivals' best up to here counts
        ([0.6, 0.6], [[0.7, 0.7, 0.1], [0.7, 0.7, 0.1]], 6, False),  # and not what they found later
        ([0.6, 0.6], [[0.5, 0.5], [0.5, 0.5], [0.9, 0.9], [0.9, 0.9], [0.9, 0.9]], 6, False),  # median, not minimum
    ],
)
def test_the_median_rule_compares_best_losses_so_far_at_the_same_epoch(curve, earlier, epochs, hopeless) -> None:
    assert cannot_win(curve, earlier, epochs) is hopeless


def test_saved_hyperparameters_are_those_of_the_fold_and_leave_no_trial(data: Data, tmp_path: Path) -> None:
    config = replace(CONFIG, fast_execution=True, folds=3, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(Ledger(own=data))
        recorder.put(patch)
        model = Model(data, config=config, out=tmp_path / "run", jobs=1)
        found = [model.tuner(fold) for fold in range(3)]
    assert [each.hyperparameters for each in found] == [saved_hyperparameters(fold) for fold in range(3)]
    assert [each.trials for each in found] == [[], [], []] and not recorder.trainings


# Weights of the committee


def experts_and_patients(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three experts of unequal worth, 12 patients of three patches, six of each class."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(12), 3)
    labels = (groups % 2).astype(np.int64)
    noise = generator.normal(0, 1, (36, 3)) * (0.5, 1.5, 1.5)
    return 1 / (1 + np.exp(-(2.0 * labels - 1)[:, None] - noise)), labels, groups


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    average = probabilities @ weights
    return float(-np.mean(np.where(labels == 1, np.log(average), np.log(1 - average))))


def halves(seed: int) -> tuple[set[int], set[int]]:
    """The patients that train the weights and those that say when to stop, known by which loss each of them moves."""
    probabilities, labels, groups = experts_and_patients()
    start = learn_weights(probabilities, labels, groups, seed=seed).history
    moved: dict[str, set[int]] = {"loss": set(), "holdout_loss": set()}
    for patient in range(12):
        changed = np.where(groups[:, None] == patient, 0.5, probabilities)
        history = learn_weights(changed, labels, groups, seed=seed).history
        for name, patients in moved.items():
            if history[name][0] != pytest.approx(start[name][0], rel=1e-6):
                patients.add(patient)
    return moved["loss"], moved["holdout_loss"]


@pytest.fixture(scope="module")
def parts() -> tuple[set[int], set[int]]:
    return halves(seed=3)


def test_one_half_of_the_patients_trains_the_weights_and_the_other_says_when_to_stop(parts) -> None:
    fitting, stopping = parts
    assert not fitting & stopping and fitting | stopping == set(range(12))
    assert len(fitting) == len(stopping) == 6


def test_the_curves_are_the_cross_entropies_of_either_half_and_the_weights_those_of_the_best_epoch(parts) -> None:
    probabilities, labels, groups = experts_and_patients()
    ensemble = learn_weights(probabilities, labels, groups, seed=3)
    history = ensemble.history
    for name, patients in zip(("loss", "holdout_loss"), parts, strict=True):
        rows = np.isin(groups, list(patients))
        expected = [cross_entropy(probabilities[rows], labels[rows], np.array(w)) for w in history["weights"]]
        assert history[name] == pytest.approx(expected, rel=1e-4), name
    best = 1 + int(np.argmin(history["holdout_loss"][1:]))
    assert ensemble.weights == pytest.approx(history["weights"][best], abs=1e-6)
    assert best < len(history["weights"]) - 1
    assert ensemble.weights != pytest.approx(history["weights"][-1], abs=1e-4)


def test_weights_start_equal_and_move_down_the_loss_of_the_fitting_half() -> None:
    probabilities, labels, groups = experts_and_patients()
    history = learn_weights(probabilities, labels, groups, seed=3).history
    assert history["weights"][0] == pytest.approx([1 / 3] * 3)
    assert history["loss"][5] < history["loss"][0]


def test_another_seed_parts_the_patients_otherwise(parts) -> None:
    assert halves(seed=4)[0] != parts[0]


def test_the_accuracies_beside_the_curves_count_a_half_as_a_cluster() -> None:
    _, labels, groups = experts_and_patients()
    half = np.full((36, 3), 0.5)
    assert learn_weights(half, labels, groups, seed=3).history["accuracy"][0] == 0.5
