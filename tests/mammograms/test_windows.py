"""Windows of a mammogram to learn from, cut from files of oblong pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from microcalc.data import Data
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.images.resample import TRUE_PIXEL_MM, to_true_scale
from microcalc.mammograms.adaptation import look
from microcalc.mammograms.candidates import Spots
from microcalc.mammograms.scanner import packaged, packaged_opinion
from microcalc.mammograms.truth import phantom_truth
from microcalc.mammograms.windows import FALSE_MARKS, RANDOM_WINDOWS, fullest_window, learning_data


def test_the_fullest_window_holds_the_most_plain_spots_of_the_region() -> None:
    columns, rows = [10, 300, 310, 320, 305, 600, 610, 620, 630, 640], [10, 50, 55, 60, 70, 50, 50, 50, 50, 50]
    contrast = np.array([20.0, 5, 5, 5, 5, 9, 3, 3, 3, 3])
    rest = [np.ones(10), np.ones(10), np.arange(10)]
    spots = Spots(np.array([columns, rows], float).T, contrast, *rest)
    assert fullest_window(spots, np.array([[0, 0], [700, 100]])) == pytest.approx([308.75, 58.75])
    assert fullest_window(spots, np.array([[0, 0], [200, 100]])) == pytest.approx([10, 10])
    assert fullest_window(spots, np.array([[700, 0], [800, 50]])) == pytest.approx([750, 25])


@pytest.mark.slow
def test_true_clusters_are_learned_as_such_and_normal_mammograms_by_their_false_marks(tmp_path: Path) -> None:
    phantoms = iter_phantom_mammograms(9, field_mm=(70, 60), pixel_size_mm=0.08)
    made = [next(each for each in phantoms if each.clusters)] * 2
    files, truth = [tmp_path / "a.png", tmp_path / "b.png"], phantom_truth(made[0])
    for file, each in zip(files, made, strict=True):
        PIL.Image.fromarray(each.pixels).save(file)
    boxes = tuple(cluster.box_px for cluster in truth.clusters)
    known = [ImageTruth("a.png", boxes, patient="anna"), ImageTruth("b.png", patient="bea")]
    images = look(files, known, packaged(), packaged_opinion(), 0.08)
    data = learning_data(images, [], [], seed=0)
    assert data.labels.tolist().count(1) == len(boxes) >= 1
    assert 1 + RANDOM_WINDOWS <= data.labels.tolist().count(0) <= FALSE_MARKS + RANDOM_WINDOWS
    assert [label == 1 for label in data.labels] == [patient == "anna" for patient in data.patients]
    assert len(set(data.files)) == len(data) and data.images.shape[1:] == (60, 60)
    for box, window in zip(boxes, data.images[data.labels == 1], strict=True):
        row, column = place_of(window, to_true_scale(made[0].pixels / np.float32(65535), 0.08))
        left, top, right, bottom = np.array(box) * 0.08 / TRUE_PIXEL_MM
        assert left - 30 < column + 29.5 < right + 30 and top - 30 < row + 29.5 < bottom + 30

    shown = np.random.default_rng(0).random((4, 60, 60), np.float32)
    shown[3, :30] = shown[1, 30:]  # dora is bea under another name
    patches = Data.of_patients("patches", shown, np.arange(4) % 2, "abcd", ["anna", "bea", "carl", "dora"])
    bea = replace(images[1], case=images[1].case._replace(patient="clinic/bea"))
    joined = learning_data(images[:1], [bea], [patches], seed=0)
    assert joined.patients == ("anna", "carl", *["anna"] * len(boxes))
    assert joined.groups[0] == joined.groups[2] != joined.groups[1]
    assert joined.files[:2] == ("patches/a", "patches/c")


def place_of(window: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Row and column of the window in the image that it was cut from."""
    corners = (image[:-59, :-59] == window[0, 0]) & (image[59:, 59:] == window[59, 59])
    (place,) = [place for place in np.argwhere(corners) if (image[place[0] :, place[1] :][:60, :60] == window).all()]
    return int(place[0]), int(place[1])
