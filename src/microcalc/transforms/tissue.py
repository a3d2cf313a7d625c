"""Normal tissue drawn into patches, so that a network meets more of it than one archive holds."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

LINES_AT_MOST, LINE_LIKELIHOOD, LINE_CONTRAST = 4, 0.6, 0.12
LINE_WIDTHS, LINE_BEND = (0.6, 3.0), 0.01  # standard deviation in pixels; 1 / pixel
NOISE_EXPONENTS, NOISE_DEVIATION = (1.5, 3.5), 0.05


def draw_tissue(
    images: Tensor, p_linear_structures: float, p_power_law_noise: float, generator: torch.Generator
) -> Tensor:
    """Draw bright lines into a share of the patches, then add power-law noise to a share of them.

    None to four lines, as ducts, vessels and ligaments make them, of random place, direction, width and contrast. A
    line is a parabola with a Gaussian profile, whose contrast, up to 0.12, waxes and wanes along it by two fifths.

    The noise has the texture of normal breast tissue: its power is proportional to 1 / frequency^exponent. The
    exponent is drawn from 1.5 to 3.5, the range found in mammograms (Burgess and Judy, 2007,
    https://doi.org/10.1364/JOSAA.24.000B52), the standard deviation from 0 to 0.05. It is periodic over the patch.

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        p_linear_structures: share of the patches that get lines, from 0 to 1.
        p_power_law_noise: share of the patches that get noise, from 0 to 1.
        generator: random numbers, on the device of ``images``.

    Returns:
        (n, 1, height, width) in [0, 1]; ``images`` itself where no patch is chosen.

    >>> images = torch.zeros(2, 1, 60, 60)
    >>> draw_tissue(images, 1.0, 0.0, torch.Generator().manual_seed(0)).amax((1, 2, 3)) > 0
    tensor([True, True])
    """
    with_lines = add_to_some(images, p_linear_structures, _lines, generator)
    return add_to_some(with_lines, p_power_law_noise, _power_law_noise, generator)


def add_to_some(
    images: Tensor,
    share: float,
    kind: Callable[[int, torch.Size, torch.Generator], Tensor],
    generator: torch.Generator,
    among: Tensor | bool = True,
) -> Tensor:
    """Add what ``kind`` draws to a share of the patches, or of those ``among`` them; (n, 1, height, width) each."""
    if not share:
        return images
    chosen = (torch.rand(len(images), generator=generator, device=images.device) < share) & among
    if not (number := int(chosen.sum())):
        return images
    drawn = images.clone()
    drawn[chosen] += kind(number, images.shape[2:], generator)
    return drawn.clamp_(0, 1)


def _lines(number: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """(number, 1, height, width) grey levels."""
    height, width = shape
    draws = torch.rand(8, number, LINES_AT_MOST, 1, 1, generator=generator, device=generator.device)
    turn, place, bend, thickness, strength, pace, phase, presence = draws
    row, column = (torch.arange(side, device=generator.device) - (side - 1) / 2 for side in shape)
    angle = math.pi * turn
    along = column * angle.cos() + row[:, None] * angle.sin()
    across = row[:, None] * angle.cos() - column * angle.sin()
    centre = (place - 0.5) * max(height, width) + LINE_BEND * (2 * bend - 1) * along**2
    narrowest, widest = LINE_WIDTHS
    sigma = narrowest * (widest / narrowest) ** thickness
    waxing = 1 + 0.4 * torch.sin(along * (0.05 + 0.35 * pace) + 2 * math.pi * phase)
    contrast = LINE_CONTRAST * strength * (presence < LINE_LIKELIHOOD)
    lines: Tensor = contrast * waxing * torch.exp(-0.5 * ((across - centre) / sigma) ** 2)
    return lines.sum(1, keepdim=True)


def _power_law_noise(number: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """(number, 1, height, width) grey levels."""
    height, width = shape
    exponent, deviation = torch.rand(2, number, 1, 1, 1, generator=generator, device=generator.device)
    smallest, largest = NOISE_EXPONENTS
    exponent = smallest + (largest - smallest) * exponent
    rows = torch.fft.fftfreq(height, device=generator.device)
    frequency = torch.hypot(rows[:, None], torch.fft.rfftfreq(width, device=generator.device))
    frequency[0, 0] = math.inf
    noise = torch.randn(number, 1, height, width, generator=generator, device=generator.device)
    field: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * frequency ** (-exponent / 2), s=(height, width))
    field *= NOISE_DEVIATION * deviation / field.std((2, 3), keepdim=True)
    return field
