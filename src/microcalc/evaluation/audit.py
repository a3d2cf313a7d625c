"""The audit of a dataset: its patients, shared pixels, shortcuts and grey levels, found from pixels and names."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from microcalc.committee.calibration import Floats
from microcalc.data import Data
from microcalc.data.provenance import identical_pairs, parse_infn_name, shared_blocks
from microcalc.errors import DataError
from microcalc.evaluation.shortcuts import FOLDS, shortcut_figures, siblings_in_training
from microcalc.transforms.statistics import Images

FEW_PATIENTS = 10
LARGE_EFFECT = 0.5
LISTED = 8


def audit(data: Data) -> dict[str, Any]:
    """The figures of ``audit.json``; plain values, None where a figure is not defined.

    Returns:
        ``dataset``: name, fingerprint, images, normal, positives.
        ``patients``: whether the names give them (``named``), how many by ``names`` and in ``groups`` (names joined by
        shared pixels), ``joined`` names, groups by the classes that they hold, ``rois`` (INFN names only).
        ``shared_pixels``: pairs of identical patches and of patches that share a 16 x 16 block otherwise, across
        patients' names and within, those across by file, and identical patches of different label.
        ``plain_folds``: share of patches tested with a patch of their patient on the training side.
        ``official_test``: the archive's own Test folder against its Train, where there is one.
        ``shortcuts``: see :func:`microcalc.evaluation.shortcuts.shortcut_figures`.
        ``classes``: brightness and contrast of the patches with a cluster against the normal ones, see
        :func:`intensity_drift`.

    >>> audit(Data.load("phantom"))["patients"]["groups"]
    80
    """
    positive = data.labels == 1
    both = 0 < positive.sum() < positive.size
    return {
        "schema": 1,
        "dataset": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "images": len(data.images),
            "normal": int((~positive).sum()),
            "positives": int(positive.sum()),
        },
        "patients": _patients(data),
        "shared_pixels": _shared_pixels(data),
        "plain_folds": {"siblings_in_training": siblings_in_training(data.labels, data.groups)},
        "official_test": _official_test(data),
        "shortcuts": shortcut_figures(data.images, data.labels, data.groups),
        "classes": _compare_intensity(data.images[~positive], data.images[positive]) if both else None,
    }


def intensity_drift(first: Data, second: Data) -> dict[str, Any]:
    """Compare brightness and contrast (a patch's mean and standard deviation) of two datasets.

    Returns:
        ``first`` and ``second``, their names; ``all``, ``normal`` and ``cluster``, each with ``brightness`` and
        ``contrast``: ``means`` of first and second, ``effect_size`` (second minus first in pooled standard deviations:
        Cohen, Statistical Power Analysis, 1988; None where nothing varies) and ``kolmogorov_smirnov``, the largest
        distance of the two cumulative distributions, 0 to 1. There is no p: patches of a patient are not independent.
        None for a class that one of them lacks.

    >>> phantom = Data.load("phantom")
    >>> intensity_drift(phantom, phantom)["all"]["brightness"]["kolmogorov_smirnov"]
    0.0
    """
    drift: dict[str, Any] = {"first": first.name, "second": second.name}
    for name, labels in (("all", (0, 1)), ("normal", (0,)), ("cluster", (1,))):
        here, there = (data.images[np.isin(data.labels, labels)] for data in (first, second))
        drift[name] = _compare_intensity(here, there) if len(here) and len(there) else None
    return drift


def conclusions(figures: dict[str, Any]) -> list[str]:
    """Put the figures of :func:`audit` into sentences, the most basic first.

    >>> conclusions(audit(Data.load("phantom")))[0]
    'phantom holds 264 normal patches and 216 with a cluster, of 80 patients: the patients, not the patches, are the
    sample.'
    """
    return [
        *_about_patients(figures["dataset"], figures["patients"]),
        *_about_shared_pixels(figures["shared_pixels"], figures["patients"]),
        *_about_splits(figures["plain_folds"], figures["official_test"]),
        *_about_shortcuts(figures["shortcuts"]),
        *_about_intensity(figures["classes"], "Patches with a cluster", "normal ones"),
    ]


def drift_conclusions(drift: dict[str, Any]) -> list[str]:
    """Put the figures of :func:`intensity_drift` into sentences, on normal patches where both have them.

    >>> phantom = Data.load("phantom")
    >>> drift_conclusions(intensity_drift(phantom, phantom))
    ['Normal patches of phantom are about as bright and as contrasted as those of phantom.']
    """
    kind = "Normal patches" if drift["normal"] else "Patches"
    subject, other = f"{kind} of {drift['second']}", f"those of {drift['first']}"
    return _about_intensity(drift["normal"] or drift["all"], subject, other)


def below_baseline(auc: float | None, figures: dict[str, Any]) -> list[str]:
    """Return a warning where experts do not reach the simple baseline of :func:`audit`.

    Args:
        auc: cross-validated, of the experts.
        figures: of :func:`audit`.

    >>> below_baseline(0.56, {"shortcuts": {"wavelet_sym3": {"statistics": 27, "grouped_auc": 0.851}}})[0]
    'The experts do not reach the simple baseline: cross-validated AUC 0.560, against 0.851 of logistic regression on 27
    wavelet statistics. They have learned less than that; do not use this committee.'
    """
    baseline = (figures["shortcuts"] or {}).get("wavelet_sym3")
    if auc is None or baseline is None or auc >= baseline["grouped_auc"]:
        return []
    return [
        f"The experts do not reach the simple baseline: cross-validated AUC {auc:.3f}, against"
        f" {baseline['grouped_auc']:.3f} of logistic regression on {baseline['statistics']} wavelet statistics. They"
        " have learned less than that; do not use this committee."
    ]


def _patients(data: Data) -> dict[str, Any]:
    names = defaultdict(set)
    for patient, group in zip(data.patients, data.groups.tolist(), strict=True):
        names[group].add(patient)
    normal, cluster = (set(data.groups[data.labels == label].tolist()) for label in (0, 1))
    return {
        "named": data.patients != data.files,
        "names": len(set(data.patients)),
        "groups": len(names),
        "joined": sorted(sorted(joined) for joined in names.values() if len(joined) > 1),
        "only_normal": len(normal - cluster),
        "only_cluster": len(cluster - normal),
        "both": len(normal & cluster),
        "rois": _rois(data.files),
    }


def _rois(files: Sequence[str]) -> int | None:
    """Number of regions of interest, where the names give it; each cluster of a numbered ROI is cut out by itself."""
    try:
        names = [parse_infn_name(file) for file in files]
    except DataError:
        return None
    return len({(name.patient, name.view, name.roi, name.cluster) for name in names})


def _shared_pixels(data: Data) -> dict[str, Any]:
    identical = set(map(tuple, identical_pairs(data.images).tolist()))
    overlapping = set(map(tuple, shared_blocks(data.images).tolist())) - identical
    across = {
        kind: sorted(pair for pair in pairs if data.patients[pair[0]] != data.patients[pair[1]])
        for kind, pairs in (("identical", identical), ("overlapping", overlapping))
    }
    return {
        "identical_across_patients": len(across["identical"]),
        "identical_within_patients": len(identical) - len(across["identical"]),
        "overlapping_across_patients": len(across["overlapping"]),
        "overlapping_within_patients": len(overlapping) - len(across["overlapping"]),
        "identical_of_different_label": sum(bool(data.labels[one] != data.labels[other]) for one, other in identical),
        "across_patients": [
            {"kind": kind, "files": [data.files[index] for index in pair]} for kind in across for pair in across[kind]
        ],
    }


def _official_test(data: Data) -> dict[str, Any] | None:
    test = data.official_test
    if test is None:
        return None
    names = np.array(data.patients)
    return {
        "images": int(test.sum()),
        "training_images": int((~test).sum()),
        "shared_names": len(np.intersect1d(names[test], names[~test])),
        "shared_groups": len(np.intersect1d(data.groups[test], data.groups[~test])),
        "left_to_train_on": int((~np.isin(data.groups, data.groups[test])).sum()),
    }


def _compare_intensity(first: Images, second: Images) -> dict[str, Any]:
    """Brightness and contrast of two sets of patches, (n, height, width) each."""
    axes = (1, 2)
    return {
        "brightness": _compare(first.mean(axes, dtype=np.float64), second.mean(axes, dtype=np.float64)),
        "contrast": _compare(first.std(axes, dtype=np.float64), second.std(axes, dtype=np.float64)),
    }


def _compare(first: Floats, second: Floats) -> dict[str, Any]:
    freedom = len(first) + len(second) - 2
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    with np.errstate(divide="ignore"):  # in the p of one patch against one, which is not used
        distance = ks_2samp(first, second, method="asymp").statistic
    return {
        "means": [float(first.mean()), float(second.mean())],
        "effect_size": float((second.mean() - first.mean()) / np.sqrt(squares / freedom)) if squares > 0 else None,
        "kolmogorov_smirnov": float(distance),
    }


def _about_patients(dataset: dict[str, Any], patients: dict[str, Any]) -> list[str]:
    rois = f" and {patients['rois']} regions of interest" if patients["rois"] else ""
    sentences = [
        f"{dataset['name']} holds {dataset['normal']} normal patches and {dataset['positives']} with a cluster, of"
        f" {patients['groups']} patients{rois}: the patients, not the patches, are the sample."
    ]
    if not patients["named"]:
        sentences.append(
            "The names give no patients: each patch counts as one, unless it shares pixels with another. Patches of one"
            " patient may fall on both sides of a split, and every interval is too narrow."
        )
    holders = {kind: patients[f"only_{kind}"] + patients["both"] for kind in ("normal", "cluster")}
    for kind, count in holders.items():
        if count < FEW_PATIENTS:
            sentences.append(f"Patients that give patches of the class {kind}: only {count}. No figure here is firm.")
    one_class = patients["only_normal"] + patients["only_cluster"]
    if one_class > patients["groups"] / 2 and dataset["images"] >= 2 * patients["groups"]:
        sentences.append(
            f"{one_class} of {patients['groups']} patients give patches of one class only ({patients['only_normal']}"
            f" normal, {patients['only_cluster']} with a cluster): whatever distinguishes the patients, be it film,"
            " scanner or tissue, distinguishes the classes as well, and no way of splitting removes that."
        )
    return sentences


def _about_shared_pixels(shared: dict[str, Any], patients: dict[str, Any]) -> list[str]:
    sentences = []
    identical, overlapping = shared["identical_across_patients"], shared["overlapping_across_patients"]
    if identical or overlapping:
        joined = ", ".join(" = ".join(names) for names in patients["joined"][:LISTED])
        more = ", and more" if len(patients["joined"]) > LISTED else ""
        sentences.append(
            f"Pairs of patches under different patients' names: {identical} identical, {overlapping} overlapping. The"
            f" {patients['names']} names stand for {patients['groups']} patients ({joined}{more}): split by group, not"
            " by name."
        )
    if shared["identical_of_different_label"]:
        sentences.append(
            f"Pairs of identical patches with different labels: {shared['identical_of_different_label']}. One label of"
            " each is wrong."
        )
    return sentences


def _about_splits(plain: dict[str, Any], official: dict[str, Any] | None) -> list[str]:
    sentences = []
    share = plain["siblings_in_training"]
    if share:
        sentences.append(
            f"A plain {FOLDS}-fold tests {share:.0%} of the patches with others of the same patient on the training"
            " side: its figures do not speak of new patients."
        )
    if official and official["shared_groups"]:
        sentences.append(
            f"Patients that the archive's own Test shares with its Train: {official['shared_groups']}"
            f" ({official['shared_names']} by name). Leaving their patches out of Train leaves"
            f" {official['left_to_train_on']} of {official['training_images']} to train on."
        )
    return sentences


def _about_shortcuts(shortcuts: dict[str, Any] | None) -> list[str]:
    if shortcuts is None:
        return [f"A class comes from fewer than {FOLDS} patients: shortcuts cannot be cross-validated."]
    intensity, wavelet = shortcuts["mean_std_min_max"], shortcuts["wavelet_sym3"]
    return [
        "Mean, standard deviation, minimum and maximum of a patch alone reach AUC"
        f" {_auc(intensity)} in grouped {FOLDS}-fold (plain: {intensity['plain_auc']:.3f}). Each by"
        f" itself, without training: {', '.join(f'{name} {value:.2f}' for name, value in intensity['alone'].items())}"
        " (below 0.5: lower with a cluster). Mean and min reflect film and tissue, std and max of bright calcifications"
        " too.",
        f"Logistic regression on {wavelet['statistics']} wavelet statistics reaches AUC {_auc(wavelet)} in grouped"
        f" {FOLDS}-fold (plain: {wavelet['plain_auc']:.3f}): a network that does not beat that has learned nothing"
        " more.",
    ]


def _auc(shortcut: dict[str, Any]) -> str:
    if shortcut["grouped_auc_ci95"] is None:
        return f"{shortcut['grouped_auc']:.3f} (too few patients for an interval)"
    low, high = shortcut["grouped_auc_ci95"]
    return f"{shortcut['grouped_auc']:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _about_intensity(comparison: dict[str, Any] | None, subject: str, other: str) -> list[str]:
    """``subject`` is the second set of the comparison, ``other`` the first."""
    if comparison is None:
        return []
    sentences = [
        f"{subject} are {words[effect > 0]} than {other} by {abs(effect):.1f} standard deviations"
        f" (Kolmogorov-Smirnov distance {comparison[name]['kolmogorov_smirnov']:.2f})."
        for name, words in (
            ("brightness", ("darker", "brighter")),
            ("contrast", ("less contrasted", "more contrasted")),
        )
        if abs(effect := comparison[name]["effect_size"] or 0.0) >= LARGE_EFFECT
    ]
    return sentences or [f"{subject} are about as bright and as contrasted as {other}."]
