"""Archives from anywhere, opened without harm: no path outside, no link, no device, no absurd size."""

import gzip
import io
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from microcalc.errors import DataError, FailedError

MOST_TAR_BYTES = 1 << 26
MOST_ZIP_BYTES = 1 << 32
_MOST_FILES = 100_000


def tar_files(content: bytes, origin: str | Path) -> dict[str, bytes]:
    """Read the files of a tar archive, gzip-compressed or not, without writing any of them.

    Args:
        content: the archive.
        origin: what to call it in errors.

    Returns:
        The content of each file by its path in the archive.

    Raises:
        DataError: it is not such an archive, or holds a link, a device, a path outside of it or more than 64 MiB.

    >>> buffer = io.BytesIO()
    >>> with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
    ...     archive.addfile(tarfile.TarInfo("Train/empty.png"))
    >>> tar_files(buffer.getvalue(), "patches.tar.gz")
    {'Train/empty.png': b''}
    """
    try:
        plain = io.BytesIO(_decompressed(content, origin))
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            return dict(_checked_files(archive, origin))
    except DataError:
        raise
    # The standard library leaks ValueError, OverflowError and RecursionError from crafted headers.
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{origin}: not a readable tar archive ({error}); get it again") from error


def _decompressed(content: bytes, origin: str | Path) -> bytes:
    """Undo gzip, if there is any, up to a size: all that is read later lies in these bytes."""
    if content.startswith(b"\x1f\x8b"):
        with gzip.open(io.BytesIO(content)) as compressed:
            content = compressed.read(MOST_TAR_BYTES + 1)
    if len(content) > MOST_TAR_BYTES:
        raise DataError(f"{origin}: holds more than {MOST_TAR_BYTES >> 20} MiB, refused; get the archive again")
    return content


def _checked_files(archive: tarfile.TarFile, origin: str | Path) -> Iterator[tuple[str, bytes]]:
    for count, member in enumerate(archive):
        if not (member.isreg() or member.isdir()):
            raise DataError(f"{origin}: {member.name!r} is a link or a device, refused; get the archive again")
        _check_inside(member.name, origin)
        if count >= _MOST_FILES or not 0 <= member.size <= MOST_TAR_BYTES:
            raise DataError(f"{origin}: {member.name!r} is one file too many or too large; get the archive again")
        if member.isreg():
            file = archive.extractfile(member)
            yield member.name, file.read() if file else b""


def _check_inside(name: str, origin: str | Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{origin}: {name!r} lies outside the archive's own folder, refused; get the archive again")


@contextmanager
def unpacked_zip(path: Path) -> Iterator[Path]:
    """Unpack a ZIP archive into a temporary folder, which is gone afterwards.

    Raises:
        DataError: it is not a ZIP archive, is encrypted, or holds a link, a device, a path outside of it or more than
            4 GiB.
        FailedError: the temporary folder cannot hold it.

    >>> import tempfile
    >>> archive = Path(tempfile.mkdtemp()) / "patches.zip"
    >>> with zipfile.ZipFile(archive, "w") as patches:
    ...     patches.writestr("0/empty.png", b"")
    >>> with unpacked_zip(archive) as folder:
    ...     [str(file.relative_to(folder)) for file in folder.rglob("*.png")]
    ['0/empty.png']
    """
    with tempfile.TemporaryDirectory(prefix="microcalc-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    member.filename = member.filename.replace("\\", "/")  # which some programs on Windows write
                _check_members(archive.infolist(), path)
                archive.extractall(folder, archive.infolist())
        except DataError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError) as error:
            raise DataError(f"{path}: not a readable ZIP archive ({error}); pack it again") from error
        except OSError as error:
            raise FailedError(
                f"{path}: cannot be unpacked into {tempfile.gettempdir()} ({error}); "
                "make room, or unpack it yourself and give the folder"
            ) from error
        yield folder


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    names: set[str] = set()
    for member in members:
        _check_inside(member.filename, path)
        if member.filename in names and not member.is_dir():
            raise DataError(f"{path}: holds {member.filename!r} twice; pack it again")
        names.add(member.filename)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{path}: {member.filename!r} is a link or a device, refused; pack only files")
        if member.flag_bits & 1:
            raise DataError(f"{path}: {member.filename!r} is encrypted; unpack it and give the folder")
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > MOST_ZIP_BYTES:
        raise DataError(
            f"{path}: holds more than {_MOST_FILES} files or {MOST_ZIP_BYTES >> 30} GiB; unpack it and give the folder"
        )
