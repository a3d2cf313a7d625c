"""Figures of a scan against known truth."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from microcalc.errors import RequestError
from microcalc.evaluation.detection import Case, measure, unit_scores
from microcalc.evaluation.froc import ScoredImage


def case(patient: str, hits: list[float], false: list[float], breast: str = "") -> Case:
    return Case(ScoredImage(np.array(hits, np.float64), np.array(false, np.float64)), patient, breast or patient)


MISSED = -math.inf
THREE = [
    case("a", [0.9, 0.2, MISSED], [0.6, 0.1], "aL"),
    case("a", [], [0.8], "aR"),
    case("b", [], [0.3, 0.55], "bL"),
    case("c", [0.7], [], "cL"),
    case("d", [], [], "dR"),
]


def many(count: int, seed: int = 0, images_of_a_patient: int = 2) -> list[Case]:
    random = np.random.default_rng(seed)
    return [
        case(
            f"{n // images_of_a_patient}",
            random.uniform(0.2, 1, n % 3).tolist(),
            random.uniform(0, 0.8, random.integers(0, 4)).tolist(),
        )
        for n in range(count)
    ]


def test_every_figure_is_as_counted_by_hand() -> None:
    found = {name: each.value for name, each in measure(THREE, 0.5, rounds=10).estimates().items()}
    expected = {
        "sensitivity": 2 / 4,
        "false_marks": 3 / 5,  # 0.6, 0.8 and 0.55
        "false_marks_on_normals": 2 / 3,
        "false_marks_beside_clusters": 1 / 2,
        "sensitivity_at_0.05": 1 / 4,  # above 0.8
        "sensitivity_at_0.2": 2 / 4,  # above 0.6
        "sensitivity_at_1": 3 / 4,
        "auc_by_image": roc_auc_score([1, 0, 0, 1, 0], [0.9, 0.8, 0.55, 0.7, 0]),
        "auc_by_patient": roc_auc_score([1, 0, 1, 0], [0.9, 0.55, 0.7, 0]),
        "jafroc": np.mean([(y > x) + (x == y) / 2 for y in (0.9, 0.2, 0, 0.7) for x in (0.8, 0.55, 0)]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_a_breast_or_patient_has_its_highest_finding_and_any_cluster() -> None:
    units = unit_scores([case("a", [], [0.8], "aL"), case("a", [0.3], [0.1], "aL"), case("a", [], [0.4], "aR")])
    assert [(labels.tolist(), scores.tolist()) for labels, scores in units.values()] == [
        ([False, True, False], [0.8, 0.3, 0.4]),
        ([True, False], [0.8, 0.4]),
        ([True], [0.8]),
    ]


def test_intervals_are_of_patients_not_of_images() -> None:
    alone = many(60, images_of_a_patient=1)
    copied = [each for each in alone for _ in range(4)]
    for name in ("sensitivity", "sensitivity_at_0.5", "false_marks", "auc_by_image", "jafroc"):
        one, other = (measure(cases, 0.5).estimates()[name] for cases in (alone, copied))
        assert one.value == pytest.approx(other.value)
        assert one.ci95 == pytest.approx(other.ci95, abs=1e-9)


def test_an_interval_holds_its_figure_and_narrows_with_more_patients() -> None:
    few, more = (measure(many(count), 0.5).estimates() for count in (40, 360))
    for name in ("sensitivity", "sensitivity_at_0.5", "false_marks", "auc_by_image", "jafroc"):
        (low, high), (lower, higher) = few[name].ci95, more[name].ci95
        assert low < few[name].value < high
        assert higher - lower < 0.6 * (high - low)


def test_the_interval_of_a_share_is_about_binomial() -> None:
    cases = [case(str(n), [0.9 if n % 4 else 0.1], []) for n in range(100)]
    low, high = measure(cases, 0.5).estimates()["sensitivity"].ci95
    assert (high - low) / (2 * 1.96) == pytest.approx(math.sqrt(0.75 * 0.25 / 100), rel=0.1)


@pytest.mark.parametrize(("with_clusters", "normal"), [(6, 6), (6, 5), (5, 6), (1, 6), (3, 3), (2, 0)])
def test_a_figure_has_an_interval_where_six_patients_have_what_it_needs(with_clusters: int, normal: int) -> None:
    cases = [case(f"a{n}", [0.9, 0.1 * n], []) for n in range(with_clusters)]
    cases += [case(f"b{n}", [], [0.1 * n]) for n in range(normal)]
    twice = [each._replace(breast=f"{n}") for n, each in enumerate(cases * 2)]
    found = {name for name, each in measure(twice, 0.5).estimates().items() if each.ci95}
    assert ("sensitivity" in found) == ("sensitivity_at_1" in found) == (with_clusters >= 6)
    assert ("false_marks_on_normals" in found) == (normal >= 6)
    assert ("false_marks" in found) == (with_clusters + normal >= 6)
    for name in ("auc_by_image", "auc_by_breast", "auc_by_patient", "jafroc"):
        assert (name in found) == (min(with_clusters, normal) >= 6)


def test_what_the_images_do_not_define_is_none() -> None:
    normals = measure([case("a", [], [0.6]), case("b", [], [])], 0.5).estimates()
    assert {name for name, each in normals.items() if each.value is not None} == {
        "false_marks",
        "false_marks_on_normals",
    }
    assert f"{normals['sensitivity']:.2f}" == "-"
    with pytest.raises(RequestError, match="at least one image"):
        measure([], 0.5)


def test_two_scans_are_compared_on_the_same_resamples() -> None:
    cases = many(90)
    lower = [each._replace(scored=ScoredImage(each.scored.clusters, each.scored.false_marks[:1])) for each in cases]
    one, other = measure(cases, 0.5), measure(lower, 0.5)
    same = one.estimates(one)
    assert all(each.ci95 == (0, 0) for each in same.values() if each.ci95)
    difference = one.estimates(other)["false_marks"]
    assert difference.value == pytest.approx(one.values["false_marks"] - other.values["false_marks"])
    assert 0 < difference.ci95[0] < difference.value < difference.ci95[1]
    assert one.estimates(other)["sensitivity"].ci95 == (0, 0)


def test_the_jackknife_agrees_with_the_bootstrap() -> None:
    measured = measure(many(200), 0.5)
    assert measured.jafroc_error == pytest.approx(measured.resampled["jafroc"].std(), rel=0.1)
