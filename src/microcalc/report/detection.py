"""Figures of an evaluation: FROC with its band, false marks against threshold, ROC, and parts of mammograms."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from microcalc.evaluation.detection import Case, unit_scores
from microcalc.evaluation.metrics import roc
from microcalc.explain.drawing import png
from microcalc.images import Mammogram
from microcalc.mammograms.matching import KnownImage
from microcalc.report.axes import (
    BLUE,
    FOLD_COLOURS,
    FOLD_DASHES,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    TICK_SIZE,
    VERMILLION,
    gallery,
    new_figure,
    style,
    style_roc,
)

RATES_SHOWN = (0, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8)
THRESHOLDS_SHOWN = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
SIDE_MM, SCALE_MM, MARGIN_MM, COLUMNS = 30.0, 5.0, 1.0, 5


class Crop(NamedTuple):
    """A missed cluster or a false mark: its image, its box, and the probability of the finding there, if any."""

    image: KnownImage
    box_px: Sequence[float]
    probability: float | None

    def entry(self) -> dict[str, Any]:
        """Its plain values, for ``evaluation.json``."""
        return {"file": self.image.scanned.file, "box_px": list(self.box_px), "probability": self.probability}


def uri(figure: Figure) -> str:
    """A figure as a PNG in a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}"


def draw_froc(saved: dict[str, Any]) -> Figure:
    """Sensitivity against false marks an image, with the 95 % band and the operating point."""
    figure = new_figure(6.2, 4.4)
    axes = figure.subplots()
    style(axes)
    band = [
        (rate, *ends) for rate, ends in zip(saved["band"]["false_marks"], saved["band"]["ci95"], strict=True) if ends
    ]
    if band:
        rates, low, high = np.transpose(band)
        axes.fill_between(rates, low, high, color=BLUE, alpha=0.15, linewidth=0)
    scans = [(saved, BLUE, "-", "this scan")]
    if "against" in saved:
        scans.append((saved["against"], VERMILLION, "--", "the other scan"))
    for each, colour, dashes, label in scans:
        curve = np.array([each["curve"]["false_marks"], each["curve"]["sensitivity"]])
        axes.step(*curve, where="post", color=colour, linestyle=dashes, label=label)
        point = [[each["figures"][name]["value"]] for name in ("false_marks", "sensitivity")]
        axes.plot(*point, "o", color=colour, label=f"its operating point, {each['operating_point']:.3g}")
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xticks(RATES_SHOWN, [f"{rate:g}" for rate in RATES_SHOWN])
    widest = max(4, *(1.1 * each["figures"]["false_marks"]["value"] for each, *_ in scans))
    axes.set(
        xlim=(0, widest), ylim=(0, 1.01), xlabel="false marks an image", ylabel="sensitivity (share of the clusters)"
    )
    axes.legend(frameon=False, fontsize=TICK_SIZE, loc="lower right")
    return figure


