"""Whole mammograms: where the breast is, where a committee should look, and the clusters that it finds."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from microcalc.committee.committee import Committee
    from microcalc.mammograms.findings import Finding


def scan(
    image_or_path: "str | os.PathLike[str] | NDArray[np.float32]",
    pixel_size_mm: float | tuple[float, float] | None = None,
    committee: "Committee | None" = None,
) -> "list[Finding]":
    """Find the clusters of microcalcifications in one whole mammogram.

    Args:
        image_or_path: a file (DICOM, PNG, TIFF, PGM or JPEG), or (rows, columns) grey levels in [0, 1], bright where a
            calcification is.
        pixel_size_mm: one number, or (between rows, between columns); needed where the file does not give it; where it
            does, that counts.
        committee: that answers for each window; the one that comes with microcalc where None.

    Returns:
        The findings, the most probable first.

    Raises:
        ImageError: the file cannot be read, has no pixel size, or shows no breast.
        RequestError: the pixel size is impossible.

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> rows, columns = np.ogrid[:900, :700]
    >>> image = 0.5 * np.clip(1.2 - np.hypot((rows - 450) / 350, columns / 450), 0, 1) ** 0.5
    >>> image = (image + np.random.default_rng(0).normal(0, 0.002, image.shape)).clip(0, 1).astype(np.float32)
    >>> for row, column in [(400, 200), (412, 215), (395, 220), (420, 195), (405, 208)]:
    ...     image[row : row + 3, column : column + 3] += 0.1
    >>> [finding.center_px for finding in scan(gaussian_filter(image, 0.7), pixel_size_mm=0.085)][0]
    (208..., 407...)
    """
    from microcalc.mammograms.scanner import scan_image  # here, as it imports PyTorch

    return list(scan_image(image_or_path, pixel_size_mm, committee).findings)
