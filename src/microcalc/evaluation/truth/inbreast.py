"""Truth of INbreast: property lists in XML, as OsiriX writes them, one an image.

Moreira, Amaral, Domingues, Cardoso, Cardoso and Cardoso, "INbreast: toward a full-field digital mammographic database",
Acad. Radiol. 19 (2012) 236-248, doi:10.1016/j.acra.2011.09.014.
"""

import plistlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.evaluation.truth.image import ImageTruth, as_box

PATIENT_IN_NAME = r"^\d+_([0-9a-f]{16})_MG_"
"""``20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm`` is image 20586908 of patient 6c613a14b80a8591."""


def read_inbreast(path: Path) -> ImageTruth:
    """Read ``20586908.xml``, the truth of the image whose name begins with ``20586908_``.

    A region named Cluster is a cluster; one named Calcification is a single calcification, at the mean of its points.
    Those in the box of a Cluster belong to it. Other regions (masses, distortions) are left out.

    Raises:
        RequestError: of :func:`microcalc.evaluation.truth.read_truth`, where the file is no such list.
    """
    with path.open("rb") as file:
        regions = [region for image in plistlib.load(file)["Images"] for region in image["ROIs"]]
    clusters, singles = _outlines(regions, "cluster"), _outlines(regions, "calc")
    boxes = np.array([(*points.min(axis=0), *points.max(axis=0)) for points in clusters]).reshape(-1, 4)
    centers = [points.mean(axis=0) for points in singles]
    outside = [at for at in centers if not ((boxes[:, :2] <= at) & (at <= boxes[:, 2:])).all(axis=1).any()]
    return ImageTruth(
        path.stem,
        boxes_px=tuple(map(as_box, boxes.tolist())),
        calcifications_px=tuple((float(x), float(y)) for x, y in outside),
        patient_in_name=PATIENT_IN_NAME,
    )


def _outlines(regions: list[dict[str, Any]], name: str) -> list[NDArray[np.float64]]:
    """(n, 2) column and row of the points of each region of a name; points are strings such as "(1214.5, 830.25)"."""
    return [
        np.array([point.strip("()").split(",") for point in region["Point_px"]], np.float64).reshape(-1, 2)
        for region in regions
        if str(region["Name"]).lower().startswith(name) and region["Point_px"]
    ]
