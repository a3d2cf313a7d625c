"""The planted bugs of benchmarks/mutations: each fits the source, and names tests that exist."""

import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_planted_bug_fits_one_place_of_the_source_and_names_tests_that_exist() -> None:
    stale = runpy.run_path(str(BENCHMARKS / "mutations.py"))["stale"]
    bugs = sorted((BENCHMARKS / "mutations").rglob("*.patch"))
    assert bugs
    assert {bug.name: problem for bug in bugs if (problem := stale(bug))} == {}
