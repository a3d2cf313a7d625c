"""Files written so that a crash never leaves half of one, and JSON read with errors that a user can act on."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from microcalc.errors import FailedError, RequestError

TEMPORARY_SUFFIX = ".part"
LARGEST_NUMBER = 1e9
MEND_RECORD = "delete it and run again with --resume"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file beside its place and rename it there: readers see the old content or the new, never a part.

    Raises:
        FailedError: the disk is full or the directory cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.json"
    >>> write_atomically(path, "[0.2, 0.8]")
    >>> path.read_text()
    '[0.2, 0.8]'
    """
    with opened_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing beside its place, and rename it there once everything is written.

    Raises:
        RequestError: the path is a folder.
        FailedError: the disk is full or the directory cannot be written.

    >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> with opened_atomically(path) as file:
    ...     _ = file.write(b"file,probability")
    ...     path.exists()
    False
    >>> path.exists()
    True
    """
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY_SUFFIX, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FailedError(
            f"{path}: cannot be written ({error.strerror or error}); everything written before is intact, "
            "make room and run again, a study with --resume"
        ) from error


@contextmanager
def filled_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to write to, which takes the place of ``folder`` at the end: all of it, or nothing.

    Args:
        folder: empty or missing.

    Raises:
        RequestError: there is something at ``folder`` already.
        FailedError: the disk is full or the folder cannot be written.

    >>> folder = Path(tempfile.mkdtemp()) / "answers"
    >>> with filled_folder(folder) as whole:
    ...     _ = (whole / "rows.csv").write_text("file,probability")
    ...     folder.exists()
    False
    >>> [path.name for path in folder.iterdir()]
    ['rows.csv']
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder}: there is something here already; give an empty or a new folder")
    try:
        place = folder.absolute()
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
            whole = Path(beside) / "whole"
            whole.mkdir()
            yield whole
            if place.exists():
                place.rmdir()
            whole.rename(place)
    except OSError as error:
        raise FailedError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or go elsewhere"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write plain values as indented JSON, atomically; a value that is not a number is refused, not written as NaN."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, advice: str = "give the directory of a finished run") -> Any:
    """Read one JSON file.

    Args:
        path: of the file.
        advice: what to do where it is no such file, for the error.

    Raises:
        RequestError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path}: cannot be read as JSON ({error}); {advice}") from error


def read_record(path: Path, shape: Any) -> Any:
    """Read what an earlier run of the same study left, and nothing of any other shape; see :func:`fits`.

    Raises:
        RequestError: the file is missing, is not JSON, or does not fit.
    """
    record = read_json(path, MEND_RECORD)
    if not fits(record, shape):
        raise not_ours(path)
    return record


def not_ours(path: Path) -> RequestError:
    """The error for a record that holds what no run of this study writes."""
    return RequestError(f"{path}: does not hold what this study leaves there; {MEND_RECORD}")


def fits(value: Any, shape: Any) -> bool:
    """Whether plain values have a shape: a type, a dict of shapes by key, or a list of one shape for every entry.

    A number is finite and at most ``LARGEST_NUMBER`` either way; ``float`` takes whole numbers too.

    >>> fits({"loss": [0.5, 1]}, {"loss": [float]}), fits({"loss": [float("nan")]}, {"loss": [float]})
    (True, False)
    """
    if isinstance(shape, dict):
        known = isinstance(value, dict) and value.keys() == shape.keys()
        return known and all(fits(value[key], part) for key, part in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(entry, shape[0]) for entry in value)
    if shape in (int, float):
        return type(value) in (int, shape) and abs(value) <= LARGEST_NUMBER
    return type(value) is shape
