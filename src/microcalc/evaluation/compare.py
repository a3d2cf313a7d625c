"""Two runs side by side: DeLong's test on the patches that both predicted."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from microcalc.errors import RequestError
from microcalc.evaluation.delong import delong_test

ROLES = ("development", "test", "external")
NEEDED = ("file", "patient", "label", "role", "out_of_fold")
LARGEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Prediction:
    patient: str
    label: int
    probability: float
    line: int


_Predictions = dict[str, dict[str, _Prediction]]


def compare_predictions(first_csv: Path, second_csv: Path) -> dict[str, dict[str, Any]]:
    """Test whether two runs rank the same patches differently well, for each role by itself.

    Patches are matched by ``file`` within ``role``; the probability is ``out_of_fold``, given by parts that never saw
    the patch, so patches kept for the committee have none and are left out. Patches of one ``patient`` depend on one
    another: the variance is clustered by patient (:func:`microcalc.evaluation.delong.delong_test`). A patch whose
    ``patient`` is empty counts as a patient of its own.

    Args:
        first_csv: ``predictions.csv`` of a run directory.
        second_csv: that of another.

    Returns:
        For each of ``development``, ``test`` and ``external`` that both files share patches of: ``n``, ``patients``,
        ``only_first`` and ``only_second`` (patches left out because the other lacks them), ``auc_first``,
        ``auc_second``, ``difference`` (first minus second), ``ci95``, ``z`` and ``p_value``. The last six are None
        where there are fewer than two patients of a class, z also where it is infinite.

    Raises:
        RequestError: a file cannot be read or is not such a table, or the two are not about the same patches; the
            message names the file, the line and the way out.

    >>> import tempfile
    >>> rows = [f"{n}.png,{n},{n % 2},external,{n % 2 * 0.5 + n / 20}" for n in range(8)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "predictions.csv"
    ...     _ = path.write_text("\\n".join(["file,patient,label,role,out_of_fold", *rows]))
    ...     compare_predictions(path, path)["external"]["p_value"]
    1.0
    """
    first, second = _read(first_csv), _read(second_csv)
    roles = [role for role in ROLES if first[role].keys() & second[role].keys()]
    if not roles:
        raise RequestError(f"{first_csv} and {second_csv} share no predicted patch: compare two runs on the same data")
    for role in roles:
        _refuse_disagreement(first[role], second[role], first_csv, second_csv)
    return {role: _compare(first[role], second[role]) for role in roles}


def _compare(first: dict[str, _Prediction], second: dict[str, _Prediction]) -> dict[str, Any]:
    """DeLong's test over the files in common."""
    files = sorted(first.keys() & second.keys())
    pairs = [(first[file], second[file]) for file in files]
    patients = {label: {one.patient for one, _ in pairs if one.label == label} for label in (0, 1)}
    figures: dict[str, Any] = dict.fromkeys(("auc_first", "auc_second", "difference", "ci95", "z", "p_value"))
    if min(map(len, patients.values())) >= 2:
        outcome = delong_test(
            [one.label for one, _ in pairs],
            [one.probability for one, _ in pairs],
            [other.probability for _, other in pairs],
            groups=[one.patient for one, _ in pairs],
        )
        z = outcome.z if math.isfinite(outcome.z) else None
        figures = {**vars(outcome), "ci95": list(outcome.ci95), "z": z}
    return {
        "n": len(files),
        "patients": len(patients[0] | patients[1]),
        "only_first": len(first) - len(files),
        "only_second": len(second) - len(files),
        **figures,
    }


def _refuse_disagreement(
    first: dict[str, _Prediction], second: dict[str, _Prediction], first_csv: Path, second_csv: Path
) -> None:
    """The same file must be the same patch in both."""
    for file in sorted(first.keys() & second.keys()):
        one, other = first[file], second[file]
        for name, here, there in (("label", one.label, other.label), ("patient", one.patient, other.patient)):
            if here != there:
                raise RequestError(
                    f"{shortened(file)} has {name} {shortened(here)} in {first_csv}, line {one.line}, but"
                    f" {shortened(there)} in {second_csv}, line {other.line}: compare two runs on the same data"
                )


def _read(path: Path) -> _Predictions:
    """The predictions of one file by role and file name."""
    predictions: _Predictions = {role: {} for role in ROLES}
    for line, row in _rows(path, _text(path)):
        where = f"{path}, line {line}"
        if row["role"] == "committee":
            continue
        if row["role"] not in predictions:
            known = ", ".join((*ROLES, "committee"))
            raise RequestError(f"{where}: role must be one of {known}: got {shortened(row['role'])}")
        if row["file"] in predictions[row["role"]]:
            raise RequestError(f"{where}: {shortened(row['file'])} is there twice as {row['role']}: remove one row")
        if row["label"] not in ("0", "1"):
            raise RequestError(f"{where}: label must be 0 or 1: got {shortened(row['label'])}; run the study again")
        predictions[row["role"]][row["file"]] = _Prediction(
            row["patient"] or row["file"], int(row["label"]), _probability(row["out_of_fold"], where), line
        )
    return predictions


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
    """Line number and needed fields of each row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = list(reader.fieldnames or ())
        amiss = [name for name in NEEDED if columns.count(name) != 1]
        if amiss:
            raise RequestError(f"{path} needs one column each of {', '.join(amiss)}: give the predictions.csv of a run")
        for row in reader:
            if None in row or None in row.values():
                raise RequestError(f"{path}, line {reader.line_num}: the row does not fit the header: mend it")
            yield reader.line_num, {name: row[name] for name in NEEDED}
    except csv.Error as error:
        raise RequestError(f"{path}, after line {reader.line_num}: not a CSV table ({error}): write it again") from None


def _text(path: Path) -> str:
    """The content of a file of reasonable size, as UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}): give the predictions.csv of a run") from None
    if len(content) > LARGEST_BYTES:
        raise RequestError(f"{path} is larger than {LARGEST_BYTES // 2**20} MiB: give the predictions.csv of a run")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RequestError(f"{path}, line {line}: not UTF-8 text: save the table as UTF-8") from None
