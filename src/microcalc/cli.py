"""The command line: requests from types, errors in one line, and the only place that prints."""

import gc
import io
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
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from tyro.conf import Positional, arg, subcommand

from microcalc.cli_scan import Scan, scan
from microcalc.config import (
    AugmentationSettings,
    Engine,
    Preprocessing,
    Protocol,
    SearchSettings,
    StudyConfig,
    TrainingSettings,
    Tta,
    WaveletBackend,
    WaveletName,
    WaveletSettings,
)
from microcalc.errors import FailedError, MicrocalcError
from microcalc.files import check_outputs, check_unused, check_writable, is_standard_output

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.committee.predictions import Prediction
    from microcalc.data import Data
    from microcalc.data.patch_files import Unreadable
    from microcalc.explain.pictures import Explanation
    from microcalc.training.progress import Progress as PieceProgress

PixelSize = float | Literal["unknown"] | None

PATIENCE_SECONDS = 2.0
ASSUMED = "the pixel size was assumed to be 0.085 mm where neither the file nor --pixel-size gives it"
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
    pixel_size: PixelSize = None
    """Of images in --data and --external that do not give it, in mm; unknown is for --external alone."""
    test: str = "none"
    """Patches set aside before the study: official (INFN's own Test folder), a fraction of the patients, or none."""
    nested: bool = False
    """Repeat the study inside an outer cross-validation too, so that the committee has cross-validated figures."""
    protocol: Protocol = "honest"
    """naive repeats the study the earlier, leaking way too, to show side by side how optimistic that is."""
    augment: bool = True
    """Vary the training patches on the fly."""
    scale_range: tuple[float, float] = AugmentationSettings.scale_range
    """Smallest and largest factor on the size of the training patches."""
    p_background_swap: float = AugmentationSettings.p_background_swap
    """Share of the training patches that are put on the background of another, each time they are seen."""
    p_linear_structures: float | None = None
    """Share of the training patches into which bright lines are drawn: 0.15, or 0 with a wavelet."""
    p_power_law_noise: float | None = None
    """Share of the training patches that get noise with the spectrum of tissue: 0.3, or 0 with a wavelet."""
    p_dust: float | None = None
    """Share of the normal training patches into which one or two specks of dust are drawn: 0.3, or 0 with a wavelet."""
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
    pruning: bool = True
    """End a trial early once it cannot win."""
    search_epochs: int = SearchSettings.epochs
    """Epochs of a trial."""
    epochs: int = TrainingSettings.epochs
    """Epochs of an expert's final training."""
    preprocessing: Preprocessing = TrainingSettings.preprocessing
    """What the network sees: the raw patch, less its mean, less a wide blur, that over its texture, or two of these."""
    tta: Tta = StudyConfig.tta
    """Test-time augmentation: d4 averages over the 8 symmetries of the square, and takes eight times as long."""
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
                pruning=self.pruning,
                epochs=self.search_epochs,
            ),
            training=TrainingSettings(epochs=self.epochs, preprocessing=self.preprocessing),
            augmentation=self._augmentation() if self.augment else None,
            wavelet=WaveletSettings(self.wavelet, self.threshold, self.wavelet_backend),
            folds=self.folds,
            tta=self.tta,
            sensitivity=self.sensitivity,
            fast_execution=self.fast_execution,
            gradcam=self.gradcam,
            seed=self.seed,
        )

    def _augmentation(self) -> AugmentationSettings:
        return AugmentationSettings(
            scale_range=self.scale_range,
            p_background_swap=self.p_background_swap,
            p_linear_structures=self.p_linear_structures,
            p_power_law_noise=self.p_power_law_noise,
            p_dust=self.p_dust,
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
    """Write a phantom dataset: patches made by the package, with a mask of each cluster; or whole mammograms."""

    out: Path = Path("phantom")
    """Folder to write 0/, 1/, masks.zip and groups.csv to, or mammograms and findings.json; empty or missing."""
    mammograms: int | None = None
    """Write as many whole mammograms of 0.07 mm a pixel instead, and the truth in findings.json."""
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
    pixel_size: PixelSize = None
    """Of images that do not give it, in mm, or unknown."""
    against: str | None = None
    """Another dataset, to tell how far its grey levels lie from these."""
    out: Path | None = None
    """A file for the figures; - for standard output."""


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
    """Patches of 60 x 60 pixels, or larger fields of known pixel size (PGM, PNG, TIFF, JPEG, DICOM), folders of them,
    or patterns such as 'scans/*.png'."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    csv: Path | None = None
    """A file for all predictions as a table; - for standard output."""
    json: Path | None = None
    """A file for all predictions, each with its distance from the training data."""
    pixel_size: PixelSize = None
    """Of images that do not give it, in mm; or unknown: the highest answer of several magnifications counts."""
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
    """Patches of 60 x 60 pixels, or larger fields of known pixel size (PGM, PNG, TIFF, JPEG, DICOM), folders of them,
    or patterns such as 'scans/*.png'."""
    out: Path = Path("explained")
    """Folder for the pictures; empty or missing."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    committee_average: bool = False
    """Explain the whole committee instead of its most reliable expert."""
    pixel_size: PixelSize = None
    """Of images that do not give it, in mm; or unknown: the highest answer of several magnifications counts."""


@dataclass(frozen=True, kw_only=True)
class Export(Common):
    """Write a committee as one file for other programs."""

    onnx: Path
    """The file, an ONNX graph from raw patches to probabilities; needs the extra: pip install "microcalc[onnx]"."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""


Command = (
    Annotated[Run, subcommand("run")]
    | Annotated[Fetch, subcommand("fetch")]
    | Annotated[Phantom, subcommand("phantom")]
    | Annotated[Audit, subcommand("audit")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Explain, subcommand("explain")]
    | Annotated[Scan, subcommand("scan")]
    | Annotated[Export, subcommand("export")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 2 the request is wrong, 1 it failed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    command = tyro.cli(Command, args=arguments, prog="microcalc", description=__doc__)
    console = Console(quiet=command.quiet, highlight=False, stderr=writes_standard_output(command))
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


def writes_standard_output(command: Command) -> bool:
    """Whether a file of the request is standard output, which nothing else may then be printed to."""
    return any(isinstance(value, Path) and is_standard_output(value) for value in vars(command).values())


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
    from microcalc.model import Model, check_nested, run_naively, run_nested, set_test_aside

    config = command.config()
    size = None if command.pixel_size == "unknown" else command.pixel_size
    data = Data.load(command.data, archive=command.archive, pixel_size_mm=size, seed=command.seed)
    if command.data == "auto" and data.name == "phantom":
        console.print(f"[bold red]{PHANTOM_NOTICE}[/]; `microcalc fetch infn` gets the archive")
    external = load_external(command, data)
    warn(data, external)
    data, test = set_test_aside(data, command.test, command.seed)
    for title, part in {"data": data, "test set": test, "external set": external}.items():
        if part is not None:
            console.print(f"{title}: {describe(part)}")
    model = Model(data, external, test=test, config=config, out=command.out, jobs=command.jobs, resume=command.resume)
    if command.nested:
        check_nested(model)
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
    return Data.load(command.external, pixel_size_mm=command.pixel_size)


def warn(*datasets: "Data | None") -> None:
    """Print what is doubtful about datasets, quiet or not, before any work is done on them."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for data in filter(None, datasets):
        for warning in data.warnings:
            errors.print(f"microcalc: warning: {data.name}: {printable(warning)}", markup=False)


def describe(data: "Data") -> str:
    """One line on a dataset."""
    positives = int(data.labels.sum())
    patients = len(set(data.groups.tolist()))
    line = f"{data.name}, {len(data.labels)} patches ({positives} with a cluster) of {patients} patients"
    return line + ("; the pixel size was assumed to be 0.085 mm" if data.pixel_size == "assumed" else "")


def print_metrics(metrics: dict[str, Any], console: Console) -> None:
    """The headline figures, with their 95 % intervals over patients."""
    rows = []
    parts = {"experts (folds)": "cross_validation", "committee (nested)": "nested", "committee (test)": "test"}
    for title, name in {**parts, "committee (external)": "external"}.items():
        figures = metrics.get(name)
        if figures is not None:
            low, high = figures["auc_ci95"] or (float("nan"),) * 2
            rates = [f"{figures[rate]:.3f}" if figures[rate] is not None else "-" for rate in RATES]
            auc = [f"{figures['auc']:.4f}", f"{low:.3f} to {high:.3f}"] if figures["auc"] is not None else ["-", "-"]
            rows.append([title, str(figures["n"]), *auc, *rates])
    print_table(console, ["", "patches", "AUC", "95 % interval", *RATES], rows)
    timing = metrics["timing"]
    console.print(f"{timing['total_s']:.0f} s, at most {timing['peak_memory_bytes'] / 2**20:.0f} MiB of memory")
    for warning in metrics["warnings"]:
        console.print(f"[bold red]{escape(printable(warning))}[/]")


RATES = ("accuracy", "sensitivity", "specificity")
NARROWEST_NAME = 15
"""Letters a line, at least, that a table leaves to names of files."""


def print_table(
    console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], breaks_cells: bool = True
) -> None:
    """Print a table whose first column folds; where the terminal is too narrow for it, each row as a list instead.

    Args:
        console: where to.
        headers: of the columns.
        rows: the cells of each, as Rich markup.
        breaks_cells: whether the other columns may break between words.
    """
    if not rows:
        return
    _, *columns = zip(headers, *rows, strict=True)
    unbroken = [[word for cell in column for word in (cell.split() if breaks_cells else [cell])] for column in columns]
    needed = NARROWEST_NAME + sum(max(map(len, words)) for words in unbroken) + 2 * len(headers) + 1
    if needed <= console.width:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(headers[0], overflow="fold")
        for header in headers[1:]:
            table.add_column(header, no_wrap=not breaks_cells)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    for name, *cells in rows:
        console.print(name, soft_wrap=True)
        for header, cell in zip(headers[1:], cells, strict=True):
            if cell:
                console.print(f"  {header}: {cell}", soft_wrap=True)


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
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
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
    from microcalc.data.phantom_mammograms import iter_phantom_mammograms
    from microcalc.scan.truth import write_phantom_mammograms

    if command.mammograms is not None:
        made = iter_phantom_mammograms(command.mammograms, difficulty=command.difficulty, seed=command.seed)
        write_phantom_mammograms(command.out, made)
    else:
        write_phantom(command.out, *make_phantom(command.patients, difficulty=command.difficulty, seed=command.seed))
    console.print(f"phantom: {command.out}")


