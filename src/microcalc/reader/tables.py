"""Tables and contact sheets of a folder of results, written from the store, one entry in memory at a time."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment

from microcalc.errors import ImageError
from microcalc.files import opened_atomically, opened_csv, write_csv
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.words import WORDS, in_one_line
from microcalc.reader.rows import COLUMNS, IMAGE_COLUMNS, Exams, image_row, read_images, table_row
from microcalc.reader.store import Entry, Store

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>microcalc {{ title }}</title><style>
body {font: 15px/1.4 sans-serif; margin: 2em; max-width: 80em} figure {display: inline-block; margin: 0 1em 1em 0;
vertical-align: top; width: 18em} img {max-width: 100%; max-height: 24em; background: #000}
figcaption, td {overflow-wrap: anywhere} .warning {color: #8a4b00} small {color: #555}
td, th {padding: 0 1em 0 0; text-align: left}
dl {display: grid; grid-template-columns: max-content auto; gap: 0 1em} dt {font-weight: bold} dd {margin: 0}
</style></head><body><h1>{{ title|capitalize }}</h1>
<p>{{ lead }} Not a medical device.</p>
{% if words %}<dl>{% for word, meaning in words.items() %}<dt>{{ word }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>
{% endif %}{% for figure in figures %}<figure>{% if figure.picture %}<a href="{{ figure.picture }}"><img loading="lazy"
alt="{{ figure.file }}" src="{{ figure.picture }}"></a>{% endif %}<figcaption>{{ figure.file }}
{% for line, steps in figure.lines.items() %}<br>{{ line }}{% if steps %}<br><small>{{ steps }}</small>{% endif %}
{% endfor %}
{% if figure.heat_map %}<br><a href="{{ figure.heat_map }}">heat map</a>{% endif %}
{% for warning in figure.warnings %}<br><span class="warning">{{ warning }}</span>{% endfor %}</figcaption></figure>
{% endfor %}{% for entry in failed %}{% if loop.first %}<h2>Failed</h2><table><tr><th>file</th><th>reason</th></tr>
{% endif %}<tr><td>{{ entry.file|shown }}</td><td>{{ entry.reason }}</td></tr>{% if loop.last %}</table>{% endif %}
{% endfor %}</body></html>
"""


@dataclass(frozen=True)
class Figure:
    """One image of a contact sheet: lines with the steps to each, and links, which are escaped."""

    file: str
    picture: str
    lines: dict[str, str]
    warnings: Iterable[str]
    heat_map: str = ""


def write_scan(store: Store, files: Iterable[str], committee: str, operating_point: float) -> str:
    """Write all that a scan leaves, but for pictures and objects, of all images that a folder holds.

    These are ``findings.json``, ``findings.csv``, ``images.csv``, ``exams.csv`` and the contact sheet ``index.html``.
    ``files`` come first, in their order; findings are marked from the operating point on, a probability.

    Returns:
        How many images and findings there are, in words.
    """
    files, read, exams = list(files), read_images(store.folder), Exams()

    def images() -> Iterator[tuple[Entry, ScannedImage]]:
        for entry in store.entries(files):
            if entry.result is not None:
                yield entry, ScannedImage.from_dict(entry.result).marked_from(operating_point)

    marks = count = 0
    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(opened_csv(store.folder / f"{name}.csv")) for name in ("findings", "images")
        }

        def plain() -> Iterator[dict[str, Any]]:
            nonlocal marks, count
            for _, image in images():
                is_read = (image.sop_instance_uid or image.pixels_sha256) in read
                tables["findings"](table_row(image, finding) for finding in image.findings)
                tables["images"]([image_row(image, is_read)])
                exams.add(image, is_read)
                marks, count = marks + image.marks, count + 1
                yield image.to_dict()

        tables["findings"]([COLUMNS])
        tables["images"]([IMAGE_COLUMNS])
        head = {"schema": 2, "committee": committee, "operating_point": operating_point}
        failed = ({"file": entry.file, "reason": entry.reason} for entry in _failed(store, files))
        _write_json(store.folder / "findings.json", head, images=plain(), failed=failed)
    write_csv(store.folder / "exams.csv", exams.rows())
    counts = f"{_number(marks, 'finding')} in {_number(count, 'mammogram')}"
    lead = f"{counts} at or above the operating point of {operating_point:.3f}; committee: {committee}."
    lead += " In the pictures, marks are yellow; the three most probable candidates below them are blue and thin."
    figures = (_scan_figure(entry, image) for entry, image in images())
    _write_page(store, files, "scan", lead, figures, WORDS)
    return counts


