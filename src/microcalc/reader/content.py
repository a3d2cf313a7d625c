"""The bytes of one file, read once: every answer on it, and its hash, come from the same bytes."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import pydicom

from microcalc.dicom.results import MODEL
from microcalc.errors import ImageError, TransientImageError, extra_needed
from microcalc.images.reader import HEAD, LARGEST_FILE, file_kind, read_content
from microcalc.images.silence import quiet

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Content:
    """One file.

    Attributes:
        data: all of its bytes.
        stamp: of the file before it was read; see :func:`stamp`.
        sha256: of the bytes.
    """

    data: bytes
    stamp: Stamp
    sha256: str


def is_url(name: str) -> bool:
    """Whether a name is a URL rather than a path.

    >>> is_url("s3://bucket/a.dcm"), is_url("scans/a.dcm")
    (True, False)
    """
    return "://" in name


def stamp(key: str) -> Stamp:
    """Return size and times of change of a file, which differ once it has changed; empty of a URL or without a file."""
    if is_url(key):
        return ()
    try:
        status = os.stat(key)  # noqa: PTH116 (a name may be too long for a Path)
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_once(key: str) -> Content:
    """Read a file by its path or URL.

    Raises:
        ImageError: the file cannot be read, or the URL cannot be fetched.
    """
    before = stamp(key)
    data = _fetched(key) if is_url(key) else read_content(key)
    return Content(data, before, hashlib.sha256(data).hexdigest())


def _fetched(url: str) -> bytes:
    with extra_needed("dask"):
        import fsspec
    try:
        system, path = fsspec.url_to_fs(url)
        data: bytes = system.cat_file(path, start=0, end=LARGEST_FILE + 1)
    except Exception as error:  # each kind of file system has errors of its own
        raise (TransientImageError if may_pass(error) else ImageError)(_reason(error), url) from error
    if len(data) > LARGEST_FILE:
        raise ImageError(f"has more than {LARGEST_FILE:,} bytes, too many for one image", url)
    return data


def may_pass(error: BaseException) -> bool:
    """Whether a file that could not be fetched may be there at another try.

    >>> may_pass(TimeoutError()), may_pass(FileNotFoundError())
    (True, False)
    """
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status in (408, 425, 429)  # timeout, too early, too many requests
    return not isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | ValueError | ImportError)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist; check its name"
    if isinstance(error, PermissionError):
        return "may not be read; check the credentials of the workers"
    return f"cannot be fetched ({kind_and_text(error)})"


def kind_and_text(error: BaseException) -> str:
    """Return an unexpected error in one line.

    >>> kind_and_text(ValueError("a\\nb")), kind_and_text(TimeoutError())
    ('ValueError: a b', 'TimeoutError')
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def is_result_of_ours(file: Path | bytes) -> bool:
    """Whether a file is a DICOM object that microcalc made of a mammogram."""
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened, quiet():
            if file_kind(opened.read(HEAD)) != "DICOM":
                return False
            opened.seek(0)
            keyword = "ManufacturerModelName"
            header = pydicom.dcmread(opened, stop_before_pixels=True, force=True, specific_tags=[keyword])
            return bool(header.get(keyword) == MODEL)
    except Exception:  # whoever reads it reports it
        return False
