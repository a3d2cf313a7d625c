"""Memory that is freed goes back to the system."""

import platform

import psutil
import pytest
import torch

from microcalc.networks.allocator import return_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to give memory back")
def test_holes_between_arrays_that_stay_are_given_back():
    me = psutil.Process()
    arrays = [torch.zeros(25_000) for _ in range(2000)]  # 100 kB each: glibc takes them from one heap
    full = me.memory_info().rss
    kept = arrays[::2]
    del arrays
    return_freed_memory()
    assert len(kept) == 1000
    assert full - me.memory_info().rss > 60e6
