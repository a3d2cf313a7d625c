"""A whole mammogram -> its findings: breast, spots, windows, committee, clusters, second opinion."""

import functools
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from microcalc.committee.committee import Committee
from microcalc.errors import ImageError, RequestError, naming
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.image import PixelSize
from microcalc.images.resample import as_pixel_size, to_true_scale
from microcalc.mammograms.breast import Breast, find_breast
from microcalc.mammograms.clusters import Cluster, find_clusters
from microcalc.mammograms.findings import Finding, ScannedImage, placed
from microcalc.mammograms.progress import OnProgress, ignore_progress
from microcalc.mammograms.second_opinion import SecondOpinion, features

LOW_FLOOR = 0.001
"""Findings of a lower probability are left out of a scan."""

SMALLEST_MM = 20.0
LARGEST_MM = 500.0
LARGEST_PATCH = 300
"""Pixels of a side up to which an image without a pixel size may well be a patch."""
DETECTOR_MM = (264.0, 330.0)
"""Short and long side of the largest detectors and films, 24 x 30 cm, and a tenth more for the edge of a scan."""

BREAST_MM2 = (2000.0, 40000.0)
"""Area of a breast in a mammogram."""

Pixels = NDArray[np.float32]
Source = str | os.PathLike[str] | Pixels


def scan_image(
    image_or_path: Source,
    pixel_size_mm: float | PixelSize | None = None,
    committee: Committee | None = None,
    second_opinion: SecondOpinion | None = None,
) -> ScannedImage:
    """As :func:`microcalc.scan`, with what the findings were found in.

    Args:
        image_or_path: as for :func:`microcalc.scan`.
        pixel_size_mm: as for :func:`microcalc.scan`.
        committee: as for :func:`microcalc.scan`.
        second_opinion: on what the committee finds; the one that comes with microcalc where None.

    Raises:
        ImageError: as for :func:`microcalc.scan`.
        RequestError: as for :func:`microcalc.scan`.
    """
    start = time.perf_counter()
    if isinstance(image_or_path, np.ndarray):
        mammogram, name = Mammogram(_checked(image_or_path), None), "the image"
    else:
        mammogram, name = read_mammogram(image_or_path), os.fspath(image_or_path)
    scanned = scan_mammogram(mammogram, name, pixel_size_mm, committee, second_opinion)
    return replace(scanned, seconds=time.perf_counter() - start)


def scan_mammogram(
    mammogram: Mammogram,
    name: str,
    pixel_size_mm: float | PixelSize | None = None,
    committee: Committee | None = None,
    second_opinion: SecondOpinion | None = None,
    on_progress: OnProgress = ignore_progress,
    floor: float = LOW_FLOOR,
) -> ScannedImage:
    """As :func:`scan_image`, of a mammogram that was read before.

    Args:
        mammogram: of :func:`microcalc.images.read_mammogram`.
        name: of its file, for the answer and for errors.
        pixel_size_mm: as for :func:`microcalc.scan`.
        committee: as for :func:`microcalc.scan`.
        second_opinion: as for :func:`scan_image`.
        on_progress: see :mod:`microcalc.mammograms.progress`.
        floor: findings of a lower probability are left out.

    Raises:
        ImageError: it has no pixel size, or shows no breast.
        RequestError: the pixel size is impossible.
    """
    start = time.perf_counter()
    on_progress("breast", 0, 1)
    with naming(name):
        size = known_pixel_size(mammogram, pixel_size_mm)
        image = to_true_scale(mammogram.pixels, size)
        breast = find_breast(image)
    committee, opinion = committee or packaged(), second_opinion or packaged_opinion()
    clusters = find_clusters(image, breast.mask, committee, on_progress)
    rows, columns = mammogram.pixels.shape
    return ScannedImage(
        file=name,
        sop_instance_uid=mammogram.sop_instance_uid,
        pixels_sha256=mammogram.pixels_sha256,
        pixel_size_mm=size,
        rows=rows,
        columns=columns,
        breast_mm2=breast.area_mm2,
        seconds=time.perf_counter() - start,
        warnings=(
            *(*mammogram.warnings, *_contradiction(mammogram, pixel_size_mm), *breast.warnings),
            *_doubts_of_size(rows * size[0], columns * size[1], breast),
        ),
        findings=_findings(clusters, opinion, image.shape, (rows, columns), size, floor),
        patient=mammogram.patient,
        study=mammogram.study,
        side=mammogram.side,
        view=mammogram.view,
    )


@functools.cache
def packaged() -> Committee:
    """Return the committee that comes with microcalc."""
    return Committee.pretrained()


@functools.cache
def packaged_opinion() -> SecondOpinion:
    """Return the second opinion that comes with microcalc."""
    return SecondOpinion.packaged()


