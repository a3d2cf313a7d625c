"""Truth as CSV: ``file,left,top,right,bottom[,patient]``, one row a cluster."""

from collections.abc import Sequence

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import Box, ImageTruth

SIDES = ("left", "top", "right", "bottom")
COLUMNS = frozenset({"file", *SIDES})

Row = dict[str, str]


def read_table(rows: Sequence[Row]) -> list[ImageTruth]:
    """Read rows of ``file``, the box of a cluster in pixels, and perhaps ``patient`` and ``sop_instance_uid``.

    A file may have several rows. One whose four sides are empty has no cluster.

    Raises:
        RequestError: a box is incomplete, no number, or turned inside out.

    >>> read_table([{"file": "a.png", "left": "10", "top": "20", "right": "40", "bottom": "60"}])[0].boxes_px
    ((10.0, 20.0, 40.0, 60.0),)
    """
    by_file: dict[str, list[Row]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row)
    return [
        ImageTruth(
            name,
            boxes_px=tuple(box for row in own for box in _boxes(row)),
            patient=own[0].get("patient") or None,
            sop_instance_uid=own[0].get("sop_instance_uid") or None,
        )
        for name, own in by_file.items()
    ]


def _boxes(row: Row) -> list[Box]:
    cells = [row[side] for side in SIDES]
    if not any(cells):
        return []
    try:
        left, top, right, bottom = map(float, cells)
    except ValueError:
        left, top, right, bottom = 1.0, 1.0, 0.0, 0.0
    if not (left <= right and top <= bottom):
        raise RequestError(f"{row['file']}: {', '.join(cells)} is no box; give left, top, right, bottom in this order")
    return [(left, top, right, bottom)]
