"""What a worker does: one batch of names in, one Parquet part and its failures out."""

import functools
import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Self

import pyarrow as pa
import pyarrow.parquet as pq

from microcalc import __version__
from microcalc.archive.fetch import Failure, fetched
from microcalc.committee.committee import Committee, description_file
from microcalc.committee.predictions import plain_row, predict_files
from microcalc.config import Engine, GivenPixelSize
from microcalc.data.patch_files import Unreadable
from microcalc.errors import ImageError, RequestError, TransientImageError
from microcalc.images import read_mammogram
from microcalc.images.resample import as_pixel_size
from microcalc.mammograms.scanner import load_for_scan, scan_mammogram
from microcalc.mammograms.second_opinion import SecondOpinion
from microcalc.networks.allocator import keep_freed_memory

Rows = list[dict[str, Any]]
Files = dict[Path, list[str]]
"""Files of a batch, each with its names in the manifest."""

_ONE_BATCH_AT_A_TIME: AbstractContextManager[Any] = Lock()
"""PyTorch computes with all its threads in one batch already; more at once would only take memory."""

_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()
_POINT = pa.list_(_NUMBER)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is done to every file of an archive; the same for all parts of its folder.

    Attributes:
        version: of microcalc; workers of another one refuse.
        committee: directory, at the same place on each worker; None for the one that comes with microcalc.
        committee_sha256: of its files, so that a worker with others refuses; see :meth:`of`.
    """

    kind: ClassVar[str]
    largest_batch: ClassVar[int]

    version: str = __version__
    committee: str | None = None
    committee_sha256: str | None = None

    @classmethod
    def of(cls, committee: Path | None = None, **settings: Any) -> Self:
        """A task by a committee, which is read once here, so that one that is damaged is noticed now.

        Raises:
            RequestError: it is no committee.
        """
        if committee is None:
            return cls(**settings)
        Committee.load(committee)
        place = committee.absolute()
        return cls(committee=str(place), committee_sha256=committee_sha256(place), **settings)

    def identity(self) -> dict[str, Any]:
        """What the rows depend on, as plain values."""
        return {"kind": self.kind, **asdict(self)}

    def check(self) -> None:
        """Refuse, on a worker, what it would do otherwise than the command that gave the task.

        Raises:
            RequestError: its microcalc or its committee is another one.
        """
        if self.version != __version__:
            raise RequestError(f"a worker has microcalc {__version__}, this command {self.version}; install the same")
        if self.committee is not None and committee_sha256(Path(self.committee)) != self.committee_sha256:
            raise RequestError(f"{self.committee}: is another committee on a worker; give one that all of them share")

    def load(self) -> Any:
        """What answers."""
        raise NotImplementedError

    def rows(self, loaded: Any, files: Files) -> tuple[Rows, list[Failure]]:
        """A row for each name of each file, and the names that have none."""
        raise NotImplementedError

    def schema(self, rows: Rows) -> pa.Schema:
        """Columns of a part."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PredictTask(Task):
    """Patches to probabilities, as ``microcalc predict`` gives them.

    Attributes:
        pixel_size_mm: of files that do not give it.
        engine: of :func:`microcalc.committee.predictions.predict_files`.

    Raises:
        RequestError: the pixel size is impossible.

    >>> PredictTask(pixel_size_mm=0.07).identity()["kind"]
    'predict'
    """

    kind = "predict"
    largest_batch = 512

    pixel_size_mm: GivenPixelSize = None
    engine: Engine = "torch"

    def __post_init__(self) -> None:
        if isinstance(self.pixel_size_mm, int | float):
            as_pixel_size(self.pixel_size_mm)

    def load(self) -> Committee:
        """The committee."""
        return Committee.pretrained() if self.committee is None else Committee.load(self.committee)

    def rows(self, loaded: Committee, files: Files) -> tuple[Rows, list[Failure]]:
        """Predict files; see :func:`microcalc.committee.predictions.predict_files`."""
        rows, failures = [], []
        for each in predict_files(loaded, list(files), self.pixel_size_mm, self.engine):
            for name in files[each.file]:
                if isinstance(each, Unreadable):
                    failures.append(Failure(name, each.problem, transient=each.transient))
                else:
                    rows.append({**plain_row(each), "file": name})
        return rows, failures

    def schema(self, rows: Rows) -> pa.Schema:
        """Columns as those of ``predict --json``."""
        votes = [(name, _NUMBER) for name in rows[0] if name.startswith("expert_")]
        head = [("file", _TEXT), ("probability", _NUMBER), ("decision", pa.int8())]
        tail = [("pixel_size_mm", _TEXT), ("warnings", pa.list_(_TEXT))]
        return pa.schema([*head, *votes, *tail])


