"""``microcalc run``: a study from data to report."""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from tyro.conf import AvoidSubcommands, OmitArgPrefixes

from microcalc.cli.common import Common, describe, print_table, printable, warn
from microcalc.cli.progress import study_progress
from microcalc.config import GivenPixelSize, StudyConfig
from microcalc.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from microcalc.data import Data
    from microcalc.model import Model
    from microcalc.training.splits import StudySplit

PHANTOM_NOTICE = "PHANTOM DATA: the INFN archive was not found, so this study runs on the built-in phantom"
RATES = ("accuracy", "sensitivity", "specificity")


@dataclass(frozen=True, kw_only=True)
class Run(Common):
    """Run a study: search, five experts, the committee, its tests, and a report."""

    out: Path = Path("runs/first")
    """Run directory, empty or missing unless --resume."""
    data: str = "auto"
    """auto, infn, phantom, or a folder with 0/ and 1/."""
    archive: Path | None = None
    """INFN archive to use instead of looking for it."""
    external: str = "auto"
    """Patches from other mammograms: a folder or ZIP with 0/ and 1/, none, or auto for those that come with INFN."""
    pixel_size: GivenPixelSize = None
    """Pixel size of images in --data and --external that do not give it, in mm; unknown is for --external alone."""
    test: str = "none"
    """Patches set aside before the study: official (INFN's own Test folder), a fraction of the patients, or none."""
    nested: bool = False
    """Repeat the study inside an outer cross-validation too, so that the committee has cross-validated figures."""
    augment: bool = True
    """Vary the training patches on the fly."""
    jobs: int | None = None
    """Processes side by side; as many as cores when not given."""
    scheduler: str | None = None
    """Address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers do the folds; they must share --out."""
    workers: int | None = None
    """Dask workers on this machine, instead of --scheduler or --jobs; the study goes on when one of them is killed."""
    resume: bool = False
    """Continue the study that is in --out."""
    settings: OmitArgPrefixes[AvoidSubcommands[StudyConfig]]

    @property
    def config(self) -> StudyConfig:
        """The settings of the study; the naive protocol only repeats it, after the honest one."""
        settings = dataclasses.replace(self.settings, protocol="honest")
        return settings if self.augment else dataclasses.replace(settings, augmentation=None)

    def run(self, console: Console) -> None:
        """Load the data, run the study, and say what it found and where it is."""
        from microcalc.data import Data
        from microcalc.model import Model
        from microcalc.reader.executor import dask_client
        from microcalc.training.plan import set_test_aside

        if self.jobs is not None and (self.scheduler is not None or self.workers is not None):
            raise RequestError("--jobs does not go with --scheduler or --workers; give one of them")
        config = self.config
        size = None if self.pixel_size == "unknown" else self.pixel_size
        data = Data.load(self.data, archive=self.archive, pixel_size_mm=size, seed=config.seed)
        if self.data == "auto" and data.name == "phantom":
            console.print(f"{PHANTOM_NOTICE}; `microcalc fetch infn` gets the archive", style="bold red")
        external = load_external(self, data)
        warn(data, external)
        data, test = set_test_aside(data, self.test, config.seed)
        for title, part in {"data": data, "test set": test, "external set": external}.items():
            if part is not None:
                console.print(f"{title}: {describe(part)}")
        with dask_client(self.scheduler, self.workers, console.print) as client:
            places: dict[str, Any] = {"out": self.out, "jobs": self.jobs, "client": client, "resume": self.resume}
            self._study(Model(data, external, test=test, config=config, **places), console)
        console.print(f"report: {self.out / 'report.html'}")
        console.print(f"to try next:\n{next_commands(self.out)}", soft_wrap=True)

    def _study(self, model: "Model", console: Console) -> None:
        """Run the study, and what repeats it, behind progress bars."""
        from microcalc.model import run_naively, run_nested
        from microcalc.training.plan import check_nested

        console.print(f"patients of the study: {describe_split(model.split, model.data)}")
        if self.nested:
            check_nested(model.data, model.config)
        with study_progress(console, model.config) as model.on_progress:
            metrics = model.train()
        if self.nested:
            with study_progress(console, model.config) as model.on_progress:
                metrics = run_nested(model)
        print_metrics(metrics, console)
        if self.settings.protocol == "naive":
            with study_progress(console, model.config) as model.on_progress:
                naive = run_naively(model)
            print_metrics(naive, console)


def describe_split(split: "StudySplit", data: "Data") -> str:
    """How many patients stand on each side of the split, for a share of them is rounded to whole ones."""

    def patients(patches: Sequence["NDArray[np.int64]"]) -> str:
        numbers = sorted({len(set(data.groups[part].tolist())) for part in patches})
        return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"

    holdouts, tests = ([getattr(fold, side) for fold in split.folds] for side in ("holdout", "test"))
    committee = patients([split.committee])
    return f"{committee} for the committee, {patients(tests)} a test fold, {patients(holdouts)} a hold-out"


def next_commands(run: Path) -> str:
    """Commands that use what a run made, a line each."""
    directory, committee = shlex.quote(str(run)), shlex.quote(str(run / "committee"))
    return (
        f"  microcalc predict IMAGES --committee {committee} --csv predictions.csv\n"
        f"  microcalc explain IMAGES --committee {committee} --out explained\n"
        f"  microcalc compare {directory} ANOTHER_RUN"
    )


def load_external(command: Run, data: "Data") -> "Data | None":
    """The external set of the request; ``auto`` takes the one that lies beside the INFN data, where it does."""
    from microcalc.data import Data
    from microcalc.data.sources import find_external

    if command.external == "none":
        return None
    if command.external == "auto":
        return Data.load("external") if data.name == "infn" and find_external() is not None else None
    return Data.load(command.external, pixel_size_mm=command.pixel_size)


def print_metrics(metrics: dict[str, Any], console: Console) -> None:
    """The headline figures, with their 95 % intervals over patients."""
    rows = []
    parts = {"experts (folds)": "cross_validation", "committee (nested)": "nested", "committee (test)": "test"}
    for title, name in {**parts, "committee (external)": "external"}.items():
        figures = metrics.get(name)
        if figures is not None:
            low_high = figures["auc_ci95"]
            interval = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else "-"
            rates = [f"{figures[rate]:.3f}" if figures[rate] is not None else "-" for rate in RATES]
            auc = [f"{figures['auc']:.4f}" if figures["auc"] is not None else "-", interval]
            rows.append([title, str(figures["n"]), *auc, *rates])
    print_table(console, ["", "patches", "AUC", "95 % interval", *RATES], rows)
    timing = metrics["timing"]
    console.print(f"{timing['total_s']:.0f} s, at most {timing['peak_memory_bytes'] / 2**20:.0f} MiB of memory")
    for warning in metrics["warnings"]:
        console.print(printable(warning), style="bold red")
