"""``microcalc explain``: Grad-CAM pictures of patches."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from microcalc.cli.reading import PatchOptions, finish, read_inputs
from microcalc.config import GradcamMethod
from microcalc.files import check_unused


@dataclass(frozen=True, kw_only=True)
class Explain(PatchOptions):
    """Draw what in a patch raises the probability of a cluster, by Grad-CAM, one picture each and a contact sheet."""

    out: Path = Path("explained")
    """Folder for pictures/ and index.html, empty or missing; the same command goes on with what is there."""
    committee_average: bool = False
    """Explain the whole committee instead of its expert of highest weight."""
    method: GradcamMethod = "hirescam"
    """hirescam weights each place by its own gradient; gradcam is the method as published."""

    def run(self, console: Console) -> None:
        """Draw explanations, and name the unreadable files at the end."""
        from microcalc.reader.inputs import find_inputs
        from microcalc.reader.store import RESULTS
        from microcalc.reader.tables import write_explanations
        from microcalc.reader.tasks import ExplainTask, loaded

        inputs = find_inputs(self.paths, self.reader.manifest)
        if not (self.out / RESULTS).exists():
            check_unused(self.out)
        explained = "committee" if self.committee_average else "highest_weight"
        settings = {"pixel_size_mm": self.pixel_size, "explained": explained, "method": self.method}
        task = ExplainTask.of(self.committee, **settings)
        with read_inputs(self.reader, task, inputs, self.out, console) as reading:
            write_explanations(reading.store, inputs.names, loaded(task).name)
            count = len(inputs.names) - reading.failed
            patches = f"{count:,} patch{'es' * (count != 1)}"
            console.print(f"pictures of {patches}: {self.out / 'index.html'}", soft_wrap=True)
            finish(reading, console)
