"""The one store of results: a file of JSON lines in the folder, which one command at a time adds to."""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

from microcalc.errors import FailedError, RequestError
from microcalc.files import TEMPORARY_SUFFIX, locked, write_atomically
from microcalc.images.folders import IMAGE_SUFFIXES
from microcalc.reader.content import Stamp, is_url, stamp

RESULTS = "results.jsonl"
LOCK = ".lock"
SCHEMA = 1

OUTPUT_FOLDERS = ("dicom", "heatmaps", "overlays", "pictures")
"""Folders of a folder of results that hold pictures and objects, a folder a kind."""

SUFFIXES = (".png", ".sr.dcm", ".pr.dcm", ".sc.dcm", ".regions.dcm")
LONGEST_NAME = 200
"""Most bytes of the name of a picture; most disks take 255, with all suffixes."""


@dataclass(frozen=True)
class Entry:
    """One file in the store.

    Attributes:
        file: absolute path or URL.
        stamp: of the file before it was read; see :func:`microcalc.reader.content.stamp`.
        sha256: of the bytes that the result comes from; empty where they could not be read.
        result: plain values; None where the file failed.
        reason: why it failed, without the file's name.
        transient: whether another try may succeed.
        name: of its pictures; empty where it has none.
        made: kinds of pictures and objects that were made, each with the operating point that it shows.
    """

    file: str
    stamp: Stamp
    sha256: str
    result: dict[str, Any] | None
    reason: str = ""
    transient: bool = False
    name: str = ""
    made: dict[str, float] = field(default_factory=dict)

    def is_current(self) -> bool:
        """Whether the file is as it was when it was read; a URL always is."""
        return self.stamp == stamp(self.file)


class Store:
    """The results of a folder, in the order in which they came; of each file the last one counts.

    Open one by :meth:`opened`.
    """

    def __init__(self, folder: Path, file: BinaryIO, saved: "_Saved") -> None:
        self.folder, self.settings = folder, saved.settings
        self._file, self._places, self._names = file, saved.places, saved.names

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, settings: dict[str, Any] | None = None) -> Iterator[Self]:
        """Hold a folder of results, new or of an earlier command with the same settings; None for those of the folder.

        Raises:
            RequestError: the folder holds results of other settings, or another command works on it.
            FailedError: it cannot be written.
        """
        path = folder / RESULTS
        with locked(folder / LOCK):
            if not path.exists() and (folder / "findings.json").exists():
                raise RequestError(f"{folder}: holds findings of an earlier version, or a truth; give another folder")
            if settings is None:
                settings = _read(path).settings
            saved = _read(path) if path.exists() else None
            if saved is None or (saved.settings != settings and not saved.has_result):
                head = json.dumps({"schema": SCHEMA, "settings": settings}) + "\n"
                write_atomically(path, head)
                saved = _Saved(settings, len(head))
            elif saved.settings != settings:
                differences = _differences(saved.settings, settings)
                raise RequestError(f"{folder}: holds results of other settings ({differences}); give another folder")
            for place in (folder, *(folder / name for name in OUTPUT_FOLDERS)):
                for leftover in place.glob(f".*{TEMPORARY_SUFFIX}"):
                    leftover.unlink(missing_ok=True)
            with path.open("r+b") as file:
                file.truncate(saved.end)  # what a crash left of a last line goes
                yield cls(folder, file, saved)

    def files(self) -> list[str]:
        """Return all files, by absolute path or URL."""
        return list(self._places)

    def get(self, file: str) -> Entry | None:
        """Return the last entry of a file; None where there is none."""
        place = self._places.get(file)
        if place is None:
            return None
        self._file.seek(place)
        return _entry(json.loads(self._file.readline()))

    def entries(self, first: Iterable[str] = ()) -> Iterator[Entry]:
        """Read all entries, one in memory at a time: those of some files first, in their order, then the others."""
        for file in dict.fromkeys([*first, *self._places]):
            entry = self.get(file)
            if entry is not None:
                yield entry

    def add(self, entry: Entry) -> None:
        """Keep an entry.

        Raises:
            FailedError: the disk is full.
        """
        line = json.dumps(asdict(entry), allow_nan=False).encode() + b"\n"
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise FailedError(
                f"{self.folder / RESULTS}: cannot be written ({error.strerror}); make room and run again"
            ) from error
        self._places[entry.file] = place

    def holds(self, entry: Entry, kind: str) -> bool:
        """Whether the picture, or the first object, of a kind is there."""
        suffix = SUFFIXES[1] if kind == "dicom" else SUFFIXES[0]
        return (self.folder / kind / (entry.name + suffix)).is_file()

    def remove_files(self, entry: Entry, kinds: Iterable[str]) -> None:
        """Delete the pictures and objects of some kinds of an entry."""
        for kind, suffix in product(kinds, SUFFIXES):
            (self.folder / kind / (entry.name + suffix)).unlink(missing_ok=True)

    def free_name(self, file: str) -> str:
        """Take a name for the pictures of a file: its own, with a number where another file has taken that."""
        path = Path(urlsplit(file).path if is_url(file) else file)
        name = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
        while len(os.fsencode(name)) > LONGEST_NAME:
            name = name[:-1]
        free, number = name, 2
        while _folded(free) in self._names:
            free, number = f"{name}-{number}", number + 1
        self._names.add(_folded(free))
        return free


def _folded(name: str) -> str:
    """Return what two names have in common that are one file on some disks."""
    return unicodedata.normalize("NFC", name).casefold()


@dataclass
class _Saved:
    """A file of results as it is found: settings, the end of its last whole line, and what :class:`Store` needs."""

    settings: dict[str, Any]
    end: int
    places: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    has_result: bool = False


def _read(path: Path) -> _Saved:
    """Read all lines, and pass over those that a failing disk has damaged.

    Raises:
        RequestError: the first one does not hold settings.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); give the --out of a finished scan") from error
    with file:
        head = file.readline()
        try:
            described = json.loads(head)
            settings = described["settings"] if described["schema"] == SCHEMA else None
        except (ValueError, KeyError, TypeError):
            settings = None
        if not isinstance(settings, dict):
            raise RequestError(f"{path}: is not what this version of microcalc leaves there; give another folder")
        saved = _Saved(settings, len(head))
        for line in file:
            if not line.endswith(b"\n"):
                break
            with suppress(ValueError, KeyError, TypeError):
                entry = _entry(json.loads(line))
                saved.places[entry.file] = saved.end
                saved.has_result |= entry.result is not None
                saved.names.add(_folded(entry.name))
            saved.end += len(line)
    return saved


def _entry(line: dict[str, Any]) -> Entry:
    return Entry(**{**line, "stamp": tuple(line["stamp"])})


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Name the settings that differ, with both values.

    >>> _differences({"kind": "scan", "pixel_size_mm": None}, {"kind": "scan", "pixel_size_mm": 0.07})
    'pixel size mm: not given there, 0.07 now'
    """
    pairs = {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    shown = {name: ["not given" if each is None else str(each)[:20] for each in pair] for name, pair in pairs.items()}
    differing = (name for name, (there, now) in pairs.items() if there != now)
    return "; ".join("{}: {} there, {} now".format(name.replace("_", " "), *shown[name]) for name in differing)
