"""Files written so that a crash never leaves half of one, and JSON read with errors that a user can act on."""

import csv
import errno
import json
import os
import re
import secrets
import stat
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypeForm

from microcalc.errors import FailedError, MicrocalcError, RequestError

TEMPORARY_SUFFIX = ".part"

NAME_BYTES = {0xDC00 + byte: 0xF700 + byte for byte in range(0x80, 0x100)}
"""Bytes of file names that are no text, as Python has them, and letters for private use, as pydantic takes them."""

T = TypeVar("T")

FileName = Annotated[str, AfterValidator(lambda name: name.translate({new: old for old, new in NAME_BYTES.items()}))]
"""The name of a file in a record, of any bytes."""


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
    with _writing(path):
        _check_no_folder(path)
        if is_standard_output(path):
            sys.stdout.flush()
            with os.fdopen(os.dup(1), "wb") as file:
                yield file
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            with _opened_beside(Path(os.path.realpath(path))) as file:
                yield file


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of the system into one line with the way out."""
    try:
        yield
    except MicrocalcError:
        raise
    except OSError as error:
        way_out = "everything written before is intact: make room or give another path, then run again or resume"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            way_out = "you may not write there: give another path, or change its permissions"
        raise FailedError(f"{path}: cannot be written ({error.strerror or error}); {way_out}") from error


@contextmanager
def _opened_beside(target: Path) -> Iterator[BinaryIO]:
    if target.exists():
        target.open("r+b").close()  # the folder alone decides about renaming, yet a read-only file is to stay
    target.parent.mkdir(parents=True, exist_ok=True)
    # Some letters of the name help to recognise it; all of a long name would exceed what the disk takes.
    beside = target.with_name(f".{target.name[:32]}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    try:
        with beside.open("xb") as file:
            if target.exists():
                beside.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def is_standard_output(path: Path) -> bool:
    """Return whether a path stands for standard output.

    >>> is_standard_output(Path("-")), is_standard_output(Path("rows.csv"))
    (True, False)
    """
    return str(path) in ("-", "/dev/stdout")


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


def _check_no_folder(path: Path) -> None:
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; name a file to write")


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path] = ()) -> None:
    """Refuse outputs that would overwrite each other or an input, or that may not be written, before the work for them.

    Args:
        outputs: by the names that the error gives them; None where one is not requested.
        inputs: files that are read.

    Raises:
        RequestError: two outputs are one file, or an output is one of the inputs, or a folder.
        FailedError: a file or its folder may not be written.

    >>> check_outputs({"csv": Path("a.csv"), "json": Path("./a.csv")})
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: a.csv: is named for both csv and json; give each a file of its own
    """
    named: dict[str, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        _check_no_folder(path)
        place = "-" if is_standard_output(path) else os.path.realpath(path)
        if named.setdefault(place, name) != name:
            raise RequestError(f"{path}: is named for both {named[place]} and {name}; give each a file of its own")
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        with _writing(path):
            if place != "-" and there != path and not there.is_dir():
                raise OSError(errno.ENOTDIR, f"{there} is no folder")
            if place != "-" and not os.access(there, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    for given in inputs:
        if (place := os.path.realpath(given)) in named:
            raise RequestError(f"{given}: is an input, and {named[place]} would overwrite it; name another file")


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
    check_unused(folder)
    with _writing(folder):
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


def checked(type_: TypeForm[T], value: Any, name: str = "", other_keys: Literal["forbid", "ignore"] = "forbid") -> T:
    """Return plain values as a type that pydantic knows, such as a dataclass; its tuples are made of lists.

    Nothing is converted: True is no number, nor is "3" or NaN. Every key must be there.

    Args:
        type_: of the result; ranges are annotated, as in ``Annotated[int, Ge(1)]``.
        value: numbers, text, lists, dicts and dataclasses.
        name: of the value, for the error.
        other_keys: whether keys that the type does not know are an error.

    Raises:
        RequestError: naming the key, the type or range that is expected, and the value that was given.

    >>> checked(tuple[float, ...], [0.5, 1])
    (0.5, 1.0)
    >>> checked(dict[str, list[float]], {"loss": [0.5, float("nan")]})
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: loss.1 must be a valid number: got 'NaN'
    """
    try:
        text = _to_json(value)
        result: T = _adapter(type_).validate_json(text, strict=True, extra=other_keys)  # type: ignore[arg-type]
        return result
    except PydanticSerializationError as error:
        given = shortened(value)[:100]
        raise RequestError(f"{name or 'the value'} must be plain numbers and text: got {given}") from error
    except ValidationError as error:
        raise RequestError(_problem(error.errors(include_url=False)[0], name)) from error


def _to_json(value: Any) -> bytes:
    options: dict[str, Any] = {"inf_nan_mode": "strings", "fallback": lambda each: each.item()}
    try:
        return to_json(value, **options)
    except PydanticSerializationError:
        return to_json(_in_letters(value), **options)


def _in_letters(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_letters(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_in_letters, value))
    return value.translate(NAME_BYTES) if isinstance(value, str) else value


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def _problem(error: Any, name: str) -> str:
    """One of pydantic's errors in one line."""
    key = ".".join(map(str, [name, *error["loc"]] if name else error["loc"]))
    message = re.sub("^[A-Z][a-z]+ should", "must", error["msg"]).replace("valid array", "list")
    message = re.sub(" after validation.*", "", message).replace(" greater than or equal to", " at least")
    message = message.replace(" less than or equal to", " at most").replace("Value error, ", "")
    if isinstance(error.get("ctx", {}).get("error"), RequestError):
        return f"{key}: {message}" if key else message
    fixed = {"missing": "is missing", "unexpected_keyword_argument": "is not known"}.get(error["type"])
    return f"{key or 'the value'} {fixed or message + ': got ' + shortened(error['input'])[:100]}"


