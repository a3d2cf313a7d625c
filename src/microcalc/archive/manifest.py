"""The list of files of an archive: a path or URL a line."""

from pathlib import Path

import fsspec

from microcalc.errors import RequestError

_ADVICE = "give a file with a path or URL a line"


def read_manifest(path: Path) -> list[str]:
    """The names of a manifest, each once, in its order; empty lines are passed over.

    A name is a path, which is relative to the current folder, or a URL of a kind that fsspec knows, such as
    ``https://`` or ``s3://``.

    Raises:
        RequestError: the file cannot be read or names nothing, or a kind of URL cannot be read here.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "files.txt")
    ...     _ = path.write_text("a.dcm\\n\\nhttps://example.org/b.dcm\\na.dcm\\n")
    ...     read_manifest(path)
    ['a.dcm', 'https://example.org/b.dcm']
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: is not text in UTF-8; {_ADVICE}") from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); {_ADVICE}") from error
    names = list(dict.fromkeys(name for line in lines if (name := line.rstrip("\r"))))
    if not names:
        raise RequestError(f"{path}: names no file; {_ADVICE}")
    for protocol in sorted({name.partition("://")[0] for name in names if is_url(name)}):
        try:
            fsspec.get_filesystem_class(protocol.rpartition("::")[2])
        except (ImportError, ValueError) as error:
            raise RequestError(f"{path}: {protocol}:// cannot be read here ({error})") from error
    return names


def is_url(name: str) -> bool:
    """Whether a name is a URL rather than a path.

    >>> is_url("s3://bucket/a.dcm"), is_url("scans/a.dcm")
    (True, False)
    """
    return "://" in name


def in_batches(names: list[str], workers: int, largest: int) -> list[list[str]]:
    """Cut names into batches, so small that each worker gets several, and no larger than ``largest``.

    >>> [len(batch) for batch in in_batches(["a"] * 10, workers=2, largest=100)]
    [2, 2, 2, 2, 2]
    """
    size = max(1, min(largest, -(-len(names) // (4 * max(workers, 1)))))
    return [names[start : start + size] for start in range(0, len(names), size)]
