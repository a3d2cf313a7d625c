"""``microcalc archive``, and what ``predict`` and ``scan`` do with a manifest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional

from microcalc.cli.common import Common, printable
from microcalc.errors import FailedError, RequestError, extra_needed

if TYPE_CHECKING:
    from microcalc.archive.task import Task
    from microcalc.archive.work import ArchiveProgress


@dataclass(frozen=True, kw_only=True)
class Archive(Common):
    """Say how far an archive of many files is, while a command is working on it or not."""

    action: Positional[Literal["status"]]
    """What to do."""
    directory: Positional[Path]
    """The --out of predict or scan with --manifest."""

    def run(self, console: Console) -> None:
        """Print how many files are done, failed and left."""
        with extra_needed("dask"):
            from microcalc.archive.folder import archive_status
        status = archive_status(self.directory)
        counts = f"{status.done:,} of {status.names:,} files done, {status.failed:,} failed"
        console.print(f"{printable(status.kind)}: {counts}", markup=False)
        left = f"{status.left:,} left"
        if status.running and status.rate:
            left += f", {status.rate:.3g} a second, {duration(status.left / status.rate)} to go"
        console.print(left + ("" if status.running else "; no command is working on it"))


@dataclass(frozen=True, kw_only=True)
class ManifestOptions:
    """Options of commands that can work through an archive."""

    manifest: Path | None = None
    """A file with a path or URL a line, instead of naming images: they are read by workers of a Dask cluster."""
    cluster: str | None = None
    """With --manifest: address of a Dask scheduler, such as tcp://127.0.0.1:8786."""
    workers: int | None = None
    """With --manifest and no --cluster: worker processes on this machine; as many as cores when not given."""

    def check(self, paths: tuple[str, ...], out: Path | None, others: dict[str, Any]) -> None:
        """Refuse options that do not go together.

        Args:
            paths: images that are named.
            out: folder of the results.
            others: options, by name, that a manifest does not go with; true where they are given.

        Raises:
            RequestError: naming the options.
        """
        if self.manifest is None:
            if self.cluster is not None or self.workers is not None:
                raise RequestError("--cluster and --workers need --manifest; give a file with a path or URL a line")
            return
        if paths:
            raise RequestError("images and --manifest cannot both be given; give one of them")
        if out is None:
            raise RequestError("--manifest needs --out; give a folder for the results")
        for name, given in others.items():
            if given:
                raise RequestError(f"{name} does not go with --manifest; leave it out")


def run_manifest(
    options: ManifestOptions, make_task: "Callable[[], Task]", manifest: Path, out: Path, console: Console
) -> None:
    """Work through a manifest behind a progress bar, then say what was done and what failed.

    Raises:
        RequestError: the extra is not installed, or as :func:`microcalc.archive.work.run_archive` has it.
        FailedError: files failed, or as there.
    """
    with extra_needed("dask"):
        from microcalc.archive.cluster import started
        from microcalc.archive.manifest import read_manifest
        from microcalc.archive.work import run_archive
    names, task = read_manifest(manifest), make_task()
    with (
        shown_archive(console) as on_progress,
        started(options.cluster, options.workers, lambda line: console.print(line, markup=False)) as cluster,
    ):
        end = run_archive(task, names, out, cluster, on_progress)
    console.print(f"{end.done:,} files done: {out / 'results'}", markup=False)
    if end.failed:
        raise FailedError(
            f"{end.failed:,} of {end.total:,} files could not be done; see {out / 'failures.parquet'}, and delete it "
            "to try all of them again"
        )


@contextmanager
def dask_client(address: str | None, workers: int | None, console: Console) -> Iterator[Any]:
    """A client of a cluster, one of this machine's own where a number of workers is given, else None.

    Raises:
        RequestError: the extra is not installed, or there is no such cluster.
    """
    if address is None and workers is None:
        yield None
        return
    with extra_needed("dask"):
        from microcalc.archive.cluster import started
    with (
        started(address, workers, lambda line: console.print(line, markup=False)) as cluster,
        cluster.connect() as client,
    ):
        yield client


@contextmanager
def shown_archive(console: Console) -> "Iterator[Callable[[ArchiveProgress], None]]":
    """A bar over the files with rate and time left; a line a tenth of the way where the output is no terminal."""
    columns: tuple[Any, ...] = (
        *(BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TextColumn("left")),
        *(TimeRemainingColumn(), TextColumn("{task.fields[note]}")),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal or console.quiet) as bar:
        task = bar.add_task("files", total=None, rate="", note="")
        told = 0

        def show(progress: "ArchiveProgress") -> None:
            nonlocal told
            ended, total = progress.done + progress.failed, progress.total
            speed = bar.tasks[0].speed
            failed = f"{progress.failed:,} failed, " if progress.failed else ""
            note = f"{failed}{progress.workers} workers" if progress.workers else f"{failed}waiting for workers"
            bar.update(task, total=total, completed=ended, rate=f"{speed:.3g} a second" if speed else "", note=note)
            if not console.is_terminal and ended * 10 // total > told:
                told = ended * 10 // total
                console.print(f"{ended:,} of {total:,} files, {note}")

        yield show


def duration(seconds: float) -> str:
    """A time in the two largest units.

    >>> duration(59), duration(3700), duration(200_000)
    ('1 min', '1 h 2 min', '2 d 7 h')
    """
    minutes = -int(-seconds // 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
