"""The progress of each piece of work, passed between processes through one small file a piece."""

import json
import os
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from microcalc.files import TEMPORARY_SUFFIX

SUFFIX = f".progress{TEMPORARY_SUFFIX}"
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """The state of one piece of work.

    Attributes:
        piece: "search" or "expert".
        stage: "waiting" before it begins, "training", or "trained" when a trial has ended.
        trial: of a search, from 0; None for an expert.
        epoch: epochs done of the trial or of the expert's training.
        done: epochs done of the whole piece.
        total: epochs of the whole piece, were no trial pruned.
    """

    piece: Literal["search", "expert"]
    stage: Literal["waiting", "training", "trained"] = "waiting"
    trial: int | None = None
    epoch: int = 0
    done: int = 0
    total: int = 0


class ProgressFile:
    """Reports the progress of one piece of work in a temporary file, which is removed with the run directory's lock.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "expert"
    >>> ProgressFile(path).report(Progress("expert", "training", epoch=3, done=3, total=40))
    >>> read_progress(path).epoch
    3
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def report(self, progress: Progress) -> None:
        """Write the newest state where :func:`read_progress` finds it."""
        beside = self.path.with_name(f".{self.path.name}{TEMPORARY_SUFFIX}")
        beside.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        beside.replace(_place(self.path))


def read_progress(path: Path) -> Progress:
    """The newest state that a piece of work has reported; "waiting" where it has not begun."""
    try:
        return Progress(**json.loads(_place(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Progress("search" if path.name == "search" else "expert")


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
