"""How far each piece of work is, told across processes through one small file a piece."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from microcalc.files import TEMPORARY_SUFFIX

SUFFIX = f".progress{TEMPORARY_SUFFIX}"
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """What one piece of work last said: units done, and what is running."""

    done: int
    text: str


class ProgressFile:
    """Where one piece of work tells how far it is: a temporary file, swept when the run directory is let go.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> ProgressFile(folder / "expert").tell(3, "epoch 3 of 40")
    >>> read_progress(folder / "expert")
    Progress(done=3, text='epoch 3 of 40')
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def tell(self, done: int, text: str) -> None:
        """Leave the newest state where :func:`read_progress` finds it."""
        beside = self.path.with_name(f".{self.path.name}{TEMPORARY_SUFFIX}")
        beside.write_text(f"{done}\t{text}", encoding="utf-8")
        beside.replace(_place(self.path))


def read_progress(path: Path) -> Progress:
    """The last word of the piece of work that tells its progress there; nothing done where it has not begun."""
    try:
        done, _, text = _place(path).read_text(encoding="utf-8").partition("\t")
    except FileNotFoundError:
        return Progress(0, "")
    return Progress(int(done), text)


def _place(path: Path) -> Path:
    return path.with_name(f".{path.name}{SUFFIX}")


def serve(owner: int) -> None:
    """Make this process a worker of the study's process, ``owner``: Ctrl-C is for that one, whose end ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave_with_owner() -> None:
        while os.getppid() == owner:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=leave_with_owner, daemon=True).start()
