"""Run a script of the tests in a network namespace of its own, for servers that listen on all addresses."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run_in_own_network(script: Path, folder: Path, *programs: str) -> str:
    """Return what a script prints that is given a folder; skip where it or a program that it starts may not run."""
    for name in ("unshare", "ip", *programs):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed; .ci/run installs it where it may")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("no network namespace may be made here, and these servers listen on all addresses")
    command = ["unshare", "--net", sys.executable, str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
