"""Augmentation: what each setting does to a batch, and that it does no more."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from microcalc.config import AugmentationSettings, StudyConfig, WaveletSettings
from microcalc.data import Data
from microcalc.errors import RequestError
from microcalc.training.naive import augment_before_split
from microcalc.transforms.augment import augment

NOTHING = AugmentationSettings(
    rotation_degrees=0,
    shift_pixels=0,
    flips=False,
    scale_range=(1, 1),
    blur_pixels=0,
    gamma=0,
    contrast=0,
    brightness=0,
    noise=0,
    p_background_swap=0,
    p_linear_structures=0,
    p_power_law_noise=0,
    p_dust=0,
    p_single_calcifications=0,
)
MANY = 2000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_images(number: int, height: int = 60, width: int = 60) -> torch.Tensor:
    return torch.rand(number, 1, height, width, generator=seeded(99))


def blobs(number: int, row: float, column: float, sigma: float = 3.0, size: int = 60) -> torch.Tensor:
    """The same Gaussian blob in each patch, its centre in pixels from the patch's own centre."""
    axis = torch.arange(size) - (size - 1) / 2
    blob = torch.exp(-((axis[:, None] - row) ** 2 + (axis - column) ** 2) / (2 * sigma**2))
    return blob.expand(number, 1, size, size).contiguous()


def centres(images: torch.Tensor) -> np.ndarray:
    """(n, 2): row and column of each patch's centre of brightness, in pixels from the patch's own centre."""
    rows, columns = (torch.arange(size) - (size - 1) / 2 for size in images.shape[2:])
    weight = images[:, 0] / images.sum((1, 2, 3))[:, None, None]
    return torch.stack([(weight * rows[:, None]).sum((1, 2)), (weight * columns).sum((1, 2))], dim=1).numpy()


def vary(images: torch.Tensor, seed: int = 0, **changes: Any) -> torch.Tensor:
    return augment(images, torch.zeros(len(images)), replace(NOTHING, **changes), seeded(seed))


def test_settings_that_change_nothing_give_back_the_batch():
    for shape in ((60, 60), (40, 72)):
        images = noise_images(8, *shape)
        torch.testing.assert_close(vary(images), images, atol=2e-5, rtol=0)


@settings(deadline=None, max_examples=40)
@given(
    number=st.integers(1, 5),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    options=st.builds(
        AugmentationSettings,
        rotation_degrees=st.floats(0, 180),
        shift_pixels=st.floats(0, 10),
        flips=st.booleans(),
        scale_range=st.tuples(st.floats(0.5, 1), st.floats(1, 2)),
        contrast=st.floats(0, 1),
        brightness=st.floats(0, 1),
        noise=st.floats(0, 0.5),
        p_background_swap=st.floats(0, 1),
        p_linear_structures=st.floats(0, 1),
        p_power_law_noise=st.floats(0, 1),
        p_dust=st.floats(0, 1),
    ),
    seed=st.integers(0, 2**32),
)
def test_any_settings_keep_shape_type_range_and_the_batch_given(number, height, width, options, seed):
    images = noise_images(number, height, width)
    before = images.clone()
    varied = augment(images, torch.zeros(len(images)), options, seeded(seed))
    assert varied.shape == images.shape and varied.dtype == torch.float32
    assert varied.min() >= 0 and varied.max() <= 1
    assert torch.equal(images, before)
    assert varied.data_ptr() != images.data_ptr()


def test_equal_generators_give_equal_batches_and_a_used_one_moves_on():
    images, generator = noise_images(6), seeded(3)

    def varied(generator):
        return augment(images, torch.zeros(6), AugmentationSettings(), generator)

    first, second = varied(generator), varied(generator)
    assert torch.equal(first, varied(seeded(3)))
    assert not torch.equal(first, second)


def test_each_patch_is_varied_differently():
    images = noise_images(1).expand(6, 1, 60, 60)
    varied = augment(images, torch.zeros(len(images)), AugmentationSettings(), seeded())
    assert all(not torch.equal(varied[0], other) for other in varied[1:])


