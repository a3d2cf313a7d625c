"""Scans of many files: a folder of results, which a second run of the same command goes on with."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from jinja2 import Environment

from microcalc.committee.committee import Committee
from microcalc.errors import FailedError, ImageError, RequestError
from microcalc.files import write_atomically, write_json
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.resample import as_pixel_size
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.heatmap import draw_heat_map
from microcalc.mammograms.overlay import draw_overlay
from microcalc.mammograms.scanner import scan_mammogram
from microcalc.mammograms.second_opinion import SecondOpinion

PROGRESS = "progress.jsonl"

COLUMNS = (
    *("file", "number", "probability", "score", "marked", "center_column_px", "center_row_px"),
    *("left_px", "top_px", "right_px", "bottom_px", "extent_mm", "calcifications"),
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>microcalc scan</title><style>
body {font: 15px/1.4 sans-serif; margin: 2em; max-width: 80em} figure {display: inline-block; margin: 0 1em 1em 0;
vertical-align: top; width: 18em} img {max-width: 100%; max-height: 24em; background: #000}
figcaption {overflow-wrap: anywhere}
.marked {font-weight: bold} .warning {color: #8a4b00} td, th {padding: 0 1em 0 0; text-align: left}
</style></head><body><h1>Scan</h1>
<p>{{ images|length }} images, {{ marks }} findings at or above the operating point of
{{ '%.3f'|format(operating_point) }}; committee: {{ committee }}. Not a medical device.</p>
{% for name, image in images %}<figure><a href="overlays/{{ name }}.png"><img loading="lazy" alt="{{ image.file }}"
src="overlays/{{ name }}.png"></a><figcaption>{{ image.file }}
{% for finding in image.findings if finding.marked %}<br><span class="marked">{{ finding.number }}:
{{ '%.2f'|format(finding.probability) }}</span>, {{ finding.calcifications_px|length }} calcifications over
{{ '%.1f'|format(finding.extent_mm) }} mm{% else %}<br>no finding at or above the operating point{% endfor %}
{% if name in heat_maps %}<br><a href="heatmaps/{{ name }}.png">heat map</a>{% endif %}
{% for warning in image.warnings %}<br><span class="warning">{{ warning }}</span>{% endfor %}</figcaption></figure>
{% endfor %}{% if failed %}<h2>Not scanned</h2><table><tr><th>file</th><th>reason</th></tr>
{% for entry in failed %}<tr><td>{{ entry.file }}</td><td>{{ entry.reason }}</td></tr>{% endfor %}</table>{% endif %}
</body></html>
"""


@dataclass(frozen=True)
class FailedImage:
    """A file that could not be scanned, and why, in one line."""

    file: str
    reason: str


Each = Callable[[Path, str, ScannedImage | FailedImage], None]


@dataclass(frozen=True)
class Scanner:
    """All that the scans of one folder of results have in common.

    Attributes:
        out: the folder.
        committee: that answers.
        committee_name: as ``findings.json`` is to name it.
        second_opinion: on what the committee finds; its threshold is the operating point.
        pixel_size_mm: of files that do not give it.
        heatmap: whether to draw a heat map of each image, too.
        each: is given each file, the name of its pictures and its result, when they are there.
    """

    out: Path
    committee: Committee
    committee_name: str
    second_opinion: SecondOpinion
    pixel_size_mm: float | None = None
    heatmap: bool = False
    each: "Each | None" = None

    def run(self, files: Sequence[Path]) -> Iterator[ScannedImage | FailedImage]:
        """Scan files one after another, and write tables and contact sheet when all are done.

        Each result is kept as soon as it is there. Files that an earlier run with the same settings has done, and that
        have not changed since, are not scanned again; those that failed are tried again.

        Yields:
            For each file what was found, or why it could not be scanned.

        Raises:
            RequestError: the folder holds a scan with other settings, or the pixel size is impossible.
            FailedError: the folder cannot be written.
        """
        if self.pixel_size_mm is not None:
            as_pixel_size(self.pixel_size_mm)  # here once, not as the reason of every file
        log = ProgressLog.open(self.out / PROGRESS, self._settings())
        results: list[tuple[str, ScannedImage | FailedImage]] = []
        for file in files:
            name, result = log.known(file) or self._scan(file, log)
            results.append((name, result))
            if self.each:
                self.each(file, name or log.free_name(file), result)
            yield result
        self._write(results)

    def _settings(self) -> dict[str, Any]:
        opinion = asdict(self.second_opinion)
        return {
            "schema": 2,
            "committee": self.committee_name,
            "second_opinion": json.loads(json.dumps(opinion)),
            "pixel_size_mm": self.pixel_size_mm,
            "heatmap": self.heatmap,
        }

    def _scan(self, file: Path, log: "ProgressLog") -> tuple[str, ScannedImage | FailedImage]:
        try:
            mammogram = read_mammogram(file)
            scanned = scan_mammogram(mammogram, str(file), self.pixel_size_mm, self.committee, self.second_opinion)
        except ImageError as error:
            return "", FailedImage(str(file), error.problem)
        name = log.free_name(file)
        write_atomically(
            self.out / "overlays" / f"{name}.png", draw_overlay(mammogram.pixels, scanned, side(mammogram))
        )
        if self.heatmap:
            drawn = draw_heat_map(mammogram, self.pixel_size_mm, self.committee)
            write_atomically(self.out / "heatmaps" / f"{name}.png", drawn)
        log.add(file, name, scanned)
        return name, scanned

    def _write(self, results: Sequence[tuple[str, ScannedImage | FailedImage]]) -> None:
        images = [(name, result) for name, result in results if isinstance(result, ScannedImage)]
        failed = [asdict(result) for _, result in results if isinstance(result, FailedImage)]
        head = {"committee": self.committee_name, "operating_point": self.second_opinion.threshold}
        plain = [image.to_dict() for _, image in images]
        write_json(self.out / "findings.json", {"schema": 2, **head, "images": plain, "failed": failed})
        write_atomically(self.out / "findings.csv", _table([image for _, image in images]))
        page = Environment(autoescape=True).from_string(PAGE)
        marks = sum(finding.marked for _, image in images for finding in image.findings)
        maps = {name for name, _ in images} if self.heatmap else set()
        content = page.render(images=images, failed=failed, marks=marks, heat_maps=maps, **head)
        write_atomically(self.out / "index.html", content)


