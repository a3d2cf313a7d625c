"""The work on each file: patches to probabilities, mammograms to findings."""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Self

import numpy as np

from microcalc import __version__
from microcalc.committee.committee import Committee, description_file
from microcalc.committee.predictions import Prediction, predict_patches
from microcalc.config import Engine, GivenPixelSize, GradcamMethod
from microcalc.data.patch_files import PatchFile, read_patch_file
from microcalc.dicom.objects import make_results
from microcalc.dicom.results import Algorithm, NotAnalyzed
from microcalc.errors import ImageError, RequestError, TransientImageError
from microcalc.explain.drawing import overlay, png
from microcalc.explain.maps import Explained, explain
from microcalc.images import read_mammogram
from microcalc.images.resample import as_pixel_size
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.heatmap import draw_heat_map
from microcalc.mammograms.overlay import draw_overlay
from microcalc.mammograms.scanner import load_for_scan, scan_mammogram
from microcalc.mammograms.second_opinion import SecondOpinion
from microcalc.reader.content import Stamp, is_result_of_ours, read_once
from microcalc.reader.marks import follow
from microcalc.reader.store import Store

Files = dict[str, bytes]
"""Files by their place in the folder of results, where ``{}`` stands for the name of the input's pictures."""

PATCHES_AT_ONCE = 32
"""Patches that are predicted together, but for more of one file."""

_one_batch_at_a_time = Lock()
"""PyTorch computes with all its threads in one batch already; more at once would only take memory."""


@dataclass(frozen=True)
class Job:
    """One file to work on.

    Attributes:
        file: absolute path or URL.
        sha256: of the bytes that a known result comes from; empty where there is none.
        result: the known result; None where there is none or the bytes are others.
        lacking: kinds of files to make of a known result; of a new one all are made.
    """

    file: str
    sha256: str = ""
    result: dict[str, Any] | None = None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of a file, or the reason why there is none.

    Attributes:
        result: plain values.
        reason: why there is none, without the name of the file.
        transient: whether another try may succeed.
        made: files of each kind that was made.
        notes: what a user should know, a sentence each.
        stamp: of the file before it was read; see :func:`microcalc.reader.content.stamp`. Empty where it was not read.
        sha256: of the bytes that were read.
    """

    result: dict[str, Any] | None = None
    reason: str = ""
    transient: bool = False
    made: dict[str, Files] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stamp: Stamp = ()
    sha256: str = ""


Read = tuple[Job, bytes]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Work that is done to every file in one way.

    Attributes:
        version: of microcalc; workers of another one refuse.
        committee: directory, at the same place on each worker; None for the one that comes with microcalc.
        committee_sha256: of the committee's files, so that a worker with others refuses; see :meth:`of`.
        pixel_size_mm: of files that do not give it.

    Raises:
        RequestError: the pixel size is impossible.
    """

    kind: ClassVar[str]
    batch: ClassVar[int]
    """Files that a worker is given at once."""

    appearance: ClassVar[frozenset[str]] = frozenset({"committee"})
    """Fields that results do not depend on."""

    version: str = __version__
    committee: str | None = None
    committee_sha256: str = ""
    pixel_size_mm: GivenPixelSize = None

    def __post_init__(self) -> None:
        if isinstance(self.pixel_size_mm, int | float):
            as_pixel_size(self.pixel_size_mm)

    @classmethod
    def of(cls, committee: Path | None = None, **settings: Any) -> Self:
        """Return a task by a committee, which is loaded here, so that a damaged one is noticed now.

        Raises:
            RequestError: it is no committee, or a setting is impossible.
        """
        task = cls(committee=None if committee is None else str(committee.absolute()), **settings)
        task = replace(task, committee_sha256=committee_sha256(task.directory))
        loaded(task)
        return task

    @property
    def directory(self) -> Path:
        """The directory of the committee."""
        packaged = Path(str(resources.files("microcalc"))) / "pretrained"
        return packaged if self.committee is None else Path(self.committee)

    def settings(self) -> dict[str, Any]:
        """Return all that results depend on, as plain values."""
        kept = (each.name for each in fields(self) if each.name not in self.appearance)
        return {"kind": self.kind, **{name: getattr(self, name) for name in kept}}

    def wanted(self) -> dict[str, float]:
        """Return the kinds of files to make of each result, with the operating point that they show."""
        return {}

    def follow(self, store: Store) -> None:
        """Make all files of earlier commands show what this one does."""

    def load(self) -> Any:
        """Load the committee, and what else answers."""
        raise NotImplementedError

    def outcomes(self, loaded: Any, files: Iterable[Read]) -> Iterator[tuple[str, Outcome]]:
        """Give the outcome of each file."""
        raise NotImplementedError


