"""Files written so that a crash never leaves half of one, and JSON read with errors that a user can act on."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from microcalc.errors import FailedError, RequestError

TEMPORARY_SUFFIX = ".part"


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
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY_SUFFIX, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
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
            "make room and run again with --resume"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write plain values as indented JSON, atomically; a value that is not a number is refused, not written as NaN."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        RequestError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path}: cannot be read as JSON ({error}); give the directory of a finished run") from error
