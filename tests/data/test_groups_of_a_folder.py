"""A folder of patches: each keeps its own pixels, label and patient, whatever the order of the rows of groups.csv."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorders import make_data

from microcalc import Data

MADE = make_data("mine", 24, seed=31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    for file, image in zip(MADE.files, MADE.images, strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / file)
    return folder


def write_groups(folder: Path, order: list[int], bare: bool = False) -> None:
    names = [MADE.files[row].rpartition("/")[2] if bare else MADE.files[row] for row in order]
    lines = [f"{name},{MADE.patients[row]}" for name, row in zip(names, order, strict=True)]
    (folder / "groups.csv").write_text("\n".join(["file,patient", *lines]) + "\n")


ORDERS = {
    "as made": list(range(len(MADE))),
    "backwards": list(range(len(MADE)))[::-1],
    "shuffled": np.random.default_rng(0).permutation(len(MADE)).tolist(),
}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_each_patch_has_its_own_patient_label_and_pixels(
    order: str, packed: bool, bare: bool, folder, tmp_path
) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "mine"))
    write_groups(copied, ORDERS[order], bare)
    data = Data.load(Path(shutil.make_archive(str(tmp_path / "packed"), "zip", copied)) if packed else copied)
    assert sorted(data.files) == sorted(MADE.files)
    row_of = {file: row for row, file in enumerate(MADE.files)}
    rows = [row_of[file] for file in data.files]
    assert data.patients == tuple(MADE.patients[row] for row in rows)
    assert data.labels.tolist() == MADE.labels[rows].tolist()
    assert np.array_equal(data.images, MADE.images[rows])
    same_group = data.groups[:, None] == data.groups
    patients = np.array(data.patients)
    assert np.array_equal(same_group, patients[:, None] == patients)


def test_patients_that_share_pixels_are_one_group_and_carry_all_their_patches_along(folder: Path, tmp_path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "mine"))
    write_groups(copied, ORDERS["shuffled"])
    one, other = "mine-003", "mine-008"
    source, target = (MADE.files[MADE.patients.index(patient)] for patient in (one, other))
    pixels = np.asarray(Image.open(copied / target)).copy()
    pixels[:25, :25] = np.asarray(Image.open(copied / source))[30:55, 30:55]
    Image.fromarray(pixels).save(copied / target)
    data = Data.load(copied)
    groups = {
        patient: {g for g, p in zip(data.groups, data.patients, strict=True) if p == patient}
        for patient in MADE.patients
    }
    assert groups[one] == groups[other] and len(groups[one]) == 1
    assert len(set(data.groups.tolist())) == len(set(MADE.patients)) - 1


def test_selected_and_drawn_patches_keep_what_belongs_to_them() -> None:
    rows = [5, 2, 40, 11]
    part = MADE.select(rows)
    assert part.files == tuple(MADE.files[row] for row in rows)
    assert part.patients == tuple(MADE.patients[row] for row in rows)
    assert (part.labels.tolist(), part.groups.tolist()) == (MADE.labels[rows].tolist(), MADE.groups[rows].tolist())
    assert np.array_equal(part.images, MADE.images[rows])
    place = {image.tobytes(): row for row, image in enumerate(MADE.images)}
    for classes in (None, [0], [1]):
        images, labels = MADE.get_random_images(10, classes=classes, seed=1)
        drawn = [place[image.tobytes()] for image in images]
        assert len(set(drawn)) == 10 and labels.tolist() == MADE.labels[drawn].tolist()
        assert classes is None or set(labels.tolist()) == set(classes)
