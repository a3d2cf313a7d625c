"""The memory that a study takes, its worker processes included."""

import threading
from contextlib import suppress
from typing import Any

import psutil


class PeakMemory(threading.Thread):
    """The largest memory that this process and its children held together, in bytes, sampled once a second.

    It is the sum of their proportional set sizes (PSS: shared pages count once) where the system gives it,
    else of their resident sets. The system's own peaks (``getrusage``) are of one process each and cannot be added.

    >>> with PeakMemory() as peak:
    ...     block = bytes(10)
    >>> peak.bytes > 0
    True
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.ended = threading.Event()

    def __enter__(self) -> "PeakMemory":
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        """Sample until the end."""
        me = psutil.Process()
        while True:
            total = 0
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.Error):  # it may have ended
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.rss)
            self.bytes = max(self.bytes, total)
            if self.ended.wait(1.0):
                return
