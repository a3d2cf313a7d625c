"""``microcalc predict``: a committee's answers for patches."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from tyro.conf import OmitArgPrefixes, Positional

from microcalc.cli.archive import ManifestOptions, run_manifest
from microcalc.cli.common import (
    Common,
    committee_files,
    load_committee,
    print_reading,
    print_table,
    print_unreadable,
    printable,
    shown_files,
)
from microcalc.config import Engine, GivenPixelSize
from microcalc.errors import RequestError
from microcalc.files import check_outputs, check_writable

if TYPE_CHECKING:
    from microcalc.archive.task import Task
    from microcalc.committee.committee import Committee
    from microcalc.committee.predictions import Prediction


@dataclass(frozen=True, kw_only=True)
class Predict(Common):
    """Predict patches by a committee: the probability of a cluster, and its decision."""

    paths: Positional[tuple[str, ...]] = ()
    """Patches of 60 x 60 pixels, or larger fields of known pixel size (PGM, PNG, TIFF, JPEG, DICOM), folders of them,
    or patterns such as 'scans/*.png'."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    csv: Path | None = None
    """A file for all predictions as a table; - for standard output."""
    json: Path | None = None
    """A file for all predictions, each with its warnings."""
    pixel_size: GivenPixelSize = None
    """Of images that do not give it, in mm; or unknown: the highest answer of several magnifications counts."""
    adapt: bool = False
    """First fit the committee to these files, at least 50 and all of one site, without labels. It may then rank film
    unlike its own better; its probabilities are no longer calibrated."""
    engine: Engine = "torch"
    """What computes: torch; torch-bfloat16, about twice as fast where the processor has AMX or AVX512-BF16, with
    probabilities that differ by about 0.02 at most; or onnx, which needs the extra: pip install "microcalc[onnx]"."""
    rows: int = 20
    """Most predictions shown on the terminal."""
    out: Path | None = None
    """With --manifest: folder for the predictions as Parquet. The same command goes on with what is there."""
    archive: OmitArgPrefixes[ManifestOptions] = field(default_factory=ManifestOptions)

    def run(self, console: Console) -> None:
        """Read and predict files, then write the tables, and name the unreadable files at the end."""
        self.archive.check(self.paths, self.out, {"--csv": self.csv, "--json": self.json, "--adapt": self.adapt})
        if self.archive.manifest is not None and self.out is not None:
            run_manifest(self.archive, self._task, self.archive.manifest, self.out, console)
            return
        if self.out is not None:
            raise RequestError("--out needs --manifest; give --csv or --json for predictions of named images")
        from microcalc.committee.predictions import BATCH, Prediction, predict_files, write_csv, write_json
        from microcalc.data.patch_files import Unreadable, find_files, read_batches

        found = find_files(self.paths)
        files, size = found.files, self.pixel_size
        outputs = {"--csv": self.csv, "--json": self.json}
        check_outputs(outputs, [*files, *committee_files(self.committee)])
        for output in outputs.values():
            if output is not None:
                check_writable(output)
        committee = load_committee(self.committee)
        if self.adapt:
            mixed = random.Random(0).sample(files, len(files))
            committee = committee.adapted(batch.views for batch in read_batches(mixed, BATCH, size) if batch.read)
            console.print("adapted to these files: the probabilities rank them, and are no longer calibrated")
        with shown_files(len(files), console) as progress:
            outcomes = predict_files(committee, files, size, self.engine, progress)
        predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
        unreadable = [outcome for outcome in outcomes if isinstance(outcome, Unreadable)]
        if self.csv is not None:
            write_csv(predictions, self.csv, len(committee.networks))
        if self.json is not None:
            write_json(predictions, unreadable, self.json, committee)
        print_predictions(predictions, committee, self.rows, console)
        print_reading(predictions, found.note(), console)
        print_unreadable(unreadable, len(files))

    def _task(self) -> "Task":
        from microcalc.archive.task import PredictTask

        return PredictTask.of(self.committee, pixel_size_mm=self.pixel_size, engine=self.engine)


def print_predictions(predictions: "Sequence[Prediction]", committee: "Committee", rows: int, console: Console) -> None:
    """The first predictions as a table, and how many there are of each kind."""
    shown = [prediction_row(prediction) for prediction in predictions[:rows]]
    print_table(console, ["file", "probability", "decision", "experts"], shown, breaks_cells=False)
    if len(predictions) > len(shown):
        console.print(f"and {len(predictions) - len(shown)} more; --csv and --json keep all of them")
    clusters = sum(prediction.decision for prediction in predictions)
    thresholds = {committee.rule(prediction.pixel_size_mm == "unknown").threshold for prediction in predictions}
    least = " or ".join(f"{threshold:.3g}" for threshold in sorted(thresholds or {committee.threshold}))
    console.print(f"{len(predictions)} patches, {clusters} with a cluster (probability at least {least})")


def prediction_row(prediction: "Prediction") -> list[str]:
    """One prediction in words."""
    return [
        escape(printable(prediction.file)),
        f"{prediction.probability:.4f}",
        "cluster" if prediction.decision else "normal",
        " ".join(f"{vote:.2f}" for vote in prediction.experts),
    ]
