"""Dust drawn into normal patches: one or two bright specks that are no cluster."""

import math

import torch
from torch import Tensor

SPECKS = 2
WIDTHS = (0.35, 0.9)  # standard deviation in pixels; a breast, its film and its scanner blur a calcification more
CONTRASTS = (0.04, 0.6)  # grey levels


def draw_dust(images: Tensor, labels: Tensor, p_dust: float, generator: torch.Generator) -> Tensor:
    """Draw one or two specks of dust into a share of the normal patches; patches with a cluster stay as they are.

    Dust lies on the film or the detector and not in the breast, so that it is sharper than any calcification: a
    Gaussian with a standard deviation of 0.35 to 0.9 pixels and a contrast of 0.04 to 0.6 grey levels, each uniform in
    the logarithm, anywhere in the patch. The normal patches of the INFN archive hold none, and without it a network
    takes any bright speck for a cluster.

    Args:
        images: (n, 1, height, width) float32 in [0, 1].
        labels: (n,), 0 for normal.
        p_dust: share of the normal patches, from 0 to 1.
        generator: random numbers, on the device of ``images``.

    Returns:
        (n, 1, height, width) in [0, 1]; ``images`` itself where no patch is chosen.

    >>> images, labels = torch.zeros(2, 1, 60, 60), torch.tensor([0, 1])
    >>> draw_dust(images, labels, 1.0, torch.Generator().manual_seed(0)).amax((1, 2, 3)) > 0
    tensor([ True, False])
    """
    if not p_dust:
        return images
    chosen = (torch.rand(len(images), generator=generator, device=images.device) < p_dust) & (labels == 0)
    if not (number := int(chosen.sum())):
        return images
    draws = torch.rand(5, number, SPECKS, 1, 1, generator=generator, device=images.device)
    row, column, width, contrast, presence = draws
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    square = (rows[:, None] - row * (len(rows) - 1)) ** 2 + (columns - column * (len(columns) - 1)) ** 2
    specks = _between(*CONTRASTS, contrast) * torch.exp(-square / (2 * _between(*WIDTHS, width) ** 2))
    specks[:, 1:] *= presence[:, 1:] < 0.5
    dusty = images.clone()
    dusty[chosen] += specks.sum(1, keepdim=True)
    return dusty.clamp_(0, 1)


def _between(smallest: float, largest: float, draw: Tensor) -> Tensor:
    return smallest * torch.exp(draw * math.log(largest / smallest))