def test_the_stated_share_of_patches_stands_on_the_background_of_another():
    levels = torch.linspace(0.2, 0.6, 400).view(-1, 1, 1, 1).expand(-1, 1, 60, 60)
    brightness = vary(levels, p_background_swap=0.35).mean((1, 2, 3)) - levels.mean((1, 2, 3))
    assert 0.28 < (brightness.abs() > 1e-4).float().mean() < 0.42
    torch.testing.assert_close(brightness.mean(), torch.tensor(0.0), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "name", ["p_background_swap", "p_linear_structures", "p_power_law_noise", "p_dust", "p_single_calcifications"]
)
def test_a_share_outside_0_to_1_is_refused(name):
    for share in (-0.1, 1.5):
        with pytest.raises(RequestError, match=f"{name} must be"):
            AugmentationSettings(**{name: share})


@pytest.mark.parametrize("scales", [(0.1, 1.2), (1.1, 1.2), (0.8, 0.9), (0.8, 5.0), (float("nan"), 1.0)])
def test_a_range_of_scale_that_does_not_hold_1_or_goes_too_far_is_refused(scales):
    with pytest.raises(RequestError, match="scale_range"):
        AugmentationSettings(scale_range=scales)


def test_dust_is_one_or_two_sharp_specks_in_the_stated_share_of_normal_patches_alone():
    images, labels = torch.full((4000, 1, 60, 60), 0.2), torch.arange(4000) % 2
    drawn = augment(images, labels, replace(NOTHING, p_dust=0.3), seeded())[:, 0] - 0.2
    dusty = drawn.amax((1, 2)) > 0.005
    assert not dusty[labels == 1].any()
    assert 0.25 < dusty[labels == 0].float().mean() < 0.33
    specks = [ndimage.label(patch > 0.01)[1] for patch in drawn[dusty].numpy()]
    assert {1, 2} == {min(number, 2) for number in specks if number} and max(specks) <= 2
    assert drawn.min() > -1e-5 and drawn.max() < 0.8
    bright = drawn[drawn.amax((1, 2)) > 0.1]
    assert ((bright > bright.amax((1, 2), keepdim=True) / 2).sum((1, 2)) <= 9).all()


def test_single_calcifications_are_wider_than_dust_and_in_normal_patches_alone():
    images, labels = torch.full((4000, 1, 60, 60), 0.2), torch.arange(4000) % 2
    drawn = augment(images, labels, replace(NOTHING, p_single_calcifications=0.3), seeded())[:, 0] - 0.2
    speckled = drawn.amax((1, 2)) > 0.005
    assert not speckled[labels == 1].any() and 0.25 < speckled[labels == 0].float().mean() < 0.33
    bright = drawn[drawn.amax((1, 2)) > 0.1]
    assert (bright > bright.amax((1, 2), keepdim=True) / 2).sum((1, 2)).float().quantile(0.9) > 9


def test_without_numbers_tissue_and_dust_are_drawn_into_raw_patches_and_not_into_filtered_ones():
    assert StudyConfig().training_augmentation.drawn() == {
        "p_linear_structures": 0.15, "p_power_law_noise": 0.3, "p_dust": 0.3
    }  # fmt: skip
    assert set(StudyConfig(wavelet=WaveletSettings("haar")).training_augmentation.drawn().values()) == {0.0}
    asked = StudyConfig(wavelet=WaveletSettings("haar"), augmentation=AugmentationSettings(p_dust=0.2))
    asked = asked.training_augmentation
    assert (asked.p_dust, asked.p_linear_structures) == (0.2, 0.0)


def test_linear_structures_are_long_and_bright_and_drawn_into_the_stated_share():
    drawn = vary(torch.full((400, 1, 60, 60), 0.2), p_linear_structures=0.3) - 0.2
    struck = drawn.amax((1, 2, 3)) > 0.01
    assert 0.2 < struck.float().mean() < 0.4
    assert drawn.min() > -1e-5 and 0.1 < drawn.max() < 0.5
    lengths = (drawn[struck, 0] > 0.01).sum((1, 2)).float()
    assert lengths.median() > 60


