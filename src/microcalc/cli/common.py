"""Options, tables and names that several commands share."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tyro.conf import arg

if TYPE_CHECKING:
    from microcalc.data import Data


ASSUMED = "the pixel size was assumed to be 0.085 mm where neither the file nor --pixel-size gives it"
NARROWEST_NAME = 15
"""Letters a line, at least, that a table leaves to names of files."""

plain_console = partial(Console, highlight=False, markup=False, emoji=False)
"""A console that prints the names of files letter by letter, whatever Rich would read into them."""

error_console = partial(plain_console, stderr=True, soft_wrap=True)


@dataclass(frozen=True)
class Common:
    """Options of every command."""

    quiet: Annotated[bool, arg(aliases=["-q"])] = False
    """No progress and no tables."""
    debug: bool = False
    """Show the traceback of an error."""


def print_table(
    console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], breaks_cells: bool = True
) -> None:
    """Print a table whose first column folds; where the terminal is too narrow for it, each row as a list instead.

    Cells of the other columns break between words, or not at all.
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


def describe(data: "Data") -> str:
    """One line on a dataset."""
    positives = int(data.labels.sum())
    patients = len(set(data.groups.tolist()))
    line = f"{data.name}, {len(data.labels)} patches ({positives} with a cluster) of {patients} patients"
    return line + ("; the pixel size was assumed to be 0.085 mm" if data.pixel_size == "assumed" else "")


def warn(*datasets: "Data | None") -> None:
    """Print what is doubtful about datasets, quiet or not, before any work is done on them."""
    errors = error_console()
    for data in filter(None, datasets):
        for warning in data.warnings:
            errors.print(f"microcalc: warning: {data.name}: {printable(warning)}")


def dataset_files(*requests: str | Path | None) -> Iterator[Path]:
    """The files behind the datasets of a request, which no output may overwrite."""
    for request in requests:
        if request is not None and (path := Path(request)).exists():
            yield from path.rglob("*") if path.is_dir() else [path]


def committee_files(directory: Path | None) -> list[Path]:
    """The files of a committee that was given, which no output may overwrite."""
    return [] if directory is None else [path for path in directory.rglob("*") if path.is_file()]


def printable(path: Path | str) -> str:
    """A path or a text without what could steer a terminal, or what its code page lacks."""
    name = str(path)
    try:
        name.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return ascii(name)
    return name if name.isprintable() else ascii(name)
