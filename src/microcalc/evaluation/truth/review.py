"""Truth from the viewer: ``review.json``, the verdicts of a reader on the findings of a scan."""

from typing import Any

from microcalc.evaluation.truth.image import ImageTruth, as_box


def read_review(saved: dict[str, Any]) -> list[ImageTruth]:
    """Read the images with a verdict; the findings that were accepted are their clusters.

    An image whose findings were all rejected is normal. A cluster that the scan missed is in no review, so sensitivity
    against a review is too high; false marks an image are right.

    >>> entry = {"file": "a.dcm", "pixels_sha256": "9f86", "box_px": [10, 20, 40, 60], "verdict": "accepted"}
    >>> read_review({"schema": 2, "reviews": [entry]})[0].boxes_px
    ((10.0, 20.0, 40.0, 60.0),)
    """
    entries = [entry for entry in saved["reviews"] if entry["verdict"] is not None]
    images: dict[tuple[str | None, ...], list[dict[str, Any]]] = {}
    for entry in entries:
        identity = (str(entry["file"]), entry.get("sop_instance_uid"), entry.get("pixels_sha256"))
        images.setdefault(identity, []).append(entry)
    return [
        ImageTruth(
            str(file),
            boxes_px=tuple(as_box(each["box_px"]) for each in own if each["verdict"] == "accepted"),
            sop_instance_uid=uid,
            pixels_sha256=digest,
        )
        for (file, uid, digest), own in images.items()
    ]
