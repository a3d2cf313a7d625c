"""Every error that a user can meet: one line that says what is wrong, where, and what to do about it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class MicrocalcError(Exception):
    """Base of all errors meant for the user; the command line prints the message alone.

    >>> raise RequestError("dim must be positive: got 0; give 15, 20 or 25")
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: dim must be positive: got 0; give 15, 20 or 25
    """

    exit_code = 1


class RequestError(MicrocalcError, ValueError):
    """The request itself is wrong: a bad option, a missing file, a run directory that cannot be used."""

    exit_code = 2


class ImageError(RequestError):
    """One image file cannot be read, or is not what is needed.

    Attributes:
        problem: what is wrong and what to do, without the file's name.
        file: the file, as a user knows it; empty until somebody knows it. Whoever knows it better may set it.

    >>> error = ImageError("is empty; copy it again from where it came", "scans/a.dcm")
    >>> error.problem, str(error)
    ('is empty; copy it again from where it came', 'scans/a.dcm: is empty; copy it again from where it came')
    """

    def __init__(self, problem: str, file: str | os.PathLike[str] = "") -> None:
        super().__init__(problem)
        self.problem, self.file = problem, os.fspath(file)

    def __str__(self) -> str:
        """One line; letters of the name that cannot be printed are escaped."""
        name = self.file if self.file.isprintable() else ascii(self.file)
        return f"{name}: {self.problem}" if name else self.problem


class TransientImageError(ImageError):
    """The system could not read an image file: another try may read it."""


class DataError(RequestError):
    """A dataset cannot be found, fetched or trusted."""


class UnreachableError(DataError):
    """A dataset's site gives no answer, or refuses: another source, or a later try, may give the dataset."""


class FailedError(MicrocalcError, OSError):
    """The request was right, yet the work could not be completed (full disk, vanished file)."""


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Name the file in each error about an image that is raised inside.

    >>> with naming("left.png"):
    ...     raise ImageError("shows no breast")
    Traceback (most recent call last):
    ...
    microcalc.errors.ImageError: left.png: shows no breast
    """
    try:
        yield
    except ImageError as error:
        error.file = file
        raise


@contextmanager
def extra_needed(extra: str) -> Iterator[None]:
    """Turn the import of a package that is not installed into one line for the user.

    Args:
        extra: of ``pyproject.toml``, which brings the packages that are imported inside.

    Raises:
        RequestError: a package is missing.

    >>> with extra_needed("dicom"):
    ...     import no_such_package.part
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: the package no_such_package is missing; install it: pip install ".[dicom]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == "microcalc":
            raise
        raise RequestError(f'the package {package} is missing; install it: pip install ".[{extra}]"') from error
