"""``microcalc predict``: the probability of a cluster in patches."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from microcalc.cli.common import committee_files, print_table, printable
from microcalc.cli.reading import PatchOptions, Reading, finish, read_inputs
from microcalc.config import Engine
from microcalc.files import check_outputs

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee


@dataclass(frozen=True, kw_only=True)
class Predict(PatchOptions):
    """Predict patches by a committee: the probability of a cluster, and its decision."""

    csv: Path | None = None
    """A file for all predictions as a table; - for standard output."""
    json: Path | None = None
    """A file for all predictions, each with its warnings."""
    out: Path | None = None
    """Folder for predictions.csv and predictions.json; the same command goes on with what is there."""
    engine: Engine = "torch"
    """The engine: torch; or torch-bfloat16, about twice as fast where the processor has AMX or AVX512-BF16, with
    probabilities that differ by about 0.02 at most."""
    rows: int = 20
    """Most predictions shown on the terminal."""

    def run(self, console: Console) -> None:
        """Read and predict files, then write the tables, and name the unreadable files at the end."""
        from microcalc.reader.inputs import find_inputs
        from microcalc.reader.tables import write_predictions
        from microcalc.reader.tasks import PredictTask, loaded

        inputs = find_inputs(self.paths, self.reader.manifest)
        outputs = {"--csv": self.csv, "--json": self.json}
        check_outputs(outputs, [*map(Path, inputs.names), *committee_files(self.committee)])
        task = PredictTask.of(self.committee, pixel_size_mm=self.pixel_size, engine=self.engine)
        committee = loaded(task)
        tables, plain = ([path] if path else [] for path in (self.csv, self.json))
        if self.out is not None:
            tables, plain = [*tables, self.out / "predictions.csv"], [*plain, self.out / "predictions.json"]
        with read_inputs(self.reader, task, inputs, self.out, console) as reading:
            write_predictions(reading.store, inputs.names, committee, tables, plain)
            print_predictions(reading, committee, self.rows, console)
            finish(reading, console)


def print_predictions(reading: Reading, committee: "Committee", rows: int, console: Console) -> None:
    """Print the first predictions as a table, and how many there are of each kind."""
    shown = [prediction_row(*result) for result in islice(reading.results(), rows)]
    print_table(console, ["file", "probability", "decision", "experts"], shown, breaks_cells=False)
    decisions, thresholds = [], set[float]()
    for _, result in reading.results():
        decisions.append(result["decision"])
        thresholds.add(committee.rule(result["pixel_size_mm"] == "unknown").threshold)
    if len(decisions) > len(shown):
        console.print(f"and {len(decisions) - len(shown):,} more; --csv and --json keep all of them")
    least = " or ".join(f"{threshold:.3g}" for threshold in sorted(thresholds or {committee.threshold}))
    clusters = f"{sum(decisions):,} with a cluster (probability at least {least})"
    console.print(f"{len(decisions):,} patch{'' if len(decisions) == 1 else 'es'}, {clusters}")


def prediction_row(name: str, result: dict[str, Any]) -> list[str]:
    """Return one prediction in words."""
    experts = (value for key, value in result.items() if key.startswith("expert_"))
    return [
        printable(name),
        f"{result['probability']:.4f}",
        "cluster" if result["decision"] else "normal",
        " ".join(f"{probability:.2f}" for probability in experts),
    ]
