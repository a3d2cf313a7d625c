"""Side and view of a mammogram by the name of its file."""

import re
from typing import Literal, cast

SIDE_AND_VIEW = re.compile(
    r"(?:^|[^a-z])(l|r|left|right)[ _.-]?(?:[cd]m[ _.-])?(cc|mlo|ml|lm|xccl|xccm)(?![a-z])", re.IGNORECASE
)
"""Side and view together; CDD-CESM writes CM (contrast) or DM (digital mammography) between them."""


def side_and_view(name: str) -> tuple[Literal["L", "R"] | None, str | None]:
    """Return side (L, R) and view that the name of a file gives; None where it gives none.

    >>> side_and_view("a/P12_LEFT_MLO.png"), side_and_view("P1_R_DM_CC.jpg"), side_and_view("b/recc.png")
    (('L', 'MLO'), ('R', 'CC'), (None, None))
    """
    match = SIDE_AND_VIEW.search(re.split(r"[/\\]", name)[-1])
    return (cast(Literal["L", "R"], match[1][0].upper()), match[2].upper()) if match else (None, None)
