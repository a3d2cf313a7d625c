"""Truth as CSV: ``file,left,top,right,bottom[,patient]``, one row a cluster."""

from collections.abc import Sequence
from typing import Any

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import Box, ImageTruth, as_box

SIDES = ("left", "top", "right", "bottom")
COLUMNS = frozenset({"file", *SIDES})

Row = dict[str, str]


def read_table(rows: Sequence[Row]) -> list[ImageTruth]:
    """Read rows of ``file``, the box of a cluster in pixels, and perhaps ``patient`` and ``sop_instance_uid``.

    A file may have several rows, of which one is enough to give its patient. A row whose four sides are empty has no
    cluster.

    >>> read_table([{"file": "a.png", "left": "10", "top": "20", "right": "40", "bottom": "60"}])[0].boxes_px
    ((10.0, 20.0, 40.0, 60.0),)
    """
    known: dict[str, ImageTruth] = {}
    for row in rows:
        image = known.setdefault(row["file"], ImageTruth(row["file"]))
        kept: dict[str, Any] = {}
        for name in ("patient", "sop_instance_uid"):
            given, before = row.get(name) or None, getattr(image, name)
            if given and before not in (None, given):
                raise RequestError(f"{row['file']}: has two values of {name}, {before} and {given}; correct one")
            kept[name] = given or before
        known[row["file"]] = ImageTruth(row["file"], (*image.boxes_px, *_boxes(row)), **kept)
    return list(known.values())


def _boxes(row: Row) -> list[Box]:
    cells = [row[side] for side in SIDES]
    try:
        return [as_box(cells)] if any(cells) else []
    except ValueError as error:
        raise RequestError(f"{row['file']}: {', '.join(cells)} is no box ({error})") from None
