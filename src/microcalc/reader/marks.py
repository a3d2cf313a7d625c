"""Another operating point for a finished scan: pictures, tables and DICOM objects follow, and nothing is scanned."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from microcalc.dicom.objects import make_results
from microcalc.dicom.results import Algorithm, NotAnalyzed
from microcalc.errors import ImageError
from microcalc.files import checked, read_record, write_atomically
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.overlay import draw_overlay, redraw_overlay
from microcalc.reader.content import read_once
from microcalc.reader.store import Entry, Store
from microcalc.reader.tables import write_scan

AT_ONCE = 64


@dataclass(frozen=True)
class _Head:
    committee: str


def mark_again(folder: Path, operating_point: float) -> str:
    """Mark the findings of a finished scan from another probability on, and write all that the scan left once more.

    The mammograms are needed for DICOM objects alone; those of one that is gone or has changed are deleted.

    Returns:
        How many images and findings there are, in words.

    Raises:
        RequestError: the folder holds no finished scan, another command works on it, or it is no probability.
        FailedError: the folder cannot be written.
    """
    checked(Annotated[float, Ge(0), Le(1)], operating_point, "threshold")
    committee = read_record(folder / "findings.json", _Head, "give the --out of a finished scan").committee
    with Store.opened(folder) as store:
        follow(store, Algorithm(store.settings["version"], committee, operating_point))
        return write_scan(store, (), committee, operating_point)


def follow(store: Store, algorithm: Algorithm) -> None:
    """Make the pictures and DICOM objects of all images show an operating point.

    Raises:
        FailedError: the folder cannot be written.
    """
    entries = store.entries()
    with ThreadPoolExecutor() as threads:
        while part := list(islice(entries, AT_ONCE)):
            for before, after in zip(part, threads.map(partial(_follow, store, algorithm), part), strict=True):
                if after != before:
                    store.add(after)


def _follow(store: Store, algorithm: Algorithm, entry: Entry) -> Entry:
    """Return the entry of one image with what its files now show."""
    if not entry.made:
        return entry
    made, point = dict(entry.made), algorithm.operating_point
    image = None if entry.result is None else ScannedImage.from_dict(entry.result)
    marked = image and image.marked_from(point)
    overlay = store.folder / "overlays" / f"{entry.name}.png"
    if image and image.marked_from(made.get("overlays", point)) != marked:
        made["overlays"] = point
        try:
            drawn = redraw_overlay(overlay.read_bytes(), image.marked_from(point))
        except OSError:  # it is gone or damaged, so the next scan draws it
            del made["overlays"]
        else:
            write_atomically(overlay, drawn)
    if made.get("dicom", point) != point:
        store.remove_files(entry, ["dicom"])
        objects = _objects(entry, marked or NotAnalyzed(entry.reason), overlay, algorithm)
        for suffix, content in objects.items():
            write_atomically(store.folder / "dicom" / f"{entry.name}{suffix}", content)
        made["dicom"] = point
        if not objects:
            del made["dicom"]
    return replace(entry, made=made)


def _objects(entry: Entry, found: ScannedImage | NotAnalyzed, overlay: Path, algorithm: Algorithm) -> dict[str, bytes]:
    """Return the DICOM objects of an image by their suffixes; none where its file is gone or has changed."""
    try:
        content = read_once(entry.file)
        if content.sha256 != entry.sha256:
            return {}
        drawn = None
        if isinstance(found, ScannedImage):
            kept = overlay.is_file()
            drawn = overlay.read_bytes() if kept else draw_overlay(read_mammogram(content.data).pixels, found)
        return make_results(content.data, found, drawn, algorithm)[0]
    except ImageError:
        return {}
