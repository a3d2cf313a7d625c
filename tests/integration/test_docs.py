"""The documentation: its notebook runs, its site builds, and docstrings read well on it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tour_goes_from_data_to_grad_cam() -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
    *_, last = notebook.cells
    assert "image/png" in last.outputs[-1].data


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "api.html").read_text()
    assert "predict_proba" in reference and ":func:" not in reference and "<blockquote>" not in reference


def test_doctests_become_code_and_roles_become_names() -> None:
    pytest.importorskip("griffe")
    as_markdown = runpy.run_path(str(ROOT / "docs" / "docstrings.py"))["as_markdown"]
    text = "See :func:`microcalc.a.b`.\n\n>>> 1 + 1\n2\n\nMore."
    assert as_markdown(text) == "See `microcalc.a.b`.\n\n```python\n>>> 1 + 1\n2\n```\n\nMore."
