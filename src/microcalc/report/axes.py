"""Colours, sizes and ways of drawing that the figures of a study share.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind readers can distinguish.
Curves that share a panel also differ in dash, so that they survive a black-and-white printer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from microcalc.config import CLASS_NAMES

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
GREY = "#6B6B6B"
FOLD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
FOLD_DASHES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))

INK = "#222222"
GRID = "#E4E4E4"
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 11.5, 10.5, 9.5

Curves = Mapping[str, Any]


def new_figure(width: float, height: float) -> Figure:
    """A white figure of this size in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def headline(figure: Figure, text: str) -> None:
    """Put a title over a figure."""
    figure.suptitle(text, fontsize=TITLE_SIZE, fontweight="bold", color=INK)


def style(axes: Axes) -> None:
    """Give axes the look of all figures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(labelsize=TICK_SIZE, color=GREY, labelcolor=INK)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=LABEL_SIZE, color=INK)


def style_roc(axes: Axes) -> None:
    """Give axes the look of a ROC curve, with the diagonal of chance."""
    style(axes)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false-positive rate (1 - specificity)", ylabel="true-positive rate (sensitivity)")


def gallery(count: int, columns: int, row_height: float = 1.7, width: float = 1.65) -> tuple[Figure, list[Axes]]:
    """A figure of so many axes, in rows of ``columns``; sizes in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(width * columns, 0.3 + row_height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in grid[count:]:
        spare.remove()
    return figure, list(grid[:count])


def draw_epochs(axes: Axes, curves: Curves) -> None:
    """Draw named values against the epoch, from 1; the hold-out has its own colour and dash."""
    style(axes)
    for number, (name, values) in enumerate(curves.items()):
        epochs = np.arange(1, len(values) + 1)
        colour, dashes = (
            (VERMILLION, "--") if "hold-out" in name else (FOLD_COLOURS[number % 5], FOLD_DASHES[number % 5])
        )
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs, values, label=name, color=colour, linestyle=dashes, linewidth=1.7, marker=marker)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(frameon=False, fontsize=TICK_SIZE)


def draw_trials(axes: Axes, points: Sequence[Curves], name: str, folds: int) -> None:
    """Scatter hold-out losses over the values of one hyperparameter, folds side by side so that none hides another."""
    values = sorted({point[name] for point in points})
    for point in points:
        offset = 0.0 if name == "fold" else 0.5 * ((point["fold"] + 0.5) / folds - 0.5)
        colour = FOLD_COLOURS[point["fold"] % 5]
        axes.scatter(
            values.index(point[name]) + offset,
            point["holdout_loss"],
            s=44 if point["best"] else 26,
            facecolor=colour if point["best"] else "white",
            edgecolor=colour,
            linewidth=1.3,
            zorder=3 if point["best"] else 2,
        )
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.grid(axis="x", visible=False)


def draw_confusion(axes: Axes, matrix: NDArray[Any]) -> None:
    """Draw a 2 x 2 confusion matrix, each row in shares of its class."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.55 else INK
        axes.text(column, row - 0.08, f"{matrix[row, column]}", ha="center", va="center", color=colour, fontsize=14)
        axes.text(column, row + 0.22, f"{100 * share:.1f} %", ha="center", va="center", color=colour, fontsize=8.5)
    axes.set_xticks([0, 1], CLASS_NAMES)
    axes.tick_params(length=0, labelsize=TICK_SIZE)
    axes.spines[:].set_visible(False)