def _scan_figure(entry: Entry, image: ScannedImage) -> Figure:
    lines = {
        f"{finding.number}: {finding.probability:.2f}, {len(finding.calcifications_px)} calcifications over "
        f"{finding.extent_mm:.1f} mm": in_one_line(finding)
        for finding in image.findings
        if finding.marked
    }
    lines = lines or {"no finding at or above the operating point": ""}
    return Figure(_shown(entry.file), _link(entry, "overlays"), lines, image.warnings, _link(entry, "heatmaps"))


def write_explanations(store: Store, files: Iterable[str], committee: str) -> None:
    """Write the contact sheet ``index.html`` of explained patches."""
    files = list(files)
    figures = (
        Figure(
            _shown(entry.file),
            _link(entry, "pictures"),
            {f"probability {entry.result['probability']:.3f}": ""},
            entry.result["warnings"],
        )
        for entry in store.entries(files)
        if entry.result is not None
    )
    _write_page(store, files, "explain", f"Committee: {committee}.", figures)


def write_predictions(
    store: Store, names: Mapping[str, str], committee: "Committee", csv: Iterable[Path], plain: Iterable[Path]
) -> None:
    """Write all predictions that a store holds as tables.

    The CSV files hold ``file``, ``probability``, ``decision`` (0 or 1), ``expert_0`` and so on, and ``pixel_size_mm``
    (such as ``0.07``, ``0.07 x 0.08`` of rows and columns, ``0.085 (assumed)`` or ``unknown``). The JSON files hold the
    ``threshold`` of the decision, the ``predictions``, also with ``warnings``, and the ``unreadable`` files, each with
    its ``problem``. The files of ``names`` come first, under the names that the request gives them.

    Raises:
        RequestError: a path is a folder.
        FailedError: a file cannot be written.
    """
    experts = [f"expert_{number}" for number in range(len(committee.networks))]
    columns = ["file", "probability", "decision", *experts, "pixel_size_mm"]

    def predictions() -> Iterator[dict[str, Any]]:
        for entry in store.entries(names):
            if entry.result is not None:
                yield {"file": names.get(entry.file, entry.file), **entry.result}

    for path in csv:
        cells = ([row[name] for name in columns] for row in predictions())
        rounded = ([f"{cell:.7g}" if isinstance(cell, float) else cell for cell in row] for row in cells)
        write_csv(path, chain([columns], rounded))
    head = {"schema": 1, "threshold": committee.threshold}
    for path in plain:
        failed = ((names.get(entry.file, entry.file), entry.reason) for entry in _failed(store, names))
        unreadable = ({"file": name, "problem": str(ImageError(reason, name))} for name, reason in failed)
        _write_json(path, head, predictions=predictions(), unreadable=unreadable)


def _failed(store: Store, files: Iterable[str]) -> Iterator[Entry]:
    return (entry for entry in store.entries(files) if entry.result is None)


def _write_json(path: Path, head: dict[str, Any], **lists: Iterable[dict[str, Any]]) -> None:
    """Write an object of plain values and long lists, an entry a line."""
    with opened_atomically(path) as file:
        file.write(json.dumps(head, allow_nan=False).removesuffix("}").encode())
        for name, entries in lists.items():
            file.write(f',\n "{name}": ['.encode())
            for number, entry in enumerate(entries):
                file.write(((",\n  " if number else "\n  ") + json.dumps(entry, allow_nan=False)).encode())
            file.write(b"]")
        file.write(b"}\n")


def _write_page(
    store: Store,
    files: list[str],
    title: str,
    lead: str,
    figures: Iterator[Figure],
    words: Mapping[str, str] | None = None,
) -> None:
    environment = Environment(autoescape=True)
    environment.filters["shown"] = _shown
    page = environment.from_string(PAGE)
    with opened_atomically(store.folder / "index.html") as file:
        failed = _failed(store, files)
        for piece in page.generate(title=title, lead=lead, figures=figures, failed=failed, words=words):
            file.write(piece.encode(errors="backslashreplace"))


def _shown(file: str) -> str:
    return file if file.isprintable() else ascii(file)[1:-1]


def _link(entry: Entry, kind: str) -> str:
    """Return the escaped address of a picture; empty where there is none."""
    return quote(os.fsencode(f"{kind}/{entry.name}.png")) if kind in entry.made else ""


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
