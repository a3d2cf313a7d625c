"""The figures and the report page; every number in the run directory below is made up."""

import csv
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from microcalc.committee.committee import Committee
from microcalc.config import StudyConfig
from microcalc.data import Data
from microcalc.errors import RequestError
from microcalc.evaluation.audit import audit, below_baseline
from microcalc.evaluation.predictions_csv import read_predictions
from microcalc.evaluation.study_figures import Predicted
from microcalc.report import figures
from microcalc.report.gallery import wrong_patches
from microcalc.report.html import write_report
from microcalc.report.outputs import draw_costly, draw_gradcam

TRIAL = {
    "dim": 20,
    "depth": 3,
    "dropout": 0.05,
    "holdout_loss": 0.2,
    "holdout_auc": 0.98,
    "stopped_early": False,
    "curves": {"loss": [0.6, 0.3], "holdout_loss": [0.7, 0.4], "holdout_accuracy": [0.6, 0.8]},
}
HISTORY = {"trials": [TRIAL, TRIAL], "best": 1, "expert": {"loss": [0.3, 0.2], "accuracy": [0.8, 0.9]}}
LEARNED = {
    "loss": [0.3, 0.2],
    "accuracy": [0.9, 0.95],
    "holdout_loss": [0.4, 0.3],
    "external_accuracy": [0.5, 0.6],
    "weights": [[0.3, 0.7], [0.4, 0.6]],
}
ELSEWHERE = {
    "n": 40,
    "auc": 0.876,
    "auc_ci95": [0.811, 0.934],
    "accuracy": 0.71,
    "balanced_accuracy": 0.712,
    "balanced_accuracy_ci95": [0.6, 0.8],
    "sensitivity": 0.95,
    "specificity": 0.475,
    "threshold": 0.43,
    "brier_score": 0.2,
}


