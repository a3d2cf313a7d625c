"""The folder of results of an archive: Parquet parts, the files without a row, and how far it is."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from microcalc.archive.fetch import Failure
from microcalc.errors import RequestError
from microcalc.files import TEMPORARY_SUFFIX, fits, read_json, write_atomically, write_json

DESCRIPTION = "archive.json"
RESULTS = "results"
FAILURES = "failures.parquet"
LOCK = ".lock"
RECENT_PARTS = 50

_FAILURE = pa.schema([("file", pa.string()), ("reason", pa.string()), ("tries", pa.int64()), ("transient", pa.bool_())])


@dataclass
class ArchiveFolder:
    """Results that one command at a time adds to.

    Attributes:
        path: of the folder; ``results/*.parquet`` are the parts, a row for each file that is done.
        total: number of names in all manifests that it was opened for.
        done: names that have a row.
        failures: by name, the files that have none.
    """

    path: Path
    total: int
    done: set[str]
    failures: dict[str, Failure]

    @classmethod
    @contextmanager
    def opened(cls, path: Path, identity: dict[str, Any], names: Sequence[str]) -> Iterator[Self]:
        """Hold a folder, and write the list of failures at the end, whatever that is.

        Args:
            path: empty, missing, or of an earlier command with the same identity.
            identity: what the rows depend on, as plain values.
            names: of the manifest, each once.

        Raises:
            RequestError: the folder holds something else, or another command works on it.
            FailedError: it cannot be written.
        """
        _make_folder(path)
        lock = FileLock(path / LOCK)
        try:
            lock.acquire(timeout=1)  # `archive status` takes it for a moment
        except Timeout as error:
            raise RequestError(
                f"{path}: another command is working on it; wait for it or give another folder"
            ) from error
        try:
            _check_identity(path, identity)
            for leftover in path.rglob(f".*{TEMPORARY_SUFFIX}"):
                leftover.unlink(missing_ok=True)
            done = _names_in(path / RESULTS)
            # a command that was killed may have left a row, and not the list of failures without its file
            failures = {name: each for name, each in _read_failures(path / FAILURES).items() if name not in done}
            total = len(done.union(failures, names))
            write_json(path / DESCRIPTION, {"schema": 1, "names": total, "task": identity})
            folder = cls(path, total, done, failures)
            try:
                yield folder
            finally:
                folder.write_failures()
        finally:
            lock.release()

    def missing(self, names: Iterable[str]) -> list[str]:
        """The names that are still to be done: without a row, and not failed for a reason that stays."""
        kept = {name for name, failure in self.failures.items() if not failure.transient}
        return [name for name in names if name not in self.done and name not in kept]

    def add(self, names: Sequence[str], part: bytes, failures: Iterable[Failure]) -> None:
        """Keep what became of a batch.

        Raises:
            FailedError: the folder cannot be written.
        """
        failed = {failure.file: failure for failure in failures}
        if part:
            name = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
            write_atomically(self.path / RESULTS / f"{name}.parquet", part)
        for name in names:
            before = self.failures.pop(name, None)
            if name not in failed:
                self.done.add(name)
                continue
            tries = failed[name].tries + (before.tries if before else 0)
            self.failures[name] = Failure(name, failed[name].reason, tries, failed[name].transient)

    def write_failures(self) -> None:
        """Write ``failures.parquet``: file, reason, number of tries, and whether another try may succeed.

        Raises:
            FailedError: the folder cannot be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([asdict(each) for each in self.failures.values()], _FAILURE), sink)
        write_atomically(self.path / FAILURES, sink.getvalue().to_pybytes())


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(entry.name != LOCK for entry in path.iterdir())
    except OSError as error:
        raise RequestError(f"{path}: cannot be used as a folder ({error.strerror}); give another one") from error
    if occupied and not (path / DESCRIPTION).is_file():
        raise RequestError(f"{path}: holds something other than an archive; give another folder")


def _check_identity(path: Path, identity: dict[str, Any]) -> None:
    if (path / DESCRIPTION).exists() and _description(path)["task"] != json.loads(json.dumps(identity)):
        raise RequestError(f"{path}: was made with other settings or another committee; give another folder")


def _description(path: Path) -> dict[str, Any]:
    saved = read_json(path / DESCRIPTION, "give the --out of an archive")
    task = saved.get("task") if isinstance(saved, dict) else None
    kind = task.get("kind") if isinstance(task, dict) else None
    if not isinstance(kind, str) or not fits({**saved, "task": kind}, {"schema": int, "names": int, "task": str}):
        raise RequestError(f"{path / DESCRIPTION}: is not that of an archive; give another folder")
    described: dict[str, Any] = saved
    return described


def _parts(results: Path) -> list[Path]:
    return sorted(results.glob("*.parquet"))


def _names_in(results: Path) -> set[str]:
    names: set[str] = set()
    rows = 0
    for part in _parts(results):
        column = _read(part, ["file"]).column("file").to_pylist()
        rows += len(column)
        names.update(column)
        if len(names) < rows:
            raise RequestError(f"{part}: holds files that another part holds too; delete it and run again")
    return names


def _read_failures(path: Path) -> dict[str, Failure]:
    if not path.exists():
        return {}
    return {row["file"]: Failure(**row) for row in _read(path, _FAILURE.names).to_pylist()}


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, partitioning=None).select(columns)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path) from error


@dataclass(frozen=True)
class ArchiveStatus:
    """How far an archive is.

    Attributes:
        kind: of task, "predict" or "scan".
        names: in all manifests that it was given.
        done: files with a row.
        failed: files without, after all tries.
        running: whether a command is working on it.
        rate: rows a second over the last parts; None where there are too few.
    """

    kind: str
    names: int
    done: int
    failed: int
    running: bool
    rate: float | None

    @property
    def left(self) -> int:
        """Files that nothing was written of yet."""
        return max(self.names - self.done - self.failed, 0)


def archive_status(path: Path) -> ArchiveStatus:
    """Read how far an archive is, while a command may be working on it.

    Raises:
        RequestError: the folder holds none.
    """
    if not (path / DESCRIPTION).is_file():
        raise RequestError(f"{path}: holds no archive; give the --out of predict or scan with --manifest")
    described = _description(path)
    counted = sorted((part.stat().st_mtime, _rows(part)) for part in _parts(path / RESULTS))
    return ArchiveStatus(
        kind=described["task"]["kind"],
        names=described["names"],
        done=sum(rows for _, rows in counted),
        failed=len(_read_failures(path / FAILURES)),
        running=_is_locked(path / LOCK),
        rate=_rate(counted[-RECENT_PARTS:]),
    )


def _rows(part: Path) -> int:
    try:
        return int(pq.read_metadata(part).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(part) from error


def _unreadable(path: Path) -> RequestError:
    return RequestError(f"{path}: cannot be read as Parquet; delete it and run again")


def _rate(counted: list[tuple[float, int]]) -> float | None:
    if len(counted) < 2 or counted[-1][0] <= counted[0][0]:
        return None
    return sum(rows for _, rows in counted[1:]) / (counted[-1][0] - counted[0][0])


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        with lock.acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True
