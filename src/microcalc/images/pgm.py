"""PGM -> grey values in [0, 1]. Pillow rounds samples of unusual maxval, and shifts those after a CRLF or a comment."""

import re
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.image import check_size

_BLANK = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"(P[25])%b(\d{1,9})%b(\d{1,9})%b(\d{1,9})" % (_BLANK, _BLANK, _BLANK))
_AFTER_MAXVAL = (rb"\s", rb"\r\n", rb"\s*#[^\r\n]*(?:\r\n|\r|\n)")
_LONGEST_HEADER = 10_000
_COPY = "copy it again, or save it as an 8- or 16-bit grey PNG"


def read_pgm(file: BinaryIO) -> NDArray[np.float32]:
    """Read one PGM, plain (P2) or binary (P5), scaled by its own maxval.

    A single white-space character stands between the maxval and the samples; a CRLF or a comment there is read too,
    where the file's length says that it is one.

    Raises:
        ImageError: the header is no PGM's, or there are fewer or more samples than it says; without the file's name.

    >>> import io
    >>> read_pgm(io.BytesIO(b"P5 8 8 100\\r\\n" + bytes(range(64))))[0, 2]
    np.float32(0.02)
    """
    header = _HEADER.match(file.read(_LONGEST_HEADER))
    if header is None:
        raise ImageError(f"is a damaged PGM: its header does not give width, height and maxval; {_COPY}")
    width, height, maxval = (int(number) for number in header.group(2, 3, 4))
    check_size(height, width)
    if not 0 < maxval < 65536:
        raise ImageError(f"is a PGM of maxval {maxval}, which must be 1 to 65535; {_COPY}")
    file.seek(header.end())
    samples = (_plain if header[1] == b"P2" else _binary)(file.read(), width * height, maxval)
    if samples.min() < 0 or samples.max() > maxval:
        raise ImageError(f"holds samples above its own maxval of {maxval}; {_COPY}")
    scaled: NDArray[np.float32] = np.divide(samples.reshape(height, width), maxval, dtype=np.float32)
    return scaled


def _plain(text: bytes, count: int, maxval: int) -> NDArray[np.int64]:
    words = re.sub(rb"#[^\r\n]*", b"", text).split()
    if len(words) != count or not all(word.isdigit() and len(word) <= len(str(maxval)) + 4 for word in words):
        raise ImageError(f"is a damaged PGM: {len(words):,} samples and not {count:,}, or no whole numbers; {_COPY}")
    return np.array([int(word) for word in words], dtype=np.int64)


def _binary(content: bytes, count: int, maxval: int) -> NDArray[np.uint16] | NDArray[np.uint8]:
    sample = np.dtype(">u2" if maxval > 255 else "u1")
    expected = count * sample.itemsize
    starts = [match.end() for each in _AFTER_MAXVAL if (match := re.match(each, content))]
    start = next((start for start in starts if len(content) - start == expected), None)
    if start is None:
        surplus = len(content) - max(starts, default=0) - expected
        trouble = f"{surplus:,} bytes beyond" if surplus > 0 else "fewer samples than"
        raise ImageError(f"is a damaged PGM: it holds {trouble} its width and height require; {_COPY}")
    return np.frombuffer(content, sample, count, start)
