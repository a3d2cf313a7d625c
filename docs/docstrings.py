"""Docstrings as Markdown: doctests become code blocks, and Sphinx's roles plain names."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?([^`]+)`")
DOCTEST = re.compile(r"^ *>>> .*(?:\n.*\S.*)*", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Rewrite one docstring."""
    return DOCTEST.sub(lambda found: f"```python\n{found.group()}\n```", ROLE.sub(r"`\1`", text))


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one object's docstring in place."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
