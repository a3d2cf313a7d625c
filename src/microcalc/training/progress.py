"""How far each piece of work is, told across processes through one small file a piece."""

import os
from dataclasses import dataclass
from pathlib import Path

from microcalc.files import TEMPORARY_SUFFIX

SUFFIX = ".progress"


@dataclass(frozen=True)
class Progress:
    """What one piece of work last said: units done, and what is running."""

    done: int
    text: str


class ProgressFile:
    """Where one piece of work tells how far it is; its process ends where the study's own process is gone.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> ProgressFile(folder / "expert", owner=os.getpid()).tell(3, "epoch 3 of 40")
    >>> read_progress(folder / "expert")
    Progress(done=3, text='epoch 3 of 40')
    """

    def __init__(self, path: Path, owner: int) -> None:
        self.path = path
        self.owner = owner

    def tell(self, done: int, text: str) -> None:
        """Leave the newest state where :func:`read_progress` finds it."""
        leave_with(self.owner)
        beside = self.path.with_name(f".{self.path.name}{TEMPORARY_SUFFIX}")
        beside.write_text(f"{done}\t{text}", encoding="utf-8")
        beside.replace(self.path.with_suffix(SUFFIX))


def leave_with(owner: int) -> None:
    """End this process at once where the study's own process, ``owner``, is gone."""
    if owner not in (os.getpid(), os.getppid()):
        os._exit(1)


def read_progress(path: Path) -> Progress:
    """The last word of the piece of work that tells its progress there; nothing done where it has not begun."""
    try:
        done, _, text = path.with_suffix(SUFFIX).read_text(encoding="utf-8").partition("\t")
    except FileNotFoundError:
        return Progress(0, "")
    return Progress(int(done), text)


def forget_progress(path: Path) -> None:
    """Leave nothing of what a piece of work told."""
    path.with_suffix(SUFFIX).unlink(missing_ok=True)
