"""Truth from the viewer: ``review.json``, the verdicts of a reader on the findings of a scan."""

from typing import Any

from microcalc.evaluation.truth.image import ImageTruth, as_box


def read_review(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the images with a verdict: accepted findings are clusters; where all are rejected the image is normal.

    A cluster that the scan missed is in no review, so sensitivity against it is too high; false marks are right.

    >>> entry = {"file": "a.dcm", "sop_instance_uid": None, "pixels_sha256": "9f86"}
    >>> entry |= {"box_px": [10, 20, 40, 60], "verdict": "accepted"}
    >>> read_review({"schema": 2, "reviews": [entry]})[0].boxes_px
    ((10.0, 20.0, 40.0, 60.0),)
    """
    images: dict[str, ImageTruth] = {}
    for each in saved["reviews"]:
        uid, digest = each["sop_instance_uid"], each["pixels_sha256"]
        if each["verdict"] is not None:
            before = images[uid or digest].boxes_px if (uid or digest) in images else ()
            boxes = (*before, as_box(each["box_px"])) if each["verdict"] == "accepted" else before
            images[uid or digest] = ImageTruth(str(each["file"]), boxes, sop_instance_uid=uid, pixels_sha256=digest)
    return list(images.values())