def draw_thresholds(saved: dict[str, Any]) -> Figure:
    """False marks an image, and sensitivity, against the threshold: from it an operating point is read."""
    figure = new_figure(6.2, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    curve = {name: values and np.array(values[1:], np.float64) for name, values in saved["curve"].items()}
    for label, name, dashes in (
        ("all images", "false_marks", "-"),
        ("without a cluster", "false_marks_on_normals", "--"),
    ):
        if curve[name] is not None:
            upper.step(curve["threshold"], curve[name], where="pre", color=VERMILLION, linestyle=dashes, label=label)
    if saved["clusters"]:
        lower.step(curve["threshold"], curve["sensitivity"], where="pre", color=BLUE)
    upper.set(yscale="log", ylim=(0.02, None), ylabel="false marks an image")
    lower.set(ylim=(0, 1.01), ylabel="sensitivity", xlabel="threshold (probability)", xscale="logit")
    lower.set_xticks(THRESHOLDS_SHOWN, [f"{threshold:g}" for threshold in THRESHOLDS_SHOWN])
    lower.minorticks_off()
    lower.set_xlim(THRESHOLDS_SHOWN[0], THRESHOLDS_SHOWN[-1])
    for axes in (upper, lower):
        style(axes)
        axes.axvline(saved["operating_point"], color=GREY, linewidth=1, label="operating point")
    upper.legend(frameon=False, fontsize=TICK_SIZE)
    return figure


def draw_rocs(cases: Sequence[Case]) -> Figure:
    """ROC curves by image, breast and patient, each ranked by its highest finding."""
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    style_roc(axes)
    for number, (unit, (labels, scores)) in enumerate(unit_scores(cases).items()):
        if 0 < labels.sum() < len(labels):
            colour, dashes = FOLD_COLOURS[number], FOLD_DASHES[number]
            axes.plot(*roc(labels, scores), color=colour, linestyle=dashes, label=f"by {unit} ({len(labels)})")
    axes.legend(frameon=False, fontsize=TICK_SIZE, loc="lower right")
    return figure


def draw_crops(crops: Sequence[tuple[Crop, Mammogram]], threshold: float) -> Figure:
    """30 mm around each, five a row: true clusters green, marks orange, other findings blue; with a scale of 5 mm."""
    figure, panels = gallery(len(crops), COLUMNS, row_height=2.5, width=2.1)
    for axes, (crop, mammogram) in zip(panels, crops, strict=True):
        rows_mm, columns_mm = crop.image.scanned.pixel_size_mm
        box = _in_mm(crop.box_px, crop.image)
        half = max(SIDE_MM / 2, *(box[1] - box[0]) / 2 + MARGIN_MM)
        _show(axes, mammogram, box.mean(axis=0) - half, box.mean(axis=0) + half, np.array([columns_mm, rows_mm]))
        for finding in crop.image.scanned.findings:
            _outline(axes, _in_mm(finding.box_px, crop.image), ORANGE if finding.probability >= threshold else SKY)
        for true in crop.image.boxes_px:
            _outline(axes, _in_mm(true, crop.image), GREEN)
        shown = "no finding" if crop.probability is None else f"probability {crop.probability:.3g}"
        name = Path(crop.image.scanned.file).name
        axes.set_title(f"{name[-28:]}\n{shown}", fontsize=TICK_SIZE - 2, parse_math=False)
    return figure


def _in_mm(box_px: Sequence[float], image: KnownImage) -> Any:
    """(2, 2) left, top and right, bottom of a box in mm."""
    return np.reshape(box_px, (2, 2)) * np.array(image.scanned.pixel_size_mm)[::-1]


def _show(axes: Axes, mammogram: Mammogram, low: Any, high: Any, size: Any) -> None:
    """The part of a mammogram between two corners (column, row) in mm, as far as it reaches, and the scale."""
    left, top = np.maximum(np.floor(low / size), 0).astype(int)
    right, bottom = np.ceil(high / size).astype(int) + 1
    part = mammogram.pixels[top:bottom, left:right]
    start, end = np.array([left, top]) - 0.5, np.array([left, top]) + part.shape[::-1] - 0.5
    (x, y), (u, v) = start * size, end * size
    dark, bright = np.quantile(part[part > 0] if part.any() else part, (0.01, 0.999))
    axes.imshow(part, cmap="gray", vmin=dark, vmax=bright, extent=(x, u, v, y), interpolation="antialiased")
    (x, y), (u, v) = low, high
    axes.set(xlim=(x, u), ylim=(v, y), xticks=[], yticks=[], facecolor="black", aspect="equal")
    axes.plot([u - 1 - SCALE_MM, u - 1], [v - 1, v - 1], color="white", linewidth=2, solid_capstyle="butt")
    axes.text(u - 1 - SCALE_MM / 2, v - 1.7, f"{SCALE_MM:g} mm", color="white", fontsize=7, ha="center")


def _outline(axes: Axes, box: Any, colour: str) -> None:
    width, height = box[1] - box[0] + 2 * MARGIN_MM
    axes.add_patch(Rectangle(box[0] - MARGIN_MM, width, height, fill=False, edgecolor=colour, linewidth=1.3))
