"""``microcalc scan``: whole mammograms in, a folder of findings out."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import OmitArgPrefixes, Positional

from microcalc.cli.archive import ManifestOptions, run_manifest
from microcalc.cli.common import Common
from microcalc.errors import FailedError, ImageError, RequestError

if TYPE_CHECKING:
    from microcalc.archive.task import Task
    from microcalc.committee.committee import Committee
    from microcalc.mammograms.findings import ScannedImage
    from microcalc.mammograms.output import Each, FailedImage, Scanner
    from microcalc.mammograms.second_opinion import SecondOpinion


@dataclass(frozen=True, kw_only=True)
class Scan(Common):
    """Find clusters of microcalcifications in whole mammograms."""

    paths: Positional[tuple[str, ...]] = ()
    """Mammograms (DICOM, PNG, TIFF, PGM, JPEG), folders of them, or patterns such as 'scans/*.dcm'."""
    out: Path
    """Folder for findings.json, findings.csv, overlays/ and index.html; with --manifest, for findings as Parquet. The
    same command goes on with what is there."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for files that do not give it."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    threshold: float | None = None
    """Mark findings from this probability on, instead of from the operating point."""
    dicom: bool = False
    """Write a CAD report, a presentation state and a secondary capture of each DICOM file to dicom/, too."""
    heatmap: bool = False
    """Draw a heat map of each mammogram, too: some seconds more for each."""

    archive: OmitArgPrefixes[ManifestOptions] = field(default_factory=ManifestOptions)

    def run(self, console: Console) -> None:
        """Scan all files behind a progress bar, then say what was found and what failed."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise RequestError(f"--threshold must be a probability from 0 to 1: got {self.threshold}")
        self.archive.check(self.paths, self.out, {"--dicom": self.dicom, "--heatmap": self.heatmap})
        if self.archive.manifest is not None:
            run_manifest(self.archive, lambda: self._task(console), self.archive.manifest, self.out, console)
            return
        from microcalc.data.patch_files import find_files

        found = find_files(self.paths)
        unwritten: list[Path] = []
        scanner = self._scanner(console, unwritten)
        columns: tuple[Any, ...] = (BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal or self.quiet) as bar:
            results = bar.track(scanner.run(found.files), total=len(found.files))
            marks = [print_result(result, console) for result in results]
        scanned = [count for count in marks if count is not None]
        console.print(f"{sum(scanned)} findings in {len(scanned)} mammograms: {self.out / 'index.html'}", markup=False)
        if found.note():
            console.print(found.note(), markup=False, soft_wrap=True)
        if len(scanned) < len(marks):
            failed = len(marks) - len(scanned)
            raise FailedError(f"{failed} of {len(marks)} files could not be scanned; see {self.out / 'findings.json'}")
        if unwritten:
            raise FailedError(f"{len(unwritten)} of {len(marks)} files have no DICOM results, as listed above")

    def _scanner(self, console: Console, unwritten: list[Path]) -> "Scanner":
        from microcalc.mammograms.output import Scanner

        committee, opinion = load_committee(self.committee, console)
        if self.threshold is not None:
            opinion = replace(opinion, threshold=self.threshold)
        scanner = Scanner(self.out, committee, committee.name, opinion, self.pixel_size, self.heatmap)
        if not self.dicom:
            return scanner
        return replace(scanner, each=self._dicom_writer(committee.name, opinion.threshold, console, unwritten))

    def _task(self, console: Console) -> "Task":
        from microcalc.archive.task import ScanTask

        task = ScanTask.of(self.committee, pixel_size_mm=self.pixel_size, threshold=self.threshold)
        say_whose_opinion(self.committee, console)
        return task

    def _dicom_writer(self, committee: str, operating_point: float, console: Console, unwritten: list[Path]) -> "Each":
        """Write the DICOM results of each file and print what its header lacks; list files that get none."""
        from microcalc import __version__
        from microcalc.dicom.objects import write_results
        from microcalc.dicom.results import Algorithm, NotAnalyzed
        from microcalc.mammograms.output import FailedImage

        algorithm = Algorithm(__version__, committee, operating_point)

        def write(file: Path, name: str, result: "ScannedImage | FailedImage") -> None:
            failed = isinstance(result, FailedImage)
            overlay = None if failed else (self.out / "overlays" / f"{name}.png").read_bytes()
            scanned = NotAnalyzed(result.reason) if isinstance(result, FailedImage) else result
            try:
                _, notes = write_results(file, scanned, overlay, algorithm, self.out / "dicom", name)
            except ImageError as error:
                unwritten.append(file)
                notes = (f"No DICOM results: {error.problem}.",)
            for note in notes:
                console.print(f"{file}: {note}", markup=False, soft_wrap=True)

        return write


def print_result(result: "ScannedImage | FailedImage", console: Console) -> int | None:
    """One line on a mammogram, and its warnings; give the number of marked findings, None where it was not scanned."""
    from microcalc.mammograms.output import FailedImage

    if isinstance(result, FailedImage):
        console.print(f"[red]not scanned[/]: {escape(f'{result.file}: {result.reason}')}", soft_wrap=True)
        return None
    count = sum(finding.marked for finding in result.findings)
    console.print(f"{result.file}: {count} findings, {result.seconds:.1f} s", markup=False, soft_wrap=True)
    for warning in result.warnings:
        console.print(f"  {warning}", markup=False, soft_wrap=True)
    return count


def load_committee(directory: Path | None, console: Console) -> "tuple[Committee, SecondOpinion]":
    """The committee and its second opinion; say so where the package's stands in for one."""
    from microcalc.mammograms.scanner import load_for_scan

    loaded = load_for_scan(directory)
    say_whose_opinion(directory, console)
    return loaded


def say_whose_opinion(directory: Path | None, console: Console) -> None:
    """Say where a committee has no second opinion of its own."""
    from microcalc.mammograms.second_opinion import SecondOpinion

    if directory is not None and SecondOpinion.beside(directory) is None:
        console.print(
            f"{directory}: no second_opinion.json beside this committee; the one that comes with microcalc is used, "
            "whose operating point may not suit it (make one with benchmarks/scan_model.py)",
            markup=False,
            soft_wrap=True,
        )
