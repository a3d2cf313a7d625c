"""Side, view and patient of a mammogram by the name of its file."""

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Literal, cast

SIDE_AND_VIEW = re.compile(
    r"(?:^|[^a-z])(l|r|left|right)[ _.-]?(?:[cd]m[ _.-])?(cc|mlo|ml|lm|xccl|xccm)(?![a-z])", re.IGNORECASE
)
"""Side and view together; CDD-CESM writes CM (contrast) or DM (digital mammography) between them."""

SIDE_OR_VIEW = re.compile(r"(l|r|left|right)?[ _.-]?(cc|mlo|ml|lm|xccl|xccm)?", re.IGNORECASE)


def side_and_view(name: str) -> tuple[Literal["L", "R"] | None, str | None]:
    """Return side (L, R) and view that the name of a file gives; None where it gives none.

    >>> side_and_view("a/P12_LEFT_MLO.png"), side_and_view("P1_R_DM_CC.jpg"), side_and_view("b/recc.png")
    (('L', 'MLO'), ('R', 'CC'), (None, None))
    """
    match = SIDE_AND_VIEW.search(re.split(r"[/\\]", name)[-1])
    return (cast(Literal["L", "R"], match[1][0].upper()), match[2].upper()) if match else (None, None)


def parts_of(name: str) -> tuple[str, ...]:
    """Return folders and name of a file, whichever system and Unicode form its path is of.

    >>> parts_of("a/./P12.png"), parts_of("..\\\\a\\\\P12.png")
    (('a', 'P12.png'), ('a', 'P12.png'))
    """
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", "..")) or ("",)


def patient_of(name: str) -> str:
    """Return what the name of a file has before side and view, which stands for the patient; else the whole name.

    Where it has side and view alone, the folder stands for the patient. A folder that only names a side or a view
    stands for none.

    >>> [patient_of(name) for name in ("a/P12_LEFT_MLO.png", "P12/LMLO.png", "12.png", "CC/P12_L_CC.png")]
    ['a/P12', 'P12', '12.png', 'P12']
    """
    *folders, file = parts_of(name)
    folders = [folder for folder in folders if not SIDE_OR_VIEW.fullmatch(folder)]
    side = SIDE_AND_VIEW.search(file)
    if side and side.start():
        return "/".join((*folders, file[: side.start()]))
    return "/".join(folders) if side and folders and PurePosixPath(file).stem == side[0] else name
