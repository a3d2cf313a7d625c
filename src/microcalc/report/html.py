"""The report of a study: one HTML page that needs nothing but itself, made from the run directory alone."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError
from PIL import Image, UnidentifiedImageError

from microcalc.config import CLASS_NAMES
from microcalc.errors import RequestError
from microcalc.evaluation.audit import conclusions
from microcalc.evaluation.predictions_csv import ROLES, PredictedPatch, read_predictions
from microcalc.files import read_json, write_atomically
from microcalc.report.gallery import WrongPatch, wrong_patches

CSS_PIXELS_A_DOT = 0.6
SETS = {"development": "cross-validation", "test": "test set", "external": "external set"}
MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class Picture:
    """One PNG, embedded: its data URI and the size, in CSS pixels, at which all figures have letters of one size."""

    uri: str
    width: int
    height: int


def write_report(directory: Path) -> Path:
    """Write ``report.html`` from what a run directory holds, and give its path.

    Only ``metrics.json`` has to be there; a section whose files are missing is left out. Besides what a study always
    leaves, ``audit.json`` and ``naive.json`` (the ``metrics.json`` of the same study by the naive protocol) have
    sections of their own.

    Raises:
        RequestError: ``metrics.json`` is missing, or a file is not what its name says.
        FailedError: the report cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as run:
    ...     write_report(Path(run))
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: ...metrics.json: cannot be read as JSON ...
    """
    report = directory / "report.html"
    try:
        page = _render(_read_run(directory))
    except RequestError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TemplateError, TypeError, ValueError) as odd:
        raise RequestError(f"{directory}: holds what no study leaves ({odd!r}); resume the study") from odd
    write_atomically(report, page)
    return report


def _read_run(directory: Path) -> dict[str, Any]:
    metrics = read_json(directory / "metrics.json")
    table = directory / "predictions.csv"
    predictions = read_predictions(table) if table.exists() else []
    config = _read_optional(directory / "config.json") or {}
    naive = _read_optional(directory / "naive.json")
    audit = _read_optional(directory / "audit.json")
    histories = sorted((directory / "search").glob("fold_*/history.json"), key=_fold_number)
    return {
        "metrics": metrics,
        "config": config,
        "settings": config.get("settings", config),
        "environment": _read_optional(directory / "environment.json"),
        "audit": audit,
        "conclusions": conclusions(audit) if audit else [],
        "optimism": _compare(naive, metrics) if naive else [],
        "headline": _headline(metrics, audit),
        "roles": _count_roles(predictions),
        **_gallery(directory / "wrong", wrong_patches(predictions, metrics)),
        "searches": [read_json(path) for path in histories],
        "figures": {path.stem: _embed(path) for path in (directory / "figures").glob("*.png")},
        "gradcam_method": metrics.get("gradcam", {}).get("method"),
        "gradcam": {path.stem: _embed(path) for path in sorted((directory / "gradcam").glob("*.png"))},
    }


def _render(context: dict[str, Any]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "interval": _interval, "duration": _duration}
    template = resources.files("microcalc.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(context)


def _read_optional(path: Path) -> Any:
    return read_json(path) if path.exists() else None


def _fold_number(path: Path) -> int:
    return int(path.parent.name.removeprefix("fold_"))


def _embed(path: Path) -> Picture:
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise RequestError(f"{path}: is not a PNG picture; resume the study") from error
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return Picture(uri, round(CSS_PIXELS_A_DOT * width), round(CSS_PIXELS_A_DOT * height))


def _headline(metrics: dict[str, Any], audit: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the figures at the top, each with its name, value and interval; the audit's baseline comes last."""
    baseline = ((audit or {}).get("shortcuts") or {}).get("wavelet_sym3")
    simple = {"auc": baseline["grouped_auc"], "auc_ci95": baseline["grouped_auc_ci95"]} if baseline else None
    metrics = {**metrics, "baseline": simple}
    parts = (
        ("cross_validation", "Cross-validation", (("auc", "AUC"), ("accuracy", "accuracy"))),
        ("nested", "Nested cross-validation", (("auc", "AUC"), ("accuracy", "accuracy"))),
        ("test", "Test set", (("auc", "AUC"), ("accuracy", "accuracy"))),
        ("external", "External set", (("auc", "AUC"), ("balanced_accuracy", "balanced accuracy"))),
        ("baseline", "Simple baseline", (("auc", "AUC of wavelet statistics"),)),
    )
    return [
        {
            "part": title,
            "name": name,
            "value": metrics[part][key],
            "interval": metrics[part].get(f"{key}_ci95"),
        }
        for part, title, keys in parts
        if metrics.get(part)
        for key, name in keys
        if metrics[part].get(key) is not None
    ]


def _compare(naive: dict[str, Any], honest: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return the name and both values of each figure that the naive protocol and this study have.

    The naive protocol tests on the clusters of the external set alone; its accuracy there is a sensitivity.
    """
    external = naive.get("external") or {}
    clusters_only = external.get("specificity", 0) is None
    rows = (
        ("cross_validation", "auc", "Cross-validation: AUC"),
        ("cross_validation", "accuracy", "Cross-validation: accuracy"),
        ("external", "auc", "External set: AUC"),
        ("external", "accuracy", f"External set: accuracy{' (naive: on its clusters alone)' * clusters_only}"),
    )
    values = [(name, (naive.get(part) or {}).get(key), (honest.get(part) or {}).get(key)) for part, key, name in rows]
    return [(name, claimed, true) for name, claimed, true in values if claimed is not None and true is not None]


def _count_roles(predictions: Sequence[PredictedPatch]) -> list[dict[str, Any]]:
    """Count the patches and patients of each role."""
    return [
        {
            "role": role,
            "patches": len(rows),
            "clusters": sum(row.label for row in rows),
            "patients": len({row.patient for row in rows}),
        }
        for role in ROLES
        if (rows := [row for row in predictions if row.role == role])
    ]


def _gallery(folder: Path, wrong: Sequence[WrongPatch]) -> dict[str, Any]:
    """Return the wrongly classified patches with their pictures, and the filters that choose among them."""
    shown = {
        "set": {each.patch.role: SETS[each.patch.role] for each in wrong},
        "class": {label: CLASS_NAMES[label] for label in sorted({each.patch.label for each in wrong})},
        "expert": {number: f"expert {number}" for number in sorted({each.expert for each in wrong})},
    }
    paths = {each.number: folder / f"{each.number}.png" for each in wrong}
    pictures = {number: _embed(path) for number, path in paths.items() if path.exists()}
    return {"wrong": wrong, "filters": shown, "pictures": pictures, "sets": SETS, "classes": CLASS_NAMES}


def _number(value: float | None, places: int = 3) -> str:
    """Write a number with so many places, or one more where it would be rounded to a perfect 1."""
    if value is None:
        return MISSING
    text = f"{value:.{places}f}"
    return f"{value:.{places + 1}f}" if float(text) == 1 and value < 1 else text


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.1f} %"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
