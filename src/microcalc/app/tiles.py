"""An image in tiles: its greys in 16 bits, halved again and again, and windowed to 8 bits when asked for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE = 512
"""Pixels along a tile."""

WHITE = 65535
Greys = NDArray[np.uint16]
"""Greys as they are kept: half as large as floats, and 256 times finer than what is shown."""


@dataclass(frozen=True)
class Window:
    """Which greys are shown, in units of the full range 0 to 1.

    Attributes:
        center: the grey that is shown half bright.
        width: from the grey that is shown black to the one that is shown white.
        invert: whether black and white change places.
        sigmoid: whether the curve is that of PS3.3 C.11.2.1.3.1 instead of a line.

    >>> Window(0.5, 0.5).applied(np.array([[13107, 32768, 49151]], np.uint16))
    array([[  0, 128, 255]], dtype=uint8)
    """

    center: float = 0.5
    width: float = 1.0
    invert: bool = False
    sigmoid: bool = False

    def applied(self, greys: Greys) -> NDArray[np.uint8]:
        """(rows, columns) greys to 8 bits."""
        black = WHITE * (self.center - self.width / 2)
        shown = (greys - np.float32(black)) * np.float32(255 / (WHITE * self.width)) + np.float32(0.5)
        if self.sigmoid:
            shown = 255 / (1 + np.exp((127.5 + np.float32(0.5) - shown) * np.float32(4 / 255))) + np.float32(0.5)
        np.clip(shown, 0, 255, out=shown)
        eight: NDArray[np.uint8] = shown.astype(np.uint8)
        return 255 - eight if self.invert else eight


def count_levels(rows: int, columns: int) -> int:
    """How often an image is halved until it fits into a tile, and once more for itself.

    >>> count_levels(512, 60), count_levels(513, 60), count_levels(4680, 2576)
    (1, 2, 5)
    """
    side, levels = max(rows, columns), 1
    while side > TILE:
        side, levels = -(-side // 2), levels + 1
    return levels


def build_levels(pixels: NDArray[np.float32]) -> tuple[Greys, ...]:
    """An image in [0, 1], halved until it fits into a tile: the smallest first, the image itself last.

    >>> [level.shape for level in build_levels(np.zeros((1025, 600), np.float32))]
    [(257, 150), (513, 300), (1025, 600)]
    """
    levels = [_in_16_bits(pixels)]
    for _ in range(count_levels(*pixels.shape) - 1):
        pixels = _halved(pixels)
        levels.append(_in_16_bits(pixels))
    return tuple(reversed(levels))


def _in_16_bits(pixels: NDArray[np.float32]) -> Greys:
    scaled = pixels * np.float32(WHITE)
    return np.asarray(np.rint(scaled, out=scaled), np.uint16)


def _halved(greys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    odd = [(0, side % 2) for side in greys.shape]
    if any(more for _, more in odd):
        greys = np.pad(greys, odd, mode="edge")
    quarters = greys[::2, ::2] + greys[1::2, ::2]
    quarters += greys[::2, 1::2]
    quarters += greys[1::2, 1::2]
    quarters *= np.float32(0.25)
    return quarters


def cut_tile(level: Greys, column: int, row: int) -> Greys | None:
    """One tile of a level, smaller at the right and lower edge; None outside."""
    tile = level[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
    return tile if tile.size and min(row, column) >= 0 else None


def default_window(greys: Greys) -> Window:
    """The full range where the image uses most of it; else from its darkest to its brightest, but for 0.1 %.

    >>> default_window(np.arange(65536, dtype=np.uint16)).width
    1.0
    >>> round(default_window(np.arange(10000, 20000, dtype=np.uint16)).center, 2)
    0.23
    """
    low, high = (np.quantile(greys, (0.001, 0.999)) / WHITE).tolist()
    if high - low >= 0.6 or high - low < 1e-4:
        return Window()
    return Window(center=(low + high) / 2, width=high - low)
