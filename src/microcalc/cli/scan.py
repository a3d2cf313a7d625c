"""``microcalc scan``: whole mammograms in, a folder of findings out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from microcalc.cli.common import Common, printable
from microcalc.cli.reading import MOST_LISTED, ReaderOptions, read_inputs
from microcalc.errors import FailedError, RequestError

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.mammograms.second_opinion import SecondOpinion
    from microcalc.reader.store import Entry


@dataclass(frozen=True, kw_only=True)
class Scan(Common):
    """Find clusters of microcalcifications in whole mammograms; or mark those of a finished scan anew."""

    paths: Positional[tuple[str, ...]] = ()
    """Mammograms (DICOM, PNG, TIFF, PGM, JPEG), folders of them, or patterns such as 'scans/*.dcm'. Without any, and
    with --threshold, the findings of all images in --out are marked anew."""
    out: Path
    """Folder for findings.json, tables, overlays/ and index.html; the same command goes on with what is there."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for files that do not give it."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    threshold: float | None = None
    """Mark findings from this probability on, instead of from the operating point."""
    overlays: bool = True
    """Draw each mammogram with its findings."""
    dicom: bool = False
    """Write the results of each DICOM file to dicom/ as DICOM objects, too: CAD report, presentation state, secondary
    capture and, where something is marked, measurement report."""
    heatmap: bool = False
    """Draw a heat map of each mammogram, too: some seconds more for each."""
    reader: OmitArgPrefixes[ReaderOptions] = field(default_factory=ReaderOptions)

    def run(self, console: Console) -> None:
        """Scan all files behind a progress bar, then say what was found and what failed."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise RequestError(f"--threshold must be a probability from 0 to 1: got {self.threshold}")
        if self.threshold is not None and not self.paths and not self.reader.manifest:
            from microcalc.reader.marks import mark_again

            self._print_counts(mark_again(self.out, self.threshold), console)
            return
        from microcalc.reader.inputs import find_inputs
        from microcalc.reader.tables import write_scan
        from microcalc.reader.tasks import ScanTask

        inputs = find_inputs(self.paths, self.reader.manifest)
        committee, opinion = load_committee(self.committee, console)
        point = opinion.threshold if self.threshold is None else self.threshold
        pictures = {"overlays": self.overlays, "heatmap": self.heatmap, "dicom": self.dicom}
        task = ScanTask.of(self.committee, pixel_size_mm=self.pixel_size, operating_point=point, **pictures)
        without_dicom = 0

        def on_entry(entry: "Entry", notes: tuple[str, ...]) -> None:
            nonlocal without_dicom
            without_dicom += self.dicom and entry.result is not None and "dicom" not in entry.made
            if len(inputs.names) <= MOST_LISTED:
                print_entry(inputs.names[entry.file], entry, point, notes, console)

        with read_inputs(self.reader, task, inputs, self.out, console, on_entry) as reading:
            self._print_counts(write_scan(reading.store, inputs.names, committee.name, point), console)
            if inputs.note():
                console.print(inputs.note(), soft_wrap=True)
            total, table = len(inputs.names), self.out / "findings.json"
            if reading.failed:
                raise FailedError(f"{reading.failed:,} of {total:,} files could not be scanned; see {table}")
            if without_dicom:
                raise FailedError(f"{without_dicom:,} of {total:,} files have no DICOM results, as listed above")

    def _print_counts(self, counts: str, console: Console) -> None:
        console.print(f"{counts}: {self.out / 'index.html'}", soft_wrap=True)


def print_entry(name: str, entry: "Entry", operating_point: float, notes: tuple[str, ...], console: Console) -> None:
    """Print a line on a mammogram, and its warnings."""
    if entry.result is None:
        console.print(f"not scanned: {printable(name)}: {entry.reason}", style="red", soft_wrap=True)
    else:
        count = sum(finding["probability"] >= operating_point for finding in entry.result["findings"])
        found = f"{count} finding{'' if count == 1 else 's'}"
        line = f"{printable(name)}: {found}, {entry.result['seconds']:.1f} s"
        console.print(line, soft_wrap=True)
    for warning in (entry.result or {}).get("warnings", ()):
        console.print(f"  {warning}", soft_wrap=True)
    for note in notes:
        console.print(f"{printable(name)}: {note}", soft_wrap=True)


def load_committee(directory: Path | None, console: Console) -> "tuple[Committee, SecondOpinion]":
    """Load a committee and its second opinion; say so where the package's stands in for one."""
    from microcalc.mammograms.scanner import load_for_scan
    from microcalc.mammograms.second_opinion import SecondOpinion

    loaded = load_for_scan(directory)
    if directory is not None and SecondOpinion.beside(directory) is None:
        console.print(
            f"{directory}: no second_opinion.json beside this committee; the one that comes with microcalc is used, "
            "whose operating point may not suit it (make one with microcalc adapt)",
            soft_wrap=True,
        )
    return loaded
