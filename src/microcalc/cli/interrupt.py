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
    """Let Ctrl-C and a polite kill interrupt alike, once: told again soon it is the same wish, later it ends at once.

    Python drops an interruption that falls into a finaliser, and a library may make another error of one that falls
    into its import: the first is told again, the second is told for what it is.
    """
    told = 0.0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal told
        if not told:
            told = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - told > PATIENCE_SECONDS:
            os._exit(1)

    def tell_again(dropped: Any) -> None:
        nonlocal told
        if dropped.exc_type is KeyboardInterrupt:
            told = 0.0
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            report(dropped)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    report, sys.unraisablehook = sys.unraisablehook, tell_again
    try:
        yield
    except Exception as error:
        if told:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, interrupt if told else handler)
