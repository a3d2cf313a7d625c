"""The files that a request names: files, folders, patterns, and manifests."""

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from microcalc.errors import RequestError, extra_needed
from microcalc.images import find_images
from microcalc.images.folders import FoundImages
from microcalc.reader.content import is_result_of_ours, is_url
from microcalc.reader.store import OUTPUT_FOLDERS, RESULTS

_ADVICE = "give a file with a path or URL a line"


@dataclass(frozen=True)
class Inputs:
    """The files to work on.

    Attributes:
        names: by absolute path or URL, each file as the request names it, in its order.
        left_out: number of files in folders that are no images, by suffix.
        ours: number of pictures and objects that microcalc made, in folders and patterns.
    """

    names: dict[str, str]
    left_out: Counter[str] = field(default_factory=Counter)
    ours: int = 0

    def note(self) -> str:
        """Return a sentence on the files that were left out; empty where there are none.

        >>> Inputs({}, ours=3).note()
        '3 files were left out, as microcalc made them'
        """
        several = "s were left out, as microcalc made them" if self.ours > 1 else " was left out, as microcalc made it"
        notes = [FoundImages([], self.left_out).note(), f"{self.ours} file{several}" if self.ours else ""]
        return "; ".join(filter(None, notes))


def find_inputs(requests: Sequence[str], manifest: Path | None = None) -> Inputs:
    """Find the files behind names and in a manifest, each of them once.

    A name is a file, a folder or a pattern such as ``scans/**/*.png``. Of a folder, all images in it and below are
    taken, see :func:`microcalc.images.folders.find_images`, but for pictures and objects that microcalc wrote; a folder
    without images stands for itself, so that it is reported. A path that exists is never taken for a pattern.

    Raises:
        RequestError: nothing is named, a path does not exist, nothing fits a pattern, or the manifest is none.
        FailedError: a folder cannot be listed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     found = find_inputs([folder, f"{folder}/*.png"])
    ...     [Path(name).name for name in found.names.values()], dict(found.left_out)
    (['a.png', 'b.png'], {'.txt': 1})
    """
    if not requests and manifest is None:
        raise RequestError("no images are named; give image files, folders or a pattern such as 'scans/*.png'")
    names: dict[str, str] = {}
    left_out, ours = Counter[str](), 0
    for request in requests:
        for found in map(_in, _paths(request)):
            files = found.files if Path(request).is_file() else [file for file in found.files if not _is_ours(file)]
            ours += len(found.files) - len(files)
            left_out.update(found.left_out)
            names.update(_keyed(map(str, files), names))
    if manifest is not None:
        names.update(_keyed(read_manifest(manifest), names))
    inputs = Inputs(names, left_out, ours)
    if not names:
        raise RequestError(f"{' '.join(requests)}: {inputs.note()}, and nothing is left; name other images")
    return inputs


def _keyed(names: Iterable[str], known: dict[str, str]) -> dict[str, str]:
    keyed: dict[str, str] = {}
    for name in names:
        key = name if is_url(name) else os.path.abspath(name)  # noqa: PTH100 (links stay, and dots go)
        if key not in known:
            keyed.setdefault(key, name)
    return keyed


def _paths(request: str) -> list[Path]:
    for spelling in (request, *(unicodedata.normalize(form, request) for form in ("NFC", "NFD"))):
        if os.path.exists(spelling):  # noqa: PTH110 (Path.exists raises where a name is too long)
            return [Path(spelling)]
    matches = glob.glob(request, recursive=True) if glob.has_magic(request) else []  # noqa: PTH207 (absolute patterns)
    if not matches:
        raise RequestError(f"{request}: does not exist; name image files, folders or a pattern such as 'scans/*.png'")
    return [Path(path) for path in sorted(matches)]


def _in(path: Path) -> FoundImages:
    if not path.is_dir():
        return FoundImages([path])
    found = find_images(path)
    return FoundImages(found.files or [path], found.left_out)


def _is_ours(file: Path) -> bool:
    """Whether a file is a picture or a DICOM object that microcalc made."""
    tables = (file.parents[1] / name for name in (RESULTS, "findings.json"))
    is_output = file.parent.name in OUTPUT_FOLDERS and any(table.is_file() for table in tables)
    return is_output or (file.is_file() and is_result_of_ours(file))


def read_manifest(path: Path) -> list[str]:
    """Read a list of files, a path or URL a line; empty lines are passed over.

    A path is relative to the current folder, and may hold any bytes that the disk takes. URLs are of the kinds that
    fsspec knows, such as ``https://`` or ``s3://``.

    Raises:
        RequestError: the file cannot be read or names nothing, or a kind of URL cannot be read here.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "files.txt")
    ...     _ = path.write_text("a.dcm\\n\\nscans/b.dcm\\r\\n")
    ...     read_manifest(path)
    ['a.dcm', 'scans/b.dcm']
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); {_ADVICE}") from error
    if b"\0" in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RequestError(f"{path}: is not text in UTF-8; {_ADVICE}")
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    names = [os.fsdecode(line) for line in (line.rstrip(b"\r") for line in lines) if line]
    if not names:
        raise RequestError(f"{path}: names no file; {_ADVICE}")
    for protocol in sorted({name.partition("://")[0] for name in names if is_url(name)}):
        with extra_needed("dask"):
            import fsspec
        try:
            fsspec.get_filesystem_class(protocol.rpartition("::")[2])
        except (ImportError, ValueError) as error:
            raise RequestError(f"{path}: {protocol}:// cannot be read here ({error})") from error
    return names