def audit(command: Audit, console: Console) -> None:
    """Audit a dataset, print what it means, and keep the figures."""
    from microcalc.data import Data
    from microcalc.evaluation.audit import audit as audit_data
    from microcalc.evaluation.audit import drift_findings, findings, intensity_drift
    from microcalc.files import write_json

    check_outputs({"--out": command.out}, dataset_files(command.data, command.against, command.archive))
    data = Data.load(command.data, archive=command.archive, pixel_size_mm=command.pixel_size)
    console.print(describe(data), markup=False)
    warn(data)
    if command.out is not None:
        check_writable(command.out)
    figures = audit_data(data) | ({"warnings": list(data.warnings)} if data.warnings else {})
    sentences = findings(figures)
    if command.against is not None:
        figures["drift"] = intensity_drift(data, Data.load(command.against, pixel_size_mm=command.pixel_size))
        sentences += drift_findings(figures["drift"])
    console.print(audit_table(figures))
    for sentence in sentences:
        console.print(f"- {escape(sentence)}")
    if command.out is not None:
        write_json(command.out, figures)
        console.print(f"figures: {command.out}", markup=False, soft_wrap=True)


def dataset_files(*requests: str | Path | None) -> Iterator[Path]:
    """The files behind the datasets of a request, which no output may overwrite."""
    for request in requests:
        if request is not None and (path := Path(request)).exists():
            yield from path.rglob("*") if path.is_dir() else [path]


