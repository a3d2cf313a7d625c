"""``microcalc adapt``: a reader that suits the mammograms of a user."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from tyro.conf import Positional

from microcalc.cli.common import Common
from microcalc.cli.common import describe as describe_data
from microcalc.cli.progress import shown_progress, study_progress
from microcalc.cli.reading import list_unreadable, refuse_unreadable
from microcalc.config import SearchSettings, StudyConfig, TrainingSettings
from microcalc.errors import ImageError, RequestError

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.mammograms.matching import KnownImage
    from microcalc.mammograms.second_opinion import SecondOpinion

RETRAINING = StudyConfig(
    search=SearchSettings(dim=(15,), searching_fraction=0.12, epochs=4), training=TrainingSettings(epochs=45), gradcam=0
)
"""Small networks, which scan quickly, and few trials and epochs, since there are several times as many patches as INFN
has."""


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

    retrain: bool = False
    """Train a new committee, on --data and on windows of half of the patients; figures are of the other half."""
    data: tuple[str, ...] = ("infn",)
    """Patches to retrain with, one or several: infn, or folders with 0/ and 1/."""
    seed: int = 0
    """Seed of the parts into which patients are dealt, and of the training."""
    resume: bool = False
    """Continue the training that is in --out."""

    def run(self, console: Console) -> None:
        """Adapt a reader, and print what became of it."""
        from microcalc.files import check_unused, filled_folder, write_atomically
        from microcalc.mammograms.adaptation import adapt, check_normals, describe, halves, known_truth, look
        from microcalc.mammograms.scanner import load_for_scan

        if not (self.retrain and self.resume):
            check_unused(self.out)
        committee, opinion = load_for_scan(self.committee)
        failed: list[ImageError] = []
        images = self._images(console, committee, opinion, failed)
        list_unreadable(failed)  # before too few images are refused
        files, made_from, training, before = len(images) + len(failed), committee.name, "", None
        if self.retrain:
            learning, before = halves(images, self.seed)
            check_normals(before, self.false_marks)  # before the long training
            committee, training = self._retrained(console, learning, before)
            again = [Path(each.scanned.file) for each in before]
            with shown_progress(console, len(again)) as show:
                images = look(again, known_truth(before), committee, opinion, self.pixel_size, on_file=show)
        adapted = adapt(images, opinion, self.false_marks, self.seed, before)
        card = describe(images, adapted, opinion, made_from, training)
        if self.retrain:
            adapted.opinion.save(self.out / "committee" / "second_opinion.json")
            write_atomically(self.out / "card.md", card)
        else:
            with filled_folder(self.out) as whole:
                committee.save(whole)
                adapted.opinion.save(whole / "second_opinion.json")
                write_atomically(whole / "card.md", card)
        console.print(card, soft_wrap=True)
        console.print(f"reader: {self.out}", soft_wrap=True)
        refuse_unreadable(len(failed), files)

    def _images(
        self, console: Console, committee: "Committee", opinion: "SecondOpinion", failed: list[ImageError]
    ) -> "list[KnownImage]":
        """Join the mammograms, scanned now or before, to their truth; ``failed`` gets the errors of those left out."""
        from microcalc.evaluation.truth import read_truth
        from microcalc.mammograms.adaptation import check_truth, look
        from microcalc.mammograms.findings import Scan
        from microcalc.mammograms.matching import join
        from microcalc.reader.inputs import find_inputs

        finished = Path(self.paths[0]) / "findings.json" if self.paths else Path()
        if self.truth is None and finished.is_file():
            scan = Scan.read(finished.parent)
            if scan.committee != committee.name:
                raise RequestError(
                    f"{finished}: was made by {scan.committee}, not by {committee.name}; scan the images again"
                )
            placed = (replace(image, file=str(finished.parent / image.file)) for image in scan.images)
            return join(replace(scan, images=tuple(placed)), [], "normal")[0]
        truth, others = (read_truth(self.truth), self.others) if self.truth else ([], "normal")
        files = [Path(name) for name in find_inputs(self.paths).names.values()]
        if truth:
            with shown_progress(console, len(files)) as show:
                check_truth(files, truth, self.pixel_size, others, show)
        with shown_progress(console, len(files)) as show:
            return look(files, truth, committee, opinion, self.pixel_size, others, show, failed.append)

    def _retrained(
        self, console: Console, learning: "Sequence[KnownImage]", left_out: "Sequence[KnownImage]"
    ) -> "tuple[Committee, str]":
        """Train a committee on patches and on windows of mammograms, but for patients left out, as a study in --out."""
        from microcalc.committee.committee import Committee
        from microcalc.data import Data
        from microcalc.data.sources import find_external
        from microcalc.mammograms.windows import learning_data
        from microcalc.model import Model

        data = learning_data(learning, left_out, [Data.load(name) for name in self.data], self.seed)
        line = describe_data(data)
        console.print(f"data: {line}")
        external = Data.load("external") if "infn" in self.data and find_external() else None
        model = Model(data, external, config=replace(RETRAINING, seed=self.seed), out=self.out, resume=self.resume)
        with study_progress(console, model.config) as model.on_progress:
            model.train()
        return Committee.load(self.out), line
