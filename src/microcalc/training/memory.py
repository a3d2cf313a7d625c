"""The memory that a study takes, its worker processes included."""

import threading
from contextlib import suppress
from typing import Any

import psutil


class PeakMemory:
    """The largest memory that this process and its children held together, in bytes, sampled once a second.

    It is the sum of their proportional set sizes (PSS: shared pages count once) where the system gives it,
    else of their resident sets. The system's own peaks (``getrusage``) are of one process each and cannot be added.

    >>> with PeakMemory() as peak:
    ...     block = bytes(10)
    >>> peak.bytes > 0
    True
    """

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._ended = 0, threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._sampler.join()

    def _sample(self) -> None:
        me, ended = psutil.Process(), False
        while not ended:
            total = 0
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.Error):  # it may have ended
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.rss)
            self.bytes, ended = max(self.bytes, total), self._ended.wait(1.0)
