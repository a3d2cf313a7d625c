"""Keep libraries from writing to the terminal while a file is read; errors are reported once, in one line."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LIBRARIES = ("pydicom", "PIL")
_one_thread = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Drop the warnings and log lines of pydicom and Pillow, which may quote the patient.

    Both are global to Python, so one thread at a time is quiet, and all of microcalc uses this lock.

    >>> with quiet():
    ...     warnings.warn("Invalid value for VR PN: 'Doe^Jane'")
    """
    with _one_thread, warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        for logger in map(logging.getLogger, _LIBRARIES):
            stack.callback(setattr, logger, "handlers", logger.handlers)
            stack.callback(setattr, logger, "propagate", logger.propagate)
            logger.handlers, logger.propagate = [logging.NullHandler()], False
        yield


@contextmanager
def without_standard_error() -> Iterator[None]:
    """Send file descriptor 2 nowhere: libtiff and GDCM, which are C and C++, write their complaints straight to it."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