@dataclass(frozen=True, kw_only=True)
class ScanTask(Task):
    """Mammograms to findings, as ``microcalc scan`` gives them.

    Attributes:
        pixel_size_mm: of files that do not give it.
        threshold: probability from which a finding is marked; the operating point where None.

    Raises:
        RequestError: the pixel size is impossible.
    """

    kind = "scan"
    largest_batch = 16

    pixel_size_mm: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.pixel_size_mm is not None:
            as_pixel_size(self.pixel_size_mm)

    def load(self) -> tuple[Committee, SecondOpinion]:
        """The committee, and the second opinion on what it finds."""
        committee, opinion = load_for_scan(None if self.committee is None else Path(self.committee))
        return committee, opinion if self.threshold is None else replace(opinion, threshold=self.threshold)

    def rows(self, loaded: tuple[Committee, SecondOpinion], files: Files) -> tuple[Rows, list[Failure]]:
        """Scan files; see :func:`microcalc.mammograms.scanner.scan_mammogram`."""
        rows, failures = [], []
        for path, names in files.items():
            try:
                scanned = scan_mammogram(read_mammogram(path), str(path), self.pixel_size_mm, *loaded)
            except ImageError as error:
                transient = isinstance(error, TransientImageError)
                failures += [Failure(name, error.problem, transient=transient) for name in names]
            else:
                rows += [{**scanned.to_dict(), "file": name} for name in names]
        return rows, failures

    def schema(self, rows: Rows) -> pa.Schema:
        """Columns as the entries of ``findings.json``."""
        finding = [
            *(("number", _WHOLE), ("score", _NUMBER), ("probability", _NUMBER), ("marked", pa.bool_())),
            *(("center_px", _POINT), ("box_px", pa.list_(_WHOLE)), ("extent_mm", _NUMBER)),
            ("calcifications_px", pa.list_(_POINT)),
        ]
        return pa.schema(
            [
                *(("file", _TEXT), ("pixel_size_mm", _POINT), ("rows", _WHOLE), ("columns", _WHOLE)),
                *(("breast_mm2", _NUMBER), ("seconds", _NUMBER), ("warnings", pa.list_(_TEXT))),
                ("findings", pa.list_(pa.struct(finding))),
            ]
        )


@dataclass(frozen=True)
class Outcome:
    """Of one batch: a Parquet file of its rows, empty where there is none; and the files without a row."""

    part: bytes
    failures: list[Failure]


def run_batch(task: Task, names: Sequence[str], folder: str) -> Outcome:
    """Do a task to some files of a manifest.

    Args:
        task: what is done.
        names: of the manifest.
        folder: the current one of the command, to which relative paths are relative.

    Raises:
        RequestError: this worker differs from the command; see :meth:`Task.check`.
    """
    with _ONE_BATCH_AT_A_TIME, fetched(names, Path(folder)) as (files, failures):
        rows, unreadable = task.rows(_loaded(task), files)
    if not rows:
        return Outcome(b"", failures + unreadable)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, task.schema(rows)), sink)
    return Outcome(sink.getvalue().to_pybytes(), failures + unreadable)


@functools.lru_cache(maxsize=1)
def _loaded(task: Task) -> Any:
    """What answers, loaded once a worker."""
    task.check()
    keep_freed_memory()
    return task.load()


def committee_sha256(directory: Path) -> str:
    """Of all files of a committee that its answers depend on.

    Raises:
        RequestError: it cannot be read.
    """
    description = description_file(directory)
    digest = hashlib.sha256()
    try:
        for path in sorted([*description.parent.glob("*.safetensors"), description]):
            digest.update(path.read_bytes())
        opinion = SecondOpinion.beside(directory)
    except OSError as error:
        raise RequestError(f"{error.filename}: cannot be read ({error.strerror}) on a worker") from error
    digest.update(repr(opinion).encode())
    return digest.hexdigest()
