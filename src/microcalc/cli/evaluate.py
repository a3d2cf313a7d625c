"""``microcalc evaluate``: a finished scan against known truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common, print_table


@dataclass(frozen=True, kw_only=True)
class Evaluate(Common):
    """Measure a finished scan on images with known truth: FROC and ROC with intervals, missed clusters, false marks."""

    found: Positional[Path]
    """Folder that a scan left."""
    truth: Path
    """True clusters: CSV with file,left,top,right,bottom; a folder of masks; XML of INbreast; CSV of CBIS-DDSM beside
    its masks; COCO JSON; review.json of the viewer; or a phantom folder."""
    out: Path | None = None
    """Folder for evaluation.json and evaluation.html; the scan's own folder if not given."""
    against: Path | None = None
    """Folder of another scan of the same images, to compare with."""
    others: Literal["normal", "skip"] | None = None
    """Images without truth: count them as normal, or skip them (and truth without an image)."""

    def run(self, console: Console) -> None:
        """Measure a scan, print its figures, and write them."""
        from microcalc.evaluation.detection import Estimate
        from microcalc.evaluation.truth import read_truth
        from microcalc.report.evaluate import LABELS, evaluate, paired, write_evaluation

        truth, out = read_truth(self.truth), self.out or self.found
        evaluation = evaluate(self.found, truth, self.others)
        other = evaluate(self.against, truth, self.others) if self.against else None
        against = paired(evaluation, other) if other else None
        saved = write_evaluation(out, evaluation, against)
        columns = [saved["figures"]] + ([saved["against"]["differences"]] if against else [])
        headers = ["", "value (95 % interval)"] + (["minus the other's"] if against else [])
        rows = [[label, *(f"{Estimate(**each[name]):.3f}" for each in columns)] for name, label in LABELS.items()]
        print_table(console, headers, rows, breaks_cells=False)
        if any(each["ci95"] is None for each in saved["figures"].values() if each["value"] is not None):
            few = saved["patients_for_an_interval"]
            console.print(f"a figure has no interval where fewer than {few} patients have what it needs")
        for file in saved["not_scanned"]:
            console.print(f"not scanned: {file}", soft_wrap=True)
        names = {"images": "image", "patients": "patient", "clusters": "cluster"}
        counted = ", ".join(f"{saved[name]} {one if saved[name] == 1 else name}" for name, one in names.items())
        console.print(f"{counted}: {out / 'evaluation.html'}", soft_wrap=True)
