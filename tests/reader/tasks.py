"""Tasks that need no committee, to see what store, run and workers do."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from microcalc.reader.tasks import Outcome, PredictTask, Read, Task


@dataclass(frozen=True, kw_only=True)
class SizeTask(Task):
    """Give the number of bytes of each file, and draw a picture of it; a file of one byte fails."""

    kind = "size"
    batch = 4
    appearance = frozenset({"committee", "point"})
    done: ClassVar[list[str]] = []

    unit: int = 1
    point: float = 0.5

    def wanted(self) -> dict[str, float]:
        return {"overlays": self.point}

    def load(self) -> None:
        return None

    def outcomes(self, loaded: Any, files: Iterable[Read]) -> Iterator[tuple[str, Outcome]]:
        for job, data in files:
            self.done.append(Path(job.file).name)
            if len(data) == 1:
                yield job.file, Outcome(reason="is too short")
                continue
            result = job.result or {"size": len(data) * self.unit}
            drawn = job.lacking if job.result else ("overlays",)
            made = {kind: {"overlays/{}.png": f"{result['size']} at {self.point}".encode()} for kind in drawn}
            yield job.file, Outcome(result, made=made)


@dataclass(frozen=True, kw_only=True)
class PoisonedTask(PredictTask):
    """Predict, but end the process that takes one of the files."""

    batch = 8

    def outcomes(self, loaded: Any, files: Iterable[Read]) -> Iterator[tuple[str, Outcome]]:
        def checked() -> Iterator[Read]:
            for job, data in files:
                if job.file.endswith("poison.pgm"):
                    os._exit(9)
                yield job, data

        return super().outcomes(loaded, checked())
