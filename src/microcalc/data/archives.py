"""Archives from anywhere, opened without harm: nothing is written outside a folder, and no absurd size is read."""

import gzip
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microcalc.errors import DataError, FailedError

MOST_TAR_BYTES = 1 << 26
MOST_ZIP_BYTES = 1 << 32


def tar_files(content: bytes, origin: str | Path) -> dict[str, bytes]:
    """Read the files of a tar archive, gzip-compressed or not, in memory: links and devices in it are passed over.

    Args:
        content: the archive.
        origin: what to call it in errors.

    Returns:
        The content of each file by its path in the archive.

    Raises:
        DataError: it is not such an archive, or holds more than 64 MiB.

    >>> buffer = io.BytesIO()
    >>> with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
    ...     archive.addfile(tarfile.TarInfo("Train/empty.png"))
    >>> tar_files(buffer.getvalue(), "patches.tar.gz")
    {'Train/empty.png': b''}
    """
    files = {}
    try:
        if content.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(content)) as compressed:
                content = compressed.read(MOST_TAR_BYTES + 1)
        if len(content) > MOST_TAR_BYTES:
            raise DataError(f"{origin}: holds more than {MOST_TAR_BYTES >> 20} MiB, refused; get the archive again")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if not 0 <= member.size <= len(content):  # a negative size would send tarfile round in circles
                    raise DataError(f"{origin}: {member.name!r} has an impossible size; get the archive again")
                if member.isreg() and (file := archive.extractfile(member)):
                    files[member.name] = file.read()
    except DataError:
        raise
    # The standard library leaks ValueError, OverflowError and RecursionError from crafted headers.
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{origin}: not a readable tar archive ({error}); get it again") from error
    return files


@contextmanager
def unpacked_zip(path: Path) -> Iterator[Path]:
    """Unpack a ZIP archive into a temporary folder, which is gone afterwards; ``zipfile`` lets no path leave it.

    Raises:
        DataError: it is not a ZIP archive, is encrypted, or holds more than 4 GiB.
        FailedError: the temporary folder cannot hold it.

    >>> import tempfile
    >>> archive = Path(tempfile.mkdtemp()) / "patches.zip"
    >>> with zipfile.ZipFile(archive, "w") as patches:
    ...     patches.writestr("0/empty.png", b"")
    >>> with unpacked_zip(archive) as folder:
    ...     [str(file.relative_to(folder)) for file in folder.rglob("*.png")]
    ['0/empty.png']
    """
    with tempfile.TemporaryDirectory(prefix="microcalc-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > MOST_ZIP_BYTES:
                    raise DataError(
                        f"{path}: holds more than {MOST_ZIP_BYTES >> 30} GiB; unpack it and give the folder"
                    )
                for member in archive.infolist():
                    member.filename = member.filename.replace("\\", "/")  # which some programs on Windows write
                    archive.extract(member, folder)
        except DataError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError) as error:
            raise DataError(
                f"{path}: not a readable ZIP archive ({error}); pack it again, or unpack it and give the folder"
            ) from error
        except OSError as error:
            raise FailedError(
                f"{path}: cannot be unpacked into {tempfile.gettempdir()} ({error}); "
                "make room, or unpack it yourself and give the folder"
            ) from error
        yield Path(folder)
