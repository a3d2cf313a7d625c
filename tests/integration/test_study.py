"""A whole study, small: what it leaves, that it repeats itself, and that nothing it reports was seen."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from microcalc import Committee, Data, Model
from microcalc.committee.predictions import predict_patches
from microcalc.config import SearchSettings, StudyConfig, TrainingSettings, WaveletSettings
from microcalc.data.patch_files import read_patch_file
from microcalc.data.phantom import make_phantom
from microcalc.errors import DataError, RequestError
from microcalc.images.tiles import views
from microcalc.reader.tasks import PredictTask
from microcalc.training.committee_fit import choose_threshold, fit_calibration
from microcalc.training.plan import check_nested, set_test_aside
from microcalc.training.splits import TooFewPatientsError
from microcalc.transforms.wavelet import wavelet_filter

pytestmark = pytest.mark.slow

SMALL = StudyConfig(
    search=SearchSettings(dim=(2, 3), depth=(1,), dropout=(0.0,), searching_fraction=1.0, epochs=1),
    training=TrainingSettings(epochs=2),
    folds=3,
    gradcam=2,
)
FILES = [
    "config.json",
    "environment.json",
    "metrics.json",
    "predictions.csv",
    "folds.csv",
    "audit.json",
    "report.html",
    "committee/committee.json",
    "committee/history.json",
    "committee/expert_0.safetensors",
    *(f"search/fold_{fold}/history.json" for fold in range(3)),
    *(f"figures/learning_fold_{fold}.png" for fold in range(3)),
    "figures/patches.png",
    "figures/augmented.png",
    "figures/search.png",
    "figures/roc_folds.png",
    "figures/confusion.png",
    "figures/committee_learning.png",
    "figures/external_curve.png",
    "figures/external_roc.png",
    "figures/external_reliability.png",
    "figures/test_roc.png",
]


@pytest.fixture(scope="module")
def data(phantom: Data) -> Data:
    return phantom.select(phantom.groups < 36)


@pytest.fixture(scope="module")
def external() -> Data:
    images, labels, patients, _ = make_phantom(patients=10, seed=7)
    return Data("elsewhere", images, labels, np.arange(60), tuple(map(str, range(60))), patients)


@pytest.fixture(scope="module")
def study(data: Data, external: Data, tmp_path_factory: pytest.TempPathFactory) -> Model:
    rest, test = set_test_aside(data, "0.2", seed=0)
    model = Model(rest, external, test=test, config=SMALL, out=tmp_path_factory.mktemp("run") / "study", jobs=2)
    model.train()
    return model


def read(model: Model, name: str) -> Any:
    return json.loads((model.out / name).read_text())


def rows(model: Model) -> list[dict[str, str]]:
    with (model.out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_leaves_its_files_and_nothing_half_done(study: Model) -> None:
    assert not [name for name in FILES if not (study.out / name).stat().st_size]
    assert len(list((study.out / "gradcam").glob("*.png"))) == 2
    names = [path.name for path in study.out.rglob("*")]
    assert not [name for name in names if name.endswith((".part", ".progress")) or name == ".lock"]


def test_metrics_keep_the_schema(study: Model) -> None:
    metrics = read(study, "metrics.json")
    assert metrics["schema"] == 1
    assert metrics["protocol"]["trials_per_fold"] == 2
    assert metrics["dataset"]["images"] == len(study.data)
    for fold in metrics["folds"]:
        assert {"fold", "n", "auc", "accuracy", "sensitivity", "specificity", "confusion", "hyperparameters"} <= set(
            fold
        )
    assert sum(metrics["committee"]["weights"]) == pytest.approx(1)
    for part in ("cross_validation", "external"):
        assert metrics[part]["auc_ci95"][0] <= metrics[part]["auc"] <= metrics[part]["auc_ci95"][1]
    assert metrics["test"]["auc_ci95"] is None  # fewer than six patients of a class
    assert {"total_s", "search_s", "experts_s", "ensemble_s", "peak_memory_bytes"} <= set(metrics["timing"])


def test_the_saved_committee_gives_the_reported_probabilities(study: Model) -> None:
    committee = Committee.load(study.out / "committee")
    reported = [float(row["committee"]) for row in rows(study) if row["role"] == "external"]
    assert np.allclose(committee.predict_proba(study.external.images), reported, atol=1e-6)


def test_a_study_below_the_simple_baseline_says_so_first(study: Model) -> None:
    metrics, shortcuts = read(study, "metrics.json"), read(study, "audit.json")["shortcuts"]
    auc, baseline = metrics["cross_validation"]["auc"], shortcuts["wavelet_sym3"]["grouped_auc"]
    assert auc < baseline
    (warning,) = [text for text in metrics["warnings"] if "simple baseline" in text]
    assert f"AUC {auc:.3f}, against {baseline:.3f} of" in warning
    report = (study.out / "report.html").read_text()
    assert report.index(warning) < report.index("Headline figures") < report.index(f"{baseline:.3f}</span>")


@pytest.mark.usefixtures("undrawn")
def test_the_same_seed_gives_the_same_figures_with_one_process_or_two(study: Model, tmp_path: Path) -> None:
    again = Model(study.data, study.external, test=study.test, config=SMALL, out=tmp_path / "again", jobs=1)
    metrics, before = again.train(), read(study, "metrics.json")
    assert {**metrics, "timing": 0} == {**before, "timing": 0}
    assert (again.out / "predictions.csv").read_bytes() == (study.out / "predictions.csv").read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_a_filtered_study_shows_and_applies_the_filter(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, wavelet=WaveletSettings("haar", 1.5), fast_execution=True, augmentation=None)
    model = Model(data, config=config, out=tmp_path / "run", jobs=1)
    whole: list[int] = []

    def counted(images: Any, *settings: Any) -> Any:
        whole.append(len(images) == len(data))
        return wavelet_filter(images, *settings)

    monkeypatch.setattr("microcalc.committee.committee.wavelet_filter", counted)
    metrics = model.train()
    assert sum(whole) == 1
    assert (model.out / "figures" / "filtered.png").exists()
    assert not (model.out / "figures" / "augmented.png").exists()
    committee = Committee.load(model.out / "committee")
    assert committee.wavelet.name == "haar"
    assert metrics["external"] is None and metrics["warnings"]


@pytest.mark.usefixtures("undrawn")
def test_an_external_set_of_unknown_pixel_size_is_judged_by_its_highest_view_at_a_threshold_chosen_at_home(
    data: Data, external: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, data = replace(external.select(np.arange(0, 60, 15)), pixel_size="unknown"), data.select(data.groups < 25)
    config = replace(SMALL, folds=2, fast_execution=True, sensitivity=0.9)
    marked: list[float] = []
    monkeypatch.setattr("microcalc.report.figures.roc_curve", lambda *given: marked.append(given[2]) or Figure())
    model = Model(data, few, config=config, out=tmp_path / "run", jobs=1)
    metrics = model.train()
    committee = Committee.load(model.out / "committee")

    def highest(images: np.ndarray) -> np.ndarray:
        return np.array(
            [committee.expert_probabilities(views(image, "unknown")) @ committee.weights for image in images]
        ).max(1)

    home = highest(data.images[model.split.committee])
    labels = data.labels[model.split.committee]
    assert asdict(committee.unknown_scale.calibration) == pytest.approx(asdict(fit_calibration(home, labels)), rel=1e-4)
    threshold = choose_threshold(labels, committee.unknown_scale.calibration.apply(home), 0.9)
    assert committee.rule(unknown_scale=True) == committee.unknown_scale
    assert committee.unknown_scale.threshold == metrics["external"]["threshold"] == pytest.approx(threshold)
    assert marked == [committee.unknown_scale.threshold] and committee.threshold not in marked
    assert f"judged at a threshold of its own, <strong>{threshold:.3f}" in (model.out / "report.html").read_text()
    expected = committee.unknown_scale.calibration.apply(highest(few.images))
    told = [float(row["committee"]) for row in rows(model) if row["role"] == "external"]
    np.testing.assert_allclose(told, expected, atol=1e-5)
    for number, image in enumerate(few.images):
        PIL.Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    files = [tmp_path / f"{number}.png" for number in range(len(few))]
    outcomes = predict_patches(committee, [read_patch_file(file, "unknown") for file in files])
    np.testing.assert_allclose([each.probability for each in outcomes], expected, atol=0.02)
    assert [each.decision for each in outcomes] == [each.probability >= threshold for each in outcomes]


def test_a_committee_without_a_threshold_for_unknown_pixel_size_says_so(study: Model) -> None:
    assert study.committee.unknown_scale is None
    with pytest.raises(RequestError, match="no threshold for images of unknown pixel size; give the pixel size"):
        PredictTask.of(study.out / "committee", pixel_size_mm="unknown")


def test_an_external_set_that_holds_a_shifted_crop_is_refused(data: Data) -> None:
    other = Data.load("phantom", seed=7).select(np.arange(3))
    other.images[1, :40, :40] = data.images[5, 20:, 20:]
    with pytest.raises(DataError, match=r"this patch and \d more of elsewhere are of patients of phantom"):
        Model(data, replace(other, name="elsewhere"))


def test_a_test_set_of_patients_of_the_study_is_refused(data: Data) -> None:
    part = np.arange(len(data)) % 2 == 0
    with pytest.raises(DataError, match="of patients of phantom, by name or by pixels"):
        Model(data.select(part), test=data.select(~part))


def test_predicting_before_training_is_refused(data: Data) -> None:
    with pytest.raises(RequestError, match="not trained yet"):
        Model(data).get_predictions(data.images[:1])


def test_the_official_test_set_shares_no_patient_with_the_rest(shared_data: Path) -> None:
    rest, test = set_test_aside(Data.load("infn", archive=shared_data / "DL_class_data.tar.gz"), "official", seed=0)
    assert (len(rest), len(test)) == (517, 241)
    assert not set(rest.groups) & set(test.groups)


@pytest.mark.parametrize("request_", ["official", "0", "0.9", "half", "nan"])
def test_a_test_set_that_cannot_be_is_refused(request_: str, data: Data) -> None:
    with pytest.raises(RequestError, match="test"):
        set_test_aside(data, request_, seed=0)


def of_one_class_each(patients: int, patches: int = 2) -> Data:
    labels = np.repeat(np.arange(2 * patients) % 2, patches)
    images = np.random.default_rng(0).random((len(labels), 60, 60), dtype=np.float32)
    groups = np.arange(len(labels)) // patches
    names = tuple(map(str, groups))
    return Data("made", images, labels, groups, names, names)


def test_a_nested_study_of_too_few_patients_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    model = Model(of_one_class_each(16), config=replace(SMALL, folds=2), out=tmp_path / "run")
    with pytest.raises(
        TooFewPatientsError, match=r"nested study, outer fold 0: .* 12 patients of each class; .* 8 and 8"
    ):
        check_nested(model.data, model.config)
    check_nested(of_one_class_each(28), model.config)
    assert not (tmp_path / "run").exists()


def test_a_study_of_too_few_patients_is_refused_with_the_number_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(TooFewPatientsError, match=r"committee_fraction=0\.15 .* about 12 patients .* have 3 and 3"):
        Model(of_one_class_each(3), out=tmp_path / "run")
    Model(of_one_class_each(12), out=tmp_path / "run")


def test_a_test_set_of_too_few_patients_is_refused_with_the_fraction_that_would_do() -> None:
    data = of_one_class_each(20)
    with pytest.raises(TooFewPatientsError, match=r"test=0\.01 takes at least 75 patients .* at least test=0\.038$"):
        set_test_aside(data, "0.01", seed=0)
    assert len(set_test_aside(data, "0.038", seed=0)[1]) == 4


def test_a_committee_whose_patients_cannot_be_halved_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uneven(labels: np.ndarray, *_: Any) -> None:
        assert len(labels) < 30
        raise TooFewPatientsError("leaves a part without both classes")

    monkeypatch.setattr("microcalc.training.plan.split_groups", uneven)
    with pytest.raises(TooFewPatientsError, match=r"committee_fraction=0\.15 leaves .* cannot be halved"):
        Model(of_one_class_each(40), out=tmp_path / "run")
