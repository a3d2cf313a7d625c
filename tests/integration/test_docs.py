"""The documentation: its notebook runs, its site builds, its links lead somewhere, and docstrings read well on it."""

import functools
import json
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

from microcalc.cli import COMMANDS, parsed

ROOT = Path(__file__).parents[2]


TOUR = ROOT / "docs" / "tour.ipynb"


@pytest.mark.slow
def test_the_tour_goes_from_data_to_a_whole_mammogram() -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(TOUR, as_version=4)
    nbclient.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
    *_, last = notebook.cells
    assert "image/png" in last.outputs[-1].data


def test_the_tour_is_stored_without_outputs() -> None:
    cells = [cell for cell in json.loads(TOUR.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells and not any(cell["outputs"] or cell["execution_count"] for cell in cells)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs_jupyter")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "EXECUTE_TOUR": "false"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "api.html").read_text()
    assert "predict_proba" in reference and ":func:" not in reference and "<blockquote>" not in reference
    commands = (tmp_path / "commands.html").read_text()
    assert all(f"microcalc {command.__name__.lower()} " in commands for command in COMMANDS)


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 700
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


PAGES = sorted(page for folder in (ROOT, ROOT / "docs") for page in folder.glob("*.md"))


@functools.cache
def known_options() -> set[str]:
    help_of = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["help_of"]
    return {option for each in COMMANDS for option in re.findall(r"--[\w-]+", help_of(each.__name__.lower()))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_option_import_extra_and_target_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^ *```(?:sh|python)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    for line in "".join(blocks).splitlines():
        words = shlex.split(line, comments=True) if line.strip().startswith("microcalc ") else []
        if words[1:2] not in ([], ["--version"], ["COMMAND"]):
            parsed(words[1:])
        if re.match(r" *(import|from) microcalc", line):
            exec(line.strip(), {})
    if page.name != "CONTRIBUTING.md":  # options of other programs
        spans = " ".join(re.findall(r"`(?!python )[^`\n]+`", text))
        assert set(re.findall(r"(?<![\w-])--[\w-]+", spans)) <= known_options()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "microcalc[" not in text
    assert set(re.findall(r'"\.\[(\w+)\]"', text)) <= extras.keys()
    paths = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text)) - {
        "src/microcalc/cli/hello.py"
    }  # the example of a new command
    assert [path for path in paths if not any((ROOT / place / path).exists() for place in ("", "src/microcalc"))] == []
    assert set(re.findall(r"`make (\w+)`", text)) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))


def test_every_name_of_the_api_page_is_where_it_says() -> None:
    for name in re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE):
        found = pkgutil.resolve_name(name)
        if not isinstance(found, types.ModuleType):
            assert name in (f"{found.__module__}.{found.__qualname__}", "microcalc.data.Data"), name


def test_doctests_become_code_and_roles_become_names() -> None:
    pytest.importorskip("griffe")
    as_markdown = runpy.run_path(str(ROOT / "docs" / "docstrings.py"))["as_markdown"]
    text = "See :func:`microcalc.a.b`.\n\n>>> 1 + 1\n2\n\nMore."
    assert as_markdown(text) == "See `microcalc.a.b`.\n\n```python\n>>> 1 + 1\n2\n```\n\nMore."


def fault_table() -> list[list[str]]:
    page = (ROOT / "docs" / "faults.md").read_text()
    return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]


def test_every_row_of_the_fault_table_is_shown_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(fault_table()) > 15
    for row in fault_table():
        fault, message, code, kept, name = row
        assert fault and message and kept and code in ("0", "1", "2", "137")
        assert f"def {name.strip('`')}(" in tests, name


def test_the_messages_of_the_fault_table_are_said_by_the_package() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for message in {row[1] for row in fault_table() if row[1].startswith("`")}:
        for words in message.strip("`").split(" ... "):
            assert words in source, words
