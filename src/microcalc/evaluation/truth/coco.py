"""Truth as COCO JSON, the object-detection format of https://cocodataset.org/#format-data."""

from typing import Any

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import Box, ImageTruth

WORDS = ("calc", "cluster")


def read_coco(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the images of a COCO file; each annotation of a cluster is one, by its ``bbox``; masks are not looked at.

    Where there are several categories, those count whose name holds "calc" or "cluster". COCO measures from the corner
    of the first pixel: a bbox of [10, 20, 30, 40] is the box (9.5, 19.5, 39.5, 59.5). An image may have a ``patient``.

    Raises:
        RequestError: there are several categories, and none is of clusters; or an image is not listed.

    >>> image = {"id": 1, "file_name": "a.png", "height": 90, "width": 80}
    >>> box = {"image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40]}
    >>> read_coco({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "x"}]})[0].boxes_px
    ((9.5, 19.5, 39.5, 59.5),)
    """
    categories = {each["id"]: str(each["name"]) for each in saved["categories"]}
    wanted = {number for number, name in categories.items() if any(word in name.lower() for word in WORDS)}
    if not wanted and len(categories) > 1:
        names = ", ".join(categories.values())
        raise RequestError(f"has no category named calcification or cluster: got {names}; rename the one that is")
    boxes: dict[Any, list[Box]] = {}
    for each in saved["annotations"]:
        if each["category_id"] in (wanted or categories):
            left, top, width, height = map(float, each["bbox"])
            boxes.setdefault(each["image_id"], []).append(
                (left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5)
            )
    unknown = boxes.keys() - {image["id"] for image in saved["images"]}
    if unknown:
        raise RequestError(f"has clusters of images that it does not list: image_id {min(map(str, unknown))}")
    return [
        ImageTruth(
            str(image["file_name"]),
            boxes_px=tuple(boxes.get(image["id"], ())),
            patient=str(image["patient"]) if "patient" in image else None,
            shape=(int(image["height"]), int(image["width"])),
        )
        for image in saved["images"]
    ]
