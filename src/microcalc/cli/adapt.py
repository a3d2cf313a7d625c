"""``microcalc adapt``: a reader that suits the mammograms of a user."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common
from microcalc.cli.progress import shown_progress
from microcalc.cli.reading import refuse_unreadable
from microcalc.errors import ImageError, RequestError


@dataclass(frozen=True, kw_only=True)
class Adapt(Common):
    """Choose the operating point of the scan on your own normal mammograms; with true clusters, improve its ranking."""

    paths: Positional[tuple[str, ...]]
    """Mammograms, folders of them or patterns; or, without --truth, the folder of a finished scan."""
    out: Path
    """Folder for the reader: give it to scan, app and node as --committee. Empty or missing."""
    truth: Path | None = None
    """True clusters, as for evaluate. Without it all mammograms are normal."""
    others: Literal["normal", "skip"] | None = None
    """Mammograms without truth, where there is a truth: count them as normal, or skip them."""
    false_marks: float = 0.2
    """Wished false marks an image without a cluster."""
    committee: Path | None = None
    """A committee or an earlier reader to begin with, instead of what comes with microcalc."""
    pixel_size: float | None = None
    """Size of a pixel in mm, for files that do not give it."""

    def run(self, console: Console) -> None:
        """Adapt a reader, and print what became of it."""
        from microcalc.evaluation.truth import read_truth
        from microcalc.files import check_unused, filled_folder, write_atomically
        from microcalc.mammograms.adaptation import Seen, adapt, describe, look
        from microcalc.mammograms.findings import Scan
        from microcalc.mammograms.matching import join
        from microcalc.mammograms.scanner import load_for_scan
        from microcalc.reader.inputs import find_inputs

        check_unused(self.out)
        committee, opinion = load_for_scan(self.committee)
        failed: list[ImageError] = []
        files: list[Path] = []
        finished = Path(self.paths[0]) / "findings.json" if self.paths else Path()
        if self.truth is None and finished.is_file():
            scan = Scan.read(finished.parent)
            if scan.committee != committee.name:
                raise RequestError(
                    f"{finished}: was made by {scan.committee}, not by {committee.name}; scan the images again"
                )
            images = [Seen(known, None) for known in join(scan, [], "normal")[0]]
        else:
            truth, others = (read_truth(self.truth), self.others) if self.truth else ([], "normal")
            files = [Path(name) for name in find_inputs(self.paths).names.values()]
            with shown_progress(console, len(files)) as show:
                images = look(files, truth, committee, opinion, self.pixel_size, others, show, failed.append)
        adapted = adapt(images, opinion, self.false_marks)
        card = describe(images, adapted, opinion, committee.name)
        with filled_folder(self.out) as whole:
            committee.save(whole)
            adapted.opinion.save(whole / "second_opinion.json")
            write_atomically(whole / "card.md", card)
        console.print(card, markup=False, soft_wrap=True)
        console.print(f"reader: {self.out}", markup=False, soft_wrap=True)
        refuse_unreadable(failed, len(failed), len(files))
