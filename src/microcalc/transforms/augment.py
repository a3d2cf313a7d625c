"""Augmentation on the fly: training patches are turned, moved, re-exposed and set in other tissue, afresh each time."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from microcalc.config import AugmentationSettings, WaveletName
from microcalc.transforms.specks import CALCIFICATION_WIDTHS, DUST_WIDTHS, draw_specks
from microcalc.transforms.tissue import draw_tissue

BLUR_STEP = 0.05
BACKGROUND_PIXELS = 3.0


def augment(
    images: Tensor,
    labels: Tensor,
    settings: AugmentationSettings,
    generator: torch.Generator,
    wavelet: WaveletName = "none",
) -> Tensor:
    """Vary each patch of a batch at random, on the device where the batch lies.

    First some patches, whatever their class, get bright lines or power-law noise, since one archive holds but a part
    of all tissue. Then some patches change their background, a Gaussian blur of 3 pixels, for that of another patch of
    the batch, and keep their label. Where each class has its own patients, and so its own film and tissue, a network
    learns those too; this makes brightness and density worth less to it. (Yang and Soatto, 2020,
    https://arxiv.org/abs/2004.05498, exchange low frequencies between two sources of images.)

    Then comes a blur, which stands in for other film and keeps what shrinks free of aliasing. Rotation, shift, flips
    and scale go through one bilinear resampling, with reflection at the borders. Then some normal patches get dust
    or single calcifications, which nothing blurs any more; last come gamma, contrast (about the patch's mean),
    brightness and Gaussian noise. Half of the patches are enlarged, half reduced; each other range is symmetric about
    no change. All are uniform, of scale, gamma and contrast in the logarithm. The batch given is left as it is.

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        labels: (n,), 0 for normal; specks are drawn into these alone.
        settings: the ranges and shares.
        generator: random numbers, on the device of ``images``; an equal state gives an equal result.
        wavelet: the filter that the patches have passed; shares left at None are 0 then.

    Returns:
        (n, 1, height, width) in [0, 1].

    >>> images = torch.rand(4, 1, 60, 60, generator=torch.Generator().manual_seed(1))
    >>> augment(images, torch.zeros(4), AugmentationSettings(), torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 60, 60])
    """
    drawn = settings.drawn(wavelet)
    images = draw_tissue(images, drawn["p_linear_structures"], drawn["p_power_law_noise"], generator)
    images = _exchange_backgrounds(images, settings.p_background_swap, generator)
    draws = torch.rand(11, len(images), generator=generator, device=images.device, dtype=images.dtype) * 2 - 1
    smallest, largest = settings.scale_range
    scale = torch.where(draws[0] > 0, largest, 1 / smallest) ** draws[0]
    blurred = _blur(images, _blur_widths(draws[1], scale, settings))
    grid = F.affine_grid(_affine(draws[2:7], scale, settings, images.shape), list(images.shape), align_corners=False)
    moved = F.grid_sample(blurred, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    moved = draw_specks(moved, labels, drawn["p_dust"], DUST_WIDTHS, generator)
    moved = draw_specks(moved, labels, settings.p_single_calcifications, CALCIFICATION_WIDTHS, generator)
    gamma, gain, offset, noise = draws[7:].view(4, -1, 1, 1, 1)
    if settings.gamma:
        moved = moved.clamp_min_(1e-4).log_().mul_(torch.exp(gamma * math.log1p(settings.gamma))).exp_()
    gain = torch.exp(gain * math.log1p(settings.contrast))
    offset = settings.brightness * offset + (1 - gain) * moved.mean((2, 3), keepdim=True)
    exposed = torch.addcmul(offset, moved, gain)
    if settings.noise:
        grain = torch.randn(exposed.shape, generator=generator, device=images.device, dtype=images.dtype)
        exposed.addcmul_(grain, settings.noise * (noise + 1) / 2)
    return exposed.clamp_(0, 1)


def _exchange_backgrounds(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Put a share of the patches on the background of another: what is finer than the blur stays where it was."""
    if not share:
        return images
    others = torch.randperm(len(images), generator=generator, device=images.device)
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < share
    width = round(BACKGROUND_PIXELS / BLUR_STEP)
    down, across = (_blur_matrices(side, width, images.device)[width] for side in images.shape[2:])
    background = down @ images @ across.T
    return torch.where(chosen, (images + background[others] - background).clamp_(0, 1), images)


def _blur_widths(draw: Tensor, scale: Tensor, settings: AugmentationSettings) -> Tensor:
    """(n,) standard deviations in pixels: what half of the patches get, and what matches a scale below 1."""
    film = settings.blur_pixels * draw.clamp_min(0)
    matched = 0.5 * (scale**-2 - 1).clamp_min(0).sqrt()
    return torch.hypot(film, matched)


def _blur(images: Tensor, widths: Tensor) -> Tensor:
    """Each image by a Gaussian of its own width, to the next twentieth of a pixel, as products with matrices."""
    steps = (widths / BLUR_STEP).round().long()
    rows, columns = (_blur_matrices(side, int(steps.max()), images.device)[steps] for side in images.shape[2:])
    return (rows @ images[:, 0] @ columns.mT).unsqueeze(1)


@functools.cache
def _blur_matrices(side: int, steps: int, device: torch.device) -> Tensor:
    """(steps + 1, side, side): blurs of a line of pixels by 0, 1, ... steps; borders keep their brightness."""
    position = torch.arange(side, device=device)
    distance = (position[:, None] - position).abs()
    widths = torch.arange(steps + 1, device=device).clamp_min(0.1).view(-1, 1, 1) * BLUR_STEP
    weights = torch.exp(-0.5 * (distance / widths) ** 2).where(distance <= 4 * widths, 0.0)
    return weights / weights.sum(2, keepdim=True)


def _affine(draws: Tensor, scale: Tensor, settings: AugmentationSettings, shape: torch.Size) -> Tensor:
    """(n, 2, 3): where each pixel of the result comes from, in the coordinates of ``affine_grid`` (-1 to 1)."""
    height, width = shape[2:]
    turn, right, down, mirror, upend = draws
    angle = turn * math.radians(settings.rotation_degrees)
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    flip = -1.0 if settings.flips else 1.0
    horizontal, vertical = torch.where(mirror < 0, flip, 1.0), torch.where(upend < 0, flip, 1.0)
    rows = (
        (cosine * horizontal, -sine * vertical * (height / width), right * (2 * settings.shift_pixels / width)),
        (sine * horizontal * (width / height), cosine * vertical, down * (2 * settings.shift_pixels / height)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
