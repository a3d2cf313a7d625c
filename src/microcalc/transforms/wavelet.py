"""A wavelet filter that keeps what is small and bright: fine detail stays, smooth tissue and faint noise go."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pywt
from numpy.typing import NDArray

from microcalc.config import WaveletBackend, WaveletName, WaveletSettings
from microcalc.errors import RequestError

LEVELS = 3
_LARGEST_QUIET_THRESHOLD = 2.0

Patches = NDArray[np.float64]
KeepLarge = Callable[[Patches], Patches]


def wavelet_filter(
    images: NDArray[np.float32],
    name: WaveletName = "sym3",
    threshold: float = 1.5,
    backend: WaveletBackend = "pywavelets",
) -> NDArray[np.float32]:
    """Filter patches in the wavelet domain, and stretch each to the whole grey range.

    A 2-D decomposition to level 3 with half-point symmetric extension. The approximation is set to zero, and at each
    level, over its three detail bands together, every coefficient smaller in magnitude than ``threshold`` times their
    standard deviation (N - 1 normalisation, as MATLAB's ``std``). Reconstructing without the approximation follows
    Wang and Karayiannis, "Detection of microcalcifications in digital mammograms using wavelets", IEEE Trans. Med.
    Imaging 17 (1998) 498-509, doi:10.1109/42.730395.

    Args:
        images: (n, height, width) grey values; 40 pixels a side or more for sym3 to reach level 3.
        name: the wavelet, "sym3" or "haar".
        threshold: in standard deviations of a level's details; above 2 the calcifications themselves begin to vanish.
        backend: "pywavelets", or "matlab" for MATLAB's Wavelet Toolbox through ``matlab.engine`` (one patch at a time).

    Returns:
        (n, height, width) in [0, 1]: each patch rescaled by its own minimum and maximum; zeros where nothing is left.

    Raises:
        RequestError: an unknown wavelet or backend, a threshold that is not a positive number, images of another
            shape, or MATLAB is missing where it is the backend.

    >>> patch = np.zeros((1, 60, 60), np.float32)
    >>> patch[0, 30:32, 30:32] = 1.0
    >>> filtered = wavelet_filter(patch)
    >>> filtered.shape, float(filtered.min()), float(filtered.max())
    ((1, 60, 60), 0.0, 1.0)
    """
    _check(images, name, threshold, backend)
    # Only the approximation knows the patch's level; taking it off first makes a flat patch exactly zero.
    patches = images - images.min(axis=(1, 2), keepdims=True).astype(np.float64)
    transform = _with_matlab if backend == "matlab" else _with_pywavelets
    return _rescale(transform(patches, name, partial(_keep_large, threshold=threshold)))


def _check(images: NDArray[np.float32], name: WaveletName, threshold: float, backend: WaveletBackend) -> None:
    if images.ndim != 3:
        raise RequestError(f"the wavelet filter takes images of shape (n, height, width): got {images.shape}")
    WaveletSettings(name, threshold, backend)
    if name == "none":
        raise RequestError("wavelet must be sym3 or haar to filter: got 'none'")
    if threshold > _LARGEST_QUIET_THRESHOLD:
        warnings.warn(
            f"a wavelet threshold of {threshold:g} standard deviations is above {_LARGEST_QUIET_THRESHOLD:g}: "
            "faint calcifications are filtered out too",
            UserWarning,
            stacklevel=3,
        )


def _keep_large(details: Patches, threshold: float) -> Patches:
    """Zero what is small among the details of one level: (n, ...), each patch by its own standard deviation."""
    deviation = details.std(axis=tuple(range(1, details.ndim)), ddof=1, keepdims=True)
    return np.where(np.abs(details) < threshold * deviation, 0.0, details)


def _with_pywavelets(patches: Patches, name: str, keep_large: KeepLarge) -> Patches:
    height, width = patches.shape[1:]
    how = {"wavelet": name, "mode": "symmetric", "axes": (1, 2)}
    approximation, *levels = pywt.wavedec2(patches, level=LEVELS, **how)
    kept = [tuple(np.moveaxis(keep_large(np.stack(bands, axis=1)), 1, 0)) for bands in levels]
    filtered: Patches = pywt.waverec2([np.zeros_like(approximation), *kept], **how)
    return filtered[:, :height, :width]


def _with_matlab(patches: Patches, name: str, keep_large: KeepLarge) -> Patches:
    with _matlab_engine() as (engine, double):
        return np.stack([_patch_with_matlab(patch, name, keep_large, engine, double) for patch in patches])


def _patch_with_matlab(patch: Patches, name: str, keep_large: KeepLarge, engine: Any, double: Any) -> Patches:
    """Filter one (height, width) patch in MATLAB, whose ``wavedec2`` gives one row: approximation, then each level."""
    row, sizes = engine.wavedec2(double(patch.tolist()), float(LEVELS), name, nargout=2)
    lengths = np.asarray(sizes, dtype=int)[:-1].prod(axis=1) * ([1] + LEVELS * [3])
    approximation, *levels = np.split(np.asarray(row), np.cumsum(lengths)[:-1], axis=1)
    kept = np.concatenate([np.zeros_like(approximation), *map(keep_large, levels)], axis=1)
    return np.asarray(engine.waverec2(double(kept.tolist()), sizes, name))


@contextmanager
def _matlab_engine() -> Iterator[tuple[Any, Any]]:
    """A MATLAB session of our own and its array type; symmetric extension, MATLAB's default, is set to be sure."""
    try:
        import matlab.engine

        engine = matlab.engine.start_matlab()
    except Exception as error:  # The engine raises kinds of its own, and OSError or RuntimeError at its import.
        raise RequestError(
            "wavelet_backend=matlab needs MATLAB and its Python engine (pip install matlabengine, of MATLAB's "
            f"release): {' '.join(str(error).split())}; mend that or use pywavelets"
        ) from error
    try:
        if not engine.exist("wavedec2"):
            raise RequestError(
                "wavelet_backend=matlab needs MATLAB's Wavelet Toolbox, and this MATLAB has no wavedec2; "
                "install it or use pywavelets"
            )
        engine.dwtmode("sym", "nodisp", nargout=0)
        yield engine, matlab.double
    finally:
        engine.quit()


def _rescale(patches: Patches) -> NDArray[np.float32]:
    lowest = patches.min(axis=(1, 2), keepdims=True)
    spread = patches.max(axis=(1, 2), keepdims=True) - lowest
    detail = spread > np.finfo(np.float32).eps  # below the rounding of the grey values there is no detail
    scaled: Patches = np.divide(patches - lowest, spread, out=np.zeros_like(patches), where=detail)
    return scaled.astype(np.float32)
