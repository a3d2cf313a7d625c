"""Ctrl-C and a polite kill, surely once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 2.0


@contextmanager
def surely_interrupted() -> Iterator[None]:
    """Let Ctrl-C and a polite kill interrupt alike, once: a signal soon after is the same wish, a later one ends.

    Python drops an interruption that falls into a finaliser, and a library may make another error of one that falls
    into its import: the first is raised again, the second is reported as it is.
    """
    interrupted_at = 0.0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal interrupted_at
        if not interrupted_at:
            interrupted_at = time.monotonic()
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
