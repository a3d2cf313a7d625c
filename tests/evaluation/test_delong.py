"""DeLong's test, its form for patches clustered by patient, and the comparison of two runs."""

import csv
import io
import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.errors import RequestError
from microcalc.evaluation.compare import compare_predictions
from microcalc.evaluation.delong import delong_test, structural_components

# DeLong, DeLong and Clarke-Pearson 1988: albumin, total protein, K-G score, benefit of surgery for 43 women.
OVARIAN_CANCER = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""
COLUMNS = ("file", "patient", "label", "role", "fold", "expert_0", "committee", "out_of_fold")


def clustered(patients: int = 40, patches: int = 5, seed: int = 0):
    """Labels, two correlated sets of probabilities, groups; patients of one class and of both."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), patches)
    labels = np.where(groups % 3 == 2, np.arange(groups.size) % 2, groups % 3)
    common = generator.normal(size=patients)[groups]
    first, second = (1.5 * labels + common + generator.normal(size=groups.size) for _ in range(2))
    return labels, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second)), groups


def area(labels, scores):
    """Share of pairs ranked rightly, pair by pair."""
    higher, lower = scores[labels == 1][:, None], scores[labels == 0]
    return np.mean((higher > lower) + (higher == lower) / 2)


@pytest.mark.parametrize(
    ("column", "auc", "difference", "low", "high", "p"),
    [(0, 0.7366, 0.0108, -0.1761, 0.1976, 0.9102), (1, 0.6478, -0.0780, -0.2830, 0.1271, 0.4561)],
)
def test_published_figures_of_the_ovarian_cancer_data(column, auc, difference, low, high, p):
    table = np.array(OVARIAN_CANCER.split(), dtype=float).reshape(43, 4)
    outcome = delong_test(table[:, 3], table[:, column] / 10, (10 - table[:, 2]) / 10)
    assert (outcome.auc_first, outcome.auc_second) == pytest.approx((auc, 0.7258), abs=5e-5)
    assert outcome.difference == pytest.approx(difference, abs=5e-5)
    assert outcome.ci95 == pytest.approx((low, high), abs=5e-5)
    assert outcome.p_value == pytest.approx(p, abs=5e-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_structural_components_agree_with_counting_every_pair(pairs):
    truth, scores = np.array([label for label, _ in pairs]), np.array([score / 6 for _, score in pairs])
    if truth.all() or not truth.any():
        return
    components = structural_components(truth, scores)
    for label, score, component in zip(truth, scores, components, strict=True):
        rivals = scores[truth != label]
        won = (rivals < score) if label else (rivals > score)
        assert component == pytest.approx(np.mean(won + (rivals == score) / 2))


def test_clustered_variance_agrees_with_obuchowski_term_by_term():
    labels, first, second, groups = clustered(12, 4)
    tests = (first, second)
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)

    def kernel(scores, one, other):
        return float(scores[one] > scores[other]) + float(scores[one] == scores[other]) / 2

    areas = [area(labels, scores) for scores in tests]
    by_positive, by_negative = np.zeros((2, 12)), np.zeros((2, 12))
    for test, scores in enumerate(tests):
        for one in positive:
            won = np.mean([kernel(scores, one, other) for other in negative])
            by_positive[test, groups[one]] += won - areas[test]
        for other in negative:
            won = np.mean([kernel(scores, one, other) for one in positive])
            by_negative[test, groups[other]] += won - areas[test]
    with_positive, with_negative = len(set(groups[positive])), len(set(groups[negative]))
    m, n, covariance = len(positive), len(negative), np.zeros((2, 2))
    for r, s in product(range(2), range(2)):
        s10 = with_positive / ((with_positive - 1) * m) * np.sum(by_positive[r] * by_positive[s])
        s01 = with_negative / ((with_negative - 1) * n) * np.sum(by_negative[r] * by_negative[s])
        s11 = 12 / 11 * np.sum(by_positive[r] * by_negative[s])
        s11_turned = 12 / 11 * np.sum(by_positive[s] * by_negative[r])
        covariance[r, s] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    outcome = delong_test(labels, first, second, groups)
    assert outcome.z == pytest.approx((areas[0] - areas[1]) / error)


def test_patches_that_fail_together_make_a_difference_less_sure():
    labels, first, _, _ = clustered(20, 1)
    second = np.random.default_rng(1).permutation(first)
    copies = [np.repeat(column, 10) for column in (labels, first, second)]
    groups = np.repeat(np.arange(20), 10)
    once = delong_test(labels, first, second)
    assert delong_test(*copies, groups).z == pytest.approx(once.z, rel=0.01)
    assert abs(delong_test(*copies).z) > 2 * abs(once.z)


def test_every_patch_a_patient_of_its_own_is_the_plain_test():
    labels, first, second, _ = clustered()
    assert delong_test(labels, first, second, np.arange(labels.size)) == delong_test(labels, first, second)


def test_predictions_that_rank_alike_do_not_differ():
    labels, first, _, groups = clustered()
    for second in (first, first**3):
        outcome = delong_test(labels, first, second, groups)
        assert (outcome.difference, outcome.z, outcome.p_value) == (0.0, 0.0, 1.0)


def test_turning_the_two_round_turns_the_sign():
    labels, first, second, groups = clustered()
    one, other = delong_test(labels, first, second, groups), delong_test(labels, second, first, groups)
    assert (one.difference, one.z, one.p_value) == pytest.approx((-other.difference, -other.z, other.p_value))


def test_no_error_against_a_constant_is_certain_and_without_interval():
    outcome = delong_test([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.5] * 4)
    assert (outcome.difference, outcome.z, outcome.p_value, outcome.ci95) == (0.5, np.inf, 0.0, (0.5, 0.5))


@pytest.mark.parametrize("groups", [None, [0, 1, 2, 2]])
def test_two_patients_of_each_class_are_the_least(groups):
    labels = [0, 1, 1, 1] if groups is None else [0, 0, 1, 1]
    with pytest.raises(RequestError, match="at least two"):
        delong_test(labels, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], groups)


def table(role="development", count=12, seed=0, **changes):
    """Rows of a predictions.csv: two patches a patient; ``changes`` replaces a column's value everywhere."""
    generator = np.random.default_rng(seed)
    return [
        {
            "file": f"{role}/{n}.png",
            "patient": f"{n // 2:04}",
            "label": str(n // 2 % 2),
            "role": role,
            "fold": "0",
            "expert_0": "0.5",
            "committee": "0.5",
            "out_of_fold": str(generator.random()),
            **changes,
        }
        for n in range(count)
    ]


def written(path: Path, rows, columns=COLUMNS) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def test_each_role_is_compared_by_itself_on_the_patches_in_common(tmp_path):
    first = table(seed=1) + table("external", seed=2) + table("test", 4, seed=3)
    second = table(seed=4)[2:] + table("external", 20, seed=5)
    outcome = compare_predictions(written(tmp_path / "a.csv", first), written(tmp_path / "b.csv", second[::-1]))
    assert set(outcome) == {"development", "external"}
    development = outcome["development"]
    assert (development["n"], development["patients"]) == (10, 5)
    assert (development["only_first"], development["only_second"]) == (2, 0)
    assert (outcome["external"]["n"], outcome["external"]["only_second"]) == (12, 8)
    expected = delong_test(
        [int(row["label"]) for row in first[2:12]],
        [float(row["out_of_fold"]) for row in first[2:12]],
        [float(row["out_of_fold"]) for row in second[:10]],
        [row["patient"] for row in first[2:12]],
    )
    assert development["difference"] == pytest.approx(expected.difference)
    assert development["p_value"] == pytest.approx(expected.p_value)
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome


def test_committee_patches_have_no_out_of_fold_probability_and_are_left_out(tmp_path):
    path = written(tmp_path / "a.csv", table() + table("committee", out_of_fold=""))
    assert set(compare_predictions(path, path)) == {"development"}


def test_a_role_of_one_class_has_counts_but_no_test(tmp_path):
    path = written(tmp_path / "a.csv", table("external", label="1"))
    outcome = compare_predictions(path, path)["external"]
    assert (outcome["n"], outcome["p_value"], outcome["auc_first"]) == (12, None, None)


def test_patches_without_a_patient_are_patients_of_their_own(tmp_path):
    path = written(tmp_path / "a.csv", table("external", patient=""))
    assert compare_predictions(path, path)["external"]["patients"] == 12


def test_an_infinite_z_is_none_in_json(tmp_path):
    rows = table()
    sure = [{**row, "out_of_fold": row["label"]} for row in rows]
    constant = [{**row, "out_of_fold": "0.5"} for row in rows]
    outcome = compare_predictions(written(tmp_path / "a.csv", sure), written(tmp_path / "b.csv", constant))
    assert (outcome["development"]["z"], outcome["development"]["p_value"]) == (None, 0.0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"out_of_fold": "nan"}, "probability must be a valid number: got 'NaN'"),
        ({"out_of_fold": "half"}, "could not convert string to float: 'half'"),
        ({"out_of_fold": "1.01"}, "probability must be at most 1: got 1.01"),
        ({"label": "2"}, "label must be 0 or 1: got 2"),
        ({"role": "training"}, "role must be"),
        ({"file": "development/0.png"}, "twice"),
    ],
)
def test_a_wrong_row_is_refused_with_its_file_and_line(tmp_path, change, what):
    rows = table()
    rows[2].update(change)
    good, bad = written(tmp_path / "good.csv", table()), written(tmp_path / "bad.csv", rows)
    with pytest.raises(RequestError, match=f"^{re.escape(str(bad))}, line 4: [^\n]*{what}[^\n]*$"):
        compare_predictions(good, bad)


