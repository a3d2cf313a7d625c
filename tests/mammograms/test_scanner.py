"""The scan of whole phantom mammograms, and that it does not depend on how an image is stored."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from microcalc import scan
from microcalc.data.phantom_mammograms import PhantomMammogram
from microcalc.errors import ImageError, RequestError
from microcalc.images import Mammogram
from microcalc.images.resample import to_true_scale
from microcalc.mammograms.clusters import Cluster
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.scanner import _findings, packaged, packaged_opinion, scan_image, scan_mammogram

pytestmark = pytest.mark.slow

MM = 0.05


@pytest.fixture(scope="session")
def plain(pixels: np.ndarray) -> ScannedImage:
    return scan_image(pixels, MM)


def best(scanned: ScannedImage, count: int = 2) -> np.ndarray:
    """(count, 2) centres of the most probable findings, in mm from the upper left corner of the image."""
    height, width = scanned.pixel_size_mm
    return (np.array([finding.center_px for finding in scanned.findings[:count]]) + 0.5) * (width, height)


def test_the_plain_clusters_of_a_phantom_come_first(plain: ScannedImage, phantom: PhantomMammogram) -> None:
    for cluster in phantom.clusters:
        lowest, highest = cluster.min(axis=0) * MM - 2.5, cluster.max(axis=0) * MM + 2.5
        assert any(((lowest <= center) & (center <= highest)).all() for center in best(plain))


def test_findings_are_numbered_by_falling_probability_and_hold_together(plain: ScannedImage) -> None:
    assert [finding.number for finding in plain.findings] == list(range(1, len(plain.findings) + 1))
    probabilities = [finding.probability for finding in plain.findings]
    assert probabilities == sorted(probabilities, reverse=True)
    for finding in plain.findings:
        points = np.array(finding.calcifications_px)
        assert len(points) >= 3
        np.testing.assert_allclose(finding.center_px, points.mean(axis=0))
        left, top, right, bottom = finding.box_px
        assert ((points >= (left, top)) & (points <= (right, bottom))).all()
        assert finding.extent_mm <= np.hypot(right - left, bottom - top) * MM
        votes = np.array(finding.votes)
        assert votes.shape == (5,)
        assert packaged().combine(votes[None])[0] == pytest.approx(finding.committee)
        log_odds = np.log(finding.committee / (1 - finding.committee))
        assert finding.second_opinion == pytest.approx(finding.score - log_odds)
    marked = [finding.marked for finding in plain.findings]
    assert marked == sorted(marked, reverse=True)


CHANGES: dict[
    str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray, tuple[float, float]], np.ndarray]]
] = {
    "mirrored": (lambda image: image[:, ::-1], lambda mm, size: mm * (-1, 1) + (size[0], 0)),
    "upside down": (lambda image: image[::-1], lambda mm, size: mm * (1, -1) + (0, size[1])),
    "turned": (lambda image: np.rot90(image), lambda mm, size: mm[:, ::-1] * (1, -1) + (0, size[0])),
    "padded": (lambda image: np.pad(image, ((140, 60), (80, 200))), lambda mm, size: np.add(mm, (80 * MM, 140 * MM))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_findings_move_with_the_image(change: str, pixels: np.ndarray, plain: ScannedImage) -> None:
    changed, moved = CHANGES[change]
    size = pixels.shape[1] * MM, pixels.shape[0] * MM
    found = scan_image(np.ascontiguousarray(changed(pixels)), MM)
    np.testing.assert_allclose(best(found), moved(best(plain), size), atol=0.5)


def test_8_bits_give_the_same_findings(pixels: np.ndarray, plain: ScannedImage) -> None:
    np.testing.assert_allclose(best(scan_image(np.rint(pixels * 255) / np.float32(255), MM)), best(plain), atol=0.5)


def test_an_image_resampled_from_0_05_to_0_07_mm_gives_the_same_findings(
    pixels: np.ndarray, plain: ScannedImage
) -> None:
    coarser = to_true_scale(pixels, MM * 0.085 / 0.07)
    np.testing.assert_allclose(best(scan_image(coarser, 0.07)), best(plain), atol=0.5)


@pytest.mark.parametrize("white", [65535, 4095])
def test_a_file_gives_the_same_findings_as_its_pixels(
    white: int, tmp_path: Path, pixels: np.ndarray, plain: ScannedImage
) -> None:
    PIL.Image.fromarray(np.rint(pixels * white).astype(np.uint16)).save(tmp_path / "a.png")
    for found, expected in zip(scan(tmp_path / "a.png", pixel_size_mm=MM)[:2], plain.findings[:2], strict=True):
        np.testing.assert_allclose(found.center_px, expected.center_px, atol=1)
        assert found.probability == pytest.approx(expected.probability, abs=0.01)


def test_a_breast_without_spots_has_no_findings() -> None:
    image = np.zeros((900, 600), np.float32)
    image[100:800, :400] = 0.5
    assert scan(image, pixel_size_mm=0.085) == []


def test_an_image_of_unknown_pixel_size_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="has no pixel size; give the pixel size in mm"):
        scan(pixels)


@pytest.mark.parametrize("size", [0, -0.05, float("nan"), 30.0])
def test_an_impossible_pixel_size_is_refused(size: float, pixels: np.ndarray) -> None:
    with pytest.raises(RequestError, match="pixel size must be"):
        scan(pixels, pixel_size_mm=size)


def test_an_image_too_small_or_too_large_for_a_mammogram_is_refused() -> None:
    with pytest.raises(ImageError, match="check the pixel size"):
        scan(np.zeros((60, 60), np.float32), pixel_size_mm=0.085)
    with pytest.raises(ImageError, match="check the pixel size"):
        scan(np.zeros((8000, 100), np.float32), pixel_size_mm=0.085)


@pytest.mark.parametrize(
    ("height_mm", "width_mm", "breast", "warning"),
    [
        (180, 120, 0.5, ""),
        (319, 248, 0.3, ""),
        (248, 319, 0.3, ""),
        (420, 230, 0.3, "would be 42 x 23 cm, and detectors have 24 x 30 cm at most: check the pixel size"),
        (280, 290, 0.3, "would be 28 x 29 cm, and detectors"),
        (60, 80, 0.3, "would cover 15 square cm, and 20 to 400 are usual: check the pixel size"),
        (310, 250, 0.8, "would cover 624 square cm"),
    ],
)
def test_a_size_that_no_mammogram_has_is_a_warning_that_names_the_pixel_size(
    height_mm: float, width_mm: float, breast: float, warning: str
) -> None:
    size = (0.4, 0.5)
    rows, columns = round(height_mm / size[0]), round(width_mm / size[1])
    image = np.zeros((rows, columns), np.float32)
    tissue = image[:, : round(breast * columns)]
    tissue += np.random.default_rng(0).uniform(0.4, 0.6, tissue.shape)
    found = scan_image(image, size).warnings
    assert len(found) == bool(warning) and warning in " ".join(found)


def test_pixels_out_of_0_to_1_or_of_another_kind_are_refused() -> None:
    with pytest.raises(RequestError, match=r"in \[0, 1\]"):
        scan(np.full((900, 600), 255.0), pixel_size_mm=0.085)
    with pytest.raises(RequestError, match="rows, columns"):
        scan(np.zeros((900, 600), np.uint8), pixel_size_mm=0.085)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"in \[0, 1\]"):
        scan(np.full((900, 600), np.nan), pixel_size_mm=0.085)


@pytest.mark.parametrize(
    "imports",
    [
        "from microcalc import scan; from microcalc.mammograms.findings import Finding",
        "from microcalc.mammograms.findings import Finding; from microcalc import scan",
        "import microcalc, microcalc.mammograms.findings as f; scan = microcalc.scan; Finding = f.Finding",
        "import microcalc.mammograms.findings as f; from microcalc import scan; Finding = f.Finding",
    ],
)
def test_scan_is_a_function_whatever_was_imported_before(imports: str) -> None:
    shown = "*inspect.signature(scan).parameters, Finding.__name__, 'torch' in sys.modules"
    code = f"{imports}; import inspect, sys; print({shown})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["image_or_path", "pixel_size_mm", "committee", "Finding", "False"]


def test_a_scan_tells_its_stages_and_counts_its_windows(pixels: np.ndarray, plain: ScannedImage) -> None:
    steps: list[tuple[str, int, int]] = []
    told = scan_mammogram(Mammogram(pixels, None), "a", MM, on_progress=lambda *step: steps.append(step))
    assert list(dict.fromkeys(stage for stage, *_ in steps)) == ["breast", "spots", "windows", "clusters"]
    counted = [(done, total) for stage, done, total in steps if stage == "windows"]
    assert counted == [(done, counted[0][1]) for done in range(0, counted[0][1], 64)]
    assert told.findings == plain.findings


def test_findings_lie_inside_the_image_and_are_measured_by_the_sides_of_its_own_pixels() -> None:
    places = np.array([(-0.5, -0.5), (59.5, 99.5), (29.5, 24.5)])  # edges of the image, and a point in it
    cluster = Cluster(np.full(5, 9.0), 9.0, places)
    (finding,) = _findings([cluster], packaged_opinion(), (100, 60), (106, 102), (0.08, 0.05))
    assert finding.box_px == (0, 0, 101, 105)
    np.testing.assert_allclose(finding.calcifications_px, [(0, 0), (101, 105), (50.5, 26)], atol=0.01)
    np.testing.assert_allclose(finding.center_px, (50.5, 131 / 3), atol=0.01)
    assert finding.extent_mm == pytest.approx(np.hypot(101 * 0.05, 105 * 0.08))


def test_each_finding_has_the_votes_of_its_own_cluster() -> None:
    places = np.array([(10.0, 10.0), (30.0, 10.0), (20.0, 40.0)])
    logits = (2.0, 9.0, 6.0)
    clusters = [Cluster(np.full(5, each), each, places) for each in logits]
    findings = _findings(clusters, packaged_opinion(), (100, 60), (106, 102), (0.08, 0.05))
    expected = [[1 / (1 + np.exp(-each))] * 5 for each in sorted(logits, reverse=True)]
    np.testing.assert_allclose([finding.votes for finding in findings], expected[: len(findings)])
    assert len(findings) >= 2


def test_what_the_listener_raises_ends_the_scan(pixels: np.ndarray) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "windows" and done:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        scan_mammogram(Mammogram(pixels, None), "a", MM, on_progress=stop)


def test_scan_can_be_sent_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(scan)) is scan


def test_findings_belong_to_an_image_by_its_uid_or_its_pixels_never_by_its_name() -> None:
    greys = np.random.default_rng(0).random((9, 12), np.float32)
    named, unnamed = Mammogram(greys, None, sop_instance_uid="1.2.3"), Mammogram(greys, None)
    other = Mammogram(1 - greys, None)
    of_uid = ScannedImage("a.dcm", "1.2.3", named.pixels_sha256, (0.05, 0.08), 9, 12, 9.0, 1.0, (), ())
    of_pixels = replace(of_uid, sop_instance_uid=None)
    assert of_uid.is_of(named) and of_uid.is_of(unnamed) and of_pixels.is_of(named) and of_pixels.is_of(unnamed)
    assert of_uid.is_of(Mammogram(1 - greys, None, sop_instance_uid="1.2.3"))  # another window, the same image
    assert not of_uid.is_of(other) and not of_pixels.is_of(other)
    assert not of_uid.is_of(Mammogram(greys, None, sop_instance_uid="1.2.4"))
    assert not of_uid.is_of(Mammogram(greys.T, None, sop_instance_uid="1.2.3"))
    assert not of_pixels.is_of(Mammogram(greys.reshape(12, 9), None))
