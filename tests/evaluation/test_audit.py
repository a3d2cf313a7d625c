"""The audit of a dataset: what it finds in planted and in real data, and what it says of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.data import Data
from microcalc.data.provenance import linked_groups
from microcalc.evaluation.audit import audit, conclusions, drift_conclusions, intensity_drift
from microcalc.evaluation.shortcuts import shortcut_figures, siblings_in_training
from microcalc.transforms.statistics import wavelet_statistics


def dataset(images, labels, patients, **more) -> Data:
    images = np.asarray(images, np.float32)
    files = tuple(f"{label}/{number}.png" for number, label in enumerate(labels))
    patients = tuple(patients)
    return Data("made", images, np.asarray(labels, np.int64), linked_groups(images, patients), files, patients, **more)


def noise(count, seed=0):
    return np.random.default_rng(seed).random((count, 60, 60), dtype=np.float32)


@pytest.fixture(scope="module")
def infn_figures(infn):
    return audit(infn)


@pytest.mark.slow
def test_patients_of_the_real_archive(infn_figures):
    patients = infn_figures["patients"]
    assert (patients["names"], patients["groups"], patients["rois"]) == (103, 97, 314)
    assert (patients["only_normal"], patients["only_cluster"], patients["both"]) == (26, 67, 4)
    assert patients["joined"] == [
        ["0041", "0222"],
        ["0042", "0227"],
        ["0043", "0231"],
        ["0044", "0241"],
        ["0212", "0313"],
        ["0289", "0310"],
    ]


def test_shared_pixels_of_the_real_archive(infn_figures):
    shared = infn_figures["shared_pixels"]
    assert (shared["identical_across_patients"], shared["overlapping_across_patients"]) == (14, 7)
    assert (shared["identical_within_patients"], shared["overlapping_within_patients"]) == (0, 172)
    assert shared["identical_of_different_label"] == 0
    first = {"kind": "identical", "files": ["Test/1/0227u1_3_1_1_1.png", "Train/1/0042u1_3_1_1_1.png"]}
    assert first in [{**pair, "files": sorted(pair["files"])} for pair in shared["across_patients"]]


def test_shortcuts_of_the_real_archive_reach_what_is_known_of_them(infn_figures):
    intensity, wavelet = (infn_figures["shortcuts"][name] for name in ("mean_std_min_max", "wavelet_sym3"))
    assert (intensity["statistics"], wavelet["statistics"]) == (4, 27)
    assert intensity["grouped_auc"] == pytest.approx(0.92, abs=0.006)
    assert wavelet["grouped_auc"] == pytest.approx(0.983, abs=0.004)
    assert intensity["alone"] == pytest.approx({"mean": 0.802, "std": 0.862, "min": 0.745, "max": 0.893}, abs=0.002)
    for figures in (intensity, wavelet):
        low, high = figures["grouped_auc_ci95"]
        assert low < figures["grouped_auc"] < high
        assert figures["plain_auc"] >= figures["grouped_auc"]


def test_findings_on_the_real_archive_say_what_must_be_known(infn_figures):
    words = " ".join(conclusions(infn_figures))
    for known in (
        "97 patients",
        "314 regions",
        "93 of 97 patients",
        "0042 = 0227",
        "14 identical, 7 overlapping",
        "98% of the patches",
        "shares with its Train: 6 (3 by name)",
        "517 of 556",
        "mean 0.80, std 0.86, min 0.74, max 0.89",
        "27 wavelet statistics reaches AUC 0.98",
        "brighter than normal ones by 1.2",
    ):
        assert known in words


def test_the_brightest_pixel_tells_the_classes_of_the_external_set_and_the_mean_hardly_does(shared_data):
    external = Data.load(shared_data / "external_patches.zip")
    alone = shortcut_figures(external.images, external.labels, external.groups)["mean_std_min_max"]["alone"]
    assert alone["max"] == pytest.approx(0.960, abs=0.002)
    assert alone["mean"] == pytest.approx(0.643, abs=0.002)


def test_the_external_set_is_more_contrasted_than_the_real_archive(infn, shared_data):
    external = Data.load(shared_data / "external_patches.zip")
    words = drift_conclusions(intensity_drift(infn, external))
    assert any("more contrasted than those of infn" in sentence for sentence in words)


def test_pixels_join_patients_that_names_keep_apart():
    images = noise(12)
    images[7] = images[0]
    images[8, :30, :30] = images[1, 20:50, 20:50]
    figures = audit(dataset(images, [0] * 6 + [1] * 6, "aabbccddeeff"))
    shared = figures["shared_pixels"]
    assert (shared["identical_across_patients"], shared["overlapping_across_patients"]) == (1, 1)
    assert shared["identical_of_different_label"] == 1
    assert shared["across_patients"] == [
        {"kind": "identical", "files": ["0/0.png", "1/7.png"]},
        {"kind": "overlapping", "files": ["0/1.png", "1/8.png"]},
    ]
    assert figures["patients"]["joined"] == [["a", "d", "e"]]
    assert figures["patients"]["both"] == 1
    words = " ".join(conclusions(figures))
    assert "6 names stand for 4 patients (a = d = e)" in words
    assert "identical patches with different labels: 1" in words


def test_names_that_tell_no_patient_are_a_finding():
    data = dataset(noise(12), [0, 1] * 6, map(str, range(12)))
    assert audit(data)["patients"]["named"]
    untold = replace(data, patients=data.files)
    assert not audit(untold)["patients"]["named"]
    assert any("give no patients" in sentence for sentence in conclusions(audit(untold)))
    assert not any("give no patients" in sentence for sentence in conclusions(audit(data)))


def test_an_official_test_without_common_patients_is_no_finding():
    images, labels, patients = noise(12), [0, 1] * 6, "aabbccddeeff"
    apart = dataset(images, labels, patients, official_test=np.arange(12) >= 8)
    torn = dataset(images, labels, patients, official_test=np.arange(12) >= 7)
    assert audit(apart)["official_test"]["left_to_train_on"] == 8
    assert not any("own Test" in sentence for sentence in conclusions(audit(apart)))
    assert audit(torn)["official_test"]["left_to_train_on"] == 6
    assert any("shares with its Train: 1 (1 by name)" in sentence for sentence in conclusions(audit(torn)))


def test_a_class_of_few_patients_is_a_finding_and_has_no_cross_validation():
    figures = audit(dataset(noise(12), [0] * 8 + [1] * 4, "abcdefghiiii"))
    words = " ".join(conclusions(figures))
    assert figures["shortcuts"] is None
    assert "Patients that give patches of the class cluster: only 1" in words
    assert "fewer than 5 patients" in words


def test_five_patients_of_a_class_are_cross_validated_but_have_no_interval():
    figures = audit(dataset(noise(40), [0] * 20 + [1] * 20, "abcdefghijklmnopqrst" + "uvwxy" * 4))
    assert figures["shortcuts"]["wavelet_sym3"]["grouped_auc_ci95"] is None
    assert "(too few patients for an interval)" in " ".join(conclusions(figures))


def test_noise_holds_no_shortcut():
    labels = np.arange(100) % 2
    figures = shortcut_figures(noise(100), labels, np.arange(100))
    for shortcut in figures.values():
        low, high = shortcut["grouped_auc_ci95"]
        assert low < 0.6
        assert high > 0.4


def test_one_bright_pixel_a_cluster_shows_in_the_maximum_alone():
    images, labels = noise(100) / 2, np.arange(100) % 2
    images[labels == 1, 30, 30] = 1.0
    alone = shortcut_figures(images, labels, np.arange(100))["mean_std_min_max"]["alone"]
    assert alone["max"] == 1.0
    assert 0.3 < alone["mean"] < 0.7 and 0.3 < alone["min"] < 0.7


def test_wavelet_statistics_see_fine_detail_and_not_the_level():
    images = noise(3)
    images[1] = images[0] / 2 + 0.3
    statistics = wavelet_statistics(images).reshape(3, 9, 3)
    assert statistics[1, :, :2] == pytest.approx(statistics[0, :, :2] / 2, rel=1e-3)
    assert statistics[1, :, 2] == pytest.approx(statistics[0, :, 2], rel=1e-3, abs=1e-3)
    speck = np.full((1, 60, 60), 0.5, np.float32)
    speck[0, 30, 30] = 1.0
    assert wavelet_statistics(speck).reshape(9, 3)[:, 2].max() > 50


def test_siblings_are_counted_patch_by_patch():
    labels, groups = np.array([0] * 10 + [1] * 10), np.arange(20)
    groups[1] = 0
    share = siblings_in_training(labels, groups)
    assert share in (0.0, 0.1)
    assert max(siblings_in_training(labels, groups, seed) for seed in range(5)) == 0.1
    assert siblings_in_training(labels[7:], groups[7:]) is None


def test_drift_is_measured_in_standard_deviations():
    generator = np.random.default_rng(0)
    levels = generator.normal(0.4, 0.05, 400)[:, None, None]
    still = np.clip(levels + 0.01 * noise(400), 0, 1)
    first = dataset(still, [0, 1] * 200, map(str, range(400)))
    second = replace(first, name="other", images=first.images + np.float32(0.1))
    brightness = intensity_drift(first, second)["normal"]["brightness"]
    assert brightness["effect_size"] == pytest.approx(2.0, abs=0.15)
    assert brightness["kolmogorov_smirnov"] == pytest.approx(0.68, abs=0.06)
    assert brightness["means"][1] - brightness["means"][0] == pytest.approx(0.1, abs=1e-4)
    assert intensity_drift(second, first)["normal"]["brightness"]["effect_size"] == -brightness["effect_size"]
    assert drift_conclusions(intensity_drift(first, second))[0].startswith(
        "Normal patches of other are brighter than those of made by 2"
    )
    assert drift_conclusions(intensity_drift(first, first)) == [
        "Normal patches of made are about as bright and as contrasted as those of made."
    ]


def test_datasets_without_a_common_class_are_compared_whole():
    both = dataset(noise(8), [0, 1] * 4, "abcdefgh")
    positives = both.select(both.labels == 1)
    drift = intensity_drift(positives, both)
    assert drift["normal"] is None
    assert drift["cluster"]["brightness"]["kolmogorov_smirnov"] == 0.0
    assert drift_conclusions(drift)[0].startswith("Patches of made")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=40))
def test_any_dataset_can_be_audited(patches):
    """Few or many patches, of any classes and patients, flat ones among them."""
    kinds = np.concatenate([np.zeros((1, 60, 60)), np.ones((1, 60, 60)), noise(3)])
    images = kinds[[kind for _, _, kind in patches]]
    data = dataset(images, [int(label) for label, _, _ in patches], [str(patient) for _, patient, _ in patches])
    figures = audit(data)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in conclusions(figures))
    assert drift_conclusions(intensity_drift(data, data))
