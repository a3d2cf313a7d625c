"""The phantom: reproducible, film-like, hard to guess from brightness and fair to a detector."""

import hashlib
import io
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from microcalc.data.dataset import Data
from microcalc.data.phantom import PIXEL_UM, iter_phantom, make_phantom, write_phantom
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.data.provenance import linked_groups
from microcalc.errors import DataError, FailedError, RequestError
from microcalc.images import find_images

TOUCHING = np.ones((3, 3))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


def by_patient(patients: tuple[str, ...], values: np.ndarray) -> list[np.ndarray]:
    names = np.array(patients)
    return [values[names == name] for name in np.unique(names)]


def test_the_default_is_480_patches_of_80_patients(phantom):
    images, labels, patients, masks = phantom
    assert images.shape == masks.shape == (480, 60, 60)
    assert labels.shape == (480,)
    assert (images.dtype, labels.dtype, masks.dtype) == (np.float32, np.int64, np.bool_)
    assert len(patients) == 480
    assert {len(patches) for patches in by_patient(patients, labels)} == {6}


def test_pixels_are_the_256_greys_of_an_8_bit_image(phantom):
    images = phantom[0]
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(images, np.rint(images * 255).astype(np.uint8).astype(np.float32) / 255)


def test_the_same_seed_gives_the_same_patches_and_another_seed_does_not():
    first, again, other = (make_phantom(4, 2, seed=seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not (first == other).all(axis=(1, 2)).any()


def test_phantoms_of_two_seeds_are_joined_without_mixing_their_patients():
    joined = Data.join([Data.load("phantom", seed=seed) for seed in (0, 1, 2)])
    assert len(set(joined.patients)) == len(set(joined.groups)) == 3 * 80
    assert len(set(joined.files)) == len(joined)


def test_data_of_one_name_with_files_of_one_name_are_not_joined():
    with pytest.raises(DataError, match=r"phantom/0/phantom00000_00000\.png: is there twice"):
        Data.join([Data.load("phantom"), Data.load("phantom")])


def test_the_pictures_stay_those_that_figures_were_measured_on():
    """Change the pins when the phantom changes on purpose; pixels are rounded to 8 bits against other processors."""
    patches = np.rint(make_phantom(4, 2, seed=5)[0] * 255).astype(np.uint8)
    mammogram = (next(iter_phantom_mammograms(1, field_mm=(80, 60))).pixels >> 8).astype(np.uint8)
    pins = [hashlib.sha256(pixels.tobytes()).hexdigest()[:16] for pixels in (patches, mammogram)]
    assert pins == ["797a9287a0c158f4", "b301865559d5aa96"]


def test_a_patient_does_not_depend_on_how_many_follow():
    few, many = make_phantom(3, 2, seed=1), make_phantom(12, 2, seed=1)
    for part_of_few, part_of_many in zip(few, many, strict=True):
        np.testing.assert_array_equal(part_of_few, part_of_many[:6])


def test_patients_come_one_at_a_time_however_many_are_asked_for():
    images, labels, masks = zip(*islice(iter_phantom(10**9, 2, seed=1), 3), strict=True)
    whole = make_phantom(3, 2, seed=1)
    np.testing.assert_array_equal(np.concatenate(images), whole[0])
    np.testing.assert_array_equal(np.concatenate(labels), whole[1])
    np.testing.assert_array_equal(np.concatenate(masks), whole[3])


def test_difficulty_changes_the_calcifications_and_nothing_else():
    easy, hard = make_phantom(6, 3, difficulty=0.0), make_phantom(6, 3, difficulty=1.0)
    np.testing.assert_array_equal(easy[3], hard[3])
    normal = easy[1] == 0
    np.testing.assert_array_equal(easy[0][normal], hard[0][normal])
    far = ~ndimage.binary_dilation(easy[3], np.ones((1, 9, 9)))
    np.testing.assert_array_equal(easy[0][far], hard[0][far])
    assert (easy[0][easy[3]] - hard[0][easy[3]]).mean() > 0.1


def test_most_patients_have_one_class_and_a_few_both(phantom):
    _, labels, patients, _ = phantom
    positives = np.array([patches.mean() for patches in by_patient(patients, labels)])
    mixed = (positives > 0) & (positives < 1)
    assert 0 < mixed.mean() <= 0.2
    assert (positives == 0).mean() > 0.3 and (positives == 1).mean() > 0.3


@pytest.mark.slow
def test_a_cluster_holds_3_to_30_calcifications_of_100_to_500_um_and_normal_tissue_none():
    _, labels, _, masks = make_phantom(patients=200)
    assert not masks[labels == 0].any()
    counts, lengths = [], []
    for mask in masks[labels == 1]:
        components, count = ndimage.label(mask, TOUCHING)
        counts.append(count)
        lengths += [max(part.stop - part.start for part in parts) for parts in ndimage.find_objects(components)]
    assert 3 <= min(counts) <= 5 and 20 <= max(counts) <= 30
    assert min(lengths) == 1 and 5 <= max(lengths) <= 500 / PIXEL_UM + 1


def test_calcifications_are_brighter_than_what_surrounds_them(phantom):
    images, labels, _, masks = phantom
    near = ndimage.binary_dilation(masks, np.ones((1, 7, 7))) & ~ndimage.binary_dilation(masks, np.ones((1, 3, 3)))
    contrast = [
        image[mask].mean() - image[ring].mean()
        for image, mask, ring in zip(images[labels == 1], masks[labels == 1], near[labels == 1], strict=True)
    ]
    assert np.mean(np.array(contrast) > 0) > 0.95


def test_tissue_texture_falls_as_the_cube_of_the_frequency(phantom):
    images, labels, _, _ = phantom
    window = np.hanning(60)[:, None] * np.hanning(60)
    normal = images[labels == 0] - images[labels == 0].mean(axis=(1, 2), keepdims=True)
    power = np.median(np.abs(np.fft.fft2(normal * window)) ** 2, axis=0)
    cycles = np.rint(60 * np.hypot(*np.meshgrid(np.fft.fftfreq(60), np.fft.fftfreq(60))))
    low, high = (power[cycles == count].mean() for count in (2, 5))
    assert -3.5 < np.log(high / low) / np.log(5 / 2) < -2.3


def test_dust_lies_on_both_classes(phantom):
    images, labels, _, masks = phantom
    speck = images - ndimage.median_filter(images, size=(1, 5, 5)) > 0.08
    dusty = (speck & ~ndimage.binary_dilation(masks, np.ones((1, 5, 5)))).any(axis=(1, 2))
    assert 0.1 < dusty[labels == 0].mean() < 0.9
    assert 0.1 < dusty[labels == 1].mean() < 0.9


def test_the_patches_of_a_patient_are_alike(phantom):
    images, _, patients, _ = phantom
    for character in (images.mean(axis=(1, 2)), np.log(images.std(axis=(1, 2)))):
        groups = by_patient(patients, character)
        within, between = np.mean([group.var(ddof=1) for group in groups]), np.var([group.mean() for group in groups])
        assert between > within


@pytest.mark.slow
def test_no_two_patients_share_pixels():
    images, _, patients, _ = make_phantom(patients=400, patches_per_patient=2, seed=1)
    assert len(np.unique(linked_groups(images, patients))) == 400


def grouped_auc(features: np.ndarray, labels: np.ndarray, patients: tuple[str, ...]) -> float:
    """AUC of logistic regression over 5 folds that never split a patient."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, labels, groups=patients, cv=folds, method="decision_function")
    return float(roc_auc_score(labels, scores))


def matched_filter(images: np.ndarray) -> np.ndarray:
    """Upper quantiles of a difference of Gaussians, which matches a blurred calcification of 0.2 mm."""
    response = ndimage.gaussian_filter(images, (0, 1, 1)) - ndimage.gaussian_filter(images, (0, 3, 3))
    pixels = response.reshape(len(response), -1)
    upper = np.quantile(pixels, [0.9, 0.95, 0.98, 0.99, 0.995, 0.999], axis=1).T
    return np.log(np.abs(upper) / np.median(np.abs(pixels), axis=1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_brightness_and_contrast_do_not_give_the_label_away_but_a_detector_finds_it(seed):
    images, labels, patients, _ = make_phantom(seed=seed)
    assert grouped_auc(np.stack([images.mean((1, 2)), images.std((1, 2))], axis=1), labels, patients) < 0.75
    assert grouped_auc(matched_filter(images), labels, patients) > 0.88


@settings(deadline=None, max_examples=25)
@given(
    patients=st.integers(2, 12),
    patches=st.integers(1, 4),
    difficulty=st.floats(0, 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_phantom_keeps_its_contract(patients, patches, difficulty, seed):
    images, labels, names, masks = make_phantom(patients, patches, difficulty, seed)
    assert images.shape == masks.shape == (patients * patches, 60, 60)
    assert len(set(names)) == patients
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
    assert set(labels.tolist()) == {0, 1}
    counts = np.array([ndimage.label(mask, TOUCHING)[1] for mask in masks])
    assert (counts[labels == 0] == 0).all()
    assert ((counts[labels == 1] >= 3) & (counts[labels == 1] <= 30)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 1},
        {"patches_per_patient": 0},
        {"difficulty": -0.1},
        {"difficulty": 1.1},
        {"difficulty": float("nan")},
        {"seed": -1},
    ],
)
def test_a_number_out_of_its_range_is_refused(wrong):
    with pytest.raises(RequestError, match="got") as refusal:
        make_phantom(**wrong)
    assert "\n" not in str(refusal.value)


def test_a_written_phantom_reads_back_as_it_was_made(tmp_path: Path):
    images, labels, patients, masks = make_phantom(10, 3, seed=2)
    folder = tmp_path / "new" / "phantom"
    write_phantom(folder, images, labels, patients, masks)
    data = Data.load(folder)
    made = {f"{labels[row]}/{patient}_{row:05d}.png": row for row, patient in enumerate(patients)}
    rows = [made[file] for file in data.files]
    np.testing.assert_array_equal(data.images, images[rows])
    np.testing.assert_array_equal(data.labels, labels[rows])
    assert data.patients == tuple(patients[row] for row in rows)
    with zipfile.ZipFile(folder / "masks.zip") as archive:
        written = {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}
    assert len(written) == labels.sum()
    for file, row in made.items():
        if labels[row]:
            np.testing.assert_array_equal(written[Path(file).name], np.where(masks[row], 255, 0))
    assert [path.name for path in folder.parent.iterdir()] == ["phantom"]


def test_masks_are_never_taken_for_patches(tmp_path: Path):
    write_phantom(tmp_path / "phantom", *make_phantom(4, 2))
    assert len(find_images(tmp_path / "phantom").files) == 8
    assert Data.load(tmp_path / "phantom").warnings == ()


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = make_phantom(2, 1)
    monkeypatch.chdir(tmp_path)
    write_phantom(Path(), *made)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RequestError, match="is not empty"):
        write_phantom(tmp_path, *made)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_filled_keeps_its_permissions_and_the_link_to_it(tmp_path: Path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    write_phantom(tmp_path / "link", *make_phantom(2, 1))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "groups.csv").is_file()
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o700


def test_a_phantom_that_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FailedError, match="No space left on device"):
        write_phantom(tmp_path / "phantom", *make_phantom(2, 1))
    assert not list(tmp_path.iterdir())