def side(mammogram: Mammogram) -> str:
    """Side and view, where the file gives them.

    >>> import numpy as np
    >>> side(Mammogram(np.zeros((9, 9), np.float32), None, laterality="R", view="MLO"))
    'R MLO'
    """
    return " ".join(part for part in (mammogram.laterality, mammogram.view) if part)


def _table(images: Sequence[ScannedImage]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(table_row(image, finding) for image in images for finding in image.findings)
    return text.getvalue()


def table_row(image: ScannedImage, finding: Finding) -> list[str | int]:
    """A finding in ``findings.csv``, in the order of ``COLUMNS``."""
    numbers = [f"{value:.6g}" for value in (finding.probability, finding.score)]
    places = [f"{value:.2f}" for value in finding.center_px]
    box, extent, count = finding.box_px, f"{finding.extent_mm:.2f}", len(finding.calcifications_px)
    return [image.file, finding.number, *numbers, int(finding.marked), *places, *box, extent, count]


@dataclass(frozen=True)
class ProgressLog:
    """What is done, a line of JSON a file, so that a scan that was stopped can go on.

    Attributes:
        path: of the log; its first line holds the settings.
        done: by absolute path, the last line of each file.
        names: of pictures that are taken.
    """

    path: Path
    done: dict[str, dict[str, Any]]
    names: set[str]

    @classmethod
    def open(cls, path: Path, settings: dict[str, Any]) -> Self:
        """Begin a log, or read the one that is there.

        Raises:
            RequestError: it is that of a scan with other settings.
            FailedError: it cannot be written.
        """
        lines = list(_lines(path))
        if lines and lines[0] != settings:
            raise RequestError(f"{path.parent}: holds a scan with other settings; give another folder")
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in [settings, *lines[1:]]))
        return cls(path, {line["path"]: line for line in lines[1:]}, {line["name"] for line in lines[1:]})

    def known(self, file: Path) -> tuple[str, ScannedImage] | None:
        """The name and the result of a file that was done before and has not changed."""
        line = self.done.get(str(file.absolute()))
        if (
            line is None
            or line["stamp"] != _stamp(file)
            or not (self.path.parent / "overlays" / f"{line['name']}.png").is_file()
        ):
            return None
        with suppress(TypeError, KeyError, ValueError):
            return line["name"], ScannedImage.from_dict({**line["image"], "file": str(file)})
        return None

    def free_name(self, file: Path) -> str:
        """A name for the pictures of a file: its own, with a number where another file has taken that.

        >>> log = ProgressLog(Path("progress.jsonl"), {}, set())
        >>> log.free_name(Path("a/left.png")), log.free_name(Path("b/Left.png"))
        ('left', 'Left-2')
        """
        known = self.done.get(str(file.absolute()))
        if known is not None:
            return str(known["name"])
        taken = {name.casefold() for name in self.names}
        name, number = file.stem, 2
        while name.casefold() in taken:
            name, number = f"{file.stem}-{number}", number + 1
        self.names.add(name)
        return name

    def add(self, file: Path, name: str, image: ScannedImage) -> None:
        """Keep the result of a file.

        Raises:
            FailedError: the log cannot be written.
        """
        line: dict[str, Any] = {
            "path": str(file.absolute()),
            "stamp": _stamp(file),
            "name": name,
            "image": image.to_dict(),
        }
        try:
            with self.path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise FailedError(f"{self.path}: cannot be written ({error.strerror}); make room and run again") from error
        self.done[line["path"]] = json.loads(json.dumps(line))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log; what a crash left of a last one is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict) and ("schema" in value or {"path", "stamp", "name", "image"} <= value.keys()):
                yield value


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]
