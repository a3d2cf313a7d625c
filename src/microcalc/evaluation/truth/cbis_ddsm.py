"""Truth of CBIS-DDSM: its CSV of cases, such as ``calc_case_description_test_set.csv``, and its folders of masks.

Lee, Gimenez, Hoogi, Miyake, Gorovoy and Rubin, "A curated mammography data set for use in computer-aided detection and
diagnosis research", Sci. Data 4 (2017) 170177, doi:10.1038/sdata.2017.177.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.evaluation.truth.masks import boxes_around
from microcalc.evaluation.truth.table import Row
from microcalc.images import find_images, read_image

IMAGE, MASK = "image file path", "ROI mask file path"


def read_cbis_ddsm(rows: Sequence[Row], folder: Path) -> list[ImageTruth]:
    """Read the cases of one CSV. An image is known by its folder, such as ``Calc-Test_P_00038_LEFT_CC``.

    The mask of its first abnormality lies in ``Calc-Test_P_00038_LEFT_CC_1``, in ``folder`` or anywhere below it. That
    folder may hold the cropped region, too, and the CSV has often exchanged the two: the larger of them is the mask.
    A cluster is the box around all of a mask. Masses are left out.

    Raises:
        RequestError: the folder of a mask is missing.
        ImageError: a mask cannot be read.
    """
    places = {path.name: path for path in folder.rglob("*_[0-9]*") if path.is_dir()}
    known: dict[str, ImageTruth] = {}
    for row in rows:
        name, place = (row[column].strip().split("/")[0] for column in (IMAGE, MASK))
        image = known.setdefault(name, ImageTruth(name, patient=row["patient_id"]))
        if row["abnormality type"].lower().startswith("calc"):
            files = find_images(places[place]).files if place in places else []
            masks = [read_image(path).pixels > 0 for path in files]
            if not masks:
                raise RequestError(
                    f"{folder}: holds no mask in {place}/, which {name} needs; put CSV and masks together"
                )
            mask = max(masks, key=np.size)
            boxes = (*image.boxes_px, *boxes_around(mask.astype(np.uint8)))
            known[name] = replace(image, boxes_px=boxes, shape=(mask.shape[0], mask.shape[1]))
    return list(known.values())
