"""The ``predictions.csv`` of a run: one row a patch, with the probability by parts that never saw it."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened

from microcalc.errors import RequestError

ROLES = ("development", "committee", "test", "external")
NEEDED = ("file", "patient", "label", "role", "out_of_fold")


@dataclass(frozen=True)
class PredictedPatch:
    """One row.

    Attributes:
        file: name of the patch.
        patient: of the patch; its file where the table names none.
        label: 1 where a cluster is present.
        role: one of ``ROLES``.
        fold: number of the test fold; None for the other roles.
        probability: of a cluster, by parts that never saw the patch; None for the committee's own patients.
        line: of the file.
    """

    file: str
    patient: str
    label: int
    role: str
    fold: int | None
    probability: float | None
    line: int


def read_predictions(path: Path) -> list[PredictedPatch]:
    """Read the rows of a ``predictions.csv``.

    Raises:
        RequestError: it cannot be read or is no such table; the message names the file, the line and the way out.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "predictions.csv"
    >>> _ = path.write_text("file,patient,label,role,fold,out_of_fold\\na.png,7,1,development,0,0.25\\n")
    >>> read_predictions(path)[0].probability
    0.25
    """
    patches: dict[tuple[str, str], PredictedPatch] = {}
    for line, row in _rows(path, _text(path)):
        where = f"{path}, line {line}"
        file, role, label = row["file"], row["role"], row["label"]
        if role not in ROLES:
            raise RequestError(f"{where}: role must be one of {', '.join(ROLES)}: got {shortened(role)}")
        if (role, file) in patches:
            raise RequestError(f"{where}: {shortened(file)} is there twice as {role}: remove one row")
        if label not in ("0", "1"):
            raise RequestError(f"{where}: label must be 0 or 1: got {shortened(label)}; run the study again")
        probability = None if role == "committee" else _probability(row["out_of_fold"], where)
        fold = int(row["fold"]) if row.get("fold", "").isdecimal() else None
        patient = row["patient"] or file
        patches[role, file] = PredictedPatch(file, patient, int(label), role, fold, probability, line)
    return list(patches.values())


def _probability(text: str, where: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = math.nan
    if not 0 <= probability <= 1:
        raise RequestError(
            f"{where}: out_of_fold must be a number from 0 to 1: got {shortened(text)}; run the study again"
        )
    return probability


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = list(reader.fieldnames or ())
        amiss = [name for name in NEEDED if columns.count(name) != 1]
        if amiss:
            raise RequestError(f"{path} needs one column each of {', '.join(amiss)}: give the predictions.csv of a run")
        for row in reader:
            if None in row or None in row.values():
                raise RequestError(f"{path}, line {reader.line_num}: the row does not fit the header: mend it")
            yield reader.line_num, row
    except csv.Error as error:
        raise RequestError(f"{path}, after line {reader.line_num}: not a CSV table ({error}): write it again") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}): give the predictions.csv of a run") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not UTF-8 text: save the table as UTF-8") from None
