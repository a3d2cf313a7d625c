"""The figures of a study, each drawn from plain arrays and dicts, on one figure object and no global state."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from microcalc.config import CLASS_NAMES
from microcalc.evaluation.metrics import assess, mean_roc, roc
from microcalc.evaluation.reliability import reliability_curve
from microcalc.explain.drawing import CLASS_COLOURS, show_patch
from microcalc.explain.drawing import save_figure as save_figure
from microcalc.report.axes import (
    BLUE,
    FOLD_COLOURS,
    FOLD_DASHES,
    GREY,
    INK,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    VERMILLION,
    Curves,
    draw_confusion,
    draw_epochs,
    draw_trials,
    gallery,
    headline,
    new_figure,
    style,
    style_roc,
)
from microcalc.training.committee_fit import chosen_epoch

_ZOOM_ABOVE_AUC = 0.95
_NAME_LINE = 36  # letters

Predictions = tuple[ArrayLike, ArrayLike]


def labelled_patches(
    images: ArrayLike, labels: ArrayLike, captions: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> Figure:
    """Draw patches with their class: six a row, or four with a caption and a name each.

    Args:
        images: (n, h, w) in [0, 1].
        labels: (n,), 1 where a cluster is present.
        captions: n texts after the class.
        names: n names of files, under the patches.

    >>> len(labelled_patches(np.zeros((7, 60, 60)), np.zeros(7, int)).axes)
    7
    """
    labels = np.asarray(labels, int)
    if captions is None:
        figure, panels = gallery(len(labels), columns=6, row_height=1.9)
    else:
        figure, panels = gallery(len(labels), columns=4, row_height=2.75, width=2.3)
    captions, names = captions or [""] * len(labels), names or [""] * len(labels)
    for axes, image, label, caption, name in zip(panels, np.asarray(images), labels, captions, names, strict=True):
        show_patch(axes, image)
        title, size = CLASS_NAMES[label] + caption, TICK_SIZE if caption else LABEL_SIZE
        axes.set_title(title, fontsize=size, color=CLASS_COLOURS[label], fontweight="bold")
        axes.set_xlabel(textwrap.fill(name, _NAME_LINE), fontsize=7.5, color=INK, parse_math=False)
    return figure


def augmented_patches(originals: ArrayLike, variants: ArrayLike) -> Figure:
    """Draw one patch a row: as it is, then as the network may meet it in training.

    Args:
        originals: (n, h, w) in [0, 1].
        variants: (n, m, h, w), m variants of each original.

    >>> len(augmented_patches(np.zeros((2, 60, 60)), np.zeros((2, 5, 60, 60))).axes)
    12
    """
    originals, variants = np.asarray(originals), np.asarray(variants)
    columns = 1 + variants.shape[1]
    figure, panels = gallery(len(originals) * columns, columns)
    for number, axes in enumerate(panels):
        row, column = divmod(number, columns)
        show_patch(axes, originals[row] if column == 0 else variants[row, column - 1])
        if row == 0:
            axes.set_title("original" if column == 0 else f"variant {column}", fontsize=LABEL_SIZE, color=INK)
        if column == 0:
            axes.spines[:].set(visible=True, color=ORANGE, linewidth=2.5)
    return figure


def filtered_patches(before: ArrayLike, after: ArrayLike, labels: ArrayLike) -> Figure:
    """Draw patches (upper row) above the same after the wavelet filter (lower row).

    Args:
        before: (n, h, w) in [0, 1].
        after: (n, h, w) in [0, 1].
        labels: (n,), 1 where a cluster is present.

    >>> len(filtered_patches(np.zeros((3, 60, 60)), np.zeros((3, 60, 60)), [0, 1, 1]).axes)
    6
    """
    labels = np.asarray(labels, int)
    figure, panels = gallery(2 * len(labels), columns=len(labels))
    for axes, image in zip(panels, [*np.asarray(before), *np.asarray(after)], strict=True):
        show_patch(axes, image)
    for axes, label in zip(panels, labels, strict=False):
        axes.set_title(CLASS_NAMES[label], fontsize=LABEL_SIZE, color=CLASS_COLOURS[label], fontweight="bold")
    panels[0].set_ylabel("as read", fontsize=LABEL_SIZE, color=INK)
    panels[len(labels)].set_ylabel("filtered", fontsize=LABEL_SIZE, color=INK)
    return figure


def learning_curves(fold: int, history: Curves) -> Figure:
    """Draw the training of one fold: the best trial of the search, and the expert's final training.

    Args:
        fold: which fold, from 0.
        history: the content of ``search/fold_K/history.json``.

    >>> history = {"trials": [], "best": None, "expert": {"loss": [0.7, 0.4], "accuracy": [0.5, 0.8]}}
    >>> [axes.get_ylabel() for axes in learning_curves(0, history).axes]
    ['loss (binary cross-entropy)', 'accuracy']
    """
    stages: list[tuple[str, Curves, Curves]] = []
    if history["trials"]:
        curves = history["trials"][history["best"]]["curves"]
        stages.append(
            (
                "search: best trial",
                {"training part": curves["loss"], "hold-out": curves["holdout_loss"]},
                {"hold-out": curves["holdout_accuracy"]},
            )
        )
    expert = history["expert"]
    stages.append(
        ("expert: whole development set", {"training": expert["loss"]}, {"training": expert["accuracy"]}),
    )
    figure = new_figure(0.6 + 2.9 * len(stages), 4.5)
    panels = figure.subplots(2, len(stages), sharex="col", sharey="row", squeeze=False)
    for column, (title, losses, accuracies) in enumerate(stages):
        draw_epochs(panels[0, column], losses)
        draw_epochs(panels[1, column], accuracies)
        panels[0, column].set_title(title, fontsize=LABEL_SIZE, color=INK)
        panels[0, column].set_xlabel("")
    panels[0, 0].set_ylabel("loss (binary cross-entropy)")
    panels[1, 0].set_ylabel("accuracy")
    panels[0, 0].set_ylim(bottom=0)
    panels[1, 0].set_ylim(top=1.005)
    headline(figure, f"Learning curves of fold {fold}")
    return figure


def search_overview(histories: Sequence[Curves]) -> Figure:
    """Draw the hold-out loss of every trial against the fold and against each hyperparameter.

    Args:
        histories: the content of ``search/fold_K/history.json`` for each fold, in order; those without trials are
            left out.

    >>> trial = {"dim": 15, "depth": 1, "dropout": 0.05, "holdout_loss": 0.3}
    >>> [axes.get_xlabel() for axes in search_overview([{"trials": [trial], "best": 0}]).axes]
    ['fold', 'filters of the first block (dim)', 'dense layers (depth)', 'dropout rate']
    """
    points = [
        {**trial, "fold": fold, "best": number == history["best"]}
        for fold, history in enumerate(histories)
        for number, trial in enumerate(history["trials"])
    ]
    axis_labels = {
        "fold": "fold",
        "dim": "filters of the first block (dim)",
        "depth": "dense layers (depth)",
        "dropout": "dropout rate",
    }
    figure = new_figure(10, 3.3)
    panels = figure.subplots(1, len(axis_labels), sharey=True)
    for axes, (name, axis_label) in zip(panels, axis_labels.items(), strict=True):
        style(axes)
        draw_trials(axes, points, name, len(histories))
        axes.set_xlabel(axis_label)
    panels[0].set_ylabel("hold-out loss")
    panels[0].scatter([], [], s=26, facecolor="white", edgecolor=GREY, label="trial")
    panels[0].scatter([], [], s=44, facecolor=GREY, edgecolor=GREY, label="best of its fold")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=TICK_SIZE)
    headline(figure, "Hyperparameter search: every trial of every fold")
    return figure


def roc_folds(folds: Sequence[Predictions]) -> Figure:
    """Draw the ROC curve of each fold, their mean and a band of one standard deviation.

    Mean and band are those of :func:`microcalc.evaluation.metrics.mean_roc`. Where the mean AUC is above 0.95 a second
    panel shows the upper left corner, where all the curves then are.

    Args:
        folds: (labels (n,), probabilities (n,)) of each test fold.

    >>> len(roc_folds([([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])] * 3).axes)
    1
    """
    mean = mean_roc(folds, points=1001)
    rates, middle = mean.false_positive_rate, mean.true_positive_rate
    low, high = np.clip(middle - mean.spread, 0, 1), np.clip(middle + mean.spread, 0, 1)
    zoomed = mean.auc_mean > _ZOOM_ABOVE_AUC
    figure = new_figure(9.2 if zoomed else 5.0, 4.9)
    panels = figure.subplots(1, 1 + zoomed, squeeze=False)[0]
    for axes in panels:
        style_roc(axes)
        for fold, (labels, probabilities) in enumerate(folds):
            colour, dashes = FOLD_COLOURS[fold % 5], FOLD_DASHES[fold % 5]
            label = f"fold {fold}: AUC {assess(labels, probabilities)['auc']:.4f}"
            axes.plot(*roc(labels, probabilities), color=colour, linestyle=dashes, linewidth=1.1, label=label)
        axes.fill_between(rates, low, high, color=GREY, alpha=0.22, linewidth=0, label="± 1 standard deviation")
        label = f"mean: AUC {mean.auc_mean:.4f} ± {mean.auc_spread:.4f}"
        axes.plot(rates, middle, color=INK, linewidth=2.2, label=label)
    panels[0].legend(loc="lower right", frameon=False, fontsize=TICK_SIZE)
    if zoomed:
        panels[1].set(xlim=(-0.0025, 0.25), ylim=(0.75, 1.0025), ylabel="")
        panels[1].set_title("the same, upper left corner", fontsize=LABEL_SIZE, color=INK)
    headline(figure, "ROC curves of the test folds")
    return figure


def confusion_matrices(matrices: Sequence[ArrayLike]) -> Figure:
    """Draw the confusion matrix of each fold: counts, and the share of each true class.

    Args:
        matrices: (k, 2, 2) counts; rows the true class, columns the predicted one, normal first.

    >>> len(confusion_matrices([[[9, 1], [2, 8]]] * 6).axes)
    6
    """
    columns = 5
    figure, panels = gallery(len(matrices), columns, row_height=2.8, width=2.25)
    for fold, (axes, matrix) in enumerate(zip(panels, np.asarray(matrices), strict=True)):
        draw_confusion(axes, matrix)
        axes.set_title(f"fold {fold}", fontsize=LABEL_SIZE, color=INK)
        axes.set_yticks([0, 1], CLASS_NAMES if fold % columns == 0 else ["", ""], rotation=90, va="center")
        axes.set_ylabel("true class" if fold % columns == 0 else "", fontsize=LABEL_SIZE)
        axes.set_xlabel("predicted", fontsize=LABEL_SIZE)
    headline(figure, "Confusion matrices of the test folds")
    return figure


def committee_learning(history: Curves) -> Figure:
    """Draw how the committee learned: loss and accuracy on its own patients, and the weight of each expert.

    Args:
        history: the content of ``committee/history.json``.

    >>> history = {"loss": [0.3, 0.2], "holdout_loss": [0.4, 0.3], "accuracy": [0.9, 0.95], "weights": [[0.5, 0.5]] * 2}
    >>> [axes.get_ylabel() for axes in committee_learning(history).axes]
    ['loss (binary cross-entropy)', 'accuracy', 'weight']
    """
    figure = new_figure(10, 3.3)
    loss, accuracy, weights = figure.subplots(1, 3)
    draw_epochs(loss, {"training share": history["loss"], "hold-out share": history["holdout_loss"]})
    draw_epochs(accuracy, {"training share": history["accuracy"]})
    by_expert = np.asarray(history["weights"], float).T
    draw_epochs(weights, {f"expert {expert}": values for expert, values in enumerate(by_expert)})
    loss.set_ylabel("loss (binary cross-entropy)")
    accuracy.set_ylabel("accuracy")
    weights.set_ylabel("weight")
    weights.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=TICK_SIZE)
    weights.axhline(1 / len(by_expert), color=GREY, linewidth=0.8, zorder=0)
    loss.axvline(chosen_epoch(history["holdout_loss"]) + 1, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    headline(figure, "Learning curves of the committee")
    return figure


def external_curve(history: Curves) -> Figure:
    """Draw the accuracy on the external set at each epoch of the committee's training, for monitoring only.

    Args:
        history: the content of ``committee/history.json``.

    >>> external_curve({"external_accuracy": [0.6, 0.7]}).axes[0].get_ylabel()
    'accuracy on the external set'
    """
    figure = new_figure(6.4, 3.7)
    axes = figure.subplots()
    draw_epochs(axes, {"external set": history["external_accuracy"]})
    axes.set_ylabel("accuracy on the external set")
    axes.set_xlabel("epoch of the committee's training")
    axes.set_ylim(0, 1.02)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    headline(figure, "External accuracy while the committee learned\n(monitoring only: no choice was made on it)")
    return figure


def roc_curve(labels: ArrayLike, probabilities: ArrayLike, threshold: float, title: str) -> Figure:
    """Draw one ROC curve, with the operating point that the threshold chosen on the committee's own patients gives.

    Args:
        labels: (n,), both classes present.
        probabilities: (n,) in [0, 1].
        threshold: a patch is called a cluster where its probability reaches it.
        title: what was tested.

    Raises:
        RequestError: only one class is there.

    >>> roc_curve([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], 0.5, "External set").axes[0].get_xlabel()
    'false-positive rate (1 - specificity)'
    """
    curve, figures = roc(labels, probabilities), assess(labels, probabilities, threshold)
    figure = new_figure(5.0, 4.9)
    axes = figure.subplots()
    style_roc(axes)
    axes.plot(*curve, color=BLUE, linewidth=2, label=f"committee: AUC {figures['auc']:.3f}")
    sensitivity, specificity = figures["sensitivity"], figures["specificity"]
    label = f"threshold {threshold:.2f}: sensitivity {sensitivity:.2f},\nspecificity {specificity:.2f}"
    axes.plot(
        1 - specificity, sensitivity, linestyle="none", marker="o", markersize=8, markeredgecolor="white",
        color=VERMILLION, clip_on=False, zorder=5, label=label,
    )  # fmt: skip
    axes.legend(loc="lower right", frameon=False, fontsize=TICK_SIZE)
    headline(figure, title)
    return figure


def reliability_diagram(labels: ArrayLike, probabilities: ArrayLike, title: str) -> Figure:
    """Draw how often a cluster was present where the committee gave a given probability.

    Bins are those of :func:`microcalc.evaluation.reliability.reliability_curve`, their bars 95 % Wilson intervals
    (Wilson, J. Am. Stat. Assoc. 22, 1927), which take patches as independent. The lower panel counts the patches of
    each class.

    Args:
        labels: (n,), 1 where a cluster is present.
        probabilities: (n,) in [0, 1].
        title: what was tested.

    >>> [axes.get_ylabel() for axes in reliability_diagram([0, 1], [0.2, 0.8], "Test").axes]
    ['observed share with a cluster', 'patches']
    """
    truth, predicted = np.asarray(labels), np.asarray(probabilities, float)
    curve = reliability_curve(truth, predicted)
    bins = zip(curve.observed, curve.counts, strict=True)
    intervals = [binomtest(round(share * n), n).proportion_ci(method="wilson") for share, n in bins]
    low, high = np.transpose(intervals)
    errors = np.maximum([curve.observed - low, high - curve.observed], 0)

    figure = new_figure(4.8, 5.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4.3, 1])
    style(upper)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect calibration")
    upper.errorbar(
        curve.predicted, curve.observed, errors, color=BLUE, marker="o", markersize=5, linewidth=1.4, elinewidth=1,
        capsize=2.5, clip_on=False, label="observed, with 95 % interval",
    )  # fmt: skip
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed share with a cluster")
    upper.legend(loc="upper left", frameon=False, fontsize=TICK_SIZE)
    style(lower)
    by_class = [predicted[truth == label] for label in (0, 1)]
    lower.hist(by_class, 20, range=(0, 1), stacked=True, color=CLASS_COLOURS, label=CLASS_NAMES, edgecolor="white")
    lower.set(xlabel="predicted probability", ylabel="patches")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.legend(loc="upper center", frameon=False, fontsize=TICK_SIZE)
    headline(figure, title)
    return figure