def load_for_scan(directory: Path | None) -> tuple[Committee, SecondOpinion]:
    """A committee and the second opinion beside it; those that come with microcalc where there is none.

    Args:
        directory: a finished run or its committee; None for the one that comes with microcalc.

    Raises:
        RequestError: it is no committee, or its second opinion cannot be read.
    """
    if directory is None:
        return packaged(), packaged_opinion()
    return Committee.load(directory), SecondOpinion.beside(directory) or packaged_opinion()


def _checked(image: Pixels) -> Pixels:
    pixels = np.asarray(image)
    if pixels.ndim != 2 or not np.issubdtype(pixels.dtype, np.floating):
        raise RequestError(f"image must be (rows, columns) of floats in [0, 1]: got {pixels.dtype} {pixels.shape}")
    pixels = pixels.astype(np.float32, copy=False)
    if not pixels.size or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise RequestError("image must hold grey levels in [0, 1]; divide it by its largest possible value")
    return pixels


def known_pixel_size(mammogram: Mammogram, given: float | PixelSize | None) -> PixelSize:
    """Return the pixel size of the file, else that which is given.

    Raises:
        ImageError: there is none, or the image would have an impossible size with it.
        RequestError: the pixel size that is given is impossible.
    """
    size = mammogram.pixel_size_mm or (None if given is None else as_pixel_size(given))
    if size is None:
        patch = "" if max(mammogram.pixels.shape) > LARGEST_PATCH else "; for a patch, use microcalc predict"
        raise ImageError(f"has no pixel size; give the pixel size in mm{patch}")
    sides = [pixels * mm for pixels, mm in zip(mammogram.pixels.shape, size, strict=True)]
    if min(sides) < SMALLEST_MM or max(sides) > LARGEST_MM:
        raise ImageError(
            f"would be {sides[0]:.0f} x {sides[1]:.0f} mm with pixels of {size[0]:g} x {size[1]:g} mm; "
            f"a mammogram has {SMALLEST_MM:.0f} to {LARGEST_MM:.0f} mm a side: check the pixel size, or use microcalc "
            "predict for a patch"
        )
    return size


def _contradiction(mammogram: Mammogram, given: float | PixelSize | None) -> tuple[str, ...]:
    own = mammogram.pixel_size_mm
    if given is None or own is None or np.allclose(as_pixel_size(given), own, rtol=0.01):
        return ()
    return (f"The file gives pixels of {own[0]:g} x {own[1]:g} mm; the size that was given instead is not used.",)


def _doubts_of_size(height_mm: float, width_mm: float, breast: Breast) -> list[str]:
    """Return sentences on what no mammogram has, so that a wrong pixel size shows."""
    doubts = []
    if min(height_mm, width_mm) > DETECTOR_MM[0] or max(height_mm, width_mm) > DETECTOR_MM[1]:
        shown = f"{height_mm / 10:.0f} x {width_mm / 10:.0f} cm"
        doubts.append(f"The image would be {shown}, and detectors have 24 x 30 cm at most: check the pixel size.")
    if not breast.mask.all() and not BREAST_MM2[0] <= breast.area_mm2 <= BREAST_MM2[1]:
        least, most = (f"{area / 100:.0f}" for area in BREAST_MM2)
        doubts.append(
            f"The breast would cover {breast.area_mm2 / 100:.0f} square cm, and {least} to {most} are usual: check the "
            "pixel size."
        )
    return doubts


def _findings(
    clusters: list[Cluster],
    second_opinion: SecondOpinion,
    true_shape: tuple[int, ...],
    shape: tuple[int, ...],
    pixel_size_mm: PixelSize,
    floor: float = LOW_FLOOR,
) -> tuple[Finding, ...]:
    sides = np.array(shape[::-1])
    scores = second_opinion.scores(features(np.array([cluster.logit for cluster in clusters])))
    probabilities = expit(scores)
    findings = []
    for number, best in enumerate(np.argsort(-scores, kind="stable"), start=1):
        score, probability = float(scores[best]), float(probabilities[best])
        if probability < floor:
            break
        points = (clusters[best].calcifications + 0.5) * sides / true_shape[::-1] - 0.5
        points = points.clip(0, sides - 1)  # an edge of the image lies half a pixel outside of the last centre
        marked = bool(probability >= second_opinion.threshold)
        votes, of_all = expit(clusters[best].logits), float(expit(clusters[best].logit))
        known = {"votes": tuple(votes.tolist()), "committee": of_all}
        place = placed(points, shape, pixel_size_mm)
        findings.append(Finding(number, score, probability, marked, **place, **known))  # type: ignore[arg-type]
    return tuple(findings)
