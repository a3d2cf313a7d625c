"""Plant bugs one at a time in what decides which patch goes where, and see which of them a test notices.

    python benchmarks/mutations.py                 # every bug, with the tests that should notice it
    python benchmarks/mutations.py seed threshold  # only bugs whose name holds one of these words
    python benchmarks/mutations.py --jobs 2        # so many at a time

Each bug is a snippet of the source, which must be there exactly once in all of ``src/``, and what replaces it: a moved
file changes nothing, a stale snippet is an error. The bug is planted in a copy of ``src/`` and ``tests/``; the tree
that you work in is not touched. The command ends with 1 where a bug went unnoticed or a snippet is stale.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "docs", "pyproject.toml", "README.md")
PRELOADED = (
    *("torch", "keras", "keras_tuner", "scipy.stats", "scipy.optimize", "scipy.sparse.csgraph", "sklearn.covariance"),
    *("sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "matplotlib.pyplot", "pywt", "joblib"),
    *("safetensors.numpy", "pydicom", "PIL.Image", "psutil", "filelock", "jinja2", "rich.progress", "tyro"),
)
STUDY = "tests/integration/test_which_patches.py"
LEAKS = "tests/integration/test_leaks.py"
GUARDS = "tests/training/test_guards.py"
FIGURES = "tests/evaluation/test_guards_of_figures.py"
FOLDER = "tests/data/test_groups_of_a_folder.py"


@dataclass(frozen=True)
class Bug:
    """One planted bug.

    Attributes:
        name: what goes wrong.
        snippet: of the source, there exactly once.
        replacement: of the snippet.
        tests: files of tests, or tests by name, of which one at least must fail.
    """

    name: str
    snippet: str
    replacement: str
    tests: tuple[str, ...]


BUGS = [
    # Named in the issue that asked for these guards
    Bug(
        "the development set holds its test fold",
        "return np.sort(np.concatenate([self.training, self.holdout]))",
        "return np.sort(np.concatenate([self.training, self.holdout, self.test]))",
        (STUDY,),
    ),
    Bug(
        "the search chooses on the test fold",
        "task.part(task.fold.training), task.part(task.fold.holdout)",
        "task.part(task.fold.training), task.part(task.fold.test)",
        (STUDY,),
    ),
    Bug(
        "the figures of a fold come from its hold-out",
        "assess(own.data.labels[fold.test], probabilities[fold.test])",
        "assess(own.data.labels[fold.holdout], own.experts[fold.holdout, number])",
        (STUDY,),
    ),
    Bug(
        "the expert trains without the hold-out",
        "*task.part(task.fold.development),",
        "*task.part(task.fold.training),",
        (STUDY,),
    ),
    Bug(
        "the expert trains without augmentation",
        "augmentation=task.config.training_augmentation,",
        "augmentation=None,",
        (STUDY,),
    ),
    Bug(
        "the seed of a fold ignores the study's",
        "SeedSequence([self.config.seed, self.number])",
        "SeedSequence([0, self.number])",
        (STUDY,),
    ),
    Bug(
        "one trial too many",
        "_explore(task, config.search.trials, run)",
        "_explore(task, config.search.trials + 1, run)",
        (STUDY,),
    ),
    Bug(
        "a trial is scored by its last epoch",
        "best, epochs = curves.best_epoch, len(curves.loss)",
        "best, epochs = -1, len(curves.loss)",
        (GUARDS + "::test_a_trial_is_recorded_with_the_figures_of_its_best_epoch",),
    ),
    Bug(
        "weights learned on all patches",
        'experts["own"][chosen], self.data.labels[chosen], self.data.groups[chosen],',
        'experts["own"], self.data.labels, self.data.groups,',
        (STUDY,),
    ),
    Bug(
        "calibration fitted on all patches",
        "fit_calibration(raw, labels)",
        'fit_calibration(experts["own"] @ ensemble.weights, self.data.labels)',
        (STUDY,),
    ),
    Bug(
        "the weights stop by the fitting share",
        "binary_cross_entropy(combined[stopping], targets[stopping])",
        "binary_cross_entropy(combined[fitting], targets[fitting])",
        (GUARDS + "::test_one_half_of_the_patients_trains_the_weights_and_the_other_says_when_to_stop",),
    ),
    Bug(
        "the last epoch's weights are kept",
        'np.array(weights[chosen_epoch(curves["holdout_loss"])], np.float64)',
        "np.array(weights[-1], np.float64)",
        (GUARDS + "::test_the_curves_are_the_cross_entropies_of_either_half_and_the_weights_those_of_the_best_epoch",),
    ),
    Bug(
        "check_split left out of get_ensemble",
        "            check_split(self.split, self.data.groups)\n",
        "",
        (LEAKS + "::test_a_planted_patient_stops_the_committee_before_anything_is_learned",),
    ),
    Bug(
        "check_split looks at the first fold only",
        "for fold in split.folds:\n        sides",
        "for fold in split.folds[:1]:\n        sides",
        (LEAKS + "::test_a_planted_patient_stops_the_committee_before_anything_is_learned",),
    ),
    Bug(
        "check_unseen left out of the nested study",
        '        check_unseen(part, rest, data.groups, "nested")\n',
        "",
        (LEAKS + "::test_a_patient_planted_in_an_outer_fold_stops_the_nested_study",),
    ),
    Bug(
        "intervals of test and external set by patch",
        "**bootstrap_intervals(labels, probabilities, predicted.data.groups, threshold, seed)",
        "**bootstrap_intervals(labels, probabilities, np.arange(len(labels)), threshold, seed)",
        (STUDY,),
    ),
    Bug(
        "predictions.csv with the labels of other patches",
        '"label": int(part.data.labels[i])',
        '"label": int(part.data.labels[i - 1])',
        (STUDY,),
    ),
    Bug(
        "the report's Grad-CAM on patches that the expert has seen",
        "test = split.folds[number].test",
        "test = split.folds[number].training",
        (STUDY,),
    ),
    Bug(
        "a wavelet committee is explained on raw patches",
        "prepared = filtered(check_patches(images), committee.wavelet)",
        "prepared = check_patches(images)",
        (LEAKS + "::test_a_committee_of_filtered_patches_explains_and_predicts_raw_ones_through_the_filter",),
    ),
    Bug(
        "the report explains raw patches of a wavelet study",
        "committee.networks[number], filtered(data.images[chosen], committee.wavelet)",
        "committee.networks[number], data.images[chosen]",
        (LEAKS + "::test_grad_cam_explains_what_the_expert_saw_filtered_patches_of_its_test_fold",),
    ),
    Bug(
        "> for >= in the figures",
        "decisions = scores >= threshold",
        "decisions = scores > threshold",
        (FIGURES,),
    ),
    Bug(
        "> for >= in the intervals",
        "called = scores >= threshold",
        "called = scores > threshold",
        (FIGURES,),
    ),
    Bug(
        "> for >= in the nested study",
        "probabilities[part] >= inner.committee.threshold",
        "probabilities[part] > inner.committee.threshold",
        (LEAKS + "::test_a_nested_probability_at_the_threshold_is_a_cluster",),
    ),
    Bug(
        "> for >= in predict",
        "decision=int(probability >= threshold)",
        "decision=int(probability > threshold)",
        (LEAKS + "::test_every_line_of_predict_speaks_of_its_own_file_and_the_threshold_itself_is_a_cluster",),
    ),
    Bug(
        "groups.csv applied in its own row order",
        "return tuple(patients[file] for file in files)",
        "return tuple(patients.values())",
        (FOLDER,),
    ),
    Bug(
        "the plain folds' interval for the grouped AUC",
        'bootstrap_intervals(labels, grouped, groups, seed=seed)["auc_ci95"]',
        'bootstrap_intervals(labels, plain, groups, seed=seed)["auc_ci95"]',
        (FIGURES,),
    ),
    Bug(
        "resume ignores a changed external set",
        '"sha256": data.fingerprint} for name, data in self._datasets().items()}',
        '"sha256": data.fingerprint} for name, data in self._datasets().items() if name != "external"}',
        (LEAKS + "::test_going_on_with_other_data_is_refused_and_named",),
    ),
    Bug(
        "write_json in place",
        'write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\\n")',
        'path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\\n")',
        (FIGURES,),
    ),
    Bug(
        "naive copies with wrong labels",
        "labels=np.tile(self.labels, times)",
        "labels=np.repeat(self.labels, times)",
        (LEAKS + "::test_every_naive_copy_has_the_label_the_file_and_the_patient_of_its_original",),
    ),
    Bug(
        "the weights of any trial are kept as the best",
        "if all(curves.holdout_loss[best] < trial[OBJECTIVE] for trial in earlier):",
        "if True:",
        (GUARDS + "::test_the_weights_kept_are_those_of_the_best_trial_the_first_of_equals",),
    ),
    Bug(
        "no warm start",
        "if found.best is not None:",
        "if False:",
        (STUDY,),
    ),
    Bug(
        "outliers by distances from a fit that holds the patch",
        "*_fit(statistics[rest], kinds[rest]))",
        "*_fit(statistics, kinds))",
        (GUARDS + "::test_the_threshold_of_outliers_rests_on_distances_from_other_patients",),
    ),
    Bug(
        "Train minus Test by patches, not by linked groups",
        "return data.select(~np.isin(data.groups, test.groups)), test",
        "return data.select(~data.official_test), test",
        (LEAKS + "::test_an_official_test_takes_whole_linked_patients_from_the_rest",),
    ),
    Bug(
        "the audit counts what is left by name",
        "int((~np.isin(data.groups, data.groups[test])).sum())",
        "int((~np.isin(names, names[test])).sum())",
        (FIGURES,),
    ),
    # Splits
    Bug(
        "training and hold-out change places",
        "training=development[training], holdout=development[holdout]",
        "training=development[holdout], holdout=development[training]",
        (GUARDS,),
    ),
    Bug(
        "hold-out by positions in the development set",
        "holdout=development[holdout]",
        "holdout=holdout",
        (GUARDS,),
    ),
    Bug(
        "test fold by positions among the others",
        "test=others[test])",
        "test=test)",
        (GUARDS,),
    ),
    Bug(
        "the committee gets the large part",
        "others, committee = split_groups(",
        "committee, others = split_groups(",
        (GUARDS,),
    ),
    Bug(
        "a share of a part as large as one of 1 / n",
        "exact = fraction * np.array(sizes)",
        "exact = np.array(sizes) / round(1 / fraction)",
        ("tests/training/test_splits.py::test_a_share_of_the_patients_is_taken_as_given",),
    ),
    Bug(
        "check_split forgets the committee",
        '"test": fold.test, "committee": split.committee}',
        '"test": fold.test}',
        (GUARDS,),
    ),
    Bug(
        "check_split forgets the hold-out",
        '"training": fold.training, "holdout": fold.holdout, ',
        '"training": fold.training, ',
        (GUARDS,),
    ),
    Bug(
        "check_split only for the naive protocol",
        "if not split.grouped:",
        "if split.grouped:",
        (GUARDS,),
    ),
    Bug(
        "check_unseen looks at patches, not patients",
        "np.isin(groups[reported], groups[seen])",
        "np.isin(reported, seen)",
        (GUARDS,),
    ),
    Bug(
        "one patient of a class is enough for the committee",
        "if holders < 2:",
        "if holders < 1:",
        (GUARDS,),
    ),
    Bug(
        "the two shares change places",
        "validation_fraction=config.validation_fraction,\n        committee_fraction=config.committee_fraction,",
        "validation_fraction=config.committee_fraction,\n        committee_fraction=config.validation_fraction,",
        (STUDY,),
    ),
    Bug(
        "the split ignores the seed",
        "committee_fraction=config.committee_fraction,\n        seed=config.seed,",
        "committee_fraction=config.committee_fraction,\n        seed=0,",
        (STUDY,),
    ),
    Bug(
        "a random test set and the rest change places",
        "return data.select(rest), data.select(chosen)",
        "return data.select(chosen), data.select(rest)",
        (LEAKS + "::test_a_random_test_takes_its_share_by_whole_patients_and_loses_no_patch",),
    ),
    # Search and experts
    Bug(
        "the search maximises the loss",
        'Objective(OBJECTIVE, "min")',
        'Objective(OBJECTIVE, "max")',
        (GUARDS + "::test_after_its_random_trials_the_search_looks_where_the_loss_is_low",),
    ),
    Bug(
        "the worst trial is chosen",
        "best = min(range(len(trials))",
        "best = max(range(len(trials))",
        (GUARDS + "::test_the_weights_kept_are_those_of_the_best_trial_the_first_of_equals",),
    ),
    Bug(
        "the search trains without augmentation",
        "augmentation=config.training_augmentation,\n        epochs=config.search.epochs,",
        "augmentation=None,\n        epochs=config.search.epochs,",
        (STUDY,),
    ),
    Bug(
        "every trial's network starts from seed 0",
        "preprocessing=config.training.preprocessing, seed=task.seed)",
        "preprocessing=config.training.preprocessing, seed=0)",
        (GUARDS + "::test_every_trial_gets_both_parts_and_the_settings_of_the_search",),
    ),
    Bug(
        "the accuracy of a trial is that of its last epoch",
        '"holdout_accuracy": curves.holdout_accuracy[best]',
        '"holdout_accuracy": curves.holdout_accuracy[-1]',
        (GUARDS + "::test_a_trial_is_recorded_with_the_figures_of_its_best_epoch",),
    ),
    Bug(
        "the median rule takes the rivals' last losses",
        "rivals = [min(other[:done])",
        "rivals = [other[done - 1]",
        (GUARDS + "::test_the_median_rule_compares_best_losses_so_far_at_the_same_epoch",),
    ),
    Bug(
        "the median rule takes what rivals found later",
        "rivals = [min(other[:done])",
        "rivals = [min(other)",
        (GUARDS + "::test_the_median_rule_compares_best_losses_so_far_at_the_same_epoch",),
    ),
    Bug(
        "the median rule stops a trial as good as the median",
        "min(curve) > statistics.median(rivals)",
        "min(curve) >= statistics.median(rivals)",
        (GUARDS + "::test_the_median_rule_compares_best_losses_so_far_at_the_same_epoch",),
    ),
    Bug(
        "the expert trains for the epochs of the search",
        "epochs = task.config.training.epochs",
        "epochs = task.config.search.epochs",
        (STUDY,),
    ),
    Bug(
        "the committee holds the best trials, not the experts",
        'load_weights(network, task.directory / "expert.safetensors")',
        'load_weights(network, task.directory / "best.safetensors")',
        (STUDY,),
    ),
    Bug(
        "saved hyperparameters of another fold",
        "SearchResult(saved_hyperparameters(task.number), trials=[], best=None)",
        "SearchResult(saved_hyperparameters(0), trials=[], best=None)",
        (GUARDS + "::test_saved_hyperparameters_are_those_of_the_fold_and_leave_no_trial",),
    ),
    Bug(
        "experts in reverse order",
        "np.stack([vote[name] for vote in votes], axis=1)",
        "np.stack([vote[name] for vote in votes[::-1]], axis=1)",
        (STUDY,),
    ),
    Bug(
        "a finished expert is trained again",
        'record = task.directory / "history.json"\n    if record.exists():',
        'record = task.directory / "history.json"\n    if False:',
        (LEAKS + "::test_a_finished_study_goes_on_to_the_same_figures_without_any_training",),
    ),
    Bug(
        "experts are given raw patches of a wavelet study",
        "return {name: filtered(each, self.config.wavelet) for name, each in images.items()}",
        "return images",
        (LEAKS + "::test_search_training_and_prediction_get_filtered_patches_alone",),
    ),
    # The committee
    Bug(
        "the weights are parted by patch",
        "split_groups(labels, groups, STOPPING_SHARE, seed)",
        "split_groups(labels, np.arange(len(labels)), STOPPING_SHARE, seed)",
        (GUARDS + "::test_one_half_of_the_patients_trains_the_weights_and_the_other_says_when_to_stop",),
    ),
    Bug(
        "the weights ignore the seed of the study",
        "patients,\n                seed=self.config.seed,",
        "patients,\n                seed=0,",
        (STUDY,),
    ),
    Bug(
        "the weights learn on the share that stops them",
        "loss = functional.binary_cross_entropy(average(values[fitting]), targets[fitting])",
        "loss = functional.binary_cross_entropy(average(values[stopping]), targets[stopping])",
        (GUARDS + "::test_one_half_of_the_patients_trains_the_weights_and_the_other_says_when_to_stop",),
    ),
    Bug(
        "the threshold from uncalibrated probabilities",
        "choose_threshold(labels, calibration.apply(raw), sensitivity",
        "choose_threshold(labels, raw, sensitivity",
        (STUDY,),
    ),
    Bug(
        "the stated sensitivity is ignored",
        "sensitivity=self.config.sensitivity,",
        "sensitivity=None,",
        (LEAKS + "::test_a_stated_sensitivity_reaches_the_threshold",),
    ),
    Bug(
        "outliers fitted as if each patch were a patient",
        "fit_outlier_detector(self.data.images, self.data.groups,",
        "fit_outlier_detector(self.data.images, np.arange(len(self.data)),",
        (STUDY,),
    ),
    Bug(
        "outliers fitted on filtered patches",
        "fit_outlier_detector(self.data.images, self.data.groups,",
        'fit_outlier_detector(self._filtered["own"], self.data.groups,',
        (LEAKS + "::test_outliers_are_measured_on_the_patches_before_the_filter",),
    ),
    Bug(
        "external and test set change places",
        '{"own": self.data, "external": self.external, "test": self.test}',
        '{"own": self.data, "external": self.test, "test": self.external}',
        (STUDY,),
    ),
    # Evaluation and report
    Bug(
        "out of fold by the mean of all experts",
        "own.experts[fold.test, number]",
        "own.experts[fold.test].mean(axis=1)",
        (STUDY,),
    ),
    Bug(
        "cross-validation intervals by patch",
        "probabilities[tested], own.data.groups[tested], seed=seed)",
        "probabilities[tested], np.arange(tested.sum()), seed=seed)",
        (STUDY,),
    ),
    Bug(
        "intervals of the sets ignore the seed",
        "predicted.data.groups, threshold, seed),",
        "predicted.data.groups, threshold),",
        (STUDY,),
    ),
    Bug(
        "the sets are judged at one half",
        "evaluate_external(self._predicted[name], self._threshold(name), config.seed)",
        "evaluate_external(self._predicted[name], 0.5, config.seed)",
        (STUDY,),
    ),
    Bug(
        "the role of a patch by its hold-out",
        "fold_of[fold.test] = number",
        "fold_of[fold.holdout] = number",
        (STUDY,),
    ),
    Bug(
        "a patient under the last of its names",
        "reversed(list(enumerate(data.groups.tolist())))",
        "list(enumerate(data.groups.tolist()))",
        (STUDY,),
    ),
    Bug(
        "overlays with the label of another patch",
        "float(probability), int(data.labels[index]), name,",
        "float(probability), int(data.labels[index - 1]), name,",
        (STUDY,),
    ),
    Bug(
        "the ROC of the folds from another set",
        "folds = [(own.data.labels[fold.test], probabilities[fold.test])",
        "folds = [(own.data.labels[fold.holdout], own.experts[fold.holdout, 0])",
        (STUDY,),
    ),
    Bug(
        "two runs compared row by row",
        "files = sorted(first.keys() & second.keys())\n    pairs = [(first[file], second[file]) for file in files]",
        "files = sorted(first.keys() & second.keys())\n    pairs = list(zip(first.values(), second.values()))",
        (FIGURES,),
    ),
    # Nested and naive studies, resuming, folders
    Bug(
        "the nested study trains on all patches",
        "data.select(rest), config=config, out=out",
        "data, config=config, out=out",
        (LEAKS + "::test_every_outer_fold_is_judged_by_a_study_of_all_other_patients",),
    ),
    Bug(
        "nested probabilities of other patches",
        "predict_proba(data.images[part])",
        "predict_proba(data.images[part[::-1]])",
        (LEAKS + "::test_the_nested_figures_follow_from_the_committees_of_the_outer_folds",),
    ),
    Bug(
        "nested intervals by patch",
        "bootstrap_intervals(data.labels, decisions, data.groups, seed=seed)",
        "bootstrap_intervals(data.labels, decisions, np.arange(len(data)), seed=seed)",
        (LEAKS + "::test_the_nested_figures_follow_from_the_committees_of_the_outer_folds",),
    ),
    Bug(
        "the nested AUC from decisions",
        '"auc": ranked["auc"],',
        '"auc": decided["auc"],',
        (LEAKS + "::test_the_nested_figures_follow_from_the_committees_of_the_outer_folds",),
    ),
    Bug(
        "the naive study is tested on normal patches",
        "external.select(external.labels == 1)",
        "external.select(external.labels == 0)",
        (LEAKS + "::test_the_naive_protocol_weighs_on_all_patches_and_tests_on_external_clusters_alone",),
    ),
    Bug(
        "the naive committee on one fold alone",
        "StudySplit(committee=everything,",
        "StudySplit(committee=parts[0].test,",
        (LEAKS + "::test_the_naive_protocol_weighs_on_all_patches_and_tests_on_external_clusters_alone",),
    ),
    Bug(
        "naive copies under other files",
        "for copy in range(times) for file in self.files",
        "for file in self.files for copy in range(times)",
        (LEAKS + "::test_every_naive_copy_has_the_label_the_file_and_the_patient_of_its_original",),
    ),
    Bug(
        "resume with any settings",
        "    if changes:\n",
        "    if False:\n",
        (LEAKS + "::test_going_on_without_the_external_set_or_with_another_seed_is_refused",),
    ),
    Bug(
        "patients that share pixels stay apart in a folder",
        "groups = linked_groups(read.images, read.patients)",
        "groups = np.unique(read.patients, return_inverse=True)[1]",
        (FOLDER,),
    ),
    Bug(
        "images of a folder in reverse order",
        "read_patch(image, pixel_size_mm) for image in paths",
        "read_patch(image, pixel_size_mm) for image in reversed(paths)",
        (FOLDER,),
    ),
    Bug(
        "select leaves the groups as they were",
        "groups=self.groups[rows],",
        "groups=self.groups[: len(rows)],",
        (FOLDER,),
    ),
    Bug(
        "drawn patches with the labels of others",
        "return self.images[rows], self.labels[rows]",
        "return self.images[rows], self.labels[np.sort(rows)]",
        (FOLDER,),
    ),
]


def main() -> int:
    """Run the bugs that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only bugs whose name holds one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many bugs at a time")
    parser.add_argument("--tests", nargs="*", help="these tests for every bug, in place of its own")
    arguments = parser.parse_args()
    bugs = [bug for bug in BUGS if not arguments.words or any(word in bug.name for word in arguments.words)]
    stale = [f"{bug.name}: {problem}" for bug in bugs if (problem := what_is_stale(bug))]
    if stale or not bugs:
        print("\n".join(stale or ["no bug has such a name"]), file=sys.stderr)
        return 1
    start = time.monotonic()
    noticed = run_all(bugs, arguments.jobs, arguments.tests)
    print(f"\n{sum(map(bool, noticed))} of {len(bugs)} noticed, in {time.monotonic() - start:.0f} s")
    return 0 if all(noticed) else 1


