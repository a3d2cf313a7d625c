"""What a fitted outlier detector flags: a picture of a cat, but not a patch of another patient."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images
from sklearn.model_selection import StratifiedGroupKFold

from microcalc.committee.outliers import OutlierDetector
from microcalc.data import Data
from microcalc.data.phantom import make_phantom
from microcalc.training.outliers import enlarged, fit_outlier_detector, other_device, reduced

Images = NDArray[np.float32]
RANDOM = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:60, :60]


def patients(data: tuple) -> tuple[Images, NDArray[np.int64]]:
    images, _, names, _ = data
    return images, np.unique(names, return_inverse=True)[1]


@pytest.fixture(scope="module")
def detector() -> OutlierDetector:
    return fit_outlier_detector(*patients(make_phantom(patients=80, seed=0)))


def cat() -> Image.Image:
    """A cat's head, drawn: ears, eyes, nose and whiskers on a light wall."""
    picture = Image.new("L", (240, 240), 200)
    pen = ImageDraw.Draw(picture)
    pen.polygon([(60, 110), (70, 30), (120, 80)], fill=70)
    pen.polygon([(180, 110), (170, 30), (120, 80)], fill=70)
    pen.ellipse((50, 60, 190, 200), fill=80)
    for eye in (85, 135):
        pen.ellipse((eye, 105, eye + 22, 127), fill=230)
        pen.ellipse((eye + 8, 107, eye + 14, 125), fill=10)
    pen.polygon([(112, 145), (128, 145), (120, 156)], fill=30)
    for slope in (-10, 0, 10):
        pen.line([(105, 155), (40, 155 + slope)], fill=240, width=3)
        pen.line([(135, 155), (200, 155 + slope)], fill=240, width=3)
    return picture


def text(ink: int, paper: int) -> Image.Image:
    picture = Image.new("L", (60, 60), paper)
    for row in range(0, 60, 12):
        ImageDraw.Draw(picture).text((2, row), "L-MLO 42 L-MLO", fill=ink)
    return picture


def drawn(picture: Image.Image) -> Images:
    return np.asarray(picture.convert("L").resize((60, 60)), np.float32)[None] / 255


def crops(picture: Image.Image, side: int) -> Images:
    """Thirty squares of a photograph, each at 60 x 60 pixels."""
    places = [(RANDOM.integers(picture.width - side), RANDOM.integers(picture.height - side)) for _ in range(30)]
    return np.concatenate([drawn(picture.crop((x, y, x + side, y + side))) for x, y in places])


def photographs() -> dict[str, Image.Image]:
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    portrait = Image.open(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"))
    return {"a temple": china, "a flower": flower, "a portrait": portrait}


def blurred_noise() -> Images:
    images = np.stack([gaussian_filter(RANDOM.random((60, 60)), sigma) for sigma in (1, 2, 4)])
    return (images - images.min((1, 2), keepdims=True)) / np.ptp(images, axis=(1, 2), keepdims=True)


ODD = {
    "a cat": drawn(cat()),
    "a darker cat": 0.3 * drawn(cat()) + 0.2,
    "a gradient": np.stack([COLUMNS / 59, ROWS / 59, (ROWS + COLUMNS) / 118]),
    "a faint gradient": 0.4 + np.stack([COLUMNS, ROWS]) / 590,
    "a checkerboard": np.stack([(ROWS // k + COLUMNS // k) % 2 for k in (1, 2, 3, 5, 10, 20)]),
    "a faint checkerboard": np.stack([0.45 + 0.1 * ((ROWS // k + COLUMNS // k) % 2) for k in (1, 2, 3, 5, 10, 20)]),
    "white noise": RANDOM.random((10, 60, 60)),
    "blurred noise": blurred_noise(),
    "black text": drawn(text(0, 255)),
    "white text": drawn(text(255, 0)),
    "nothing": np.stack([np.full((60, 60), grey) for grey in (0.0, 0.2, 0.5, 1.0)]),
    "a disc": np.stack([np.hypot(ROWS - 30, COLUMNS - 30) < radius for radius in (5, 12, 25)]),
}


@pytest.mark.parametrize("images", ODD.values(), ids=ODD.keys())
def test_what_is_no_mammogram_is_flagged(images: Images, detector: OutlierDetector) -> None:
    assert (detector.distances(images.astype(np.float32)) > detector.threshold).all()


def test_patches_of_other_patients_are_flagged_about_as_rarely_as_stated(detector: OutlierDetector) -> None:
    images, _ = patients(make_phantom(patients=200, seed=1))
    assert (detector.distances(images) > detector.threshold).mean() < 3 * detector.false_alarm_rate


def test_tissue_of_other_devices_passes_and_at_another_scale_is_flagged(detector: OutlierDetector) -> None:
    images, _ = patients(make_phantom(patients=40, seed=2))
    random = np.random.default_rng(3)
    flagged = {
        kind: (detector.distances(made) > detector.threshold).mean()
        for kind, made in {
            "other device": other_device(images, random),
            "enlarged": enlarged(images, random),
            "reduced": reduced(images),
            "inverted": 1 - images,
        }.items()
    }
    assert flagged["other device"] < 0.1
    assert flagged["enlarged"] > 0.95
    assert min(flagged["reduced"], flagged["inverted"]) > 3 * flagged["other device"]


def test_the_real_patches_keep_the_stated_rate_and_what_is_not_tissue_is_flagged(shared_data: Path) -> None:
    data = Data.load("infn", archive=shared_data / "DL_class_data.tar.gz")
    rest, part = next(
        StratifiedGroupKFold(2, shuffle=True, random_state=0).split(data.images, data.labels, data.groups)
    )
    fitted = fit_outlier_detector(data.images[rest], data.groups[rest])

    def flagged(images: Images) -> float:
        return float((fitted.distances(images) > fitted.threshold).mean())

    unseen = data.images[part]
    assert flagged(unseen) < 0.03
    assert flagged(enlarged(unseen, RANDOM)) > 0.95
    assert flagged(1 - unseen) > 0.5
    assert (
        flagged(np.concatenate([crops(each, side) for each in photographs().values() for side in (60, 120, 300)])) > 0.7
    )


def test_the_rate_is_never_stated_below_what_the_patches_can_show() -> None:
    images, groups = patients(make_phantom(patients=6, patches_per_patient=4, seed=0))
    few = fit_outlier_detector(images, groups)
    assert few.false_alarm_rate == pytest.approx(1 / 25)
    assert fit_outlier_detector(images, groups, rate=0.2).false_alarm_rate == 0.2


def test_the_same_seed_fits_the_same_detector() -> None:
    images, groups = patients(make_phantom(patients=6, patches_per_patient=4, seed=0))
    one, same = (fit_outlier_detector(images, groups, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.weights, same.weights)
