"""Keep libraries from writing to the terminal while a file is read; errors are reported once, in one line."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_one_reader = threading.Lock()


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Drop what a library warns of and logs, one reader at a time, as both are global to Python."""
    logger, nowhere = logging.getLogger(library), logging.NullHandler()
    with _one_reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        propagates = logger.propagate
        logger.addHandler(nowhere)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(nowhere)
            logger.propagate = propagates


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