@functools.lru_cache(maxsize=2)
def loaded(task: Task) -> Any:
    """Load what a task needs, once in this process.

    Raises:
        RequestError: this machine has another microcalc, or other files of the committee, than the command.
    """
    if task.version != __version__:
        raise RequestError(f"a worker has microcalc {__version__}, this command {task.version}; install the same")
    if committee_sha256(task.directory) != task.committee_sha256:
        raise RequestError(f"{task.directory}: is another committee on a worker; give one that all of them share")
    return task.load()


def do(task: Task, jobs: Sequence[Job]) -> dict[str, Outcome]:
    """Do a task to some files, each of which is read once.

    Returns:
        The outcome of each, by its path or URL.

    Raises:
        RequestError: this worker differs from the command; see :func:`loaded`.
    """
    done: dict[str, Outcome] = {}
    stamps: dict[str, tuple[Stamp, str]] = {}

    def read() -> Iterator[Read]:
        for job in jobs:
            try:
                content = read_once(job.file)
            except ImageError as error:
                done[job.file] = Outcome(reason=error.problem, transient=isinstance(error, TransientImageError))
                continue
            stamps[job.file] = content.stamp, content.sha256
            yield job if job.sha256 == content.sha256 else Job(job.file), content.data

    with _one_batch_at_a_time:
        for file, outcome in task.outcomes(loaded(task), read()):
            stamp, sha256 = stamps[file]
            done[file] = replace(outcome, stamp=stamp, sha256=sha256)
    return done


def committee_sha256(directory: Path) -> str:
    """Return one hash of all files that the answers of a committee depend on, its second opinion too.

    A file that cannot be read counts as none: whoever loads the committee reports it.
    """
    description = description_file(directory)
    digest = hashlib.sha256()
    for path in sorted([*description.parent.glob("*.safetensors"), description]):
        with suppress(OSError):
            digest.update(path.read_bytes())
    opinion = SecondOpinion.beside(directory)
    digest.update(repr(opinion and replace(opinion, threshold=0.0)).encode())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class PredictTask(Task):
    """Patches to probabilities.

    Attributes:
        engine: of :func:`microcalc.committee.predictions.predict_patches`.

    >>> PredictTask(pixel_size_mm=0.07).settings()["kind"]
    'predict'
    """

    kind = "predict"
    batch = 256

    engine: Engine = "torch"

    def load(self) -> Committee:
        """Load the committee.

        Raises:
            RequestError: it has no threshold for patches of unknown pixel size, and they are to be predicted.
        """
        committee = Committee.pretrained() if self.committee is None else Committee.load(self.committee)
        committee.rule(self.pixel_size_mm == "unknown")
        return committee

    def outcomes(self, loaded: Committee, files: Iterable[Read]) -> Iterator[tuple[str, Outcome]]:
        """Predict files, some patches at a time."""
        waiting: dict[str, PatchFile] = {}
        for job, data in files:
            try:
                waiting[job.file] = read_patch_file(data, self.pixel_size_mm)
            except ImageError as error:
                yield job.file, Outcome(reason=error.problem)
            if sum(len(patch.views) for patch in waiting.values()) >= PATCHES_AT_ONCE:
                yield from self._predicted(loaded, waiting)
                waiting = {}
        yield from self._predicted(loaded, waiting)

    def _predicted(self, committee: Committee, read: dict[str, PatchFile]) -> Iterator[tuple[str, Outcome]]:
        predictions = dict(zip(read, predict_patches(committee, list(read.values()), self.engine), strict=True))
        pictures = self._pictures(committee, read, predictions)
        for file, prediction in predictions.items():
            yield file, Outcome(prediction.to_dict(), made=pictures.get(file, {}))

    def _pictures(
        self, committee: Committee, read: dict[str, PatchFile], predictions: dict[str, Prediction]
    ) -> dict[str, dict[str, Files]]:
        return {}


