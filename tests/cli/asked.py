"""A request to the command line, and its answer."""

import pytest

from microcalc.cli import main


def ask(capture: pytest.CaptureFixture[str], *request: object) -> tuple[int, str, str]:
    """Return the exit code, standard output and standard error of a request."""
    try:
        main([str(word) for word in request])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capture.readouterr()
