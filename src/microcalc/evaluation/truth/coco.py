"""Truth as COCO JSON, the object-detection format of https://cocodataset.org/#format-data."""

from typing import Any

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import Box, ImageTruth


def read_coco(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the images of a COCO file; each annotation of a cluster is one, by its ``bbox``.

    Where there are several categories, those count whose name holds "calc" or "cluster". COCO measures from the corner
    of the first pixel: a bbox of [10, 20, 30, 40] is the box (9.5, 19.5, 39.5, 59.5). An image may have a ``patient``.

    >>> image = {"id": 1, "file_name": "a.png", "height": 90, "width": 80}
    >>> box = {"image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}
    >>> read_coco({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "x"}]})[0].boxes_px
    ((9.5, 19.5, 39.5, 59.5),)
    """
    names = {each["id"]: str(each["name"]).lower() for each in saved["categories"]}
    wanted = {number for number, name in names.items() if len(names) == 1 or "calc" in name or "cluster" in name}
    if not wanted:
        raise RequestError(f"has no category named calcification or cluster: got {', '.join(names.values())}")
    boxes: dict[Any, list[Box]] = {image["id"]: [] for image in saved["images"]}
    for each in saved["annotations"]:
        if each["category_id"] in wanted:
            left, top, width, height = (float(number) for number in each["bbox"])
            boxes[each["image_id"]].append((left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5))
    return [
        ImageTruth(
            str(image["file_name"]),
            boxes_px=tuple(boxes[image["id"]]),
            patient=str(image["patient"]) if "patient" in image else None,
            shape=(int(image["height"]), int(image["width"])),
        )
        for image in saved["images"]
    ]
