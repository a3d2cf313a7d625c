"""A task that does nothing but give each name a row, to see what scheduler and folder take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from microcalc.archive.fetch import Failure
from microcalc.archive.task import Files, Rows, Task


@dataclass(frozen=True, kw_only=True)
class IdleTask(Task):
    kind = "idle"
    batch: int = 512

    @property
    def largest_batch(self) -> int:
        return self.batch

    def load(self) -> Path:
        return Path()

    def rows(self, loaded: Any, files: Files) -> tuple[Rows, list[Failure]]:
        return [{"file": name} for names in files.values() for name in names], []

    def schema(self, rows: Rows) -> pa.Schema:
        return pa.schema([("file", pa.string())])
