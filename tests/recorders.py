"""Stand-ins for the costly parts of a study, which write down which patches each part gets.

Every replaced part is named once, in ``PARTS``. A stand-in goes wherever a module of the package has imported the part
by name, so that moving a caller changes nothing here.
"""

import contextlib
import csv
import functools
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microcalc
from microcalc import Data
from microcalc.report import figures
from microcalc.training.loop import Curves

PARTS = {
    "train": "microcalc.training.loop",
    "predict": "microcalc.committee.inference",
    "build_network": "microcalc.networks.hypermodel",
    "learn_weights": "microcalc.training.committee_fit",
    "fit_calibration": "microcalc.training.committee_fit",
    "choose_threshold": "microcalc.training.committee_fit",
    "gradcam": "microcalc.explain.gradcam",
    "overlay": "microcalc.explain.drawing",
    "save_figure": "microcalc.explain.drawing",
    "png": "microcalc.explain.drawing",
    "shortcut_figures": "microcalc.evaluation.shortcuts",
    "labelled_patches": "microcalc.report.figures",
    "learning_curves": "microcalc.report.figures",
    "roc_folds": "microcalc.report.figures",
    "roc_curve": "microcalc.report.figures",
    "reliability_diagram": "microcalc.report.figures",
    "grouped_folds": "microcalc.training.splits",
}
FIRST_MARK = 1000

for module in pkgutil.walk_packages(microcalc.__path__, "microcalc."):  # a part is replaced in what is imported
    with contextlib.suppress(ImportError):  # of an extra that is not installed
        import_module(module.name)


def original(part: str) -> Callable[..., Any]:
    """The part itself; take it before it is replaced."""
    return getattr(import_module(PARTS[part]), part)


def replace(patch: pytest.MonkeyPatch, part: str, stand_in: Callable[..., Any]) -> None:
    """Put a stand-in wherever the package uses the part."""
    swap(patch, original(part), part, stand_in)


def swap(patch: pytest.MonkeyPatch, real: Any, name: str, stand_in: Any) -> None:
    """Put a stand-in wherever a module of the package has this very object under this name."""
    for place, module in list(sys.modules.items()):
        if place.startswith("microcalc") and getattr(module, name, None) is real:
            patch.setattr(module, name, stand_in)


def record(patch: pytest.MonkeyPatch, part: str) -> list[dict[str, Any]]:
    """Let the part work as it does, and list the arguments of each call by their names."""
    real, calls = original(part), []

    def recording(*positional: Any, **named: Any) -> Any:
        bound = inspect.signature(real).bind(*positional, **named)
        bound.apply_defaults()
        calls.append(dict(bound.arguments))
        return real(*positional, **named)

    replace(patch, part, recording)
    return calls


def mark(network: Any, value: float) -> None:
    """Write a number into a network's weights, which saving and loading keep."""
    weights = network.get_weights()
    next(array for array in weights if array.ndim > 1).flat[0] = value
    network.set_weights(weights)


def mark_of(network: Any) -> int:
    """The number in a network's weights; 0 where nothing was trained."""
    value = next(array for array in network.get_weights() if array.ndim > 1).flat[0]
    return int(value) if value >= FIRST_MARK else 0


class Ledger:
    """Which patch is which, known by its pixels."""

    def __init__(self, **datasets: Data) -> None:
        self.datasets = datasets
        self._places = {
            image.tobytes(): (name, row) for name, data in datasets.items() for row, image in enumerate(data.images)
        }

    def places(self, images: Iterable[np.ndarray]) -> list[tuple[str, int]]:
        """Dataset and row of each patch; a patch that is in none of them fails the test."""
        found = [self._places.get(np.ascontiguousarray(image, np.float32).tobytes()) for image in images]
        assert None not in found, f"{found.count(None)} of {len(found)} patches are none of the study's, as prepared"
        return found

    def rows(self, images: Iterable[np.ndarray], name: str = "own") -> list[int]:
        """The row of each patch, all of which must be of one dataset."""
        places = self.places(images)
        assert {each for each, _ in places} <= {name}, f"patches of {dict(places)} where those of {name} belong"
        return [row for _, row in places]


@dataclass
class Training:
    """One training, as it was asked for: rows of the study's own patches, in the order in which they came."""

    rows: list[int]
    labels: list[int]
    holdout_rows: list[int]
    holdout_labels: list[int]
    seed: int
    epochs: int
    augmentation: Any
    settings: Any
    start: list[np.ndarray]
    start_mark: int
    mark: int
    curve: list[float]

    @property
    def is_trial(self) -> bool:
        return bool(self.holdout_rows)


