"""Answers of a committee for an image, and for each finding in it."""

import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microcalc.app.images import Images
from microcalc.app.open_image import Detail, OpenImage
from microcalc.errors import ImageError, naming
from microcalc.images import Mammogram
from microcalc.images.image import PixelSize
from microcalc.images.pictures import encode
from microcalc.images.resample import to_true_scale
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.progress import OnProgress

# PyTorch takes seconds to import, and the page is to be there before: what needs it is imported where it is used.
if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.data.patch_files import PatchFile
    from microcalc.mammograms.second_opinion import SecondOpinion

Points = NDArray[np.float64]
Windows = NDArray[np.float32]


class Reader:
    """The committee of a session, loaded when it is first needed.

    Args:
        load: gives the committee and its second opinion.
    """

    def __init__(self, load: "Callable[[], tuple[Committee, SecondOpinion]]") -> None:
        self._load = cache(load)
        self._loading = threading.Lock()

    def prepare(self) -> None:
        """Load what the first mammogram needs, and compute once, as PyTorch is slow the first time.

        One core stays free for tiles: a scan on all of them also takes many times as long when anything else runs.
        """
        import torch

        torch.set_num_threads(max(min(torch.get_num_threads(), (os.cpu_count() or 1) - 1), 1))
        self._committee().expert_probabilities(np.zeros((1, 60, 60), np.float32))

    @property
    def operating_point(self) -> float | None:
        """Probability from which a finding of a mammogram is marked; None until the committee is loaded."""
        return self._load()[1].threshold if self._load.cache_info().currsize else None

    def _loaded(self) -> "tuple[Committee, SecondOpinion]":
        with self._loading:  # whoever comes second waits for the first
            return self._load()

    def _committee(self) -> "Committee":
        return self._loaded()[0]

    def scan(self, image: OpenImage, mammogram: Mammogram, on_progress: OnProgress) -> tuple[ScannedImage, float]:
        """The findings of a mammogram, or of a patch as one that stands for all of it; and their operating point.

        Raises:
            MicrocalcError: the image cannot be scanned.
        """
        if image.kind == "patch":
            return self._predict(image)
        from microcalc.mammograms.scanner import scan_mammogram

        size = None if mammogram.pixel_size_mm else image.pixel_size_mm
        committee, opinion = self._loaded()
        return scan_mammogram(mammogram, image.name, size, committee, opinion, on_progress), opinion.threshold

    def draw_heatmap(self, image: OpenImage, mammogram: Mammogram, on_progress: OnProgress) -> bytes:
        """A PNG that covers the whole image, the more opaque the more probable a cluster is.

        Raises:
            MicrocalcError: the image shows no breast.
        """
        from microcalc.mammograms.breast import find_breast
        from microcalc.mammograms.heatmap import colour_heat_map, heat_map

        true = to_true_scale(mammogram.pixels, _size(image))
        grid = heat_map(true, find_breast(true).mask, self._committee(), on_progress)
        return encode(colour_heat_map(grid, true.shape))

    def details(self, image: OpenImage, scanned: ScannedImage, images: Images) -> dict[int, Detail]:
        """Every finding of an image from near, by its number; all of them are made the first time.

        Raises:
            MicrocalcError: the image can no longer be read.
        """
        with image.computing:
            if image.details is None or image.details[0] is not scanned:
                image.details = scanned, self._details(image, scanned, images)
            return image.details[1]

    def _details(self, image: OpenImage, scanned: ScannedImage, images: Images) -> dict[int, Detail]:
        if not scanned.findings:
            return {}
        if not any(finding.calcifications_px for finding in scanned.findings):  # of a patch
            details = _details(self._committee(), self._patch(image), [np.empty((0, 2))])
        else:
            details = _details(self._committee(), *_windows(scanned, images.read(image).pixels))
        return {finding.number: detail for finding, detail in zip(scanned.findings, details, strict=True)}

    def _predict(self, image: OpenImage) -> tuple[ScannedImage, float]:
        from microcalc.committee.predictions import predict_patches

        start = time.perf_counter()
        (outcome,) = predict_patches(self._committee(), [_read_patch(image)])
        odds = outcome.probability / max(1 - outcome.probability, 1e-12)
        box = (0, 0, image.columns - 1, image.rows - 1)
        known = float(np.log(max(odds, 1e-12))), outcome.probability, bool(outcome.decision)
        whole = Finding(1, *known, (box[2] / 2, box[3] / 2), box, 0.0, (), tuple(outcome.experts), outcome.probability)
        seconds = time.perf_counter() - start
        assumed = ("The pixel size was assumed to be 0.085 mm.",) if outcome.assumed else ()
        identity = image.name, image.sop_instance_uid, image.pixels_sha256
        scanned = ScannedImage(
            *identity, _size(image), *image.shape, 0.0, seconds, (*outcome.warnings, *assumed), (whole,)
        )
        return scanned, self._committee().threshold

    def _patch(self, image: OpenImage) -> Windows:
        """(1, 60, 60): the patch, or of a larger field the one that its answer is of."""
        views = _read_patch(image).views
        return views[[int(self._committee().predict_proba(views).argmax())]]


def _read_patch(image: OpenImage) -> "PatchFile":
    from microcalc.data.patch_files import read_patch_file

    given = image.file_pixel_size_mm[0] if image.file_pixel_size_mm else image.given_pixel_size_mm
    with naming(image.name):
        return read_patch_file(image.path, given)


def _windows(scanned: ScannedImage, pixels: NDArray[np.float32]) -> tuple[Windows, list[Points]]:
    """(n, 60, 60) around the findings at 85 um, and where in them the single calcifications are."""
    from microcalc.mammograms.clusters import cut_windows, window_corners

    true = to_true_scale(pixels, scanned.pixel_size_mm)
    scale = np.array(true.shape[::-1]) / np.array([scanned.columns, scanned.rows])
    centers = np.array([_scaled(finding.center_px, scale) for finding in scanned.findings])
    corners = window_corners(true.shape, centers)
    points = [
        _scaled(finding.calcifications_px, scale) - corner
        for finding, corner in zip(scanned.findings, corners, strict=True)
    ]
    return cut_windows(true, centers), points


def _scaled(points: ArrayLike, scale: Points) -> Points:
    return np.asarray((np.asarray(points, np.float64).reshape(-1, 2) + 0.5) * scale - 0.5).reshape(np.shape(points))


def _details(committee: "Committee", windows: Windows, points: list[Points]) -> list[Detail]:
    from microcalc.explain.drawing import coloured, stretched
    from microcalc.explain.maps import explain

    votes = committee.expert_probabilities(windows)
    return [
        Detail(
            votes=tuple(vote.tolist()),
            calcifications_patch=tuple((round(x, 2), round(y, 2)) for x, y in inside.tolist()),
            patch=encode(stretched(window), "png"),
            gradcam=encode(coloured(heat), "png"),
        )
        for vote, inside, window, heat in zip(votes, points, windows, explain(committee, windows), strict=True)
    ]


def _size(image: OpenImage) -> PixelSize:
    if image.pixel_size_mm is None:
        raise ImageError("has no pixel size; give the pixel size in mm", image.name)
    return image.pixel_size_mm
