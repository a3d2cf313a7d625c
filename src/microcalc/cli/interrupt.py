"""Ctrl-C and a polite kill, surely once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE_SECONDS = 2.0


@contextmanager
def surely_interrupted(report_interruption: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and a polite kill interrupt alike, once: a signal soon after is the same wish, a later one ends.

    Python drops an interruption that falls into a finaliser: it is raised again. A library may make another error of
    one that falls into its import: it is reported as an interruption. PyTorch's C++ aborts the process on one that
    falls into its import, so that while anything is imported the process ends at once, like one killed, after
    ``report_interruption``.
    """
    interrupted_at = 0.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted_at
        if not interrupted_at:
            interrupted_at = time.monotonic()
            if _is_importing(frame):
                report_interruption()
                os._exit(1)
            raise KeyboardInterrupt
        if time.monotonic() - interrupted_at > PATIENCE_SECONDS:
            os._exit(1)

    def raise_again(dropped: Any) -> None:
        nonlocal interrupted_at
        if dropped.exc_type is KeyboardInterrupt:
            interrupted_at = 0.0
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            report(dropped)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    report, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    except Exception as error:
        if interrupted_at:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, interrupt if interrupted_at else handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported at this point of the program."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