def made_up_metrics() -> dict[str, Any]:
    hyperparameters = {name: TRIAL[name] for name in ("dim", "depth", "dropout")}
    rates = {"auc": 0.98, "accuracy": 0.93, "sensitivity": 0.94, "specificity": 0.92, "confusion": [[46, 4], [3, 47]]}
    return {
        "schema": 1,
        "dataset": {
            "name": "infn", "images": 200, "positives": 96, "groups": 41, "identical_pairs": 14,
            "built_in_phantom": False,
        },
        "protocol": {
            "name": "honest", "folds": 2, "grouped": True, "validation_fraction": 0.25, "searching_fraction": 0.25,
            "trials_per_fold": 2, "seed": 0,
        },
        "folds": [{"fold": k, "n": 100, **rates, "hyperparameters": hyperparameters} for k in (0, 1)],
        "cross_validation": {
            "auc": 0.9876, "auc_ci95": [0.9712, 0.9951], "accuracy": 0.9312, "accuracy_ci95": [0.9, 0.96],
            "accuracy_mean": 0.93, "accuracy_std": 0.01,
        },
        "committee": {
            "weights": [0.4, 0.6], "most_reliable": 1, "threshold": 0.43, "share": 0.155, "patients": 7, "images": 31,
        },
        "test": None,
        "external": ELSEWHERE,
        "timing": {
            "total_s": 125.0, "search_s": 90.0, "experts_s": 30.0, "ensemble_s": 1.0, "peak_memory_bytes": 2**30,
        },
        "warnings": [],
    }  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory as a study leaves it."""
    write = {"metrics": made_up_metrics(), "config": {"settings": StudyConfig().to_dict()}, "environment": {"cores": 2}}
    for name, value in write.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    for fold in (0, 1):
        (tmp_path / f"search/fold_{fold}").mkdir(parents=True)
        (tmp_path / f"search/fold_{fold}/history.json").write_text(json.dumps(HISTORY))
    write_predictions(tmp_path, [("a.png", "1", 1, "development", 0.93), ("b.png", "2", 1, "development", 0.07)])
    for name in (
        "figures/roc_folds",
        "figures/search",
        "figures/external_roc",
        "figures/external_costly",
        "gradcam/0312u1_1_1_1_5",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (100, 50)).save(tmp_path / f"{name}.png")
    return tmp_path


def write_predictions(run: Path, rows: list[tuple[str, str, int, str, float]]) -> None:
    with (run / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "patient", "label", "role", "fold", "committee", "out_of_fold"])
        table.writerows([(*row[:4], "" if row[3] != "development" else 0, 0.5, row[4]) for row in rows])


def change_metrics(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    (run / "metrics.json").write_text(json.dumps(metrics))


class Page(HTMLParser):
    """The tags, attributes, section ids and text of a page; refuses one whose tags are not closed in order."""

    VOID = ("meta", "img", "br", "input")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def sections(self) -> list[str | None]:
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]

    def values(self, attribute: str) -> list[str | None]:
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


def test_the_report_tells_the_study_in_order(run: Path) -> None:
    page = Page(write_report(run))
    order = [
        "data",
        "choices",
        "search",
        "experts",
        "committee",
        "external",
        "wrong",
        "gradcam",
        "limits",
        "environment",
    ]
    assert page.sections == order
    assert page.values("href") == [f"#{name}" for name in order]


def test_headline_figures_stand_first_with_their_intervals(run: Path) -> None:
    top = Page(write_report(run)).text.split("Contents")[0].split("The set infn")[0]
    for shown in ("0.988", "0.971 to 0.995", "0.931", "0.876", "0.811 to 0.934"):
        assert shown in top


@pytest.mark.parametrize(("auc", "shown"), [(0.9996, "0.9996"), (1.0, "1.000"), (0.98764, "0.988")])
def test_an_auc_that_is_not_quite_1_does_not_look_perfect(auc: float, shown: str, run: Path) -> None:
    change_metrics(run, lambda metrics: metrics["cross_validation"].update(auc=auc))
    assert f'<span class="value">{shown}</span>' in write_report(run).read_text()


def test_the_report_says_how_large_the_share_set_aside_for_the_committee_is(run: Path) -> None:
    assert "7 patients with 31 patches (15.5 % of all)" in Page(write_report(run)).text


def test_both_classes_of_the_external_set_come_before_its_sensitivity_alone(run: Path) -> None:
    text = Page(write_report(run)).text
    assert text.index("specificity (normal called normal)") < text.index("On the patches with a cluster alone")
    assert "finds 95.0 % of them. That figure by itself misleads" in text
    assert "52.5 % of the normal patches called clusters" in text


def test_an_external_set_of_clusters_only_is_said_to_tell_nothing_of_false_alarms(run: Path) -> None:
    undefined = {"auc": None, "auc_ci95": None, "balanced_accuracy": None, "specificity": None}
    change_metrics(run, lambda metrics: metrics["external"].update(undefined))
    text = Page(write_report(run)).text
    assert "This set holds clusters only." in text
    assert "by itself misleads" not in text


def test_the_page_needs_nothing_but_itself(run: Path) -> None:
    page = Page(write_report(run))
    assert all(str(source).startswith("data:image/png;base64,") for source in page.values("src"))
    assert all(str(link).startswith("#") for link in page.values("href"))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base", "form"}
    for forbidden in ("http:", "https:", "url(", "@import", "@font-face"):
        assert forbidden not in page.source


def test_every_picture_says_in_words_what_it_shows(run: Path) -> None:
    page = Page(write_report(run))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 5
    assert all(len(attributes["alt"] or "") > 15 for attributes in pictures)


HOSTILE = """<script>alert(1)</script>"><img src=x onerror='alert(2)'>{{ 7 * 7 }}&amp;"""


@pytest.fixture(scope="module")
def audited(phantom: Data) -> str:
    """The audit of the phantom, as a study leaves it in audit.json."""
    return json.dumps(audit(phantom))


def test_the_simple_baseline_stands_beside_the_headline_figures(run: Path, audited: str) -> None:
    shortcut = {"statistics": 27, "plain_auc": 0.9, "grouped_auc": 0.851, "grouped_auc_ci95": [0.802, 0.893]}
    figures = json.loads(audited)
    figures["shortcuts"]["wavelet_sym3"] = shortcut
    (run / "audit.json").write_text(json.dumps(figures))
    top = Page(write_report(run)).text.split("The set infn")[0]
    assert "Simple baseline AUC of wavelet statistics 0.851 95 %: 0.802 to 0.893" in top
    assert below_baseline(0.56, figures)[0].startswith(
        "The experts do not reach the simple baseline: cross-validated AUC"
    )
    assert not below_baseline(0.851, figures) and not below_baseline(0.1, {"shortcuts": None})


@pytest.mark.parametrize(("threshold", "shown"), [(0.43, False), (0.449, True)])
def test_the_report_names_the_threshold_that_judges_the_external_set(threshold: float, shown: bool, run: Path) -> None:
    change_metrics(run, lambda metrics: metrics["external"].update(threshold=threshold))
    text = Page(write_report(run)).text
    assert "the committee's probability reaches 0.430 ." in text
    assert f"evaluated once by the committee at {threshold:.3f}" in text
    assert ("judged at a threshold of its own, 0.449 , chosen in the same way" in text) == shown
    assert "unchanged" not in text


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ({"external": ELSEWHERE}, "The committee's are those on the external set."),
        ({"external": None}, "The committee has none on this page"),
        ({"test": ELSEWHERE, "nested": ELSEWHERE}, "on the test set and on the external set and on the nested folds."),
    ],
)
def test_the_report_says_which_figures_are_the_committees(there: dict[str, Any], sentence: str, run: Path) -> None:
    change_metrics(run, lambda metrics: metrics.update(there))
    assert sentence in Page(write_report(run)).text