def audit_table(figures: dict[str, Any]) -> Table:
    """The figures of an audit, one a row, by their path in ``audit.json``."""
    table = Table()
    for header in ("figure", "value"):
        table.add_column(header, overflow="fold")

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
    rows = []
    for role, figures in compare_predictions(first, second).items():
        values = [figures[name] for name in ("auc_first", "auc_second", "difference", "p_value")]
        if None in values:
            rows.append([role, str(figures["n"]), "-", "-", "-", "-"])
            continue
        low, high = figures["ci95"]
        one, other, difference, p_value = values
        interval = f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"
        rows.append([role, str(figures["n"]), f"{one:.4f}", f"{other:.4f}", interval, f"{p_value:.3g}"])
    print_table(console, ["", "patches", "AUC of the first", "of the second", "difference (95 % interval)", "p"], rows)


def predict(command: Predict, console: Console) -> None:
    """Read and predict files, then write the tables, and name the unreadable files at the end."""
    from microcalc.committee.predictions import BATCH, Prediction, predict_files, write_csv, write_json
    from microcalc.data.patch_files import Unreadable, find_files, read_batches

    found = find_files(command.paths)
    files, size = found.files, command.pixel_size
    outputs = {"--csv": command.csv, "--json": command.json}
    check_outputs(outputs, [*files, *committee_files(command.committee)])
    for output in outputs.values():
        if output is not None:
            check_writable(output)
    committee = load_committee(command.committee)
    if command.adapt:
        mixed = random.Random(0).sample(files, len(files))
        committee = committee.adapted(batch.views for batch in read_batches(mixed, BATCH, size) if batch.read)
        console.print("adapted to these files: the probabilities rank them, and are no longer calibrated")
    with shown_files(len(files), console) as progress:
        outcomes = predict_files(committee, files, size, command.engine, progress)
    predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    unreadable = [outcome for outcome in outcomes if isinstance(outcome, Unreadable)]
    if command.csv is not None:
        write_csv(predictions, command.csv, len(committee.networks))
    if command.json is not None:
        write_json(predictions, unreadable, command.json, committee)
    print_predictions(predictions, committee, command.rows, console)
    print_reading(predictions, found.note(), console)
    tell_unreadable(unreadable, len(files))


