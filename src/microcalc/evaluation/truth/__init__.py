"""Known truth of mammograms, from the file or folder that holds it: one reader for each format."""

import csv
import io
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from microcalc.errors import MicrocalcError, RequestError
from microcalc.evaluation.truth.cbis_ddsm import MASK, read_cbis_ddsm
from microcalc.evaluation.truth.coco import read_coco
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.evaluation.truth.inbreast import read_inbreast
from microcalc.evaluation.truth.masks import read_masks
from microcalc.evaluation.truth.phantom import read_phantom
from microcalc.evaluation.truth.review import read_review
from microcalc.evaluation.truth.table import COLUMNS, Row, read_table
from microcalc.files import read_json

FORMATS = (
    "give a CSV with file,left,top,right,bottom; a folder of NAME_calcifications.png or NAME_clusters.png; INbreast's "
    "XML; the CSV of CBIS-DDSM beside its masks; COCO JSON; review.json; or the truth.json of a phantom"
)


def read_truth(path: Path) -> list[ImageTruth]:
    """Read the truth of mammograms, of any of the formats in this package, recognised by content.

    Raises:
        RequestError: there is none at ``path``, or it is not as its format has it.
        ImageError: a mask cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "truth.csv"
    >>> _ = path.write_text("file,left,top,right,bottom\\na.png,10,20,40,60\\nb.png,,,,\\n")
    >>> [(image.name, len(image.boxes_px)) for image in read_truth(path)]
    [('a.png', 1), ('b.png', 0)]
    """
    if not path.exists():
        raise RequestError(f"{path}: does not exist; {FORMATS}")
    if (path / "truth.json").is_file():
        path = path / "truth.json"
    files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    images = [image for file in files for image in _read_file(file)] or (read_masks(path) if path.is_dir() else [])
    if not images:
        raise RequestError(f"{path}: holds no truth; {FORMATS}")
    return images


def _read_file(path: Path) -> list[ImageTruth]:
    readers = {".xml": lambda path: [read_inbreast(path)], ".json": _read_json}
    try:
        return readers.get(path.suffix.lower(), _read_csv)(path)
    except MicrocalcError as error:
        raise error if str(path) in str(error) else RequestError(f"{path}: {error}") from error
    except (AttributeError, ExpatError, LookupError, OSError, TypeError, ValueError) as error:
        raise RequestError(f"{path}: is not as its format has it ({error!r:.200}); {FORMATS}") from error


def _read_json(path: Path) -> list[ImageTruth]:
    saved: dict[str, Any] = read_json(path, FORMATS)
    return (read_review if "reviews" in saved else read_coco if "annotations" in saved else read_phantom)(saved)


def _read_csv(path: Path) -> list[ImageTruth]:
    text = path.read_text(encoding="utf-8-sig")
    separator = ";" if ";" in text.partition("\n")[0] else ","
    rows: list[Row] = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval=""))
    if rows and MASK in rows[0]:
        return read_cbis_ddsm(rows, path.parent)
    missing = COLUMNS - set(rows[0] if rows else ())
    if missing:
        raise RequestError(f"lacks the columns {', '.join(sorted(missing))}; {FORMATS}")
    return read_table(rows)
