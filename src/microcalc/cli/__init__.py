"""The command line: one module a command, errors in one line, and the only room that prints."""

import contextlib
import gc
import io
import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from microcalc import __version__
from microcalc.cli.adapt import Adapt
from microcalc.cli.app import App
from microcalc.cli.audit import Audit
from microcalc.cli.common import Common, error_console, plain_console
from microcalc.cli.compare import Compare
from microcalc.cli.evaluate import Evaluate
from microcalc.cli.explain import Explain
from microcalc.cli.export import Export
from microcalc.cli.fetch import Fetch
from microcalc.cli.interrupt import surely_interrupted
from microcalc.cli.node import Node
from microcalc.cli.phantom import Phantom
from microcalc.cli.predict import Predict
from microcalc.cli.run import Run
from microcalc.cli.scan import Scan
from microcalc.errors import MicrocalcError
from microcalc.files import is_standard_output

COMMANDS: tuple[type[Common], ...] = (
    *(Run, Predict, Explain, Scan, Evaluate, Adapt, Node),
    *(Audit, Compare, Fetch, Phantom, Export, App),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 success, 2 invalid request, 1 failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"microcalc {__version__}")
        return
    command: Any = None
    try:
        command = parsed(arguments)
        with surely_interrupted(lambda: print_error(KeyboardInterrupt(), command)):
            error_stream = writes_standard_output(command)
            command.run(plain_console(quiet=command.quiet, stderr=error_stream))
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in arguments:
            raise
        if isinstance(error, KeyboardInterrupt):
            gc.freeze()  # searching all of PyTorch for cycles takes Python a second when it leaves
        print_error(error, command)
        sys.exit(getattr(error, "exit_code", 1))


def parsed(arguments: Sequence[str]) -> Any:
    """The requested command, as its dataclass.

    Raises:
        RequestError: a setting is out of its range.
    """
    named: list[Any] = [Annotated[command, subcommand(command.__name__.lower())] for command in COMMANDS]
    description = "Find clusters of microcalcifications in mammograms."
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            return tyro.cli(reduce(or_, named), args=arguments, prog="microcalc", description=description)
    except SystemExit as leaving:
        cause: BaseException | None = leaving
        while cause is not None and not isinstance(cause, MicrocalcError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:  # a dataclass refused a value; tyro would draw a box around its own name for it
            raise cause from None
        raise
    finally:
        if not isinstance(sys.exception(), MicrocalcError):
            sys.stderr.write(written.getvalue())


def writes_standard_output(command: Any) -> bool:
    """Whether a file of the request is standard output, which nothing else may then be printed to."""
    return any(isinstance(value, Path) and is_standard_output(value) for value in vars(command).values())


def print_error(error: BaseException, command: Any) -> None:
    """Print an error in one line on standard error."""
    console = error_console()
    console.print(f"microcalc: {one_line(error, command)}")


def one_line(error: BaseException, command: Any) -> str:
    """An error in one printable line."""
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted"
        if isinstance(command, Run):
            text += f"; what is finished is kept: go on with --resume --out {command.out}"
        elif isinstance(command, Predict | Explain | Scan) and command.out is not None:
            text += "; what is finished is kept: the same command goes on"
    elif isinstance(error, MicrocalcError):
        text = str(error)
    elif isinstance(error, RuntimeError) and "home directory" in str(error):
        text = "this user has no home folder; set HOME to a folder that may be written"
    else:
        text = f"{type(error).__name__}: {error}; give --debug to see where"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split()))
