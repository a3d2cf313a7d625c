"""``microcalc explain``: Grad-CAM pictures of patches."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import (
    Common,
    load_committee,
    print_reading,
    print_unreadable,
    shown_files,
)
from microcalc.config import GivenPixelSize, GradcamMethod
from microcalc.files import check_unused


@dataclass(frozen=True, kw_only=True)
class Explain(Common):
    """Draw what in a patch raises the probability of a cluster, by Grad-CAM, one picture each and a contact sheet."""

    paths: Positional[tuple[str, ...]]
    """Patches of 60 x 60 pixels, or larger fields of known pixel size (PGM, PNG, TIFF, JPEG, DICOM), folders of them,
    or patterns such as 'scans/*.png'."""
    out: Path = Path("explained")
    """Folder for the pictures; empty or missing."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    committee_average: bool = False
    """Explain the whole committee instead of its expert of highest weight."""
    method: GradcamMethod = "hirescam"
    """hirescam weights each place by its own gradient; gradcam is the method as published."""
    pixel_size: GivenPixelSize = None
    """Of images that do not give it, in mm; or unknown: the highest answer of several magnifications counts."""

    def run(self, console: Console) -> None:
        """Draw explanations, and name the unreadable files at the end."""
        from microcalc.data.patch_files import Unreadable, find_files
        from microcalc.explain.maps import Explained
        from microcalc.explain.pictures import Explanation, explain_files

        found = find_files(self.paths)
        check_unused(self.out)
        committee = load_committee(self.committee)
        of: Explained = "committee" if self.committee_average else "highest_weight"
        with shown_files(len(found.files), console) as progress:
            outcomes = explain_files(committee, found.files, self.out, of, self.pixel_size, self.method, progress)
        explained = [outcome for outcome in outcomes if isinstance(outcome, Explanation)]
        console.print(f"pictures of {len(explained)} patches: {self.out}", markup=False, soft_wrap=True)
        print_reading([each.prediction for each in explained], found.note(), console)
        print_unreadable([outcome for outcome in outcomes if isinstance(outcome, Unreadable)], len(found.files))
