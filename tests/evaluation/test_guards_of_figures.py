"""Thresholds, intervals and pairs: what a printed figure rests on."""

from pathlib import Path

import numpy as np
import pytest
from recorders import make_data

from microcalc import Data
from microcalc.data.provenance import linked_groups
from microcalc.evaluation.audit import audit, conclusions
from microcalc.evaluation.intervals import bootstrap_intervals
from microcalc.evaluation.metrics import assess
from microcalc.evaluation.shortcuts import shortcut_figures
from microcalc.files import read_json, write_json

LABELS = [0, 0, 1, 1] * 3


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_a_probability_at_the_threshold_counts_as_a_cluster_in_figures_and_intervals(threshold: float) -> None:
    probabilities = [threshold - 0.01, threshold - 0.2, threshold, threshold] * 3
    figures = assess(LABELS, probabilities, threshold)
    intervals = bootstrap_intervals(LABELS, probabilities, range(12), threshold, rounds=50)
    for name in ("accuracy", "sensitivity", "specificity", "balanced_accuracy"):
        assert figures[name] == 1
        assert intervals[f"{name}_ci95"] == [1, 1]


def patients_of_texture() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches that are nearly those of their patient, which says nothing of the next patient's label."""
    groups = np.repeat(np.arange(12), 8)
    generator = np.random.default_rng(3)
    patterns = generator.random((12, 60, 60))
    images = 0.1 + 0.7 * patterns[groups] + 0.02 * generator.random((96, 60, 60))
    return images.astype(np.float32), (np.arange(12) % 2)[groups], groups


def test_the_interval_of_the_grouped_auc_is_its_own_and_that_is_what_is_printed() -> None:
    images, labels, groups = patients_of_texture()
    figures = shortcut_figures(images, labels, groups)
    wavelet = figures["wavelet_sym3"]
    low, high = wavelet["grouped_auc_ci95"]
    assert low < wavelet["grouped_auc"] < high
    assert wavelet["plain_auc"] > high
    names = tuple(f"{row}.png" for row in range(96))
    data = Data("texture", images, labels, groups, names, tuple(f"p{group}" for group in groups))
    for name, shortcut in audit(data)["shortcuts"].items():
        low, high = shortcut["grouped_auc_ci95"]
        printed = f"{shortcut['grouped_auc']:.3f} (95 % interval {low:.3f} to {high:.3f})"
        assert sum(printed in sentence for sentence in conclusions(audit(data))) == 1, name


def test_the_official_test_is_counted_by_linked_patients_not_by_names() -> None:
    """Two names that share pixels are one patient: its patches in Train are not left to train on."""
    data = make_data("own", 40, seed=5)
    images = data.images.copy()
    here, there = (data.patients.index(f"own-{number:03d}") for number in (0, 1))
    images[there, 10:40, 10:40] = images[here, 20:50, 20:50]
    mask = np.isin(data.patients, ["own-000", *(f"own-{number:03d}" for number in range(30, 40))])
    files, patients = data.files, data.patients
    archive = Data("made", images, data.labels, linked_groups(images, patients), files, patients, official_test=mask)
    figures = audit(archive)["official_test"]
    lost = sum(patient == "own-001" for patient in patients)
    assert (figures["images"], figures["training_images"]) == (mask.sum(), (~mask).sum())
    assert (figures["shared_names"], figures["shared_groups"]) == (0, 1)
    assert figures["left_to_train_on"] == (~mask).sum() - lost


# Records


def test_who_reads_a_json_file_while_it_is_written_anew_keeps_the_whole_old_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"auc": 0.5, "text": "x" * 100_000})
    with path.open() as reader:
        beginning = reader.read(20)
        write_json(path, {"auc": 0.9})
        whole = beginning + reader.read()
    assert len(whole) > 100_000 and whole.rstrip().endswith("}")
    assert read_json(path) == {"auc": 0.9}
