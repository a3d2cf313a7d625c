"""Truth of phantom mammograms: the ``truth.json`` that ``microcalc phantom --mammograms`` writes."""

from typing import Any

from microcalc.evaluation.truth.image import ImageTruth, as_box


def read_phantom(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the clusters that were drawn into each image.

    >>> read_phantom({"images": [{"file": "a.png", "pixels_sha256": "9f86", "rows": 9, "columns": 8, "clusters": []}]})
    [ImageTruth(name='a.png', ... shape=(9, 8))]
    """
    return [
        ImageTruth(
            str(image["file"]),
            boxes_px=tuple(as_box(cluster["box_px"]) for cluster in image["clusters"]),
            pixels_sha256=image["pixels_sha256"],
            shape=(int(image["rows"]), int(image["columns"])),
        )
        for image in saved["images"]
    ]
