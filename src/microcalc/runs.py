"""The run directory: what a study leaves on disk, written so that a crash never leaves half a file."""

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from microcalc.errors import FailedError, RequestError

LOCK_NAME = ".lock"
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


def describe_environment() -> dict[str, Any]:
    """What the study ran on: versions and processor, for ``environment.json``."""
    packages = ("microcalc", "torch", "keras", "keras-tuner", "numpy", "scipy", "scikit-learn", "PyWavelets", "pillow")
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """The leaves in which two trees of plain values differ, as ``training.epochs: 40 -> 60``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name}: {old} -> {new}"


@contextlib.contextmanager
def open_run(path: Path, identity: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Hold a run directory for one study: lock it, check that it may be used, and write its ``config.json``.

    Args:
        path: the directory; made where it is missing.
        identity: what the results depend on (settings and the data's fingerprints), as plain values.
        resume: continue what is there, which must have been made with the same identity.

    Raises:
        RequestError: not empty and ``resume`` not asked for; made with other settings or data; or in use.

    >>> import tempfile
    >>> with open_run(Path(tempfile.mkdtemp()) / "first", {"seed": 0}, resume=False) as run:
    ...     read_json(run / "config.json")
    {'seed': 0}
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(entry.name != LOCK_NAME for entry in path.iterdir())
    except OSError as error:
        raise RequestError(
            f"{path}: cannot be used as a run directory ({error.strerror}); give another --out"
        ) from error
    if occupied and not resume:
        raise RequestError(f"{path}: is not empty; give another --out, or --resume to continue the study in it")
    lock = FileLock(path / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RequestError(f"{path}: another study is running in it; wait for it or give another --out") from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}); give another --out") from error
    try:
        for leftover in path.rglob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        _check_identity(path / "config.json", json.loads(json.dumps(identity)))
        yield path
    finally:
        with contextlib.suppress(OSError):
            (path / LOCK_NAME).unlink()
        lock.release()


def _check_identity(config: Path, identity: dict[str, Any]) -> None:
    if not config.exists():
        write_json(config, identity)
        return
    changes = list(_differences(read_json(config), identity))
    if changes:
        shown = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
        raise RequestError(f"{config.parent}: was made with other settings or data ({shown}); give another --out")
