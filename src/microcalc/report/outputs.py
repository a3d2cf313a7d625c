"""The files that a finished study leaves in its run directory, but for the committee."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microcalc.committee.committee import Committee
from microcalc.config import StudyConfig
from microcalc.data import Data
from microcalc.evaluation.audit import audit, intensity_drift
from microcalc.evaluation.metrics import auc_costs
from microcalc.evaluation.predictions_csv import read_predictions
from microcalc.evaluation.study_figures import Predicted, out_of_fold
from microcalc.explain.drawing import overlay
from microcalc.explain.maps import explain
from microcalc.files import csv_lines, read_json, write_atomically, write_json
from microcalc.report import figures
from microcalc.report.gallery import draw_gallery, wrong_patches
from microcalc.report.html import write_report
from microcalc.training.splits import StudySplit
from microcalc.transforms.augment import augment

SHOWN_PATCHES = 12
AUGMENTED_PATCHES = 4
VARIANTS = 6
COSTLY_PATCHES = 8

Table = list[dict[str, Any]]


def write_study(
    directory: Path,
    config: StudyConfig,
    split: StudySplit,
    predicted: Mapping[str, Predicted],
    committee: Committee,
    metrics: dict[str, Any],
    audited: dict[str, Any],
) -> None:
    """Write tables, figures, Grad-CAM overlays, ``metrics.json`` and, last, ``report.html``.

    Args:
        directory: the run directory, where search and committee already are.
        predicted: "own", and "external" and "test" where the study has them.
        metrics: the content of ``metrics.json``.
        audited: the content of ``audit.json``, of :func:`audit_study`.
    """
    own = predicted["own"]
    write_json(directory / "audit.json", audited)
    write_atomically(directory / "predictions.csv", to_csv(prediction_rows(predicted, split)))
    write_atomically(directory / "folds.csv", to_csv(fold_rows(metrics)))
    draw_data(directory / "figures", own.data, committee, config)
    draw_training(directory, len(split.folds))
    draw_evaluation(directory / "figures", split, predicted, metrics)
    draw_gradcam(directory / "gradcam", own.data, split, committee, config)
    wrong = wrong_patches(read_predictions(directory / "predictions.csv"), metrics)
    draw_gallery(directory / "wrong", wrong, predicted, committee, config.gradcam_method)
    write_json(directory / "metrics.json", metrics)
    write_report(directory)


def audit_study(predicted: Mapping[str, Predicted]) -> dict[str, Any]:
    """Audit the study's own data, and compare the grey levels of the external set with them."""
    figures = audit(predicted["own"].data)
    if "external" in predicted:
        figures["drift"] = intensity_drift(predicted["own"].data, predicted["external"].data)
    return figures


def prediction_rows(predicted: Mapping[str, Predicted], split: StudySplit) -> Table:
    """The rows of ``predictions.csv``: ``out_of_fold`` is the probability by parts that never saw the patch."""
    own = predicted["own"]
    fold_of = np.full(len(own.data.labels), -1)
    for number, fold in enumerate(split.folds):
        fold_of[fold.test] = number
    rows = []
    for name, part in predicted.items():
        patients = patients_of_groups(part.data)
        honest = out_of_fold(own, split) if name == "own" else part.committee
        for i, file in enumerate(part.data.files):
            number = int(fold_of[i]) if name == "own" else -1
            role = ("development" if number >= 0 else "committee") if name == "own" else name
            rows.append(
                {"file": file, "patient": patients[i], "label": int(part.data.labels[i]), "role": role}
                | {"fold": number if number >= 0 else ""}
                | {f"expert_{k}": f"{value:.7g}" for k, value in enumerate(part.experts[i])}
                | {"committee": f"{part.committee[i]:.7g}"}
                | {"out_of_fold": "" if np.isnan(honest[i]) else f"{honest[i]:.7g}"}
            )
    return rows


def patients_of_groups(data: Data) -> list[str]:
    """One patient a patch, where several names turned out to be one person the first of them."""
    first = {group: data.patients[i] for i, group in reversed(list(enumerate(data.groups.tolist())))}
    return [first[group] for group in data.groups.tolist()]


def fold_rows(metrics: dict[str, Any]) -> Table:
    """The rows of ``folds.csv``: one a fold, hyperparameters and figures."""
    return [
        {
            "fold": fold["fold"],
            **fold["hyperparameters"],
            **{name: fold[name] for name in ("n", "auc", "accuracy", "sensitivity", "specificity")},
            "weight": weight,
        }
        for fold, weight in zip(metrics["folds"], metrics["committee"]["weights"], strict=True)
    ]


def to_csv(rows: Table) -> str:
    """Rows of one shape as CSV text with a header.

    >>> print(to_csv([{"fold": 0, "auc": 0.99}]), end="")
    fold,auc
    0,0.99
    """
    return "".join(csv_lines([rows[0], *(row.values() for row in rows)]))