def test_hostile_names_are_shown_as_text_and_never_become_markup(run: Path) -> None:
    change_metrics(run, lambda metrics: metrics["dataset"].update(name=HOSTILE))
    change_metrics(run, lambda metrics: metrics.update(warnings=[HOSTILE]))
    write_predictions(run, [(HOSTILE, HOSTILE, 1, "development", 0.01)])
    (run / "environment.json").write_text(json.dumps({HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}))
    harmless_on_disk = HOSTILE.replace("/", "")
    Image.new("L", (10, 10)).save(run / "gradcam" / f"{harmless_on_disk}.png", format="PNG")
    page = Page(write_report(run))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(str(source).startswith("data:") for source in page.values("src"))
    assert page.texts.count(HOSTILE) >= 5
    assert any(harmless_on_disk in str(text) for text in page.values("alt"))


@pytest.mark.parametrize(
    ("missing", "section"),
    [("external", "external"), ("committee", "committee"), ("cross_validation", "experts")],
)
def test_a_section_without_its_figures_is_left_out(run: Path, missing: str, section: str) -> None:
    change_metrics(run, lambda metrics: metrics.pop(missing))
    page = Page(write_report(run))
    assert section not in page.sections
    assert f"#{section}" not in page.values("href")


def test_metrics_alone_make_a_report(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(made_up_metrics()))
    assert Page(write_report(tmp_path)).sections == ["data", "choices", "experts", "committee", "external", "limits"]


def test_test_set_nested_figures_and_audit_have_sections_where_they_are_there(run: Path, audited: str) -> None:
    change_metrics(run, lambda metrics: metrics.update(test=ELSEWHERE, nested=ELSEWHERE))
    (run / "audit.json").write_text(audited)
    page = Page(write_report(run))
    assert {"test", "nested", "audit"} <= set(page.sections)
    assert page.sections.index("audit") < page.sections.index("experts") < page.sections.index("test")


def test_a_study_of_the_phantom_says_so_in_its_title(run: Path) -> None:
    change_metrics(run, lambda metrics: metrics["dataset"].update(name="phantom", built_in_phantom=True))
    source = Page(write_report(run)).source
    assert "<title>PHANTOM DATA: " in source
    assert "<h1>PHANTOM DATA: " in source
    assert "says anything about patients" in source


def test_a_naive_run_carries_a_banner_and_no_claim_of_the_honest_one(run: Path) -> None:
    honest = Page(write_report(run)).text
    assert "NAIVE PROTOCOL" not in honest and "no patient is on two sides" in honest
    change_metrics(run, lambda metrics: metrics["protocol"].update(name="naive", grouped=False))
    naive = Page(write_report(run)).text
    assert "NAIVE PROTOCOL: patients were split across folds" in naive
    for claim in ("no patient is on two sides", "No expert saw them", "from 41 patients", "bootstrap over patients"):
        assert claim in honest and claim not in naive


def test_naive_and_honest_figures_stand_side_by_side_with_their_difference(run: Path) -> None:
    naive = made_up_metrics()
    naive["cross_validation"]["auc"] = 0.9996
    naive["external"] = {**ELSEWHERE, "accuracy": 0.95, "auc": None, "specificity": None}
    (run / "naive.json").write_text(json.dumps(naive))
    text = Page(write_report(run)).text
    assert "Cross-validation: AUC 0.9996 0.988 +0.012" in text
    assert "External set: accuracy (naive: on its clusters alone) 0.950 0.710 +0.240" in text
    assert "External set: AUC" not in text


def test_warnings_are_listed_before_the_figures(run: Path) -> None:
    change_metrics(run, lambda metrics: metrics.update(warnings=["These figures are optimistic."]))
    text = Page(write_report(run)).text
    assert text.index("These figures are optimistic.") < text.index("0.988")


WRONG = [
    ("right.png", "1", 1, "development", 0.93),
    ("cluster of fold 0.png", "2", 1, "development", 0.07),
    ("normal of fold 0.png", "3", 0, "development", 0.95),
    ("normal at one half.png", "4", 0, "development", 0.5),
    ("kept for the committee.png", "5", 0, "committee", 0.99),
    ("cluster below the threshold.png", "6", 1, "external", 0.42),
    ("cluster at the threshold.png", "7", 1, "external", 0.43),
    ("normal above one half.png", "8", 0, "test", 0.6),
]


