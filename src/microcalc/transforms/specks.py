"""Isolated bright specks drawn into normal patches, which stay normal: one or two of them are no cluster."""

import math
from functools import partial

import torch
from torch import Tensor

from microcalc.transforms.tissue import add_to_some

SPECKS = 2
DUST_WIDTHS = (0.35, 0.9)  # standard deviation in pixels; a breast, its film and its scanner blur a calcification more
CALCIFICATION_WIDTHS = (0.5, 2.2)
CONTRASTS = (0.04, 0.6)  # grey levels

Widths = tuple[float, float]


def draw_specks(images: Tensor, labels: Tensor, share: float, widths: Widths, generator: torch.Generator) -> Tensor:
    """Draw one or two specks into a share of the normal patches; patches with a cluster stay as they are.

    A speck is a Gaussian anywhere in the patch, its standard deviation and its contrast, from 0.04 to 0.6 grey levels,
    each uniform in the logarithm. The normal patches of the INFN archive hold none, and without them a network takes
    any bright speck for a cluster. Dust lies on the film or the detector and not in the breast, so that it is sharper
    than any calcification (``DUST_WIDTHS``); a single calcification is as wide as those of a cluster
    (``CALCIFICATION_WIDTHS``).

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        labels: (n,), 0 for normal.
        share: of the normal patches, from 0 to 1.
        widths: smallest and largest standard deviation in pixels.
        generator: random numbers, on the device of ``images``.

    Returns:
        (n, 1, height, width) in [0, 1]; ``images`` itself where no patch is chosen.

    >>> images, labels = torch.zeros(2, 1, 60, 60), torch.tensor([0, 1])
    >>> draw_specks(images, labels, 1.0, DUST_WIDTHS, torch.Generator().manual_seed(0)).amax((1, 2, 3)) > 0
    tensor([ True, False])
    """
    return add_to_some(images, share, partial(_specks, widths=widths), generator, among=labels == 0)


def _specks(number: int, shape: torch.Size, generator: torch.Generator, widths: Widths) -> Tensor:
    """(number, 1, height, width) grey levels."""
    draws = torch.rand(5, number, SPECKS, 1, 1, generator=generator, device=generator.device)
    row, column, width, contrast, presence = draws
    rows, columns = (torch.arange(side, device=generator.device) for side in shape)
    square = (rows[:, None] - row * (len(rows) - 1)) ** 2 + (columns - column * (len(columns) - 1)) ** 2
    specks = _between(*CONTRASTS, contrast) * torch.exp(-square / (2 * _between(*widths, width) ** 2))
    specks[:, 1:] *= presence[:, 1:] < 0.5
    return specks.sum(1, keepdim=True)


def _between(smallest: float, largest: float, draw: Tensor) -> Tensor:
    return smallest * torch.exp(draw * math.log(largest / smallest))
