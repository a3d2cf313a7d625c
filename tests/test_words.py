"""Words that DESIGN.md bans stay out of docstrings, messages, documentation and the names of tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BANNED = re.compile(r"\b(strands?|told|lest|coarseness|hit rate|hottest|say whose|whose each)\b", re.IGNORECASE)
RIDDLE = re.compile(r'^[ \t]*r?"""(What|Whose|Of|Tells?)\b', re.MULTILINE)


def words(path: Path) -> Iterator[str]:
    """Give the texts of a file: every string and name of a function of Python, every line of anything else."""
    if path.suffix != ".py":
        yield from path.read_text().splitlines()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node.name.replace("_", " ")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_text_has_a_word_that_design_bans() -> None:
    files = [path for folder in ("src", "tests", "docs", "benchmarks") for path in (ROOT / folder).rglob("*")]
    files = [path for path in files if path.suffix in (".py", ".md", ".j2") and path != Path(__file__)]
    files = [path for path in files if path.parent.name != "changes"]  # release notes name what is gone
    found = [f"{path}: {text}" for path in files for text in words(path) if BANNED.search(text)]
    assert found == []


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    files = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    found = [f"{path}: {match[0]}" for path in files for match in RIDDLE.finditer(path.read_text())]
    assert found == []