@pytest.mark.parametrize(("name", "value"), [("label", "1"), ("patient", "0099")])
def test_runs_that_disagree_about_a_patch_are_refused(tmp_path, name, value):
    rows = table()
    rows[5 if name == "patient" else 0][name] = value
    with pytest.raises(RequestError, match=f"has {name} .* line .*, but .* line .*: compare two runs on the same data"):
        compare_predictions(written(tmp_path / "a.csv", table()), written(tmp_path / "b.csv", rows))


def test_runs_without_a_common_patch_are_refused(tmp_path):
    first, second = written(tmp_path / "a.csv", table()), written(tmp_path / "b.csv", table("external"))
    with pytest.raises(RequestError, match="share no predicted patch"):
        compare_predictions(first, second)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "line 1: lacks file, patient, label, role, out_of_fold; give the predictions.csv of a run"),
        (b"file,patient,label,role\na,1,0,test\n", "line 1: lacks out_of_fold"),
        (b"file,patient,label,role,out_of_fold\na,1,0,test\n", "line 2: the row does not fit"),
        (b"file,patient,label,role,out_of_fold\na,1,0,test,0.5,0.5\n", "line 2: the row does not fit"),
        (b"file,patient,label,role,out_of_fold\n\xff,1,0,test,0.5\n", "'utf-8' codec"),
        (b'file,patient,label,role,out_of_fold\n"a"b,1,0,test,0.5\n', "line 1: '.' expected after"),
    ],
)
def test_what_is_not_a_table_of_predictions_is_refused(tmp_path, content, what):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(RequestError, match=what):
        compare_predictions(tmp_path / "a.csv", tmp_path / "a.csv")
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(RequestError, match="cannot be read"):
            compare_predictions(path, path)
