import numpy as np
import pytest

from microcalc import Committee, Data
from microcalc.explain.maps import explain
from microcalc.images.tiles import check_patches

PATCHES = np.random.default_rng(0).random((3, 60, 60)).astype(np.float32)
REFUSED = {
    "one patch": (PATCHES[0], r"images must be of shape \(n, 60, 60\): got one patch, \(60, 60\); give images\["),
    "another size": (np.zeros((2, 61, 60)), r"images must be of shape \(n, 60, 60\): got \(2, 61, 60\)"),
    "channels": (PATCHES[..., None], r"got \(3, 60, 60, 1\)"),
    "none": (PATCHES[:0], "with at least one patch"),
    "bytes": ((PATCHES * 255).astype(np.uint8), r"floats in \[0, 1\]: got uint8; divide by 255"),
    "integers": ((PATCHES * 4095).astype(np.int64), "got int64; divide by the largest possible value"),
    "booleans": (PATCHES > 0.5, "got bool"),
    "complex numbers": (PATCHES * 1j, "got complex64"),
    "texts": (PATCHES.astype(str), "got <U"),
    "a NaN": (np.where(PATCHES > 0.999, np.nan, PATCHES), "must be finite"),
    "infinity": (np.where(PATCHES > 0.999, np.inf, PATCHES), "must be finite"),
    "8-bit grey values": (PATCHES * 255, r"must lie in \[0, 1\]: got 0.* to 25.*; divide 8-bit grey values by 255"),
    "negative values": (PATCHES - 0.5, r"must lie in \[0, 1\]: got -0\.\d+ to 0\.\d+$"),
}


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee.pretrained()


@pytest.mark.parametrize(("images", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_are_no_patches_is_refused_with_what_was_given_and_expected(images: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_patches(images)


@pytest.mark.parametrize(
    "images",
    [
        PATCHES[::-1],
        PATCHES[:, ::-1, ::-1],
        np.asfortranarray(PATCHES),
        PATCHES.astype(">f4"),
        PATCHES.astype(np.float64),
        PATCHES.round(2).astype(np.float16),
        PATCHES.tolist(),
    ],
    ids=["reversed", "negative strides", "Fortran order", "big-endian", "float64", "float16", "lists"],
)
def test_floats_of_any_kind_are_taken(images: np.ndarray) -> None:
    taken = check_patches(images)
    assert taken.dtype == np.float32 and taken.dtype.isnative and taken.flags.c_contiguous
    np.testing.assert_array_equal(taken, np.asarray(images, np.float32))


def test_what_is_right_already_is_not_copied() -> None:
    assert check_patches(PATCHES) is PATCHES


@pytest.mark.parametrize("images", [PATCHES[0], (PATCHES * 255).astype(np.uint8), PATCHES[:, :30]])
def test_every_public_way_in_checks_its_patches(images: np.ndarray, committee: Committee) -> None:
    labels = np.zeros(len(images), np.int64)
    ways = [
        committee.predict_proba,
        committee.expert_probabilities,
        lambda given: explain(committee, given),
        lambda given: Data("mine", given, labels, labels, ("",) * len(given), ("",) * len(given)),
    ]
    for way in ways:
        with pytest.raises(ValueError, match=r"^images must be"):
            way(images)
