"""Plant bugs one at a time, and see which of them a test notices.

    python benchmarks/mutations.py                  # every bug, with the tests that should notice it
    python benchmarks/mutations.py dicom threshold  # only bugs whose path holds one of these words
    python benchmarks/mutations.py --jobs 4         # so many at a time

A bug is a file ``mutations/ROOM/NAME.patch``: its tests follow ``# tests:``; then old (``-``), new (``+``) and kept
(a space) lines or parts of lines. The old text must be there exactly once in all of ``src/``. The bug is planted in a
copy; the tree that you work in is not touched. The exit code is 1 where a bug goes unnoticed or fits no source.
"""

import argparse
import contextlib
import functools
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "docs", "pyproject.toml", "README.md")
PRELOADED = (
    *("torch", "keras", "keras_tuner", "scipy.stats", "scipy.optimize", "scipy.ndimage", "scipy.sparse.csgraph"),
    *("sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline", "matplotlib.pyplot", "pywt", "joblib"),
    *("safetensors.numpy", "pydicom", "PIL.Image", "psutil", "filelock", "jinja2", "rich.progress", "tyro", "pydantic"),
    *("fastapi", "pynetdicom"),
)
SECONDS = 600  # of the tests of one bug; a bug that makes a test wait for ever is noticed too


def main() -> int:
    """Plant the bugs that were asked for, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only bugs whose path holds one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time")
    arguments = parser.parse_args()
    bugs = [path.relative_to(ROOT) for path in sorted((ROOT / "benchmarks" / "mutations").rglob("*.patch"))]
    bugs = [bug for bug in bugs if not arguments.words or any(word in str(bug) for word in arguments.words)]
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("MICROCALC_DATA", str(ROOT.parent / "shared" / "data"))
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    noticed = 0
    with multiprocessing.get_context("fork").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        for bug, (verdict, reason) in zip(bugs, pool.imap(try_bug, bugs, chunksize=1), strict=True):
            print(f"{verdict:9} | {'/'.join(bug.with_suffix('').parts[2:])} | {reason}", flush=True)
            noticed += verdict == "noticed"
    print(f"\n{noticed} of {len(bugs)} noticed")
    return 0 if bugs and noticed == len(bugs) else 1


def read(bug: Path) -> tuple[list[str], str, str]:
    """Return the tests that should notice a bug, and the old and the new text."""
    first, *lines = (ROOT / bug).read_text().splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[:1] in (sign, " ")) for sign in "-+")
    return first.removeprefix("# tests:").split(), old, new


def stale(bug: Path) -> str:
    """Return why a bug cannot be planted; nothing where it can."""
    tests, old, _ = read(bug)
    gone = [test for test in tests if not _is_there(*test.partition("[")[0].split("::"))]
    if (count := len(places(old))) != 1:
        return f"its old text is {count} times in src/"
    return f"tests that are gone: {' '.join(gone)}" if gone or not tests else ""


def _is_there(file: str, name: str = "") -> bool:
    return (ROOT / file).is_file() and (not name or f"def {name}(" in (ROOT / file).read_text())


def places(text: str) -> list[Path]:
    """Return the file of each place in ``src/`` where a text stands."""
    return [path for path, content in _sources().items() for _ in range(content.count(text))]


@functools.cache
def _sources() -> dict[Path, str]:
    files = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".js", ".css", ".html", ".j2")]
    return {path: path.read_text() for path in files}


def try_bug(bug: Path) -> tuple[str, str]:
    """Plant a bug, in a process of its own, and run its tests until one fails; return the verdict and its reason."""
    tests, old, new = read(bug)
    if problem := stale(bug):
        return "STALE", problem
    (place,) = places(old)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        for name in COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        planted = copy / place.relative_to(ROOT)
        planted.write_text(planted.read_text().replace(old, new))
        return run_tests(copy, tests)


def run_tests(copy: Path, tests: list[str]) -> tuple[str, str]:
    """Run tests on a copy of the tree until one fails."""
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.path[0] = str(copy / "src")  # in place of this folder, whose app.py would hide tests/app
    os.environ["PYTHONPATH"] = str(copy / "src")
    log = Path(copy.parent, "log")
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"not done after {SECONDS} s"))
    signal.alarm(SECONDS)
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-rfE", *tests])
    signal.alarm(0)
    os.chdir(ROOT)
    failures = [
        line for line in log.read_text().splitlines() if line.startswith(("FAILED ", "ERROR ")) and "::" in line
    ]
    if code == 1 and failures:
        return "noticed", failures[0].partition("::")[2].partition(" - ")[0]
    return ("UNNOTICED", "") if code == 0 else ("BROKEN", log.read_text()[-1500:])


if __name__ == "__main__":
    sys.exit(main())
