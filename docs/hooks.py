"""MkDocs: puts the help of every command into the page on the command line, so that it is never out of step."""

import contextlib
import io
import os
from typing import Any

MARK = "<!-- help of every command: docs/hooks.py -->"
BOXES = str.maketrans(dict.fromkeys("╭╮╰╯─│"))


def help_of(name: str) -> str:
    """Return the text of ``microcalc NAME --help``, without its boxes."""
    from microcalc.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([name, "--help"])
    lines = (line.rstrip() for line in printed.getvalue().translate(BOXES).strip().splitlines())
    return "\n".join(line for line in lines if not line or line.strip("- "))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by a section for each command."""
    if MARK not in markdown:
        return markdown
    from microcalc.cli import COMMANDS

    os.environ["COLUMNS"] = "72"  # the width of a page
    names = [command.__name__.lower() for command in COMMANDS]
    return markdown.replace(MARK, "\n\n".join(f"## microcalc {n}\n\n```text\n{help_of(n)}\n```" for n in names))