@contextmanager
def locked(path: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file: among all processes one at a time can.

    Args:
        path: of the lock file; its folder is made where it is missing.
        seconds: to wait where another process holds it.

    Raises:
        RequestError: another process still holds it, the folder cannot be written, or its disk has no locks.

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
        line = f"{path.parent}: cannot be locked ({reason}); give another folder, on a disk that has locks"
        raise RequestError(line) from error
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
        advice: the way out where it is no such file, for the error.

    Raises:
        RequestError: the file is missing or is not JSON, which has no NaN or infinity.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_read_whole_number)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path}: cannot be read as JSON ({error}); {advice}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _read_whole_number(digits: str) -> int:
    if len(digits) > 18:  # no float of a finite value may come of it
        raise ValueError(f"{digits[:18]}... is too large a number")
    return int(digits)


def read_record(path: Path, type_: TypeForm[T], advice: str) -> T:
    """Read one JSON file as a type; see :func:`checked`. Keys of later versions are passed over.

    Raises:
        RequestError: the file is missing, is not JSON, or holds anything else.
    """
    value = read_json(path, advice)
    try:
        return checked(type_, value, other_keys="ignore")
    except RequestError as error:
        raise RequestError(f"{path}: {error}; {advice}") from error


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Give rows as lines of CSV in which a spreadsheet runs nothing: text that it would take for a formula is quoted.

    >>> "".join(csv_lines([["file", "score"], ["=1+1.dcm", -1.5], ["-3", None]]))
    "file,score\\n'=1+1.dcm,-1.5\\n-3,\\n"
    """
    written = types.SimpleNamespace(write=lambda line: line)  # what a writer's rows then return
    writer = csv.writer(written)  # its own ends of line, since cells that hold a part of one are quoted
    yield from (writer.writerow(map(_inert, row)).removesuffix("\r\n") + "\n" for row in rows)


def _inert(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        with suppress(ValueError):
            float(cell)
            return cell
        return f"'{cell}"
    return cell


@contextmanager
def opened_csv(path: Path) -> Iterator[Callable[[Iterable[Iterable[Any]]], None]]:
    """Give what adds rows to a table in UTF-8, which is at its place once all are written; see :func:`csv_lines`.

    Bytes of a name that are no text are escaped.
    """
    with opened_atomically(path) as file:
        yield lambda rows: file.writelines(line.encode(errors="backslashreplace") for line in csv_lines(rows))


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as a table, atomically; see :func:`opened_csv`."""
    with opened_csv(path) as write:
        write(rows)