def what_is_stale(bug: Bug) -> str | None:
    """Why a bug cannot be planted; None where it can."""
    places = [path for path in sorted((ROOT / "src").rglob("*.py")) for _ in range(path.read_text().count(bug.snippet))]
    if len(places) != 1:
        return f"its snippet is there {len(places)} times ({bug.snippet!r})"
    return next((f"{test} is not there" for test in bug.tests if not (ROOT / test.partition("::")[0]).is_file()), None)


def run_all(bugs: Sequence[Bug], jobs: int, tests: Sequence[str] | None) -> list[str]:
    """The test that noticed each bug, "" where none did; a line is printed for each as it is done."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("MICROCALC_DATA", str(ROOT.parent / "shared" / "data"))
    for name in PRELOADED:
        importlib.import_module(name)
    noticed = []
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        requests = [(bug, tests or bug.tests, Path(folder, str(number))) for number, bug in enumerate(bugs)]
        with context.Pool(jobs, maxtasksperchild=1) as pool:
            for bug, found in zip(bugs, pool.imap(first_failure, requests, chunksize=1), strict=True):
                print(f"{'noticed  ' if found else 'UNNOTICED'} | {bug.name} | {found}", flush=True)
                noticed.append(found)
    return noticed


def copy_tree(folder: Path) -> Path:
    """What the tests need, in a folder of its own."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


class FirstFailure:
    """Tells pytest's first failure."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest after each step of each test."""
        if report.failed and not self.name:
            self.name = report.nodeid.partition("::")[2]


def first_failure(request: tuple[Bug, Sequence[str], Path]) -> str:
    """In a process of its own: plant a bug in a copy of the tree, and run the tests until one fails."""
    bug, tests, folder = request
    copy = copy_tree(folder)
    path = next(path for path in (copy / "src").rglob("*.py") if bug.snippet in path.read_text())
    path.write_text(path.read_text().replace(bug.snippet, bug.replacement))
    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    sys.dont_write_bytecode = True
    log = os.open(folder.with_suffix(".log"), os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(log, stream)
    failure = FirstFailure()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", "--basetemp", str(folder / "temporary")]
    code = pytest.main([*options, *tests], plugins=[failure])
    shutil.rmtree(copy)
    if code not in (0, 1):
        raise RuntimeError(f"{bug.name}: the tests cannot run: {folder.with_suffix('.log').read_text()[-2000:]}")
    return failure.name


if __name__ == "__main__":
    sys.exit(main())