@dataclass
class Recorder:
    """Takes the place of training and prediction: an expert knows what it has seen, and errs on all else.

    Its probability depends on the patch, the patient and the training, in steps of 0.01, so that some are equal.
    """

    ledger: Ledger
    trainings: list[Training] = field(default_factory=list)

    def train(self, network: Any, images: Any, labels: Any, **given: Any) -> Curves:
        holdout = given.get("holdout")
        value = FIRST_MARK + len(self.trainings)
        generator = np.random.default_rng(value)
        curve = generator.uniform(0.3, 0.9, given["epochs"]).tolist()
        curve[-1] = 0.95  # the last epoch is never the best
        training = Training(
            rows=self.ledger.rows(images),
            labels=np.asarray(labels).tolist(),
            holdout_rows=self.ledger.rows(holdout[0]) if holdout else [],
            holdout_labels=np.asarray(holdout[1]).tolist() if holdout else [],
            seed=given["seed"],
            epochs=given["epochs"],
            augmentation=given["augmentation"],
            settings=given["settings"],
            start=network.get_weights(),
            start_mark=mark_of(network),
            mark=value,
            curve=curve if holdout else [],
        )
        self.trainings.append(training)
        mark(network, value)
        for epochs in range(1, len(curve) + 1):
            training.curve = curve[:epochs] if holdout else []
            accuracies, areas = [1 - loss for loss in training.curve], [loss / 2 for loss in training.curve]
            curves = Curves([0.5] * epochs, [0.5] * epochs, training.curve, accuracies, areas)
            if given.get("on_epoch") is not None and given["on_epoch"](curves):
                break
        return curves

    def training_of(self, network: Any) -> Training:
        """The training that a network came from."""
        return self.trainings[mark_of(network) - FIRST_MARK]

    def predict(self, network: Any, images: Any, *_: Any, **__: Any) -> np.ndarray:
        training = self.training_of(network)
        return np.array([self.probability(training, *place) for place in self.ledger.places(images)])

    def probability(self, training: Training, name: str, row: int) -> float:
        data = self.ledger.datasets[name]
        label, patient = int(data.labels[row]), int(data.groups[row])
        if name == "own" and row in training.rows:
            return 0.02 + 0.96 * label
        salt = sum(name.encode())
        by_patient = np.random.default_rng([salt, patient]).normal(0, 0.2)
        by_patch = np.random.default_rng([salt, row, training.mark]).normal(0, 0.1)
        return round(float(np.clip(0.35 + 0.3 * label + by_patient + by_patch, 0.01, 0.99)), 2)

    def put(self, patch: pytest.MonkeyPatch) -> None:
        """Take the places of training and prediction, and leave out what only costs time: drawing and shortcuts."""
        replace(patch, "train", self.train)
        replace(patch, "predict", self.predict)
        replace(patch, "png", lambda figure: b"")
        for part in ("overlay", "save_figure", "shortcut_figures"):
            replace(patch, part, nothing(original(part)))
        for name, function in inspect.getmembers(figures, inspect.isfunction):
            if function.__module__ == figures.__name__ and not name.startswith("_"):
                swap(patch, function, name, nothing(function))


def nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the same arguments that does nothing."""
    return functools.wraps(function)(lambda *positional, **named: None)


def make_data(name: str, patients: int, seed: int, *, linked: int = 0) -> Data:
    """Patches of 8-bit noise with two pixels that identify each, of patients with one to six patches, in mixed order.

    Args:
        linked: so many pairs of patients' names stand for one patient each.
    """
    generator = np.random.default_rng(seed)
    patient = generator.permutation(np.repeat(np.arange(patients), generator.integers(1, 7, patients)))
    n = len(patient)
    grey = generator.integers(0, 256, (n, 60, 60))
    grey[:, 0, 0], grey[:, 0, 1] = np.divmod(np.arange(n), 256)
    images = grey.astype(np.float32) / np.float32(255)
    odd = generator.random(n) < 0.15
    labels = ((patient + odd) % 2).astype(np.int64)
    groups = patient.astype(np.int64)
    groups[groups < 2 * linked] //= 2
    groups[patient >= 2 * linked] += 1000
    names = [f"{name}-{number:03d}" for number in patient]
    files = [f"{label}/{each}_{row}.png" for row, (label, each) in enumerate(zip(labels, names, strict=True))]
    return Data(name, images, labels, groups, tuple(files), tuple(names))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
