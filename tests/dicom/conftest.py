"""Helpers for the tests of the DICOM room: made objects, and the programs that judge them."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java spends half its time on compiling better code than a run of seconds needs."""
NO_LIMITS = " ".join(f"-Djdk.xml.xpath{kind}Limit=0" for kind in ("TotalOp", "ExprOp", "ExprGrp"))
"""The validator's XPath is longer than this Java's defaults allow."""


@pytest.fixture
def program() -> Callable[..., str]:
    """Run a program on a file and return all that it says; skip where it is not installed."""

    def run(name: str, *arguments: str | Path) -> str:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed; .ci/run installs it where it may")
        environment = {**os.environ, "JAVA_TOOL_OPTIONS": f"{QUICK} {NO_LIMITS}"}
        done = subprocess.run([name, *map(str, arguments)], capture_output=True, env=environment, timeout=600)
        return (done.stdout + done.stderr).decode(errors="replace")

    return run
