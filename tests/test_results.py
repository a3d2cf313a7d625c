"""Figures of the documentation are those of benchmarks/results/."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
assert SPEC and SPEC.loader
results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(results)


@pytest.mark.parametrize("page", results.PAGES)
def test_a_page_holds_the_figures_that_were_measured(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert results.BLOCK.search(text)
    assert results.filled(text) == text, "run: python benchmarks/results.py"


def test_figures_of_an_earlier_committee_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "digest", lambda: "another")
    assert all("(an earlier committee)" in row for row in results.short_block().splitlines()[2:])


def test_a_figure_that_changed_shows_on_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert results.filled(text.replace("695 patches", "696 patches")) == text
