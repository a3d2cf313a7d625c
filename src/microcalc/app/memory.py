"""Memory that is free goes back to the system, as far as glibc is what gives it."""

import contextlib
import ctypes
from typing import Any

_M_ARENA_MAX = -8  # of malloc.h


def use_one_arena() -> None:
    """Have all threads that start later share the memory of the first.

    glibc gives each thread an arena of its own, and :func:`give_memory_back` can only shrink the first. (A fixed
    ``M_MMAP_THRESHOLD`` gives everything back, too, but doubles the time of a scan.)
    """
    _call("mallopt", _M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Return what was freed, which would be kept for later: some 100 MB after a mammogram."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of glibc; other C libraries lack it, and nothing is done."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), name)(*arguments)