def test_wrongly_classified_patches_are_shown_farthest_from_their_label_first(run: Path) -> None:
    """At the threshold that judges each set: 0.5 in cross-validation, 0.43 of the external set, 0.7 of the test set."""
    write_predictions(run, WRONG)
    change_metrics(run, lambda metrics: metrics.update(test={**ELSEWHERE, "threshold": 0.7}))
    (run / "wrong").mkdir()
    Image.new("RGB", (120, 60)).save(run / "wrong" / "2.png")
    page = Page(write_report(run))
    shown = page.text.split("The boxes choose which of them are shown.")[1].split("Grad-CAM Randomly")[0]
    assert shown.split("set cross")[1] == (
        "-validation external set class normal cluster expert expert 0 expert 1"
        " normal of fold 0.png patient 3, cross-validation: normal given 0.950 , map of expert 0"
        " cluster of fold 0.png patient 2, cross-validation: cluster given 0.070 , map of expert 0"
        " normal at one half.png patient 4, cross-validation: normal given 0.500 , map of expert 0"
        " cluster below the threshold.png patient 6, external set: cluster given 0.420 , map of expert 1 "
    )
    figures = [attributes for tag, attributes in page.tags if tag == "figure" and "data-set" in attributes]
    assert [(each["data-set"], each["data-class"], each["data-expert"]) for each in figures] == [
        *(("development", "0", "0"), ("development", "1", "0"), ("development", "0", "0"), ("external", "1", "1"))
    ]
    assert sum("under its heat map" in str(text) for text in page.values("alt")) == 1


def test_a_box_that_is_cleared_hides_what_it_names(run: Path) -> None:
    write_predictions(run, WRONG)
    change_metrics(run, lambda metrics: metrics.update(test={**ELSEWHERE, "threshold": 0.5}))
    page = Page(write_report(run))
    boxes = [attributes["id"] for tag, attributes in page.tags if tag == "input"]
    assert boxes == ["set-development", "set-test", "set-external", "class-0", "class-1", "expert-0", "expert-1"]
    for box in boxes:
        key, _, value = box.partition("-")
        assert f'#wrong:has(#{box}:not(:checked)) [data-{key}="{value}"] {{ display: none; }}' in page.source


def test_no_more_than_24_patches_of_a_set_are_shown(run: Path) -> None:
    rows = [(f"{number}.png", "1", 1, role, number / 1000) for role in ("development", "test") for number in range(30)]
    write_predictions(run, rows)
    wrong = wrong_patches(read_predictions(run / "predictions.csv"), made_up_metrics() | {"test": ELSEWHERE})
    names = [each.patch.file for each in wrong]
    assert names == [f"{number}.png" for number in range(24)] * 2


def four_patches(*probabilities: float) -> Predicted:
    images = np.random.default_rng(0).random((4, 60, 60), np.float32)
    names = ("folder/a.png", "b_$x$ (1).png", "c.png", "d.png")
    data = Data("four", images, np.array([0, 0, 1, 1]), np.arange(4), names, names)
    return Predicted(data, np.zeros((4, 1)), np.array(probabilities), 0.5)


def test_the_patches_that_cost_the_auc_most_are_shown_first(monkeypatch, tmp_path: Path) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("microcalc.report.figures.save_figure", lambda figure, path: drawn.append(figure))
    draw_costly(tmp_path / "costly.png", four_patches(0.1, 0.6, 0.05, 0.5))
    names = [axes.get_xlabel() for axes in drawn[0].axes]
    assert names == ["b_$x$ (1).png", "c.png", "a.png", "d.png"]
    assert "cluster, probability 0.05\ncosts 0.5000 of the AUC" in drawn[0].axes[1].get_title()


def test_where_every_patch_is_ranked_rightly_none_is_shown(tmp_path: Path) -> None:
    draw_costly(tmp_path / "costly.png", four_patches(0.1, 0.2, 0.8, 0.9))
    assert list(tmp_path.iterdir()) == []


