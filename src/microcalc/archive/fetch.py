"""The files behind names of a manifest: paths as they are, URLs as temporary copies."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from distributed import get_worker
from fsspec.implementations.local import LocalFileSystem

from microcalc.archive.manifest import is_url
from microcalc.images.reader import LARGEST_FILE

PASSING_STATUS = (408, 425, 429)
"""Answers of a web server of the 400s after which another try may succeed: timeout, too early, too many requests."""


@dataclass(frozen=True)
class Failure:
    """Why a file has no row.

    Attributes:
        file: as the manifest names it.
        reason: in one line.
        tries: how often it was tried.
        transient: whether another try may succeed.
    """

    file: str
    reason: str
    tries: int = 1
    transient: bool = False


@contextmanager
def fetched(names: Sequence[str], folder: Path) -> Iterator[tuple[dict[Path, list[str]], list[Failure]]]:
    """The names of each file, by its path, and those that could not be fetched; copies are removed at the end.

    Args:
        names: paths, relative ones to ``folder``; or URLs.
        folder: the current one of the command that was given the manifest.

    >>> with fetched(["scans/a.dcm", "memory://missing.dcm"], Path("/data")) as (files, failures):
    ...     files, [failure.file for failure in failures]
    ({PosixPath('/data/scans/a.dcm'): ['scans/a.dcm']}, ['memory://missing.dcm'])
    """
    files: dict[Path, list[str]] = {}
    failures: list[Failure] = []
    with tempfile.TemporaryDirectory(prefix="microcalc-", dir=_scratch_folder()) as copies:
        for number, name in enumerate(names):
            try:
                files.setdefault(_fetch(name, folder, Path(copies) / str(number)), []).append(name)
            except Exception as error:  # each kind of file system has errors of its own
                failures.append(Failure(name, _reason(error), transient=may_pass(error)))
        yield files, failures


def _scratch_folder() -> str | None:
    """The folder of this Dask worker, which Dask empties after a worker that was killed; None elsewhere."""
    try:
        return str(get_worker().local_directory)
    except ValueError:
        return None


def _fetch(name: str, folder: Path, copy: Path) -> Path:
    if not is_url(name):
        return folder / name
    system, path = fsspec.url_to_fs(name)
    if isinstance(system, LocalFileSystem):
        return Path(path)
    system.get_file(path, str(copy), callback=_SizeLimit())
    return copy


class _SizeLimit(fsspec.Callback):  # type: ignore[misc]
    """Ends a transfer that is too long for an image, by what the server states or by what has come."""

    def set_size(self, size: int | None) -> None:
        self._check(size or 0)

    def relative_update(self, inc: int = 1) -> None:
        self.value += inc
        self._check(self.value)

    def _check(self, size: int) -> None:
        if size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE:,} bytes, too many for one image")


def may_pass(error: BaseException) -> bool:
    """Whether a file that could not be fetched may be there at another try.

    >>> may_pass(TimeoutError()), may_pass(FileNotFoundError())
    (True, False)
    """
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status in PASSING_STATUS
    return not isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | ValueError | ImportError)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist; check its name"
    if isinstance(error, PermissionError):
        return "may not be read; check the credentials of the workers"
    return f"cannot be fetched ({kind_and_text(error)})"


def kind_and_text(error: BaseException) -> str:
    """An unexpected error in one line.

    >>> kind_and_text(ValueError("a\\nb")), kind_and_text(TimeoutError())
    ('ValueError: a b', 'TimeoutError')
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}"
