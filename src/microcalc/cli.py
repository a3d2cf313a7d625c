"""The command line: requests from types, errors in one line, and the only place that prints."""

import gc
import os
import random
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from tyro.conf import Positional, arg, subcommand

from microcalc.cli_node import Node
from microcalc.config import (
    AugmentationSettings,
    Engine,
    InputScaling,
    Looks,
    Protocol,
    SearchSettings,
    StudyConfig,
    TrainingSettings,
    WaveletBackend,
    WaveletName,
    WaveletSettings,
)
from microcalc.errors import FailedError, MicrocalcError

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.data import Data
    from microcalc.predicting.files import Unreadable
    from microcalc.predicting.predictions import Prediction
    from microcalc.training.progress import Progress as PieceProgress

Outcome = TypeVar("Outcome")

PATIENCE_SECONDS = 2.0
PHANTOM_NOTICE = "PHANTOM DATA: the INFN archive was not found, so this study runs on the built-in phantom"


@dataclass(frozen=True)
class Common:
    """What every command takes."""

    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress and no tables."""
    debug: bool = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Run(Common):
    """Run a study: search, five experts, the committee, its tests, and a report."""

    out: Path = Path("runs/first")
    """Run directory, empty or missing unless --resume."""
    data: str = "auto"
    """auto, infn, phantom, or a folder with 0/ and 1/."""
    archive: Path | None = None
    """INFN archive to use instead of looking for it."""
    external: str = "auto"
    """Patches from elsewhere: a folder or ZIP with 0/ and 1/, none, or auto for those that come with INFN."""
    resize: bool = False
    """Bring images of another size to 60 x 60 instead of refusing them."""
    test: str = "none"
    """Patches set aside before the study: official (INFN's own Test folder), a fraction of the patients, or none."""
    nested: bool = False
    """Repeat the study inside an outer cross-validation too, so that the committee has cross-validated figures."""
    protocol: Protocol = "honest"
    """naive repeats the study the earlier, leaking way too, to show side by side how optimistic that is."""
    augment: bool = True
    """Vary the training patches on the fly."""
    largest_scale: float = AugmentationSettings.largest_scale
    """The most by which half of the training patches are enlarged."""
    largest_reduction: float = AugmentationSettings.largest_reduction
    """The most by which the other half are reduced."""
    other_backgrounds: float = AugmentationSettings.other_backgrounds
    """Share of the training patches that are put on the background of another, each time they are seen."""
    strands: float | None = None
    """Share of the training patches into which strands are drawn, as vessels make them: 0.15, or 0 with a wavelet."""
    texture: float | None = None
    """Share of the training patches that get texture like that of normal tissue: 0.3, or 0 with a wavelet."""
    wavelet: WaveletName = "none"
    """Wavelet filter on every patch."""
    threshold: float = 1.5
    """Of the wavelet filter, in standard deviations."""
    wavelet_backend: WaveletBackend = "pywavelets"
    """What computes the filter."""
    dim: tuple[int, ...] = (15, 20, 25)
    """Filters of the first block, to choose from."""
    depth: tuple[int, ...] = (1, 3, 5)
    """Dense layers, to choose from."""
    dropout: tuple[float, ...] = (0.0, 0.05, 0.1)
    """Dropout rates, to choose from."""
    searching_fraction: float = 0.25
    """Share of all combinations that the search tries in each fold."""
    patient_search: bool = False
    """Train every trial to its end, also those that cannot win."""
    search_epochs: int = SearchSettings.epochs
    """Epochs of a trial."""
    epochs: int = TrainingSettings.epochs
    """Epochs of an expert's final training."""
    input_scaling: InputScaling = TrainingSettings.input_scaling
    """unit: the patch; centred: less its mean; detail: less a wide blur; normalized: that, evened by its texture."""
    looks: Looks = StudyConfig.looks
    """one: at the patch as it is; eight: turned and mirrored; quarters: turned, and coarse ones enlarged too."""
    fast_execution: bool = False
    """Skip the search and take hyperparameters saved in the package; the figures are then optimistic."""
    folds: int = 5
    """Parts of the cross-validation, and experts of the committee."""
    sensitivity: float | None = None
    """Choose the threshold for this sensitivity instead of the best balanced accuracy."""
    gradcam: int = 6
    """Patches explained by Grad-CAM, at most 25."""
    jobs: int | None = None
    """Processes side by side; as many as cores when not given."""
    seed: int = 0
    """The same seed gives the same figures on the same machine."""
    resume: bool = False
    """Continue the study that is in --out."""

    def config(self) -> StudyConfig:
        """The settings of the study."""
        return StudyConfig(
            search=SearchSettings(
                dim=self.dim,
                depth=self.depth,
                dropout=self.dropout,
                searching_fraction=self.searching_fraction,
                patient=self.patient_search,
                epochs=self.search_epochs,
            ),
            training=TrainingSettings(epochs=self.epochs, input_scaling=self.input_scaling),
            augmentation=self._augmentation() if self.augment else None,
            wavelet=WaveletSettings(self.wavelet, self.threshold, self.wavelet_backend),
            folds=self.folds,
            looks=self.looks,
            sensitivity=self.sensitivity,
            fast_execution=self.fast_execution,
            gradcam=self.gradcam,
            seed=self.seed,
        )

    def _augmentation(self) -> AugmentationSettings:
        """Tissue is drawn as a raw patch shows it, so none into filtered patches, unless asked for."""
        usual = AugmentationSettings() if self.wavelet == "none" else AugmentationSettings(strands=0, texture=0)
        return AugmentationSettings(
            largest_scale=self.largest_scale,
            largest_reduction=self.largest_reduction,
            other_backgrounds=self.other_backgrounds,
            strands=usual.strands if self.strands is None else self.strands,
            texture=usual.texture if self.texture is None else self.texture,
        )


@dataclass(frozen=True)
class Fetch(Common):
    """Get the INFN archive, check every patch of it, and keep it in the user's cache."""

    dataset: Positional[Literal["infn"]] = "infn"
    """What to fetch."""
    archive: Path | None = None
    """A copy downloaded by hand."""


@dataclass(frozen=True)
class Phantom(Common):
    """Write a phantom dataset: patches made by the package, with a mask of each cluster."""

    out: Path = Path("phantom")
    """Folder to write 0/, 1/, masks/ and groups.csv to; empty or missing."""
    patients: int = 80
    """Number of patients, six patches each."""
    difficulty: float = 0.5
    """From 0, plain to see, to 1, buried in grain."""
    seed: int = 0
    """The same seed gives the same patches."""


@dataclass(frozen=True)
class Audit(Common):
    """Tell what must be known of a dataset before a result on it is believed."""

    data: Positional[str] = "infn"
    """infn, phantom, external, or a folder with 0/ and 1/."""
    archive: Path | None = None
    """INFN archive to use instead of looking for it."""
    resize: bool = False
    """Bring images of another size to 60 x 60 instead of refusing them."""
    against: str | None = None
    """Another dataset, to tell how far its grey levels lie from these."""
    out: Path = Path("audit.json")
    """A file for the figures."""


@dataclass(frozen=True)
class Compare(Common):
    """Compare the areas under the ROC curves of two runs by DeLong's test, with patients as the units."""

    first: Positional[Path] = Path("runs/first")
    """A run directory or its predictions.csv."""
    second: Positional[Path] = Path("runs/second")
    """Another."""


@dataclass(frozen=True, kw_only=True)
class Predict(Common):
    """Ask a committee about patches: the probability of a cluster, its decision, and whether a patch is an outlier."""

    paths: Positional[tuple[str, ...]]
    """Images of 60 x 60 pixels (PGM, PNG, TIFF, DICOM), folders of them, or patterns such as 'scans/*.png'."""
    committee: Path | None = None
    """The committee/ of a finished run, instead of the committee that comes with microcalc."""
    csv: Path | None = None
    """A file for all predictions as a table."""
    json: Path | None = None
    """A file for all predictions, each with its distance from the training data."""
    resize: bool = False
    """Bring images of another size to 60 x 60 instead of refusing them."""
    adapt: bool = False
    """First fit the committee to these files, at least 50 and all of one site, without labels. It may then rank film
    unlike its own better; its probabilities are no longer calibrated."""
    engine: Engine = "torch"
    """What computes: torch; torch-bfloat16, about twice as fast where the processor has AMX or AVX512-BF16, with
    probabilities that differ by about 0.01 at most; or onnx, which needs the extra: pip install "microcalc[onnx]"."""
    rows: int = 20
    """Most predictions shown on the terminal."""


@dataclass(frozen=True, kw_only=True)
class Explain(Common):
    """Draw what in a patch speaks for a cluster, by Grad-CAM: beside the patch and over it, and on a contact sheet."""

    paths: Positional[tuple[str, ...]]
    """Images of 60 x 60 pixels (PGM, PNG, TIFF, DICOM), folders of them, or patterns such as 'scans/*.png'."""
    out: Path = Path("explained")
    """Folder for the pictures."""
    committee: Path | None = None
    """The committee/ of a finished run, instead of the committee that comes with microcalc."""
    committee_average: bool = False
    """Explain the whole committee instead of its most reliable expert."""
    resize: bool = False
    """Bring images of another size to 60 x 60 instead of refusing them."""


@dataclass(frozen=True, kw_only=True)
class Export(Common):
    """Write a committee as one file for other programs."""

    onnx: Path
    """The file, an ONNX graph from raw patches to probabilities; needs the extra: pip install "microcalc[onnx]"."""
    committee: Path | None = None
    """The committee/ of a finished run, instead of the committee that comes with microcalc."""


Command = (
    Annotated[Run, subcommand("run")]
    | Annotated[Fetch, subcommand("fetch")]
    | Annotated[Phantom, subcommand("phantom")]
    | Annotated[Audit, subcommand("audit")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Explain, subcommand("explain")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Node, subcommand("node")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 2 the request is wrong, 1 it failed."""
    command = tyro.cli(Command, args=arguments, prog="microcalc", description=__doc__)
    console = Console(quiet=command.quiet, highlight=False)
    try:
        with _surely_interrupted():
            COMMANDS[type(command)](command, console)
    except (Exception, KeyboardInterrupt) as error:
        if command.debug:
            raise
        if isinstance(error, KeyboardInterrupt):
            gc.freeze()  # searching all of PyTorch for cycles takes Python a second when it leaves
        line = escape(_one_line(error, command))
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"microcalc: {line}")
        sys.exit(getattr(error, "exit_code", 1))


@contextmanager
def _surely_interrupted() -> Iterator[None]:
    """Let Ctrl-C and a polite kill interrupt alike, once: told again soon it is the same wish, later it ends at once.

    Python drops an interruption that falls into a finaliser, and a library may make another error of one that falls
    into its import: the first is told again, the second is told for what it is.
    """
    told = 0.0

    def interrupt(number: int, frame: Any) -> None:
        nonlocal told
        if not told:
            told = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - told > PATIENCE_SECONDS:
            os._exit(1)

    def tell_again(dropped: Any) -> None:
        nonlocal told
        if dropped.exc_type is KeyboardInterrupt:
            told = 0.0
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            report(dropped)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    report, sys.unraisablehook = sys.unraisablehook, tell_again
    try:
        yield
    except Exception as error:
        if told:
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, interrupt if told else handler)


def _one_line(error: BaseException, command: Any) -> str:
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted"
        if isinstance(command, Run):
            text += f"; what is finished is kept: go on with --resume --out {command.out}"
    elif isinstance(error, MicrocalcError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}; give --debug to see where"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split()))


def run(command: Run, console: Console) -> None:
    """Load the data, run the study, and say what it found and where it is."""
    from microcalc.data import Data
    from microcalc.model import Model, run_naively, run_nested, set_test_aside

    config = command.config()
    data = Data.load(command.data, archive=command.archive, resize=command.resize, seed=command.seed)
    if command.data == "auto" and data.name == "phantom":
        console.print(f"[bold red]{PHANTOM_NOTICE}[/]; `microcalc fetch infn` gets the archive")
    external = load_external(command, data)
    data, test = set_test_aside(data, command.test, command.seed)
    for title, part in {"data": data, "test set": test, "external set": external}.items():
        if part is not None:
            console.print(f"{title}: {describe(part)}")
    model = Model(data, external, test=test, config=config, out=command.out, jobs=command.jobs, resume=command.resume)
    with shown_progress(console, config) as model.on_progress:
        metrics = model.train()
    if command.nested:
        with shown_progress(console, config) as model.on_progress:
            metrics = run_nested(model)
    print_metrics(metrics, console)
    if command.protocol == "naive":
        with shown_progress(console, config) as model.on_progress:
            naive = run_naively(model)
        print_metrics(naive, console)
    console.print(f"report: {command.out / 'report.html'}")
    console.print(f"to try next:\n{next_commands(command.out)}", markup=False, soft_wrap=True)


def next_commands(run: Path) -> str:
    """Commands that use what a run made, a line each."""
    directory, committee = shlex.quote(str(run)), shlex.quote(str(run / "committee"))
    return (
        f"  microcalc predict IMAGES --committee {committee} --csv predictions.csv\n"
        f"  microcalc explain IMAGES --committee {committee} --out explained\n"
        f"  microcalc compare {directory} ANOTHER_RUN"
    )


def load_external(command: Run, data: "Data") -> "Data | None":
    """The external set that was asked for; ``auto`` takes the one that lies beside the INFN data, where it does."""
    from microcalc.data import Data
    from microcalc.data.sources import find_external

    if command.external == "none":
        return None
    if command.external == "auto":
        return Data.load("external") if data.name == "infn" and find_external() is not None else None
    return Data.load(command.external, resize=command.resize)


def describe(data: "Data") -> str:
    """One line on a dataset."""
    positives = int(data.labels.sum())
    patients = len(set(data.groups.tolist()))
    return f"{data.name}, {len(data.labels)} patches ({positives} with a cluster) of {patients} patients"


def print_metrics(metrics: dict[str, Any], console: Console) -> None:
    """The headline figures, with their 95 % intervals over patients."""
    table = Table("", "patches", "AUC", "95 % interval", "accuracy", "sensitivity", "specificity")
    parts = {"experts (folds)": "cross_validation", "committee (nested)": "nested", "committee (test)": "test"}
    for title, name in {**parts, "committee (external)": "external"}.items():
        figures = metrics.get(name)
        if figures is not None:
            low, high = figures["auc_ci95"] or (float("nan"),) * 2
            rates = [f"{figures[rate]:.3f}" if figures[rate] is not None else "-" for rate in RATES]
            auc = [f"{figures['auc']:.4f}", f"{low:.3f} to {high:.3f}"] if figures["auc"] is not None else ["-", "-"]
            table.add_row(title, str(figures["n"]), *auc, *rates)
    console.print(table)
    timing = metrics["timing"]
    console.print(f"{timing['total_s']:.0f} s, at most {timing['peak_memory_bytes'] / 2**20:.0f} MiB of memory")
    for warning in metrics["warnings"]:
        console.print(f"[bold red]{warning}[/]")


RATES = ("accuracy", "sensitivity", "specificity")


@contextmanager
def shown_progress(
    console: Console, config: StudyConfig
) -> Iterator[Callable[[dict[str, "PieceProgress"]], None] | None]:
    """A bar over all epochs of the study with the time left; plain lines where the output is no terminal."""
    if console.quiet:
        yield None
    elif not console.is_terminal:
        yield plain_lines(console)
    else:
        trials = 0 if config.fast_execution else config.search.trials
        epochs = config.folds * (trials * config.search.epochs + config.training.epochs)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
        )
        with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("study", total=epochs)

            def show(pieces: dict[str, "PieceProgress"]) -> None:
                running = [f"{name}: {piece.text}" for name, piece in pieces.items() if is_running(piece)]
                description = " | ".join(running) or "study"
                bar.update(task, completed=sum(piece.done for piece in pieces.values()), description=description)

            yield show


def is_running(piece: "PieceProgress") -> bool:
    """Whether a piece of work has begun and not ended."""
    return "epoch" in piece.text


def plain_lines(console: Console) -> Callable[[dict[str, "PieceProgress"]], None]:
    """One line whenever a trial has ended, and whenever an expert starts."""
    last: dict[str, str] = {}

    def show(pieces: dict[str, "PieceProgress"]) -> None:
        for name, piece in pieces.items():
            stage = piece.text.partition(", epoch")[0].partition("epoch")[0] or "training"
            if piece.text and last.get(name) != stage:
                last[name] = stage
                console.print(f"{name}: {stage}")

    return show


def fetch(command: Fetch, console: Console) -> None:
    """Fetch and check the archive."""
    from microcalc.data.sources import fetch_infn

    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(command.dataset, total=None)
        path = fetch_infn(command.archive, lambda done, total: bar.update(task, completed=done, total=total or None))
    console.print(f"{command.dataset}: all patches checked, {path}")


def phantom(command: Phantom, console: Console) -> None:
    """Write a phantom dataset."""
    from microcalc.data.phantom import make_phantom, write_phantom

    write_phantom(command.out, *make_phantom(command.patients, difficulty=command.difficulty, seed=command.seed))
    console.print(f"phantom: {command.out}")


def audit(command: Audit, console: Console) -> None:
    """Audit a dataset, print what it means, and keep the figures."""
    from microcalc.data import Data
    from microcalc.evaluation.audit import audit as audit_data
    from microcalc.evaluation.audit import drift_findings, findings, intensity_drift
    from microcalc.files import write_json

    data = Data.load(command.data, archive=command.archive, resize=command.resize)
    figures = audit_data(data)
    sentences = findings(figures)
    if command.against is not None:
        figures["drift"] = intensity_drift(data, Data.load(command.against, resize=command.resize))
        sentences += drift_findings(figures["drift"])
    console.print(audit_table(figures))
    for sentence in sentences:
        console.print(f"- {escape(sentence)}")
    write_json(command.out, figures)
    console.print(f"figures: {command.out}")


def audit_table(figures: dict[str, Any]) -> Table:
    """The figures of an audit, one a row, by their path in ``audit.json``."""
    table = Table("figure", "value")

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name} {key}".strip().replace("_", " "), inner)
        elif isinstance(value, list) and len(value) > 4:
            table.add_row(name, f"{len(value)} entries")
        else:
            table.add_row(name, escape(f"{value:.3f}" if isinstance(value, float) else str(value)))

    add("", figures)
    return table


def compare(command: Compare, console: Console) -> None:
    """Compare the predictions of two runs."""
    from microcalc.evaluation.compare import compare_predictions

    first, second = (path / "predictions.csv" if path.is_dir() else path for path in (command.first, command.second))
    table = Table("", "patches", "AUC of the first", "of the second", "difference (95 % interval)", "p")
    for role, figures in compare_predictions(first, second).items():
        values = [figures[name] for name in ("auc_first", "auc_second", "difference", "p_value")]
        if None in values:
            table.add_row(role, str(figures["n"]), "-", "-", "-", "-")
            continue
        low, high = figures["ci95"]
        one, other, difference, p_value = values
        interval = f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"
        table.add_row(role, str(figures["n"]), f"{one:.4f}", f"{other:.4f}", interval, f"{p_value:.3g}")
    console.print(table)


def predict(command: Predict, console: Console) -> None:
    """Predict files, a batch at a time, and tell the unreadable ones at the end."""
    from microcalc.predicting.files import Unreadable, find_files, read_batches
    from microcalc.predicting.predictions import BATCH, kept_as_csv, kept_as_json, predict_files

    files = find_files(command.paths)
    committee = load_committee(command.committee)
    if command.adapt:
        mixed = random.Random(0).sample(files, len(files))
        committee = committee.adapted(b.images for b in read_batches(mixed, BATCH, command.resize) if b.files)
        console.print("adapted to these files: the probabilities rank them, and are no longer calibrated")
    outcomes = predict_files(committee, files, command.engine, command.resize)
    if command.csv is not None:
        outcomes = kept_as_csv(outcomes, command.csv, len(committee.networks))
    if command.json is not None:
        outcomes = kept_as_json(outcomes, command.json, committee)
    table = prediction_table()
    unreadable: list[Unreadable] = []
    clusters = outliers = 0
    for outcome in tracked(outcomes, len(files), console):
        if isinstance(outcome, Unreadable):
            unreadable.append(outcome)
            continue
        clusters += outcome.decision
        outliers += outcome.outlier or 0
        if table.row_count < command.rows:
            table.add_row(*prediction_row(outcome))
    predicted = len(files) - len(unreadable)
    if table.row_count:
        console.print(table)
    if predicted > table.row_count:
        console.print(f"and {predicted - table.row_count} more; --csv and --json keep all of them")
    console.print(f"{predicted} patches, {clusters} with a cluster (probability at least {committee.threshold:.3g})")
    console.print(outlier_line(committee, outliers))
    tell_unreadable(unreadable, len(files))


def load_committee(directory: Path | None) -> "Committee":
    """The committee of a directory, or the one that comes with the package."""
    from microcalc.committee.committee import Committee

    return Committee.pretrained() if directory is None else Committee.load(directory)


def tracked(outcomes: Iterator[Outcome], total: int, console: Console) -> Iterator[Outcome]:
    """The outcomes, behind a progress bar on a terminal."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(outcomes, total=total, description="patches")


def prediction_table() -> Table:
    """An empty table of predictions."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("file", overflow="fold")
    for name in ("probability", "decision", "experts", "outlier"):
        table.add_column(name, no_wrap=True)
    return table


def prediction_row(prediction: "Prediction") -> list[str]:
    """One prediction in words; an outlier with its distance from the training data."""
    return [
        escape(printable(prediction.file)),
        f"{prediction.probability:.4f}",
        "cluster" if prediction.decision else "normal",
        " ".join(f"{vote:.2f}" for vote in prediction.experts),
        f"yes ({prediction.distance:.1f})" if prediction.outlier else "",
    ]


def printable(path: Path) -> str:
    """A path without what could steer a terminal."""
    name = str(path)
    return name if name.isprintable() else ascii(name)


def outlier_line(committee: "Committee", outliers: int) -> str:
    """How many patches are unlike the training data, and what that means."""
    if committee.novelty is None:
        return "this committee was saved without its novelty, so that outliers are not told"
    return (
        f"{outliers} outliers, farther than {committee.novelty.threshold:.3g} from the training data: believe none of "
        f"their probabilities ({committee.novelty.false_alarm_rate:.1%} of patches like those are called so by mistake)"
    )


def tell_unreadable(unreadable: "Sequence[Unreadable]", total: int) -> None:
    """Name every file that could not be read, quiet or not.

    Raises:
        FailedError: there is one.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for each in unreadable:
        errors.print(f"microcalc: {each.problem}", markup=False)
    if unreadable:
        raise FailedError(f"{len(unreadable)} of {total} files could not be used, as said above; the rest is done")


def explain(command: Explain, console: Console) -> None:
    """Draw explanations, a batch at a time, and tell the unreadable files at the end."""
    from microcalc.predicting.explanations import explain_files
    from microcalc.predicting.files import Unreadable, find_files

    files = find_files(command.paths)
    of: Literal["committee", "most_reliable"] = "committee" if command.committee_average else "most_reliable"
    outcomes = explain_files(load_committee(command.committee), files, command.out, of, command.resize)
    unreadable = [outcome for outcome in tracked(outcomes, len(files), console) if isinstance(outcome, Unreadable)]
    console.print(f"pictures of {len(files) - len(unreadable)} patches: {command.out}", markup=False, soft_wrap=True)
    tell_unreadable(unreadable, len(files))


def export(command: Export, console: Console) -> None:
    """Write the ONNX graph."""
    from microcalc.committee.graph import committee_graph
    from microcalc.files import write_atomically

    write_atomically(command.onnx, committee_graph(load_committee(command.committee)))
    console.print(f"committee: {command.onnx}", markup=False, soft_wrap=True)


COMMANDS: dict[type, Callable[[Any, Console], None]] = {
    Run: run,
    Fetch: fetch,
    Phantom: phantom,
    Audit: audit,
    Compare: compare,
    Predict: predict,
    Explain: explain,
    Export: export,
    Node: Node.run,
}
