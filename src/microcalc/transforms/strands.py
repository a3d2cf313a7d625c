"""Bright strands drawn into patches, as ducts, vessels and ligaments make them: an option of the augmentation."""

import math

import torch
from torch import Tensor

AT_MOST, LIKELIHOOD = 4, 0.6
LARGEST_CONTRAST, SMALLEST_WIDTH, LARGEST_WIDTH, LARGEST_CURVATURE = 0.12, 0.6, 3.0, 0.01  # grey level, pixels


def draw_strands(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Draw up to four strands into a share of the patches, at random places, directions, widths and contrasts.

    A strand is a parabola with a Gaussian profile, whose contrast waxes and wanes along it.

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        share: of the patches that get strands, from 0 to 1.
        generator: random numbers, on the device of ``images``.

    Returns:
        (n, 1, height, width) in [0, 1].

    >>> images = torch.zeros(2, 1, 60, 60)
    >>> draw_strands(images, 1.0, torch.Generator().manual_seed(0)).amax((1, 2, 3)) > 0
    tensor([True, True])
    """
    if not share:
        return images
    chosen = torch.rand(len(images), generator=generator, device=images.device) < share
    drawn = images.clone()
    drawn[chosen] = (images[chosen] + _strands(int(chosen.sum()), images.shape[2:], generator)).clamp_(0, 1)
    return drawn


def _strands(number: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """(number, 1, height, width) contrasts to be added."""
    height, width = shape
    device = generator.device
    draws = torch.rand(8, number, AT_MOST, 1, 1, generator=generator, device=device)
    turn, place, bend, thickness, strength, pace, phase, presence = draws
    row, column = (torch.arange(side, device=device) - (side - 1) / 2 for side in shape)
    angle = math.pi * turn
    along = column * angle.cos() + row[:, None] * angle.sin()
    across = row[:, None] * angle.cos() - column * angle.sin()
    centre = (place - 0.5) * max(height, width) + LARGEST_CURVATURE * (2 * bend - 1) * along**2
    sigma = SMALLEST_WIDTH * (LARGEST_WIDTH / SMALLEST_WIDTH) ** thickness
    waxing = 1 + 0.4 * torch.sin(along * (0.05 + 0.35 * pace) + 2 * math.pi * phase)
    contrast = LARGEST_CONTRAST * strength * (presence < LIKELIHOOD)
    strands: Tensor = contrast * waxing * torch.exp(-0.5 * ((across - centre) / sigma) ** 2)
    return strands.sum(1, keepdim=True)
