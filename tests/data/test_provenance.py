"""Patients known by names and by pixels: nothing shared is missed, nothing unrelated is linked."""

import time
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from microcalc.data import Data, provenance
from microcalc.data.provenance import (
    identical_pairs,
    linked_groups,
    parse_infn_name,
    patients_from_names,
    shared_blocks,
)
from microcalc.errors import DataError


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Patches of 8-bit grey values that have nothing in common."""
    return (np.random.default_rng(seed).integers(0, 256, (n, 60, 60)) / 255).astype(np.float32)


def shared_by_brute_force(images: np.ndarray, size: int) -> list[list[int]]:
    """The result of ``shared_blocks``, computed in the plainest way."""
    corners = [(y, x) for y in range(images.shape[1] - size + 1) for x in range(images.shape[2] - size + 1)]

    def blocks(image: np.ndarray) -> set[bytes]:
        changes = np.diff(image, axis=1, prepend=image[:, :1]) != 0
        return {
            image[y : y + size, x : x + size].tobytes()
            for y, x in corners
            if changes[y : y + size, x : x + size].mean() >= 0.25
        }

    known = [blocks(image) for image in images]
    return [[a, b] for a in range(len(images)) for b in range(a + 1, len(images)) if known[a] & known[b]]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("Train/0/0036t1_4_0_1.png", ("0036", "t1", 4, None, 0, 1)), ("0312u1_1_2_1_5.png", ("0312", "u1", 1, 2, 1, 5))],
)
def test_a_name_tells_patient_view_roi_cluster_label_and_crop(name: str, parts: tuple[object, ...]) -> None:
    assert astuple(parse_infn_name(name)) == parts


@pytest.mark.parametrize("name", ["", "a.png", "036t1_4_0_1.png", "0036t1_4_2_1.png", "0036t1_4_0_1_x.png"])
def test_any_other_name_is_refused_by_name(name: str) -> None:
    with pytest.raises(DataError, match="not the name of an INFN patch"):
        parse_infn_name(name)


def test_each_file_has_the_patient_that_its_own_name_gives_or_is_one_itself() -> None:
    files = ["0/0036t1_4_0_1.png", "1/0036u1_1_1_1_5.pgm", "1/biopsy.png"]
    external = ["0/D1_C_0249_1.RIGHT_CC.png", "1/D1_C_0249_1.RIGHT_MLO (5).png", "1/D2_A_1053_1.LEFT_MLO.png"]
    assert patients_from_names(files) == ("0036", "0036", "1/biopsy.png")
    assert patients_from_names(external) == ("D1_C_0249_1", "D1_C_0249_1", "D2_A_1053_1")


@given(
    corners=st.tuples(*[st.integers(0, 44)] * 4),
    seed=st.integers(0, 2**32 - 1),
    where=st.permutations(range(5)).map(lambda order: order[:2]),
)
@settings(max_examples=25, deadline=None)
def test_a_shared_block_is_found_wherever_it_lies(
    corners: tuple[int, int, int, int], seed: int, where: Sequence[int]
) -> None:
    images = noise(5, seed)
    y, x, other_y, other_x = corners
    one, other = where
    images[other, other_y : other_y + 16, other_x : other_x + 16] = images[one, y : y + 16, x : x + 16]
    assert shared_blocks(images).tolist() == [sorted(where)]


@given(corners=st.tuples(*[st.integers(0, 45)] * 4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_block_one_pixel_too_narrow_is_no_link(corners: tuple[int, int, int, int], seed: int) -> None:
    images = noise(3, seed)
    y, x, other_y, other_x = corners
    images[2, other_y : other_y + 15, other_x : other_x + 15] = images[0, y : y + 15, x : x + 15]
    assert shared_blocks(images).tolist() == []


@given(arrays(np.float32, (4, 7, 6), elements=st.sampled_from([0.0, -0.0, 0.5, 1.0])), st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_shared_blocks_agrees_with_brute_force_on_images_of_few_greys(images: np.ndarray, size: int) -> None:
    assert shared_blocks(images, size).tolist() == shared_by_brute_force(images + np.float32(0), size)


def test_minus_zero_is_zero() -> None:
    images = noise(1)[[0, 0]]
    images[0][images[0] == 0] = -0.0
    assert np.signbit(images).any()
    assert shared_blocks(images, size=60).tolist() == identical_pairs(images).tolist() == [[0, 1]]


def test_blocks_of_equal_hash_are_compared_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_mixed", np.zeros_like)
    assert shared_blocks(noise(3)).tolist() == []


def test_the_result_does_not_depend_on_how_many_hashes_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(200)
    for row in range(0, 200, 7):
        images[row, 3:33, 20:50] = images[100, 30:, 30:]
    at_once, groups = shared_blocks(images), linked_groups(images, [str(row) for row in range(200)])
    monkeypatch.setattr(provenance, "_HASHES_AT_A_TIME", 30_000)
    assert len(at_once) == 30 * 29 // 2
    assert np.array_equal(shared_blocks(images), at_once)
    assert np.array_equal(linked_groups(images, [str(row) for row in range(200)]), groups)


def test_a_black_border_links_nobody() -> None:
    images = noise(4)
    images[:, :25] = 0
    images[:, 25:28] = 1
    assert shared_blocks(images).tolist() == []


def test_images_smaller_than_the_block_share_nothing() -> None:
    assert shared_blocks(np.zeros((2, 10, 10), np.float32)).shape == (0, 2)


def test_identical_patches_are_found_and_near_ones_are_not() -> None:
    images = noise(5)
    images[3] = images[4] = images[1]
    images[4, 0, 0] = 1 - images[4, 0, 0]
    assert identical_pairs(images).tolist() == [[1, 3]]


def test_links_carry_on_through_patients_and_pixels() -> None:
    images = noise(6)
    images[2, :20, :20] = images[1, 40:, 40:]
    images[4, 10:40] = images[3, 30:]
    groups = linked_groups(images, ["a", "a", "b", "b", "c", "d"])
    assert groups.tolist() == [0, 0, 0, 0, 0, 1]
    assert groups.dtype == np.int64


def test_many_copies_of_one_patch_are_grouped_in_no_time() -> None:
    images = np.repeat(noise(1), 400, axis=0)
    start = time.process_time()
    assert linked_groups(images, [str(row) for row in range(400)]).max() == 0
    assert time.process_time() - start < 20


def test_the_infn_pixels_link_what_design_says(infn: Data) -> None:
    start = time.process_time()
    pairs = shared_blocks(infn.images)
    assert time.process_time() - start < 12
    assert len(pairs) == 193  # of any patients: 172 of one number, 21 across numbers
    across = [(a, b) for a, b in pairs.tolist() if infn.patients[a] != infn.patients[b]]
    identical = [(a, b) for a, b in across if np.array_equal(infn.images[a], infn.images[b])]
    assert (len(across), len(identical)) == (14 + 7, 14)
    assert identical == [tuple(pair) for pair in identical_pairs(infn.images).tolist()]
    assert {tuple(sorted((infn.patients[a], infn.patients[b]))) for a, b in across} == {
        ("0042", "0227"),
        ("0043", "0231"),
        ("0289", "0310"),
        ("0044", "0241"),
        ("0212", "0313"),
        ("0041", "0222"),
    }


def test_crop_5_shares_pixels_with_a_sibling_172_times_and_nothing_else_of_one_patient_does(infn: Data) -> None:
    names = [parse_infn_name(file) for file in infn.files]
    within = [
        (names[a], names[b])
        for a, b in shared_blocks(infn.images, size=30).tolist()
        if infn.patients[a] == infn.patients[b]
    ]
    assert len(within) == 172
    assert all({a.crop, b.crop} & {5} and (a.view, a.roi, a.cluster) == (b.view, b.roi, b.cluster) for a, b in within)
