"""``microcalc audit``: what to know of a dataset before believing a result on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from microcalc.cli.common import Common, dataset_files, describe, warn
from microcalc.config import GivenPixelSize
from microcalc.files import check_outputs


@dataclass(frozen=True)
class Audit(Common):
    """Report what must be known of a dataset before a result on it is believed."""

    data: Positional[str] = "infn"
    """infn, phantom, external, or a folder with 0/ and 1/."""
    archive: Path | None = None
    """INFN archive to use instead of looking for it."""
    pixel_size: GivenPixelSize = None
    """Pixel size of images that do not give it, in mm, or unknown."""
    against: str | None = None
    """Another dataset, to measure how far its grey levels lie from these."""
    out: Path | None = None
    """A file for the figures; - for standard output."""

    def run(self, console: Console) -> None:
        """Audit a dataset, print what it means, and keep the figures."""
        from microcalc.data import Data
        from microcalc.evaluation.audit import audit as audit_data
        from microcalc.evaluation.audit import conclusions, drift_conclusions, intensity_drift
        from microcalc.files import write_json

        check_outputs({"--out": self.out}, dataset_files(self.data, self.against, self.archive))
        data = Data.load(self.data, archive=self.archive, pixel_size_mm=self.pixel_size)
        console.print(describe(data))
        warn(data)
        figures = audit_data(data) | ({"warnings": list(data.warnings)} if data.warnings else {})
        sentences = conclusions(figures)
        if self.against is not None:
            figures["drift"] = intensity_drift(data, Data.load(self.against, pixel_size_mm=self.pixel_size))
            sentences += drift_conclusions(figures["drift"])
        console.print(audit_table(figures))
        for sentence in sentences:
            console.print(f"- {sentence}")
        if self.out is not None:
            write_json(self.out, figures)
            console.print(f"figures: {self.out}", soft_wrap=True)


def audit_table(figures: dict[str, Any]) -> Table:
    """The figures of an audit, one a row, by their path in ``audit.json``."""
    table = Table()
    for header in ("figure", "value"):
        table.add_column(header, overflow="fold")

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name} {key}".strip().replace("_", " "), inner)
        elif isinstance(value, list) and len(value) > 4:
            table.add_row(name, f"{len(value)} entries")
        else:
            table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))

    add("", figures)
    return table
