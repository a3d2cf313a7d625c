"""A task that ends the worker that takes one of its files."""

import os
from dataclasses import dataclass

from microcalc.archive.fetch import Failure
from microcalc.archive.task import Files, PredictTask, Rows
from microcalc.committee.committee import Committee


@dataclass(frozen=True, kw_only=True)
class PoisonedTask(PredictTask):
    def rows(self, loaded: Committee, files: Files) -> tuple[Rows, list[Failure]]:
        if any(path.name == "poison.pgm" for path in files):
            os._exit(9)
        return super().rows(loaded, files)
