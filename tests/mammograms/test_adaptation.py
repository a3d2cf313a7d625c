"""A reader adapted to made candidates, whose features are drawn; and to a phantom, whose features are real."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from microcalc.cli import main
from microcalc.cli.adapt import Adapt
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.evaluation.detection import Case
from microcalc.evaluation.froc import score_findings
from microcalc.mammograms import adaptation
from microcalc.mammograms.adaptation import Adapted, adapt, describe, described, halves, known_truth, look
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.matching import KnownImage
from microcalc.mammograms.scanner import load_for_scan, packaged, packaged_opinion
from microcalc.mammograms.second_opinion import FEATURES, SecondOpinion

SIZE = (0.08, 0.05)
WIDTH = len(FEATURES)
FIRST = SecondOpinion(FEATURES, (1.0, 0.0), -1.0, 0.5)
"""Looks at the first feature only; in the made candidates the second is what tells."""


@pytest.fixture(autouse=True)
def _features_that_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "described", drawn)


def drawn(known: KnownImage) -> np.ndarray:
    """The features of made candidates, which stand in the place of the votes."""
    return np.array([finding.votes for finding in known.scanned.findings])


def seen(patient: str, features: np.ndarray, clusters: int) -> KnownImage:
    """One image; its first candidates hit a cluster each, the others none."""
    centers = [(100.0 + 200 * n, 100.0) for n in range(len(features))]
    boxes = tuple((x - 10, 90.0, x + 10, 110.0) for x, _ in centers[:clusters])
    findings = tuple(
        Finding(n, 0.0, 0.5, True, center, (0, 0, 1, 1), 1.0, (), tuple(features[n].tolist()))
        for n, center in enumerate(centers)
    )
    scanned = ScannedImage(f"{patient}.png", None, patient, SIZE, 400, 3000, 9.0, 1.0, (), findings)
    probabilities = 1 / (1 + np.exp(-FIRST.scores(features)))
    case = Case(score_findings(centers, probabilities, boxes, SIZE), patient, patient)
    return KnownImage(scanned, boxes, findings[clusters:], case)


def made(normals: int, with_clusters: int = 0, tells: float = 3.0, seed: int = 0) -> list[KnownImage]:
    random = np.random.default_rng(seed)
    images = []
    for number in range(normals + with_clusters):
        features, clusters = random.normal(size=(8, WIDTH)), 2 if number >= normals else 0
        features[:clusters, 1] += tells
        images.append(seen(f"P{number}", features, clusters))
    return images


def raised(image: KnownImage, candidates: slice, by: float) -> KnownImage:
    """The image with the first feature of some candidates raised."""
    features = drawn(image)
    features[candidates, 0] += by
    return seen(image.case.patient, features, len(image.boxes_px))


def of_patient(image: KnownImage, patient: str) -> KnownImage:
    return replace(image, case=image.case._replace(patient=patient))


def rate(images: Sequence[KnownImage], opinion: SecondOpinion) -> float:
    scores = [1 / (1 + np.exp(-opinion.scores(drawn(each)))) for each in images]
    return float(np.mean([(each >= opinion.threshold).sum() for each in scores]))


@pytest.mark.slow
@pytest.mark.parametrize("wished", [0.1, 0.2, 1.0])
def test_the_operating_point_gives_the_wished_rate_on_these_and_nearly_on_the_next_images(wished: float) -> None:
    adapted = adapt(made(300), FIRST, wished)
    assert rate(made(300), adapted.opinion) == pytest.approx(wished)
    assert rate(made(4000, seed=1), adapted.opinion) == pytest.approx(wished, rel=0.5)
    assert adapted.interval[0] < adapted.opinion.threshold < adapted.interval[1]
    assert (adapted.relearned, adapted.kept, adapted.opinion.weights) == (None, False, FIRST.weights)


def test_each_patient_is_marked_by_the_threshold_of_the_others() -> None:
    images = [seen(f"P{n}", np.full((1, WIDTH), float(n)), 0) for n in range(10)]
    adapted = adapt(images, FIRST, 0.2)
    # Of the nine others one may be marked. Without P9 that is P8, so P9 is marked; without P8 it is P9, so P8 is not.
    assert adapted.after.values["false_marks_on_normals"] == 0.1
    pair = [seen("P9" if n == 8 else f"P{n}", np.full((1, WIDTH), float(n)), 0) for n in range(10)]
    # P8 and P9 are of one patient: without it P7 may be marked, so both are.
    assert adapt(pair, FIRST, 0.2).after.values["false_marks_on_normals"] == 0.2
    ties = [seen(f"P{n}", np.full((1, WIDTH), 1.0), 0) for n in range(10)]
    assert adapt(ties, FIRST, 0.2).after.values["false_marks_on_normals"] == 0.0


def test_the_rate_on_patients_left_out_agrees_with_that_on_new_ones() -> None:
    rates = [
        (adapted.after.values["false_marks_on_normals"], rate(made(500, seed=seed + 100), adapted.opinion))
        for seed in range(6)
        for adapted in [adapt(made(40, seed=seed), FIRST, 0.2)]
    ]
    assert np.mean(rates, axis=0) == pytest.approx([0.2, 0.2], abs=0.06)


def test_a_second_opinion_learns_what_tells_and_is_kept_as_it_helps_patients_left_out() -> None:
    adapted = adapt(made(40, 20), FIRST, 0.2)
    before, after = adapted.relearned or (0, 0)
    assert adapted.kept and after > before + 0.2
    assert adapted.opinion.weights[1] > 1
    assert adapted.after.values["sensitivity"] > 0.7
    new = made(2000, seed=1)
    assert rate(new, adapted.opinion) == pytest.approx(0.2, abs=0.12)


def test_a_second_opinion_that_is_worse_on_patients_left_out_is_not_kept() -> None:
    images = made(30, 6, tells=0.0)
    clusters = [raised(each, slice(2), 2) for each in images[30:]]  # the first opinion looks at that; all else is noise
    adapted = adapt(images[:30] + clusters, FIRST, 0.2)
    before, after = adapted.relearned or (0, 0)
    assert after < before
    assert (adapted.kept, adapted.opinion.weights) == (False, FIRST.weights)


def test_few_clusters_change_the_weights_little() -> None:
    weights = adapt(made(10, 6), FIRST, 0.2).opinion.weights
    assert 0.5 < np.linalg.norm(np.array(weights) - np.array(FIRST.weights)) < 2


def test_only_images_without_a_cluster_count_for_the_rate() -> None:
    images = made(40, 4)
    clusters = [raised(each, slice(2, None), 5) for each in images[40:]]
    assert rate(images[:40], adapt(images[:40] + clusters, FIRST, 0.2).opinion) == pytest.approx(0.2)


def test_few_clusters_or_one_patient_with_them_leave_the_second_opinion() -> None:
    assert adapt(made(40, 4), FIRST, 0.2).relearned is None
    assert adapt(made(40) + [of_patient(each, "one") for each in made(0, 20)], FIRST, 0.2).relearned is None


def test_the_operating_point_has_an_interval_where_six_patients_have_normal_mammograms() -> None:
    for patients in (5, 6):
        images = [of_patient(each, f"P{n % patients}") for n, each in enumerate(made(12))]
        adapted = adapt(images, FIRST, 0.2)
        assert (adapted.interval is None) == (patients == 5)
        row = describe(images, adapted, FIRST, "made").split("operating point | 0.5 | ")[1].split(" |")[0]
        assert ("(" in row) == (patients == 6)


@pytest.mark.parametrize(
    ("normals", "wished", "problem"),
    [
        (9, 0.2, "9 mammograms without a cluster .* few .* give at least 10"),
        (19, 0.05, "give at least 20"),
        (40, 0.0, "above 0: got 0"),
        (-40, 0.2, "without a cluster are of one patient, P0; give others' too"),
    ],
)
def test_too_few_mammograms_for_a_rate_are_refused(normals: int, wished: float, problem: str) -> None:
    of_one = [of_patient(each, "P0") for each in made(max(-normals, 0))]
    with pytest.raises(RequestError, match=problem):
        adapt([*made(max(normals, 0)), *of_one, *made(0, 20, seed=1)], FIRST, wished)


def card(normals: int, clusters: int = 0) -> tuple[str, Adapted]:
    images = made(normals, clusters)
    adapted = adapt(images, FIRST, 0.2)
    return describe(images, adapted, FIRST, "pretrained 9"), adapted


def test_the_card_holds_what_the_reader_was_made_from_and_its_figures() -> None:
    text, adapted = card(40, 20)
    assert "from pretrained 9" in text
    assert "60 mammograms of 60 patients: 40 without a cluster, and 40 clusters" in text
    assert f"| 0.5 | {adapted.opinion.threshold:.6g} (" in text
    assert f"| sensitivity | {adapted.before.estimates()['sensitivity']:.2f} |" in text
    assert "was fitted to these clusters" in text
    assert "are few" not in text
    assert "**29 mammograms without a cluster are few.**" in card(29)[0]


@pytest.mark.slow
def test_features_are_those_of_the_findings(tmp_path: Path) -> None:
    files = []
    for made_up in iter_phantom_mammograms(2, field_mm=(70, 60)):
        files.append(tmp_path / f"{made_up.name}.png")
        PIL.Image.fromarray(made_up.pixels).save(files[-1])
    (tmp_path / "half.png").write_bytes(files[0].read_bytes()[:1000])
    named, errors = [files[0], tmp_path / "half.png", files[1]], []
    images = look(named, [], packaged(), packaged_opinion(), 0.07, "normal", on_failed=errors.append)
    assert [each.scanned.file for each in images] == [str(file) for file in files]
    assert [error.file for error in errors] == [str(tmp_path / "half.png")]
    for each in images:
        probabilities = 1 / (1 + np.exp(-packaged_opinion().scores(described(each))))
        found = [finding.probability for finding in each.scanned.findings]
        assert len(found) >= 2
        assert found == pytest.approx(probabilities.tolist())


def finished_scan(normals: int) -> dict[str, Any]:
    """The content of a ``findings.json``."""
    images = [each.scanned.to_dict() for each in made(normals)]
    images = [image | {"findings": [{**finding, "votes": ()} for finding in image["findings"]]} for image in images]
    return {"schema": 2, "committee": packaged().name, "operating_point": 0.1, "images": images, "failed": []}


def test_a_reader_made_of_a_finished_scan_is_taken_as_a_committee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = finished_scan(12)
    for n, image in enumerate(saved["images"]):
        image["findings"] = [{**finding, "probability": 0.05 * n} for finding in image["findings"][:1]]
    (tmp_path / "findings.json").write_text(json.dumps(saved))
    reader = tmp_path / "reader"
    main(["adapt", str(tmp_path), "--out", str(reader)])
    committee, opinion = load_for_scan(reader)
    assert opinion == replace(packaged_opinion(), threshold=0.5)  # 0.55 and 0.5 of twelve images
    assert len(committee.networks) == 5
    assert (reader / "card.md").read_text() in capsys.readouterr().out
    for folder, problem in ((reader, "is not empty"), (tmp_path / "other", "was made by another, not by")):
        (tmp_path / "findings.json").write_text(json.dumps(saved | {"committee": "another"}))
        with pytest.raises(SystemExit, match="2"):
            main(["adapt", str(tmp_path), "--out", str(folder)])
        assert re.search(problem, " ".join(capsys.readouterr().err.split()))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [(["a.png,9,9,40,40"], "b.png: has no truth"), (["a.png,9,9,40,40", "b.png,,,,", "c.png,,,,"], "not in the scan")],
)
def test_mammograms_and_truth_that_do_not_fit_are_refused_before_the_scan(
    lines: list[str],
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "ab":
        PIL.Image.fromarray(np.full((900, 1100), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    (tmp_path / "truth.csv").write_text("\n".join(["file,left,top,right,bottom", *lines]))
    monkeypatch.setattr(adaptation, "scan_mammogram", None)
    arguments = [str(tmp_path), "--truth", str(tmp_path / "truth.csv"), "--pixel-size", "0.08"]
    with pytest.raises(SystemExit, match="2"):
        main(["adapt", *arguments, "--out", str(tmp_path / "reader")])
    assert problem in " ".join(capsys.readouterr().err.split())


def test_too_few_mammograms_to_judge_by_are_refused_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "findings.json").write_text(json.dumps(finished_scan(19)))
    with pytest.raises(SystemExit, match="2"):
        main(["adapt", str(tmp_path), "--out", str(tmp_path / "reader"), "--retrain"])
    assert "9 mammograms without a cluster are too few for a rate" in " ".join(capsys.readouterr().err.split())


def test_files_that_cannot_be_used_are_named_where_too_few_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PIL.Image.fromarray(np.zeros((700, 500), np.uint8)).save(tmp_path / "no_pixel_size.png")
    with pytest.raises(SystemExit, match="2"):
        main(["adapt", str(tmp_path), "--out", str(tmp_path / "reader")])
    assert re.search("no_pixel_size.png: .*pixel size.*too few", " ".join(capsys.readouterr().err.split()))


def test_retraining_reads_the_images_of_a_finished_scan_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "findings.json").write_text(json.dumps(finished_scan(20)))
    files: list[str] = []

    def retrained(_: object, __: object, *parts: Sequence[KnownImage]) -> None:
        files.extend(each.scanned.file for part in parts for each in part)
        raise RequestError("this is enough")

    monkeypatch.setattr(Adapt, "_retrained", retrained)
    with pytest.raises(SystemExit, match="2"):
        main(["adapt", str(tmp_path), "--out", str(tmp_path / "reader"), "--retrain"])
    assert sorted(files) == sorted(str(tmp_path / f"P{number}.png") for number in range(20))


def test_half_of_the_patients_with_clusters_and_half_of_the_others_are_left_out() -> None:
    images = [*made(9), *made(0, 6, seed=1)]
    images = [of_patient(each, f"P{n // 3}") for n, each in enumerate(images)]
    learning, left_out = halves(images, seed=0)
    patients = [{each.case.patient for each in part} for part in (learning, left_out)]
    assert not patients[0] & patients[1]
    assert [len(part) for part in patients] == [3, 2]
    assert [any(each.boxes_px for each in part) for part in (learning, left_out)] == [True, True]
    assert [truth.patient for truth in known_truth(left_out)] == [each.case.patient for each in left_out]
    assert [len(truth.boxes_px) for truth in known_truth(left_out)] == [len(each.boxes_px) for each in left_out]
