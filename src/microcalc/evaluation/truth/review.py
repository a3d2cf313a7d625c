"""Truth from the viewer: ``review.json``, the work of a reader on the images of a scan."""

from typing import Any

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import ImageTruth, as_box


def read_review(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the images that were read: accepted findings and drawn clusters are true; without any, an image is normal.

    An image that nobody has marked as read is unknown. In a file of earlier versions, without ``images``, an image
    with a verdict counts as read.

    Raises:
        RequestError: there are verdicts, but no image is marked as read.

    >>> known = {"file": "a.dcm", "sop_instance_uid": None, "pixels_sha256": "9f86"}
    >>> accepted = {**known, "box_px": [10, 20, 40, 60], "verdict": "accepted"}
    >>> drawn = {**known, "read": True, "clusters_px": [[70, 80, 90, 99]]}
    >>> read_review({"schema": 2, "reviews": [accepted], "images": [drawn]})[0].boxes_px
    ((10.0, 20.0, 40.0, 60.0), (70.0, 80.0, 90.0, 99.0))
    """
    judged = [each for each in saved["reviews"] if each["verdict"] is not None]
    earlier = [{**each, "clusters_px": ()} for each in judged]
    read = [each for each in saved["images"] if each["read"]] if "images" in saved else earlier
    if judged and not read:
        raise RequestError("no image in it is marked as read; mark those that you have read, in the viewer")
    images: dict[str, ImageTruth] = {}
    for each in read:
        uid, digest = each["sop_instance_uid"], each["pixels_sha256"]
        accepted = [other["box_px"] for other in judged if other["verdict"] == "accepted" and _same(other, each)]
        boxes = tuple(map(as_box, (*accepted, *each["clusters_px"])))
        images[uid or digest] = ImageTruth(str(each["file"]), boxes, sop_instance_uid=uid, pixels_sha256=digest)
    return list(images.values())


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("sop_instance_uid", "pixels_sha256"))
