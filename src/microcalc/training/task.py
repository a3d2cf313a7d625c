"""One fold's work: its patches, its settings, and where it leaves its progress and its results."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.config import StudyConfig
from microcalc.errors import RequestError
from microcalc.files import TEMPORARY_SUFFIX
from microcalc.training.splits import Fold

Piece = Literal["search", "expert"]
PIECES: tuple[Piece, ...] = ("search", "expert")
MEND_RECORD = "delete it and resume the study"


@dataclass(frozen=True)
class Progress:
    """The state of one piece of a fold's work.

    Attributes:
        stage: "waiting" before it begins, "training", or "trained" when a trial has ended.
        trial: of a search, from 0; None for an expert.
        epoch: epochs done of the trial or of the expert's training.
        done: epochs done of the whole piece.
        total: epochs of the whole piece, were no trial pruned.
    """

    stage: Literal["waiting", "training", "trained"] = "waiting"
    trial: int | None = None
    epoch: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True, eq=False)
class FoldTask:
    """All that one fold's work needs, so that it can be handed to another process.

    Attributes:
        number: of the fold, from 0.
        images: (n, 60, 60) patches as the networks take them, all of the study's own data.
        labels: (n,) 0 or 1.
        fold: which of the patches serve for what.
        config: of the study.
        directory: of the fold, under ``search/``.
    """

    number: int
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    fold: Fold
    config: StudyConfig
    directory: Path

    @property
    def seed(self) -> int:
        """The seed of this fold, derived from the study's."""
        return int(np.random.SeedSequence([self.config.seed, self.number]).generate_state(1)[0] % 2**31)

    def part(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the images and labels of some patches."""
        return self.images[indices], self.labels[indices]

    def report(self, piece: Piece, progress: Progress) -> None:
        """Leave the newest state of a piece in a temporary file, which goes with the lock of the run directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        beside = self.directory / f".{piece}{TEMPORARY_SUFFIX}"
        beside.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        beside.replace(self._progress_file(piece))

    def progress(self, piece: Piece) -> Progress:
        """Return the newest state that a piece has reported, from whichever process."""
        try:
            return Progress(**json.loads(self._progress_file(piece).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Progress()

    def _progress_file(self, piece: Piece) -> Path:
        return self.directory / f".{piece}.progress{TEMPORARY_SUFFIX}"


def damaged_record(path: Path) -> RequestError:
    """Return the error for a record that no run of this study writes."""
    return RequestError(f"{path}: does not hold what this study leaves there; {MEND_RECORD}")
