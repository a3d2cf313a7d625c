"""``microcalc scan``: whole mammograms in, a folder of findings out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional

from microcalc.cli.common import Common
from microcalc.errors import FailedError, ImageError, RequestError

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.scan.findings import ScannedImage
    from microcalc.scan.output import Each, FailedImage
    from microcalc.scan.second_opinion import SecondOpinion


@dataclass(frozen=True, kw_only=True)
class Scan(Common):
    """Find clusters of microcalcifications in whole mammograms."""

    paths: Positional[tuple[str, ...]]
    """Mammograms (DICOM, PNG, TIFF, PGM, JPEG), folders of them, or patterns such as 'scans/*.dcm'."""
    out: Path
    """Folder for findings.json, findings.csv, overlays/ and index.html. The same command goes on with what is there."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for files that do not give it."""
    committee: Path | None = None
    """The committee/ of a finished run, instead of the committee that comes with microcalc."""
    threshold: float | None = None
    """Mark findings from this probability on, instead of from the operating point."""
    dicom: bool = False
    """Write a CAD report, a presentation state and a secondary capture of each DICOM file to dicom/, too."""
    heatmap: bool = False
    """Draw a heat map of each mammogram, too: some 15 seconds more for each."""

    def run(self, console: Console) -> None:
        """Scan all files behind a progress bar, then say what was found and what failed."""
        from microcalc import __version__
        from microcalc.data.patch_files import find_files
        from microcalc.scan.output import FailedImage, Scanner

        found = find_files(self.paths)
        files = found.files
        committee, opinion = load_committee(self.committee)
        if self.threshold is not None:
            if not 0 <= self.threshold <= 1:
                raise RequestError(f"--threshold must be a probability from 0 to 1: got {self.threshold}")
            opinion = replace(opinion, threshold=self.threshold)
        name = str(self.committee) if self.committee else f"pretrained {__version__}"
        scanner = Scanner(self.out, committee, name, opinion, self.pixel_size, self.heatmap)
        if self.dicom:
            scanner = replace(scanner, each=self._dicom_writer(name, opinion.threshold, console))
        columns: tuple[Any, ...] = (BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
        failed, marks = [], 0
        with Progress(*columns, console=console, disable=not console.is_terminal or self.quiet) as bar:
            for result in bar.track(scanner.run(files), total=len(files)):
                if isinstance(result, FailedImage):
                    failed.append(result)
                    console.print(f"[red]not scanned[/]: {escape(f'{result.file}: {result.reason}')}", soft_wrap=True)
                    continue
                count = sum(finding.marked for finding in result.findings)
                marks += count
                console.print(f"{result.file}: {count} findings, {result.seconds:.1f} s", markup=False, soft_wrap=True)
                for warning in result.warnings:
                    console.print(f"  {warning}", markup=False, soft_wrap=True)
        console.print(
            f"{marks} findings in {len(files) - len(failed)} mammograms: {self.out / 'index.html'}", markup=False
        )
        if found.note():
            console.print(found.note(), markup=False, soft_wrap=True)
        if failed:
            raise FailedError(
                f"{len(failed)} of {len(files)} files could not be scanned; see {self.out / 'findings.json'}"
            )

    def _dicom_writer(self, committee: str, operating_point: float, console: Console) -> "Each":
        """Writes the DICOM results of one file, and says what its header lacks."""
        from microcalc import __version__
        from microcalc.dicom.objects import write_results
        from microcalc.dicom.results import Algorithm, NotAnalyzed
        from microcalc.scan.output import FailedImage

        algorithm = Algorithm(__version__, committee, operating_point)

        def write(file: Path, name: str, result: "ScannedImage | FailedImage") -> None:
            failed = isinstance(result, FailedImage)
            overlay = None if failed else (self.out / "overlays" / f"{name}.png").read_bytes()
            scanned = NotAnalyzed(result.reason) if isinstance(result, FailedImage) else result
            try:
                _, notes = write_results(file, scanned, overlay, algorithm, self.out / "dicom", name)
            except ImageError as error:
                notes = (f"No DICOM results: {str(error).removeprefix(f'{file}: ')}.",)
            for note in notes:
                console.print(f"{file}: {note}", markup=False, soft_wrap=True)

        return write


def load_committee(directory: Path | None) -> "tuple[Committee, SecondOpinion]":
    """The committee, and the second opinion that was made for it; the package's where there is none beside it."""
    from microcalc.committee.committee import Committee
    from microcalc.scan.scanner import packaged, packaged_opinion
    from microcalc.scan.second_opinion import SecondOpinion

    if directory is None:
        return packaged(), packaged_opinion()
    own = directory / "second_opinion.json"
    return Committee.load(directory), SecondOpinion.load(own) if own.exists() else packaged_opinion()
