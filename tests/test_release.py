"""The version has one source, and what cannot read it agrees with it."""

import re
import tomllib
from pathlib import Path

import microcalc

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_installed_package_has_the_version_of_the_sources() -> None:
    assert microcalc.__version__ == VERSION, "install again: pip install -c constraints.txt -e '.[test]'"


def test_the_citation_names_this_version() -> None:
    assert re.search(rf"^version: {re.escape(VERSION)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)


def test_the_newest_release_notes_are_those_of_this_version() -> None:
    text = (ROOT / "docs" / "changes" / f"{VERSION}.md").read_text()
    first = re.search(r"--8<-- \"(.+)\"", (ROOT / "docs" / "changes.md").read_text())
    assert text.startswith(f"## {VERSION}\n") and first and first[1] == f"docs/changes/{VERSION}.md"


def test_the_paper_cites_what_its_bibliography_holds() -> None:
    paper, entries = ((ROOT / "paper" / name).read_text() for name in ("paper.md", "paper.bib"))
    assert set(re.findall(r"@([a-z]+\d*)", paper)) == set(re.findall(r"^@\w+\{(\w+),", entries, re.MULTILINE))