def test_noise_of_a_power_law_spectrum_is_added_to_the_stated_share():
    added = vary(torch.full((1000, 1, 60, 60), 0.5), p_power_law_noise=0.3)[:, 0] - 0.5
    deviation = added.std((1, 2))
    textured = deviation > 1e-4
    assert 0.25 < textured.float().mean() < 0.35
    assert 0.045 < deviation.max() < 0.051 and deviation[textured].mean() == pytest.approx(0.025, abs=0.003)
    power = torch.fft.rfft2(added[textured & (deviation > 0.005)]).abs().square().log()
    frequency = torch.hypot(torch.fft.fftfreq(60)[:, None], torch.fft.rfftfreq(60)).flatten()[1:].log()
    exponents = [-np.polyfit(frequency, patch, 1)[0] for patch in power.flatten(1)[:, 1:]]
    assert np.mean(exponents) == pytest.approx(2.5, abs=0.1)
    assert 1.2 < min(exponents) < 1.7 and 3.3 < max(exponents) < 3.8


def test_the_earlier_way_leaves_each_patch_its_own_background_and_tissue(phantom: Data):
    data = phantom.select(np.arange(20))
    settings = replace(NOTHING, p_background_swap=1, p_linear_structures=1, p_power_law_noise=1, p_dust=1)
    doubled = augment_before_split(data, settings, seed=0)
    np.testing.assert_allclose(doubled.images[20:], data.images, atol=2e-5)


def test_a_patch_keeps_its_own_calcifications_on_another_background():
    spots = torch.zeros(2, 1, 60, 60)
    spots[0, 0, 30, 20] = spots[1, 0, 12, 40] = 0.3
    bright = torch.tensor([0.2, 0.6]).view(-1, 1, 1, 1)
    exchanged = next(
        out for seed in range(50) if (out := vary(spots + bright, seed, p_background_swap=1))[0].mean() > 0.5
    )
    torch.testing.assert_close(exchanged - bright.flip(0), spots, atol=0.01, rtol=0)


def test_background_of_another_patch_carries_its_gradient_of_density():
    ramp = torch.linspace(0.2, 0.7, 60).expand(1, 1, 60, 60)
    images = torch.cat((ramp, ramp.flip(-1)))
    exchanged = next(out for seed in range(50) if (out := vary(images, seed, p_background_swap=1))[0, 0, 0, 0] > 0.5)
    torch.testing.assert_close(exchanged, images.flip(0), atol=0.04, rtol=0)


def test_flips_reach_all_four_mirror_images_equally_often():
    image = noise_images(1)
    mirrored = vary(image.expand(400, 1, 60, 60), flips=True)
    for axes in ((), (2,), (3,), (2, 3)):
        matches = ((mirrored - image.flip(axes)).abs().amax((1, 2, 3)) < 1e-4).sum()
        assert 60 < matches < 140


def test_rotation_turns_about_the_centre_uniformly_within_its_range():
    found = centres(vary(blobs(MANY, 0.0, 10.0), rotation_degrees=50))
    np.testing.assert_allclose(np.hypot(*found.T), 10, atol=0.05)
    angles = np.degrees(np.arctan2(found[:, 0], found[:, 1]))
    assert np.abs(angles).max() < 50.5
    assert abs(angles.mean()) < 2
    assert angles.std() == pytest.approx(50 / np.sqrt(3), rel=0.05)


def test_rotation_of_an_oblong_patch_keeps_distances():
    oblong = torch.nn.functional.pad(blobs(50, 0.0, 8.0, sigma=2.0, size=40), (10, 10))
    found = centres(vary(oblong, rotation_degrees=180))
    np.testing.assert_allclose(np.hypot(*found.T), 8, atol=0.05)
    assert np.abs(found[:, 0]).max() > 7


def test_shifts_are_in_pixels_uniform_and_independent():
    found = centres(vary(blobs(MANY, 0.0, 0.0), shift_pixels=3))
    assert np.abs(found).max() < 3.05
    assert np.abs(found.mean(axis=0)).max() < 0.15
    np.testing.assert_allclose(found.std(axis=0), 3 / np.sqrt(3), rtol=0.05)
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.08


