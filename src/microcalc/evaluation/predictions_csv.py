"""The ``predictions.csv`` of a run: one row a patch, with the probability by parts that never saw it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Le

from microcalc.errors import RequestError
from microcalc.files import checked

Role = Literal["development", "committee", "test", "external"]
ROLES: tuple[Role, ...] = get_args(Role)
NEEDED = ("file", "patient", "label", "role", "out_of_fold")
ADVICE = "give the predictions.csv of a run"


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
    label: Literal[0, 1]
    role: Role
    fold: int | None
    probability: Annotated[float, Ge(0), Le(1)] | None
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
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise RequestError(f"lacks {', '.join(missing)}")
            for row in reader:
                line = reader.line_num
                patch = _patch(row, line)
                if patches.setdefault((patch.role, patch.file), patch) is not patch:
                    raise RequestError(f"{patch.file} is there twice as {patch.role}")
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); {ADVICE}") from error
    except (csv.Error, ValueError) as error:
        raise RequestError(f"{path}, line {line}: {error}; {ADVICE}") from error
    return list(patches.values())


def _patch(row: dict[str, str], line: int) -> PredictedPatch:
    if None in row or None in row.values():
        raise RequestError("the row does not fit the header")
    values = {
        "file": row["file"],
        "patient": row["patient"] or row["file"],
        "role": row["role"],
        "line": line,
        "label": int(row["label"]),
        "fold": int(row["fold"]) if row.get("fold", "").isdecimal() else None,
        "probability": None if row["role"] == "committee" else float(row["out_of_fold"]),
    }
    return checked(PredictedPatch, values)