def draw_data(folder: Path, data: Data, committee: Committee, config: StudyConfig) -> None:
    """Random patches, and the same augmented and filtered where the study does so."""
    shown = min(SHOWN_PATCHES, len(data.labels))
    images, labels = data.get_random_images(shown, seed=config.seed)
    figures.save_figure(figures.labelled_patches(images, labels), folder / "patches.png")
    taken = committee.filtered(images)
    if config.wavelet.name != "none":
        figures.save_figure(figures.filtered_patches(images, taken, labels), folder / "filtered.png")
    augmentation = config.training_augmentation
    if augmentation is not None:
        batch, generator = torch.from_numpy(taken).unsqueeze(1), torch.Generator().manual_seed(config.seed)
        classes = torch.from_numpy(labels)
        drawn = [augment(batch, classes, augmentation, generator)[:AUGMENTED_PATCHES] for _ in range(VARIANTS)]
        variants = torch.cat(drawn, dim=1).numpy()
        figures.save_figure(figures.augmented_patches(taken[: len(variants)], variants), folder / "augmented.png")


def draw_training(directory: Path, folds: int) -> None:
    """Learning curves of every fold, the search, and how the committee learned."""
    folder = directory / "figures"
    histories = [read_json(directory / "search" / f"fold_{number}" / "history.json") for number in range(folds)]
    for number, history in enumerate(histories):
        figures.save_figure(figures.learning_curves(number, history), folder / f"learning_fold_{number}.png")
    if any(history["trials"] for history in histories):
        figures.save_figure(figures.search_overview(histories), folder / "search.png")
    learned = read_json(directory / "committee" / "history.json")
    figures.save_figure(figures.committee_learning(learned), folder / "committee_learning.png")
    if learned["external_accuracy"]:
        figures.save_figure(figures.external_curve(learned), folder / "external_curve.png")


def draw_evaluation(
    folder: Path, split: StudySplit, predicted: Mapping[str, Predicted], metrics: dict[str, Any]
) -> None:
    """ROC curves, confusion matrices and reliability, each on patches that the evaluated part has not seen."""
    own = predicted["own"]
    probabilities = out_of_fold(own, split)
    folds = [(own.data.labels[fold.test], probabilities[fold.test]) for fold in split.folds]
    figures.save_figure(figures.roc_folds(folds), folder / "roc_folds.png")
    matrices = [fold["confusion"] for fold in metrics["folds"]]
    figures.save_figure(figures.confusion_matrices(matrices), folder / "confusion.png")
    for name, title in (("external", "External set"), ("test", "Test set")):
        if name in predicted and metrics[name]["auc"] is not None:
            part = predicted[name]
            curve = figures.roc_curve(part.data.labels, part.committee, part.threshold, title)
            figures.save_figure(curve, folder / f"{name}_roc.png")
            diagram = figures.reliability_diagram(part.data.labels, part.committee, title)
            figures.save_figure(diagram, folder / f"{name}_reliability.png")
            draw_costly(folder / f"{name}_costly.png", part)


def draw_costly(path: Path, part: Predicted) -> None:
    """The patches that cost the committee's AUC most, if any does: they are hard, or their label is wrong."""
    costs = auc_costs(part.data.labels, part.committee)
    most = np.argsort(-costs, kind="stable")[: min(COSTLY_PATCHES, np.count_nonzero(costs))]
    if len(most):
        names = [Path(part.data.files[index]).name for index in most]
        captions = [f", probability {part.committee[i]:.2f}\ncosts {costs[i]:.4f} of the AUC" for i in most]
        drawn = figures.labelled_patches(part.data.images[most], part.data.labels[most], captions, names)
        figures.save_figure(drawn, path)


def draw_gradcam(folder: Path, data: Data, split: StudySplit, committee: Committee, config: StudyConfig) -> None:
    """Overlays of random patches of the test fold of the expert of highest weight, by that expert."""
    number = committee.highest_weight
    test = split.folds[number].test
    shown = min(config.gradcam, len(test))
    chosen = np.sort(np.random.default_rng(config.seed).choice(test, shown, replace=False))
    if shown == 0:
        return
    expert, images = committee.expert(number), data.images[chosen]
    maps = explain(expert, images, method=config.gradcam_method)
    probabilities = expert.expert_probabilities(images)[:, 0]
    paths = [Path(data.files[index]) for index in chosen]
    stems = [path.stem for path in paths]
    for image, heat, probability, index, path in zip(
        committee.filtered(images), maps, probabilities, chosen, paths, strict=True
    ):
        vote, label = (number, float(probability)), int(data.labels[index])
        figure = overlay(image, heat, None, label, path.name, config.gradcam_method, vote)
        name = path.stem if stems.count(path.stem) == 1 else "_".join(path.with_suffix("").parts)
        figures.save_figure(figure, folder / f"{name}.png")