def test_each_explained_patch_has_a_picture_of_its_own_though_two_files_are_of_one_name(tmp_path: Path) -> None:
    files = ("0/P1/a.png", "1/P2/a.png", "1/P2/b.png")
    images = np.random.default_rng(0).random((3, 60, 60), np.float32)
    data = Data("three", images, np.array([0, 1, 1]), np.arange(3), files, files)
    split = SimpleNamespace(folds=[SimpleNamespace(test=np.arange(3))] * 5)
    draw_gradcam(tmp_path, data, split, Committee.pretrained(), StudyConfig(gradcam=3))  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0_P1_a.png", "1_P2_a.png", "b.png"]


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_a_run_that_cannot_be_described_is_refused_in_one_line(run: Path) -> None:
    (run / "figures/search.png").write_bytes(b"not a picture")
    with pytest.raises(RequestError, match=r"search\.png: is not a PNG picture"):
        write_report(run)
    (run / "metrics.json").unlink()
    with pytest.raises(RequestError, match=r"metrics\.json"):
        write_report(run)


@pytest.mark.parametrize(
    ("holdout_loss", "marked"), [([0.1, 0.4, 0.3], 3), ([0.3, 0.2, 0.4], 2), ([0.5, 0.5, 0.5], 2), ([0.4], 1)]
)
def test_the_epoch_marked_in_the_learning_of_the_committee_is_the_one_whose_weights_were_taken(
    holdout_loss: list[float], marked: int
) -> None:
    curve = [0.5] * len(holdout_loss)
    history = {"loss": curve, "accuracy": curve, "holdout_loss": holdout_loss, "weights": [[0.5, 0.5]] * len(curve)}
    lines = [line.get_xdata() for line in figures.committee_learning(history).axes[0].get_lines()]
    assert [list(line) for line in lines if len(line) == 2 and line[0] == line[1]] == [[marked, marked]]


def test_figures_are_the_same_bytes_each_time_and_leave_matplotlib_as_it_was(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for name in ("a.png", "b.png"):
        figure = figures.reliability_diagram([0, 1, 0, 1, 1, 0], [0.1, 0.6, 0.4, 0.9, 0.8, 0.2], title="External set")
        figures.save_figure(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert set(image.info) == {"dpi"} and image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    assert dict(matplotlib.rcParams) == before


def test_the_shares_of_a_confusion_matrix_are_of_its_rows() -> None:
    for axes in figures.confusion_matrices([[[90, 10], [4, 16]]] * 3).axes:
        texts = {tuple(round(place) for place in text.get_position()): [] for text in axes.texts}
        for text in axes.texts:
            texts[tuple(round(place) for place in text.get_position())].append(text.get_text())
        assert texts == {
            (0, 0): ["90", "90.0 %"], (1, 0): ["10", "10.0 %"], (0, 1): ["4", "20.0 %"], (1, 1): ["16", "80.0 %"]
        }  # fmt: skip
        assert [label.get_text() for label in axes.get_xticklabels()] == ["normal", "cluster"]


def test_a_fold_without_search_shows_the_final_training_alone() -> None:
    assert len(figures.learning_curves(0, HISTORY).axes) == 4
    assert len(figures.learning_curves(0, {**HISTORY, "trials": [], "best": None}).axes) == 2


def test_the_best_trial_is_the_one_drawn() -> None:
    other = {**TRIAL, "curves": {"loss": [9.0], "holdout_loss": [9.0], "holdout_accuracy": [0.1]}}
    panels = figures.learning_curves(0, {**HISTORY, "trials": [other, TRIAL], "best": 1}).axes
    assert panels[0].get_lines()[0].get_ydata().tolist() == TRIAL["curves"]["loss"]  # type: ignore[index]


def test_the_external_curve_says_that_nothing_was_chosen_on_it() -> None:
    assert "monitoring only: no choice was made on it" in figures.external_curve(LEARNED).get_suptitle()


def test_a_roc_curve_marks_where_the_threshold_lands() -> None:
    axes = figures.roc_curve([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.4, 0.9], 0.5, "External set").axes[0]
    assert axes.get_aspect() == 1
    (point,) = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert (*point.get_xdata(), *point.get_ydata()) == (0.25, 0.5)


def test_the_corner_is_enlarged_only_where_the_curves_are_in_it() -> None:
    good, poor = ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert len(figures.roc_folds([good] * 3).axes) == 2
    assert len(figures.roc_folds([poor] * 3).axes) == 1


def test_reliability_intervals_are_wilsons() -> None:
    labels, probabilities = [0] * 10 + [1] * 8 + [0] * 2, [0.1] * 10 + [0.9] * 10
    (bars,) = figures.reliability_diagram(labels, probabilities, "Test").axes[0].containers
    segments = bars.lines[2][0].get_segments()  # type: ignore[attr-defined]
    ends = [[low, high] for (_, low), (_, high) in segments]
    np.testing.assert_allclose(ends, [[0, 0.2775], [0.4902, 0.9433]], atol=1e-4)  # Wilson, z = 1.96