@dataclass(frozen=True, kw_only=True)
class ExplainTask(PredictTask):
    """Patches to Grad-CAM pictures of the highest patch of each file, beside its probability by the committee.

    Attributes:
        explained: the expert of highest weight, or all of them; see :func:`microcalc.explain.maps.explain`.
        method: of :mod:`microcalc.explain.methods`.
    """

    kind = "explain"
    batch = 24

    explained: Explained = "highest_weight"
    method: GradcamMethod = "hirescam"

    def wanted(self) -> dict[str, float]:
        """Return the one kind of picture."""
        return {"pictures": 0.0}

    def _pictures(
        self, committee: Committee, read: dict[str, PatchFile], predictions: dict[str, Prediction]
    ) -> dict[str, dict[str, Files]]:
        if not read:
            return {}
        images = np.stack([read[file].views[prediction.view] for file, prediction in predictions.items()])
        maps = explain(committee, images, self.explained, self.method)
        best = committee.highest_weight if self.explained == "highest_weight" else None
        pictures = {}
        for image, heat, (file, prediction) in zip(images, maps, predictions.items(), strict=True):
            title = os.fsencode("/".join(Path(file).parts[-2:])).decode(errors="backslashreplace")
            vote = None if best is None else (best, prediction.experts[best])
            figure = overlay(image, heat, prediction.probability, name=title, method=self.method, vote=vote)
            pictures[file] = {"pictures": {"pictures/{}.png": png(figure)}}
        return pictures


@dataclass(frozen=True, kw_only=True)
class ScanTask(Task):
    """Mammograms to findings.

    Attributes:
        operating_point: probability from which findings are marked.
        overlays: whether to draw an overlay of each mammogram.
        heatmap: whether to draw a heat map of each.
        dicom: whether to make DICOM objects of each.
    """

    kind = "scan"
    batch = 1
    appearance = frozenset({"committee", "operating_point", "overlays", "heatmap", "dicom"})

    pixel_size_mm: float | None = None
    operating_point: float = 0.5
    overlays: bool = True
    heatmap: bool = False
    dicom: bool = False

    def wanted(self) -> dict[str, float]:
        """Return the kinds of files to make of each result; a heat map shows no operating point."""
        point = self.operating_point
        kinds = {"overlays": (self.overlays, point), "heatmaps": (self.heatmap, 0.0), "dicom": (self.dicom, point)}
        return {kind: shown for kind, (is_wanted, shown) in kinds.items() if is_wanted}

    @property
    def algorithm(self) -> Algorithm:
        """The program, committee and operating point, as DICOM objects name them."""
        return Algorithm(self.version, loaded(self)[0].name, self.operating_point)

    def follow(self, store: Store) -> None:
        """Make pictures and DICOM objects show this operating point."""
        follow(store, self.algorithm)

    def load(self) -> tuple[Committee, SecondOpinion]:
        """Load the committee, and the second opinion on what it finds."""
        return load_for_scan(None if self.committee is None else Path(self.committee))

    def outcomes(self, loaded: tuple[Committee, SecondOpinion], files: Iterable[Read]) -> Iterator[tuple[str, Outcome]]:
        """Scan files, or make what the results of unchanged ones lack."""
        for job, data in files:
            try:
                yield job.file, self._outcome(loaded, job, data)
            except ImageError as error:
                made, notes = self._dicom(data, NotAnalyzed(error.problem), None) if self.dicom else ({}, ())
                yield job.file, Outcome(reason=error.problem, made=made, notes=notes)

    def _outcome(self, loaded: tuple[Committee, SecondOpinion], job: Job, data: bytes) -> Outcome:
        if is_result_of_ours(data):
            raise ImageError("is a result of microcalc; give the mammogram itself")
        if job.result is not None and not job.lacking:
            return Outcome(job.result)
        mammogram, kinds = read_mammogram(data, job.file), job.lacking or tuple(self.wanted())
        if job.result is not None:
            scanned = ScannedImage.from_dict(job.result)
        else:
            scanned = scan_mammogram(mammogram, job.file, self.pixel_size_mm, *loaded)
        marked, made, notes = scanned.marked_from(self.operating_point), dict[str, Files](), tuple[str, ...]()
        overlay = draw_overlay(mammogram.pixels, marked) if {"overlays", "dicom"} & {*kinds} else b""
        if "overlays" in kinds:
            made["overlays"] = {"overlays/{}.png": overlay}
        if "heatmaps" in kinds:
            made["heatmaps"] = {"heatmaps/{}.png": draw_heat_map(mammogram, self.pixel_size_mm, loaded[0])}
        if "dicom" in kinds:
            dicom, notes = self._dicom(data, marked, overlay)
            made |= dicom
        return Outcome(scanned.to_dict(), made=made, notes=notes)

    def _dicom(
        self, data: bytes, found: ScannedImage | NotAnalyzed, overlay: bytes | None
    ) -> tuple[dict[str, Files], tuple[str, ...]]:
        """Make the DICOM objects of findings, or of the reason why there are none."""
        try:
            results, notes = make_results(data, found, overlay, self.algorithm)
        except ImageError as error:
            return {}, (f"No DICOM results: {error.problem}.",)
        return {"dicom": {f"dicom/{{}}{suffix}": result for suffix, result in results.items()}}, notes
