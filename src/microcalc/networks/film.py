"""How coarse a patch is, beside the patches of film that an expert was trained on."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microcalc.errors import RequestError
from microcalc.networks.layers import BACKGROUND_SIGMA, blurred, texture

GRAIN_SIGMA = 1.0
SMALLEST_TEXTURE = 1e-3  # a quarter of an 8-bit grey level; it keeps the logarithm of a flat patch finite
SMALLEST_DEVIATION = 1e-3
BATCH = 512


def coarseness(patches: Tensor) -> Tensor:
    """(n, side, side, 1) patches in [0, 1] to (n,): the logarithm of the texture above the grain over the grain's own.

    The grain is what a Gaussian blur of 1 pixel takes away; the texture above it, what is left between that blur and
    one of 6 pixels. On film of coarser resolution a patch holds more anatomy, and averaging has left less of the grain.
    A cluster of many faint calcifications raises it too, so that among patches of one film it says something of the
    class.

    >>> pixels = torch.rand(1, 60, 60, 1, generator=torch.Generator().manual_seed(0))
    >>> bool(coarseness(pixels) < coarseness(blurred(pixels, 1.0)))
    True
    """
    smooth = blurred(patches, GRAIN_SIGMA)
    coarse, fine = texture(smooth - blurred(patches, BACKGROUND_SIGMA)), texture(patches - smooth)
    return ((coarse + SMALLEST_TEXTURE) / (fine + SMALLEST_TEXTURE)).log().flatten()


@dataclass(frozen=True)
class Film:
    """The coarseness of the patches that an expert was trained on.

    Attributes:
        mean: of :func:`coarseness` over these patches.
        deviation: its standard deviation.

    Raises:
        RequestError: one of them is not finite, or the deviation not above 0.
    """

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (self.deviation > 0 and np.isfinite([self.mean, self.deviation]).all()):
            raise RequestError(f"a film needs a finite mean and a deviation above 0: got {self.mean}, {self.deviation}")

    @classmethod
    def of(cls, images: NDArray[np.float32]) -> Self:
        """The film of (n, 60, 60) patches as an expert takes them.

        >>> Film.of(np.zeros((2, 60, 60), np.float32))
        Film(mean=0.0, deviation=0.001)
        """
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        values = torch.cat([coarseness(torch.tensor(part, dtype=torch.float32).unsqueeze(-1)) for part in parts])
        return cls(values.mean().item(), max(values.std(correction=0).item(), SMALLEST_DEVIATION))

    def excess(self, patches: Tensor) -> Tensor:
        """(n, side, side, 1) patches to (n,) float64: by how many standard deviations each is coarser than the mean."""
        return (coarseness(patches).double() - self.mean) / self.deviation
