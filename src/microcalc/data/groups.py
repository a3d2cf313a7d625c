"""The patient of each file of a folder, from a groups.csv."""

import csv
import io
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from microcalc.errors import DataError

GROUPS_FILE = "groups.csv"

_TABLES = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods", ".numbers")


def find_groups(folder: Path) -> Path | None:
    """The ``groups.csv`` of a dataset, in capitals or small letters; None where there is none.

    Raises:
        DataError: there are two, or a file that looks like a misnamed or misplaced one: without it, every patch would
            count as a patient of its own, and patients would stand on both sides of a split.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "groups.csv.txt").touch()
    >>> find_groups(folder)
    Traceback (most recent call last):
    ...
    microcalc.errors.DataError: ...groups.csv.txt: looks like a groups.csv, but is not named or placed as one; ...
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = [path for path in files if path.name.casefold() == GROUPS_FILE]
    if len(found) > 1:
        raise DataError(f"{found[0]}: is there a second time as {found[1].name}; keep one of them")
    if found:
        return found[0]
    classes = [folder / label for label in "01" if (folder / label).is_dir()]
    for path in (*files, *(path for label in classes for path in sorted(label.iterdir()))):
        if _looks_like_groups(path.name):
            raise DataError(
                f"{path}: looks like a {GROUPS_FILE}, but is not named or placed as one; "
                f"save it as {GROUPS_FILE} beside 0/ and 1/, or move it out of the dataset"
            )
    return None


def _looks_like_groups(name: str) -> bool:
    stem = name.casefold()
    while stem.endswith(_TABLES):
        stem = stem.rpartition(".")[0]
    letters = "".join(letter for letter in stem if letter.isalpha())
    return "." not in stem and ("groups" in letters or letters in ("group", "patient", "patients"))


def read_groups(path: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Read the patient of each file from a ``groups.csv``.

    Its columns ``file`` and ``patient`` are divided by commas, semicolons or tabs, as in its first line; capitals
    there, spaces about a value, empty columns, empty lines and the Unicode normal form of a name do not matter. It is
    in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        path: of the file.
        files: paths in the dataset, such as ``0/a.png``.

    Returns:
        The patient of each of ``files``.

    Raises:
        DataError: not readable as such text, no ``file`` or ``patient`` column, more values than columns, a row
            without a file or a patient, a file that is not in the dataset or is named twice, or a file of the dataset
            without a row.

    >>> import tempfile
    >>> groups = Path(tempfile.mkdtemp()) / "groups.csv"
    >>> _ = groups.write_text("file,patient\\n0/a.png,anna\\nb.png,bea\\n")
    >>> read_groups(groups, ["0/a.png", "1/a.png", "1/b.png"])
    Traceback (most recent call last):
    ...
    microcalc.errors.DataError: ...groups.csv: no row for 1/a.png; every file of the dataset needs one
    >>> read_groups(groups, ["0/a.png", "1/b.png"])
    ('anna', 'bea')
    """
    known = _files_by_name(files)
    patients: dict[str, str] = {}
    for line, name, patient in _rows(path):
        if not name:
            raise DataError(f"{path}: line {line}: no file for the patient {patient!r}; fill it in")
        matches = known.get(name.replace("\\", "/").removeprefix("./"), [])
        if len(matches) != 1:
            trouble = "is not in the dataset" if not matches else f"is both {' and '.join(matches)}"
            raise DataError(f"{path}: line {line}: {name!r} {trouble}; give the path as in {files[0]!r}")
        if matches[0] in patients:
            raise DataError(f"{path}: line {line}: {name!r} is named a second time; give each file one row")
        if not patient:
            raise DataError(f"{path}: line {line}: no patient for {name!r}; fill it in")
        patients[matches[0]] = patient
    for file in files:
        if file not in patients:
            raise DataError(f"{path}: no row for {file}; every file of the dataset needs one")
    return tuple(patients[file] for file in files)


def with_one_spelling(patients: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take names that differ in capitals, leading zeros or spaces alone for one patient, and say so.

    Returns:
        The patients, each by the first of its spellings; and a warning for each patient that has more than one.

    >>> with_one_spelling(["P1", "007", "p1", "7"])[0]
    ('P1', '007', 'P1', '007')
    >>> with_one_spelling(["P1", "p1"])[1]
    ("the patients 'P1' and 'p1' are counted as one: they differ in capitals, leading zeros or spaces alone",)
    """
    spellings: dict[str, list[str]] = {}
    for patient in patients:
        known = spellings.setdefault(_spelling_key(patient), [patient])
        if patient not in known:
            known.append(patient)
    warnings = tuple(
        f"the patients {' and '.join(map(repr, known))} are counted as one: "
        "they differ in capitals, leading zeros or spaces alone"
        for known in spellings.values()
        if len(known) > 1
    )
    return tuple(spellings[_spelling_key(patient)][0] for patient in patients), warnings


def _spelling_key(patient: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", patient).casefold().split())
    return re.sub(r"(?<!\d)0+(?=\d)", "", folded)


def _files_by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """The files that a path or a bare name stands for, each in one Unicode normal form."""
    known: dict[str, list[str]] = {}
    for file in files:
        path = unicodedata.normalize("NFC", file)
        for name in dict.fromkeys((path, path.rpartition("/")[2])):
            known.setdefault(name, []).append(file)
    return known


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, file and patient of each row that is not empty."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
        delimiter = next((each for each in ";\t" if each in text.partition("\n")[0]), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        columns = [name.strip().casefold() for name in next(reader, [])]
        for name in ("file", "patient"):
            if columns.count(name) != 1:
                raise DataError(f"{path}: needs one column {name}; its first line is file,patient")
        for row in reader:
            values = [unicodedata.normalize("NFC", value).strip() for value in row]
            if any(value for value, column in zip_longest(values, columns, fillvalue="") if not column):
                raise DataError(
                    f"{path}: line {reader.line_num}: more values than named columns; put a value that holds the "
                    f"delimiter {delimiter!r} in double quotes"
                )
            named = dict(zip(columns, values, strict=False))
            if any(values):
                yield reader.line_num, named.get("file", ""), named.get("patient", "")
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it as such") from error
