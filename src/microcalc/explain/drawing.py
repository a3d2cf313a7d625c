"""Pictures of an explanation: the patch, its heat map, and one over the other."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike, NDArray

from microcalc.config import CLASS_NAMES, GradcamMethod
from microcalc.explain.methods import METHODS
from microcalc.files import write_atomically
from microcalc.images.pictures import encode
from microcalc.images.silence import quiet

CLASS_COLOURS = ("#0072B2", "#D55E00")

Vote = tuple[int, float]

_HEAT = "inferno"
_STRONGEST_COVER = 0.65


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG at 150 dots an inch, atomically; the same figure always gives the same bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_figure(overlay(np.eye(60), np.eye(60), probability=0.9), Path(folder, "a.png"))
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    write_atomically(path, png(figure))


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file at 150 dots an inch."""
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    with quiet():  # letters that the font lacks are drawn as boxes
        figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    return content.getvalue()


def overlay(
    image: ArrayLike,
    heat: ArrayLike,
    probability: float | None = None,
    label: int | None = None,
    name: str = "",
    method: GradcamMethod = "hirescam",
    vote: Vote | None = None,
) -> Figure:
    """Draw a patch, its heat map and the one over the other, side by side.

    The patch is stretched to its own darkest and brightest pixel, so that faint calcifications can be seen.

    Args:
        image: (h, w) in [0, 1].
        heat: (h, w) in [0, 1].
        probability: of a cluster by the committee, as ``microcalc predict`` gives it; None to leave it out.
        label: 1 where a cluster is present, None where it is not known.
        name: of the patch's file.
        method: of the map.
        vote: number of the expert that the map explains, and its own probability.

    >>> len(overlay(np.eye(60), np.eye(60), probability=0.9, label=1, name="0312u1_1_1_1_5.png").axes)
    4
    """
    image, heat = np.asarray(image), np.asarray(heat)
    figure = Figure(figsize=(6.4, 2.8), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 3)
    show_patch(panels[0], image, image.min(), image.max())
    panels[0].set_title("patch", fontsize=10)
    scale = _show_heat(panels[1], heat)
    panels[1].set_title(METHODS[method].title, fontsize=10)
    show_patch(panels[2], image, image.min(), image.max())
    _show_heat(panels[2], heat, covering=True)
    panels[2].set_title("overlay", fontsize=10)
    bar = figure.colorbar(scale, ax=panels, shrink=0.82, pad=0.015, ticks=[0, 0.5, 1])
    bar.ax.tick_params(labelsize=8.5)
    bar.set_label("share of the map's maximum", fontsize=8.5)
    bar.outline.set_visible(False)
    title = "\n".join(filter(None, [name, describe(probability, label, vote)]))
    figure.suptitle(title, fontsize=10, fontweight="bold", parse_math=False)
    return figure


def show_patch(axes: Axes, image: NDArray[Any], darkest: float = 0.0, brightest: float = 1.0) -> None:
    """Show a patch in grey on axes without ticks or frame.

    >>> show_patch(Figure().subplots(), np.zeros((60, 60)))
    """
    axes.imshow(image, cmap="gray", vmin=darkest, vmax=brightest, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def stretched(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image in 8 bits, from its own darkest to its own brightest pixel.

    >>> stretched(np.array([[0.2, 0.4]]))
    array([[  0, 255]], dtype=uint8)
    """
    darkest, brightest = float(image.min()), float(image.max())
    shares = (image - darkest) / max(brightest - darkest, 1e-9)
    return np.asarray(np.rint(255 * shares), np.uint8)


def coloured(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w) heat in [0, 1] to (h, w, 4) red, green, blue and opacity, the more opaque the hotter.

    >>> coloured(np.array([[0, 1]], np.float32))[..., 3]
    array([[  0, 166]], dtype=uint8)
    """
    colours = matplotlib.colormaps[_HEAT](heat)
    colours[..., 3] = _STRONGEST_COVER * heat
    return np.asarray(np.rint(255 * colours), np.uint8)


def patch_and_map(image: NDArray[np.float32], heat: NDArray[np.float32]) -> bytes:
    """Draw a patch, and beside it the patch under its heat map, as PNG of one dot a pixel.

    Args:
        image: (h, w) in [0, 1], stretched to its own darkest and brightest pixel.
        heat: (h, w) in [0, 1].

    >>> patch_and_map(np.eye(60, dtype=np.float32), np.eye(60, dtype=np.float32))[1:4]
    b'PNG'
    """
    grey = np.repeat(stretched(image)[..., None], 3, axis=2)
    colours = coloured(heat).astype(np.float32)
    opacity = colours[..., 3:] / 255
    over = np.rint((1 - opacity) * grey + opacity * colours[..., :3]).astype(np.uint8)
    return encode(np.concatenate([grey, over], axis=1))


def _show_heat(axes: Axes, heat: NDArray[Any], covering: bool = False) -> AxesImage:
    """Show a heat map, opaque, or the more so the hotter it is."""
    opacity = _STRONGEST_COVER * heat if covering else None
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes.imshow(heat, cmap=_HEAT, vmin=0, vmax=1, alpha=opacity, interpolation="nearest")


def describe(probability: float | None, label: int | None = None, vote: Vote | None = None) -> str:
    """Return the caption of a patch: its class, the committee's probability, and the vote of the explained expert.

    >>> describe(0.541, vote=(2, 0.826))
    'probability of a cluster 0.541 (expert 2 alone: 0.826)'
    >>> describe(None, label=1, vote=(2, 0.826))
    'cluster, expert 2 alone: 0.826'
    """
    alone = "" if vote is None else f"expert {vote[0]} alone: {vote[1]:.3f}"
    committee = "" if probability is None else f"probability of a cluster {probability:.3f}"
    both = f"{committee} ({alone})" if committee and alone else committee or alone
    return both if label is None else f"{CLASS_NAMES[label]}, {both}"
