"""Where the INFN archive and the external patches are found, fetched and checked."""

import hashlib
import io
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PIL import Image

from microcalc.data.archives import MOST_TAR_BYTES, tar_files
from microcalc.errors import DataError, UnreachableError
from microcalc.files import write_atomically

INFN_URL = "https://www.pi.infn.it/~boccali/DL_class_data.tar.gz"
INFN_ARCHIVE = "DL_class_data.tar.gz"
EXTERNAL_ARCHIVE = "external_patches.zip"
DATA_VARIABLE = "MICROCALC_DATA"

_BY_HAND = (
    f"download {INFN_URL} in a browser and give it as archive, or set {DATA_VARIABLE} to the folder that holds it"
)
_PATCH_SHAPE = (60, 60)


def cache_folder() -> Path:
    """The folder of the user's cache in which the fetched archive is kept."""
    return platformdirs.user_cache_path("microcalc")


def find_infn(archive: Path | None = None) -> Path | None:
    """Look for the INFN archive on this machine: as given, in the folder named by MICROCALC_DATA, in the user's cache.

    A place may hold the archive itself or, unpacked, its folders Train and Test.

    Args:
        archive: the archive or its unpacked folder; nothing else is looked at then.

    Returns:
        The archive or the folder that holds Train and Test, unchecked; None if it is nowhere.

    Raises:
        DataError: there is nothing at ``archive``.

    >>> find_infn(Path("nowhere.tar.gz"))
    Traceback (most recent call last):
    ...
    microcalc.errors.DataError: nowhere.tar.gz: no such INFN archive; download https://www.pi.infn.it/~boccali/...
    """
    if archive is not None:
        if not archive.exists():
            raise DataError(f"{archive}: no such INFN archive; {_BY_HAND}")
        return archive
    candidates = [place / name for place in _places() for name in (INFN_ARCHIVE, "DL_class_data", ".")]
    return next((candidate for candidate in candidates if _holds_infn(candidate)), None)


def find_external() -> Path | None:
    """Look for ``external_patches.zip`` in the folder named by MICROCALC_DATA, then in the user's cache."""
    candidates = [place / EXTERNAL_ARCHIVE for place in _places()]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _places() -> list[Path]:
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named).expanduser()] if named else []), cache_folder()]


def _holds_infn(path: Path) -> bool:
    return path.is_file() or ((path / "Train").is_dir() and (path / "Test").is_dir())


def fetch_infn(archive: Path | None = None) -> Path:
    """Find the INFN archive on this machine, or else download it into the user's cache; either way, check all of it.

    Args:
        archive: as for :func:`find_infn`.

    Returns:
        The archive, or the folder that holds Train and Test.

    Raises:
        DataError: it is neither here nor to be had from its site, or is not what was published.
        FailedError: the cache cannot be written.
    """
    found = find_infn(archive)
    if found:
        read_infn(found)
    return found or download_infn()


def download_infn(*, url: str = INFN_URL, patience: float = 8.0) -> Path:
    """Download the INFN archive into the user's cache, where it appears whole and checked or not at all.

    Args:
        url: where from.
        patience: seconds without a single byte after which it gives up.

    Returns:
        The archive.

    Raises:
        UnreachableError: no answer, or an error in place of an answer.
        DataError: the answer is something else than the published patches.
        FailedError: the cache cannot be written.
    """
    content = _download(url, patience)
    _checked_patches(tar_files(content, url), url)
    target = cache_folder() / INFN_ARCHIVE
    write_atomically(target, content)
    return target


class _Received(io.BytesIO):
    """Takes no more than an archive may have."""

    def write(self, piece: Any, /) -> int:
        if self.tell() > MOST_TAR_BYTES:
            raise DataError("the answer is far larger than the archive")
        return super().write(piece)


def _download(url: str, patience: float) -> bytes:
    import pooch

    received = _Received()
    try:
        pooch.HTTPDownloader(timeout=patience)(url, received, None)
    except DataError as error:
        raise DataError(f"{url}: {error}; {_BY_HAND}") from error
    except Exception as error:
        raise UnreachableError(f"{url}: cannot be downloaded ({_reason(error)}); {_BY_HAND}") from error
    return received.getvalue()


def _reason(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return f"the server answers {response.status_code}" if response is not None else type(error).__name__


def infn_pixel_hashes() -> dict[str, str]:
    """SHA-256 of the 3,600 decoded bytes of each of the 797 INFN patches, by path in the archive.

    >>> len(infn_pixel_hashes())
    797
    """
    lines = resources.files("microcalc.data").joinpath("infn_pixels.sha256").read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split("  ") for line in lines)}


def read_infn(path: Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Read the INFN patches from the archive or its unpacked folder, and check every pixel of them.

    The check is of what the files decode to, not of the archive: a repacked one is as good. Nothing is written.

    Returns:
        The paths in the archive, such as ``Train/0/0036t1_4_0_1.png``, sorted; and (797, 60, 60) grey values.

    Raises:
        DataError: a file is missing, does not decode or differs from the published one; or the archive is not safe.
    """
    try:
        if path.is_dir():
            files = {name: (path / name).read_bytes() for name in infn_pixel_hashes() if (path / name).is_file()}
        else:
            with path.open("rb") as file:
                files = tar_files(file.read(MOST_TAR_BYTES + 1), path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); {_BY_HAND}") from error
    return _checked_patches(files, path)


def _checked_patches(files: Mapping[str, bytes], origin: str | Path) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    by_tail = {"/".join(PurePosixPath(path).parts[-3:]): content for path, content in files.items()}
    hashes = infn_pixel_hashes()
    missing = [name for name in hashes if name not in by_tail]
    if missing:
        raise DataError(
            f"{origin}: not the whole INFN archive, {len(missing)} of its {len(hashes)} files are missing, "
            f"{missing[0]} first; {_BY_HAND}"
        )
    patches = []
    for name, digest in hashes.items():
        patch = _decoded(by_tail[name])
        if patch is None:
            raise DataError(f"{origin}: {name} does not decode to a patch of 60 x 60 grey values; {_BY_HAND}")
        if hashlib.sha256(patch.tobytes()).hexdigest() != digest:
            raise DataError(f"{origin}: the pixels of {name} differ from the published ones; {_BY_HAND}")
        patches.append(patch)
    return tuple(hashes), np.stack(patches)


def _decoded(content: bytes) -> NDArray[np.uint8] | None:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode == "L" and image.size == _PATCH_SHAPE:
                return np.asarray(image)
    # Pillow leaks SyntaxError and ValueError from crafted files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        pass
    return None