def print_predictions(predictions: "Sequence[Prediction]", committee: "Committee", rows: int, console: Console) -> None:
    """The first predictions as a table, and how many there are of each kind."""
    shown = [prediction_row(prediction) for prediction in predictions[:rows]]
    print_table(console, ["file", "probability", "decision", "experts", "outlier"], shown, breaks_cells=False)
    if len(predictions) > len(shown):
        console.print(f"and {len(predictions) - len(shown)} more; --csv and --json keep all of them")
    clusters = sum(prediction.decision for prediction in predictions)
    console.print(
        f"{len(predictions)} patches, {clusters} with a cluster (probability at least {committee.threshold:.3g})"
    )
    console.print(outlier_line(committee, sum(prediction.outlier or 0 for prediction in predictions)))


def print_reading(read: "Sequence[Prediction | Explanation]", left_out: str, console: Console) -> None:
    """What a user should know of how files were read: a size that was assumed, warnings, files left out."""
    assumed = sum(each.assumed for each in read)
    if assumed:
        console.print(f"{ASSUMED}: {assumed} of {len(read)} files")
    for each in read:
        for warning in each.warnings:
            console.print(f"{printable(each.file)}: {warning}", markup=False)
    if left_out:
        console.print(left_out, markup=False)


def load_committee(directory: Path | None) -> "Committee":
    """The committee of a directory, or the one that comes with the package."""
    from microcalc.committee.committee import Committee

    return Committee.pretrained() if directory is None else Committee.load(directory)


def committee_files(directory: Path | None) -> list[Path]:
    """The files of a committee that was given, which no output may overwrite."""
    return [] if directory is None else [path for path in directory.rglob("*") if path.is_file()]


@contextmanager
def shown_files(total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """What moves a bar over files on a terminal."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("files", total=total)
        yield lambda done: bar.update(task, completed=done)


def prediction_row(prediction: "Prediction") -> list[str]:
    """One prediction in words; an outlier with its distance from tissue."""
    return [
        escape(printable(prediction.file)),
        f"{prediction.probability:.4f}",
        "cluster" if prediction.decision else "normal",
        " ".join(f"{vote:.2f}" for vote in prediction.experts),
        f"yes ({prediction.distance:.1f})" if prediction.outlier else "",
    ]


def printable(path: Path | str) -> str:
    """A path or a text without what could steer a terminal, or what its code page lacks."""
    name = str(path)
    try:
        name.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return ascii(name)
    return name if name.isprintable() else ascii(name)


def outlier_line(committee: "Committee", outliers: int) -> str:
    """How many patches are not breast tissue at 85 um a pixel, and what that means."""
    detector = committee.outlier_detector
    if detector is None:
        return "this committee was saved without an outlier detector, so that outliers are not found"
    return (
        f"{outliers} outliers, not breast tissue at 85 um a pixel (distance above {detector.threshold:.3g}): ignore "
        f"their probabilities ({detector.false_alarm_rate:.1%} of its own kind are flagged by mistake)"
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
    """Draw explanations, and name the unreadable files at the end."""
    from microcalc.data.patch_files import Unreadable, find_files
    from microcalc.explain.pictures import Explanation, explain_files

    found = find_files(command.paths)
    check_unused(command.out)
    committee = load_committee(command.committee)
    of: Literal["committee", "most_reliable"] = "committee" if command.committee_average else "most_reliable"
    with shown_files(len(found.files), console) as progress:
        outcomes = explain_files(committee, found.files, command.out, of, command.pixel_size, progress)
    explained = [outcome for outcome in outcomes if isinstance(outcome, Explanation)]
    console.print(f"pictures of {len(explained)} patches: {command.out}", markup=False, soft_wrap=True)
    print_reading(explained, found.note(), console)
    tell_unreadable([outcome for outcome in outcomes if isinstance(outcome, Unreadable)], len(found.files))


def export(command: Export, console: Console) -> None:
    """Write the ONNX model."""
    from microcalc.committee.onnx_export import committee_onnx
    from microcalc.files import write_atomically

    check_outputs({"--onnx": command.onnx}, committee_files(command.committee))
    write_atomically(command.onnx, committee_onnx(load_committee(command.committee)))
    console.print(f"committee: {command.onnx}", markup=False, soft_wrap=True)


COMMANDS: dict[type, Callable[[Any, Console], None]] = {
    Run: run,
    Fetch: fetch,
    Phantom: phantom,
    Audit: audit,
    Compare: compare,
    Predict: predict,
    Explain: explain,
    Scan: scan,
    Export: export,
}
