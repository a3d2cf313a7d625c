"""Files written so that a crash never leaves half of one, and JSON read with errors that a user can act on."""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from microcalc.errors import FailedError, MicrocalcError, RequestError

TEMPORARY_SUFFIX = ".part"
O_BINARY = getattr(os, "O_BINARY", 0)  # of Windows, where text would else be meant
LARGEST_NUMBER = 1e9
MEND_RECORD = "delete it and resume the study"


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

    A new file gets the permissions that the user's umask leaves; one that is replaced keeps its own. A symbolic link
    stays, and the file that it points to is replaced. Standard output (``-`` or ``/dev/stdout``), a pipe or a device
    cannot be replaced: it is written to directly.

    Raises:
        RequestError: the path is a folder.
        FailedError: the disk is full, or the file or its folder may not be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> with opened_atomically(path) as file:
    ...     _ = file.write(b"file,probability")
    ...     path.exists()
    False
    >>> path.exists()
    True
    """
    try:
        if path.is_dir():
            raise RequestError(f"{path}: is a folder; name a file to write")
        with _opened_directly(path) if _written_directly(path) else _opened_beside(path) as file:
            yield file
    except MicrocalcError:
        raise
    except OSError as error:
        raise FailedError(f"{path}: cannot be written ({error.strerror or error}); {_way_out(error)}") from error


def check_unused(folder: Path) -> None:
    """Refuse a folder to write to that holds anything already.

    Raises:
        RequestError: it is not empty, is no folder, or cannot be listed.

    >>> import tempfile
    >>> check_unused(Path(tempfile.mkdtemp()))
    >>> check_unused(Path(tempfile.mkdtemp()).parent)
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: ...: is not empty; give another folder
    """
    try:
        used = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise RequestError(f"{folder}: cannot be used as a folder ({error.strerror}); give another folder") from error
    if used:
        raise RequestError(f"{folder}: is not empty; give another folder")


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before the work that it is for; only missing folders are made.

    Raises:
        RequestError: the path is a folder.
        FailedError: the file or its folder may not be written.

    >>> import tempfile
    >>> check_writable(Path(tempfile.mkdtemp()))
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: ...: is a folder; name a file to write
    """
    with contextlib.suppress(_Tried):
        if _written_directly(path):
            return
        with opened_atomically(path):
            raise _Tried


class _Tried(Exception):
    """Ends a trial before anything is put in place."""


def is_standard_output(path: Path) -> bool:
    """Whether a path stands for standard output: ``-``, ``/dev/stdout`` or a name of descriptor 1.

    >>> is_standard_output(Path("-")), is_standard_output(Path("rows.csv"))
    (True, False)
    """
    return _descriptor(path) == 1


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path] = ()) -> None:
    """Refuse outputs that would overwrite each other or an input.

    Args:
        outputs: by the names that the error gives them; None where one is not requested.
        inputs: files that are read.

    Raises:
        RequestError: two outputs are one file, or an output is one of the inputs.

    >>> check_outputs({"csv": Path("a.csv"), "json": Path("./a.csv")})
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: a.csv: is named for both csv and json; give each a file of its own
    """
    named: dict[Hashable, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        for place in _places(path):
            if named.setdefault(place, name) != name:
                raise RequestError(f"{path}: is named for both {named[place]} and {name}; give each a file of its own")
    for given in inputs:
        for place in _places(given):
            if place in named:
                raise RequestError(f"{given}: is an input, and {named[place]} would overwrite it; name another file")


def _places(path: Path) -> set[Hashable]:
    """What two paths have in common where they are one file: the resolved name, or the file itself."""
    descriptor = _descriptor(path)
    if descriptor is not None:
        return {descriptor}
    try:
        status = path.stat()
    except OSError:
        return {os.path.realpath(path)}
    return {os.path.realpath(path), (status.st_dev, status.st_ino)}


def _descriptor(path: Path) -> int | None:
    """The open file of this process that a path stands for."""
    named = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
    match = re.fullmatch(r"(?:/dev|/proc/self)/fd/(\d+)", str(path))
    return int(match[1]) if match else named.get(str(path))


def _written_directly(path: Path) -> bool:
    return _descriptor(path) is not None or (path.exists() and not path.is_file() and not path.is_dir())


@contextmanager
def _opened_directly(path: Path) -> Iterator[BinaryIO]:
    descriptor = _descriptor(path)
    if descriptor == 1:
        sys.stdout.flush()
    with path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb") as file:
        yield file


@contextmanager
def _opened_beside(path: Path) -> Iterator[BinaryIO]:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    before = target.stat() if target.exists() else None
    if before is not None and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Some letters of the name show whose part it is; all of a long name would exceed what the disk takes.
    beside = target.with_name(f".{target.name[:32]}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_BINARY, 0o666 if before is None else 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            _keep_permissions(beside, before)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _keep_permissions(path: Path, before: os.stat_result) -> None:
    """Give a file the owner and the permissions of the one that it replaces; the owner only where that is allowed."""
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))


def _way_out(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "you may not write there: give another path, or change its permissions"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "everything written before is intact, make room and run again; a study can be resumed"
    if error.errno == errno.EPIPE:
        return "what reads it has ended"
    return "everything written before is intact, give another path or mend this and run again; a study can be resumed"


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
        place = folder.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
            whole = Path(beside) / "whole"
            whole.mkdir()
            yield whole
            if place.exists():
                whole.chmod(place.stat().st_mode)
                place.rmdir()
            whole.rename(place)
    except MicrocalcError:
        raise
    except OSError as error:
        raise FailedError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another folder"
        ) from error


@contextmanager
def locked(path: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file: among all processes one at a time can.

    Args:
        path: of the lock file; its folder is made where it is missing.
        seconds: to wait where another process holds it.

    Raises:
        RequestError: another process still holds it.
        FailedError: the folder cannot be written, or its disk has no locks.

    >>> with locked(Path(tempfile.mkdtemp()) / "lock"):
    ...     pass
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=seconds)
    except Timeout as error:
        line = f"{path.parent}: another microcalc is working in it; wait for it, or give another folder"
        raise RequestError(line) from error
    except (OSError, NotImplementedError) as error:  # the latter where a disk has no locks
        reason = getattr(error, "strerror", None) or error
        line = f"{path.parent}: cannot be locked ({reason}); use a folder that you may write, on a disk with locks"
        raise FailedError(line) from error
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, value: Any) -> None:
    """Write plain values as indented JSON, atomically; a value that is not a number is refused, not written as NaN."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, advice: str = "give the directory of a finished run") -> Any:
    """Read one JSON file.

    Args:
        path: of the file.
        advice: what to do where it is no such file, for the error.

    Raises:
        RequestError: the file is missing or is not JSON, which has no NaN or infinity.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path}: cannot be read as JSON ({error}); {advice}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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
