"""``microcalc node``: mammograms come in from a PACS, and their findings go back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from tyro.conf import OmitArgPrefixes

from microcalc.cli.common import Common
from microcalc.config import NodeSettings
from microcalc.errors import RequestError, extra_needed

if TYPE_CHECKING:
    from microcalc.dicom.node import Scan
    from microcalc.dicom.results import Algorithm
    from microcalc.mammograms.findings import ScannedImage


@dataclass(frozen=True)
class Node(Common):
    """Answer mammograms in a PACS: take them by C-STORE, scan them, and send the results by C-STORE or STOW-RS."""

    settings: OmitArgPrefixes[NodeSettings] = field(default_factory=NodeSettings)
    committee: Path | None = None
    """The committee/ of a finished run, instead of the committee that comes with microcalc."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for mammograms that do not give it."""
    status: bool = False
    """Print how many images wait in --queue and which studies are parked, and end."""

    def run(self, console: Console) -> None:
        """Work until interrupted; what is not finished then is taken up by the next node with the same queue."""
        if self.status:
            show_status(self.settings.queue, console)
            return
        with extra_needed("dicom"):
            from microcalc.dicom.node import Node as Working

        scan, algorithm = prepare_scan(self.committee, self.pixel_size, console)
        node = Working(self.settings, scan, algorithm, report=console.print)
        console.print(f"{self.settings.ae_title} listens on {self.settings.bind} port {node.port}")
        try:
            node.wait()
        except KeyboardInterrupt:
            node.stop()
            console.print(f"stopped; what is not finished waits in {self.settings.queue}")


def show_status(folder: Path, console: Console) -> None:
    """Print how many images wait in a queue, and its parked studies."""
    from microcalc.dicom.queue import Queue

    if not (folder / "queue.sqlite").is_file():
        raise RequestError(f"{folder}: holds no queue; give the --queue of a node")
    queue = Queue(folder)
    counts, parked = queue.counts(), queue.parked()
    queue.close()
    console.print(
        f"{counts.received} images wait to be scanned, {counts.scanned} to be sent; {counts.answered} answered"
    )
    for study in parked:
        console.print(f"parked: study {study.study}, {study.images} images: {study.problem}")
    if parked:
        console.print("start the node again to try the parked studies once more")


def prepare_scan(committee: Path | None, pixel_size: float | None, console: Console) -> "tuple[Scan, Algorithm]":
    """Return the scan by a committee, and the description of it for results."""
    from microcalc import __version__
    from microcalc.cli.scan import load_committee
    from microcalc.dicom.results import Algorithm
    from microcalc.images import read_mammogram
    from microcalc.mammograms.overlay import draw_overlay
    from microcalc.mammograms.scanner import scan_mammogram

    loaded, opinion = load_committee(committee, console)

    def scan(content: bytes) -> "tuple[ScannedImage, bytes]":
        mammogram = read_mammogram(content)
        scanned = scan_mammogram(mammogram, "the image", pixel_size, loaded, opinion)
        return scanned, draw_overlay(mammogram.pixels, scanned)

    return scan, Algorithm(__version__, loaded.name, opinion.threshold)
