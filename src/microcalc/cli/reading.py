"""Common parts of the commands that read many files: their names, the work on them, and the printed summary."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from microcalc.cli.common import ASSUMED, Common, error_console, printable
from microcalc.cli.progress import shown_progress
from microcalc.config import GivenPixelSize
from microcalc.errors import FailedError, ImageError

if TYPE_CHECKING:
    from microcalc.reader.inputs import Inputs
    from microcalc.reader.store import Entry, Store
    from microcalc.reader.tasks import Task

MOST_LISTED = 1000
"""Files that are named on the terminal, at most."""


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """Options of commands that read many files."""

    manifest: Path | None = None
    """A file with a path or URL a line, of more files than can be named."""
    scheduler: str | None = None
    """Address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers do the work."""
    workers: int | None = None
    """Worker processes on this machine that do the work; without them and --scheduler, the command does it itself."""


@dataclass(frozen=True, kw_only=True)
class PatchOptions(Common):
    """Options of commands that read patches."""

    paths: Positional[tuple[str, ...]] = ()
    """Patches of 60 x 60 pixels, or larger fields of known pixel size (PGM, PNG, TIFF, JPEG, DICOM), folders of them,
    or patterns such as 'scans/*.png'."""
    committee: Path | None = None
    """A finished run or its committee/, instead of the committee that comes with microcalc."""
    pixel_size: GivenPixelSize = None
    """Pixel size in mm of images that give none; or unknown: the highest answer of several magnifications counts."""
    reader: OmitArgPrefixes[ReaderOptions] = field(default_factory=ReaderOptions)


@dataclass
class Reading:
    """The files of a request and the store of their results.

    Attributes:
        inputs: of the request.
        store: of their results.
        failed: number of files without a result.
        errors: those of the first thousand of these.
    """

    inputs: "Inputs"
    store: "Store"
    failed: int = 0
    errors: list[ImageError] = field(default_factory=list)

    def results(self) -> "Iterator[tuple[str, dict[str, Any]]]":
        """Give the result of each file, by the name that the request gives it."""
        for file, name in self.inputs.names.items():
            entry = self.store.get(file)
            if entry is not None and entry.result is not None:
                yield name, entry.result


@contextmanager
def read_inputs(
    options: ReaderOptions,
    task: "Task",
    inputs: "Inputs",
    out: Path | None,
    console: Console,
    on_entry: "Callable[[Entry, tuple[str, ...]], None]" = lambda entry, notes: None,
) -> Iterator[Reading]:
    """Do a task to all inputs behind a progress bar, and hold the folder of results for the tables.

    The same command goes on with ``out``; without it, the folder goes with the command.

    Raises:
        RequestError: as for :class:`microcalc.reader.store.Store` and :func:`microcalc.reader.executor.dask_client`.
        FailedError: as there.
    """
    from microcalc.reader.executor import dask_client, in_this_process, on_dask
    from microcalc.reader.run import read_files
    from microcalc.reader.store import Store

    with ExitStack() as stack:
        client = stack.enter_context(dask_client(options.scheduler, options.workers, console.print))
        executor = in_this_process if client is None else on_dask(client)
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="microcalc-")))
        reading = Reading(inputs, stack.enter_context(Store.opened(folder, task.settings())))
        done = 0

        with shown_progress(console, len(inputs.names)) as progress:

            def keep(entry: "Entry", notes: tuple[str, ...]) -> None:
                nonlocal done
                done += 1
                if entry.result is None:
                    reading.failed += 1
                    if len(reading.errors) < MOST_LISTED:
                        reading.errors.append(ImageError(entry.reason, inputs.names[entry.file]))
                on_entry(entry, notes)
                progress(done)

            read_files(task, inputs, reading.store, keep, executor)
        yield reading


def finish(reading: Reading, console: Console) -> None:
    """Print what a user should know of how patches were read: an assumed size, warnings, files left out.

    Raises:
        FailedError: a file has no result.
    """
    assumed = read = warned = 0
    for name, result in reading.results():
        read += 1
        assumed += result["pixel_size_mm"].endswith("(assumed)")
        for warning in result["warnings"]:
            warned += 1
            if warned <= MOST_LISTED:
                console.print(f"{printable(name)}: {warning}")
    if assumed:
        console.print(f"{ASSUMED}: {assumed:,} of {read:,} files")
    if reading.inputs.note():
        console.print(reading.inputs.note())
    list_unreadable(reading.errors)
    refuse_unreadable(reading.failed, len(reading.inputs.names))


def refuse_unreadable(failed: int, total: int) -> None:
    """Raise FailedError where a file, which is listed already, could not be used."""
    if failed:
        raise FailedError(f"{failed:,} of {total:,} files could not be used, as listed above; the rest is done")


def list_unreadable(errors: Sequence[ImageError]) -> None:
    """Print a line for each file that could not be used, quiet or not."""
    console = error_console()
    for error in errors:
        console.print(f"microcalc: {error}")
