"""The run directory of a study: its lock, its settings, and its resumption."""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from microcalc.errors import FailedError, MicrocalcError, RequestError
from microcalc.files import TEMPORARY_SUFFIX, locked, read_json, write_json

LOCK_NAME = ".lock"


def describe_environment() -> dict[str, Any]:
    """Return versions and processor, for ``environment.json``."""
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
        yield f"{name}: {shortened(old)} -> {shortened(new)}"


@contextlib.contextmanager
def open_run(path: Path, identity: dict[str, Any], *, resume: bool) -> Iterator[Path]:
    """Hold a run directory for one study: lock it, check that it may be used, and write its ``config.json``.

    Args:
        path: the directory; made where it is missing.
        identity: what the results depend on (settings and the data's fingerprints), as plain values.
        resume: continue what is there, which must have been made with the same identity.

    Raises:
        RequestError: not empty and ``resume`` is False; made with other settings or data; or in use.
        FailedError: the system failed whatever was done meanwhile, such as by a full disk.

    >>> import tempfile
    >>> with open_run(Path(tempfile.mkdtemp()) / "first", {"seed": 0}, resume=False) as run:
    ...     read_json(run / "config.json")
    {'seed': 0}
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(entry.name != LOCK_NAME for entry in path.iterdir())
    except OSError as error:
        raise RequestError(f"{path}: is no run directory ({error.strerror}); give another folder") from error
    if occupied and not resume:
        raise RequestError(f"{path}: is not empty; give another folder, or resume the study in it")
    with locked(path / LOCK_NAME):
        try:
            _sweep(path)
            _check_identity(path / "config.json", json.loads(json.dumps(identity)))
            yield path
        except MicrocalcError:
            raise
        except OSError as error:
            raise FailedError(
                f"{error.filename or path}: {error.strerror or error}; everything written before is intact, "
                "mend this and resume the study"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                _sweep(path)
                (path / LOCK_NAME).unlink()


def _sweep(path: Path) -> None:
    for leftover in path.rglob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _check_identity(config: Path, identity: dict[str, Any]) -> None:
    if not config.exists():
        write_json(config, identity)
        return
    changes = list(_differences(read_json(config), identity))
    if changes:
        shown = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
        raise RequestError(f"{config.parent}: was made with other settings or data ({shown}); give another folder")
