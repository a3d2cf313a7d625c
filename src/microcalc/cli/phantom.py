"""``microcalc phantom``: data made by the package, with known truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from microcalc.cli.common import Common
from microcalc.config import PhantomScanner
from microcalc.errors import RequestError


@dataclass(frozen=True)
class Phantom(Common):
    """Write a phantom dataset: patches made by the package, with a mask of each cluster; or whole mammograms."""

    out: Path = Path("phantom")
    """Folder to write 0/, 1/, masks.zip and groups.csv to, or mammograms and truth.json; empty or missing."""
    mammograms: int | None = None
    """Write as many whole mammograms instead, four a patient, 0.07 mm a pixel; their true clusters go to truth.json."""
    dicom: bool = False
    """Write the mammograms as DICOM files, with patient, study, side, view and pixel size, not as PNG."""
    scanner: PhantomScanner = "first"
    """The second scanner shows the same mammograms with more blur and noise, and other greys."""
    patients: int = 80
    """Number of patients, six patches each."""
    difficulty: float = 0.5
    """From 0, plain to see, to 1, buried in grain."""
    seed: int = 0
    """The same seed gives the same patches."""

    def run(self, console: Console) -> None:
        """Write a phantom dataset."""
        from microcalc.data.phantom import make_phantom, write_phantom
        from microcalc.data.phantom_mammograms import iter_phantom_mammograms
        from microcalc.mammograms.truth import write_phantom_mammograms

        if self.mammograms is None and (self.dicom or self.scanner != "first"):
            raise RequestError("--dicom and --scanner are for whole mammograms; give their number with --mammograms")
        look: dict[str, Any] = {"difficulty": self.difficulty, "seed": self.seed}
        if self.mammograms is not None:
            made = iter_phantom_mammograms(self.mammograms, scanner=self.scanner, **look)
            write_phantom_mammograms(self.out, made, self.dicom)
        else:
            write_phantom(self.out, *make_phantom(self.patients, **look))
        console.print(f"phantom: {self.out}")
