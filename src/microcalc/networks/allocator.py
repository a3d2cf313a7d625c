"""When a process keeps the memory that PyTorch frees, and when it gives it back to the system."""

import ctypes
import functools
import gc
import os
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 2**30
LARGEST_PIECE = 2**25
"""The largest that glibc takes."""


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep freed memory of a Dask worker for the next array; nothing elsewhere, or where there is no glibc.

    Dask's nanny has a worker give it back to the system at once (``MALLOC_TRIM_THRESHOLD_``). PyTorch frees its large
    arrays, and takes as much again, with every layer, which then takes as long as the computation.

    >>> keep_freed_memory()
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    with suppress(AttributeError, TypeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        allocator.mallopt(M_MMAP_THRESHOLD, LARGEST_PIECE)


def return_freed_memory() -> None:
    """Have glibc give all freed memory back to the system; nothing where there is no glibc.

    Training leaves 300 MB of holes between the few arrays that stay, and networks of other sizes do not fit into them.
    Worker processes of joblib that have grown by as much are replaced, which costs a start of Keras and a warning.

    >>> return_freed_memory()
    """
    gc.collect()
    with suppress(AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