def test_half_are_enlarged_and_half_reduced_each_uniformly_in_the_logarithm():
    image = blobs(MANY, 0.0, 0.0, sigma=4.0)
    area = vary(image, scale_range=(1 / 1.6, 1.25)).sum((1, 2, 3)) / image[0].sum()
    logarithm = (area.log() / 2).numpy()
    assert np.mean(logarithm > 0) == pytest.approx(0.5, abs=0.04)
    for side, most in ((logarithm[logarithm > 0], 1.25), (-logarithm[logarithm < 0], 1.6)):
        assert side.max() < np.log(most) + 0.01
        assert side.mean() == pytest.approx(np.log(most) / 2, rel=0.05)
        assert side.std() == pytest.approx(np.log(most) / np.sqrt(12), rel=0.06)


def test_what_comes_in_at_the_border_is_the_patch_reflected():
    images = 0.4 + 0.2 * noise_images(200)
    varied = vary(images, rotation_degrees=180, shift_pixels=10, scale_range=(1 / 1.5, 1.5))
    assert varied.min() >= 0.4 - 1e-5 and varied.max() <= 0.6 + 1e-5
    ramp = (torch.arange(60) / 100).expand(1, 1, 60, 60)
    shifted = vary(ramp.expand(50, 1, 60, 60), shift_pixels=5)
    assert shifted.diff(dim=-1).min() < -0.009
    assert shifted[..., 0].max() < 0.06 and shifted[..., -1].min() > 0.53


def test_contrast_stretches_about_the_mean():
    images = 0.4 + 0.2 * noise_images(MANY)
    varied = vary(images, contrast=0.2)
    torch.testing.assert_close(varied.mean((2, 3)), images.mean((2, 3)), atol=1e-4, rtol=0)
    ratio = (varied.std((2, 3)) / images.std((2, 3))).numpy()
    assert 1 / 1.2 < ratio.min() < 0.84 and 1.19 < ratio.max() < 1.2 + 1e-4
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.01)


def test_brightness_moves_the_mean_alone():
    images = 0.4 + 0.2 * noise_images(MANY)
    difference = vary(images, brightness=0.1) - images
    assert difference.std((2, 3)).max() < 1e-4
    offset = difference.mean((1, 2, 3)).numpy()
    assert np.abs(offset).max() <= 0.1 + 1e-4
    assert offset.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_gamma_keeps_black_and_white_and_moves_grey_both_ways():
    varied = vary(torch.full((MANY, 1, 8, 8), 0.5), gamma=0.2)[:, 0, 0, 0].numpy()
    exponents = np.log(varied) / np.log(0.5)
    assert 1 / 1.2 - 1e-3 < exponents.min() < 0.84 and 1.19 < exponents.max() < 1.2 + 1e-3
    assert np.log(exponents).mean() == pytest.approx(0, abs=0.01)
    assert vary(torch.ones(3, 1, 8, 8), gamma=0.2).min() > 1 - 1e-6


def test_up_to_half_of_the_patches_are_blurred_and_none_changes_its_mean():
    images = blobs(400, 0.0, 0.0, sigma=1.5)
    varied = vary(images, blur_pixels=0.7)
    lowered = images.amax((1, 2, 3)) - varied.amax((1, 2, 3))
    assert 120 < (lowered > 1e-6).sum() < 200  # of the 200 blurred, those whose width is near 0 stay as they are
    torch.testing.assert_close(varied.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-5, rtol=0)


def test_what_shrinks_is_free_of_aliasing():
    stripes = (torch.arange(60) % 2 * 1.0).expand(300, 1, 60, 60)
    contrast = vary(stripes, scale_range=(1 / 1.4, 1))[..., 10:50].std((1, 2, 3))
    assert contrast.max() > 0.4
    assert contrast.min() < 0.2  # bilinear resampling alone leaves 0.3 and moire


def test_noise_is_grain_of_up_to_the_deviation_asked_for_in_every_pixel_by_itself():
    difference = vary(torch.full((400, 1, 60, 60), 0.5), noise=0.02) - 0.5
    deviations = difference.std((1, 2, 3))
    assert deviations.max() < 0.0205 and deviations.mean().item() == pytest.approx(0.01, rel=0.1)
    assert abs(difference.mean().item()) < 1e-3
    neighbours = np.corrcoef(difference[..., :-1].flatten(), difference[..., 1:].flatten())
    assert abs(neighbours[0, 1]) < 0.02
