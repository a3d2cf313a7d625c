"""Augmentation on the fly: each time a training patch is seen it is turned, moved and re-exposed afresh."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from microcalc.config import AugmentationSettings


def augment(images: Tensor, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """Vary each patch of a batch at random, on the device where the batch lies.

    Rotation, shift, flips and scale go through one bilinear resampling, with reflection at the borders; then come
    contrast (about the patch's mean), brightness and Gaussian noise. Each range is uniform and symmetric about no
    change; the scale is uniform in its logarithm. The batch given is left as it is.

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        settings: the ranges.
        generator: random numbers, on the device of ``images``; an equal state gives an equal result.

    Returns:
        (n, 1, height, width) in [0, 1].

    >>> images = torch.rand(4, 1, 60, 60, generator=torch.Generator().manual_seed(1))
    >>> augment(images, AugmentationSettings(), torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 60, 60])
    """
    draws = torch.rand(8, len(images), generator=generator, device=images.device, dtype=images.dtype) * 2 - 1
    grid = F.affine_grid(_affine(draws[:6], settings, images.shape), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = (1 + settings.contrast * draws[6]).view(-1, 1, 1, 1)
    offset = (settings.brightness * draws[7]).view(-1, 1, 1, 1)
    exposed = torch.addcmul(offset + (1 - gain) * moved.mean((2, 3), keepdim=True), moved, gain)
    if settings.noise:
        noise = torch.randn(exposed.shape, generator=generator, device=images.device, dtype=images.dtype)
        exposed.add_(noise, alpha=settings.noise)
    return exposed.clamp_(0, 1)


def _affine(draws: Tensor, settings: AugmentationSettings, shape: torch.Size) -> Tensor:
    """(n, 2, 3): where each pixel of the result comes from, in the coordinates of ``affine_grid`` (-1 to 1)."""
    height, width = shape[2:]
    turn, log_scale, right, down, mirror, upend = draws
    angle = turn * math.radians(settings.rotation_degrees)
    shrink = torch.exp(-log_scale * math.log(settings.largest_scale))
    cosine, sine = shrink * angle.cos(), shrink * angle.sin()
    flip = -1.0 if settings.flips else 1.0
    horizontal, vertical = torch.where(mirror < 0, flip, 1.0), torch.where(upend < 0, flip, 1.0)
    rows = (
        (cosine * horizontal, -sine * vertical * (height / width), right * (2 * settings.shift_pixels / width)),
        (sine * horizontal * (width / height), cosine * vertical, down * (2 * settings.shift_pixels / height)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
