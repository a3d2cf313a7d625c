"""Known truth: the true clusters of an image, and truth.json, which holds those of many."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from microcalc.data.phantom_dicom import phantom_dicom
from microcalc.data.phantom_mammograms import PhantomMammogram
from microcalc.errors import RequestError
from microcalc.files import filled_folder, write_json
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import placed

LINK_MM, FEWEST = 5.0, 3
FILE = "truth.json"

Points = NDArray[np.float64]


def link_clusters(calcifications_px: ArrayLike, pixel_size_mm: tuple[float, float]) -> list[Points]:
    """Group calcifications into clusters of three or more: linked where nearer than 5 mm, links carrying on.

    Args:
        calcifications_px: (n, 2) column and row of each; n may be 0.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.

    Returns:
        (k, 2) column and row for each cluster, in the order of their first calcifications.

    >>> [len(cluster) for cluster in link_clusters([(0, 0), (30, 0), (60, 0), (500, 0)], (0.1, 0.1))]
    [3]
    """
    points = np.asarray(calcifications_px, np.float64).reshape(-1, 2)
    if not len(points):
        return []
    pairs = KDTree(points * pixel_size_mm[::-1]).query_pairs(np.nextafter(LINK_MM, 0), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    count, member = connected_components(links, directed=False)
    clusters = (points[member == number] for number in range(count))
    return [cluster for cluster in clusters if len(cluster) >= FEWEST]


@dataclass(frozen=True)
class TrueCluster:
    """One true cluster; every position is (column, row), the centre of the first pixel at (0, 0).

    Attributes:
        center_px: mean position of the calcifications.
        box_px: left, top, right, bottom: the smallest box around them.
        extent_mm: the largest distance between two of them.
        calcifications_px: position of each.
    """

    center_px: tuple[float, float]
    box_px: tuple[int, int, int, int]
    extent_mm: float
    calcifications_px: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TrueImage:
    """The truth about one mammogram.

    Attributes:
        file: name of the image, for people.
        pixels_sha256: of the image, by which it is known; empty where nobody asks.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        rows: of the image.
        columns: of the image.
        breast_mm2: area of the breast; 0 where it is not known.
        clusters: all that it shows.
    """

    file: str
    pixels_sha256: str
    pixel_size_mm: tuple[float, float]
    rows: int
    columns: int
    breast_mm2: float
    clusters: tuple[TrueCluster, ...]


@dataclass(frozen=True)
class Truth:
    """The content of a ``truth.json``."""

    schema: Literal[1]
    images: tuple[TrueImage, ...]


def true_image(
    file: str,
    shape: tuple[int, int],
    pixel_size_mm: tuple[float, float],
    clusters: Sequence[ArrayLike],
    breast_mm2: float = 0.0,
    pixels_sha256: str = "",
) -> TrueImage:
    """Describe the true clusters of one image.

    Args:
        file: name of the image.
        shape: its rows and columns.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        clusters: (k, 2) column and row of the calcifications of each cluster.
        breast_mm2: area of the breast, 0 where it is not known.
        pixels_sha256: of the image; empty where nobody asks.

    Raises:
        RequestError: a cluster without calcifications, or one that lies outside of the image.

    >>> image = true_image("a.png", (400, 300), (0.1, 0.1), [[(10, 20), (40, 20), (25, 60)]])
    >>> image.clusters[0].box_px, image.clusters[0].extent_mm
    ((10, 20, 40, 60), 4.27...)
    """
    described = []
    for number, cluster in enumerate(clusters, start=1):
        points = np.asarray(cluster, np.float64).reshape(-1, 2)
        if not len(points) or (points < -0.5).any() or (points > np.array(shape[::-1]) - 0.5).any():
            raise RequestError(f"{file}: cluster {number} has no calcification, or one outside of the image")
        described.append(TrueCluster(**placed(points, shape, pixel_size_mm)))
    return TrueImage(file, pixels_sha256, pixel_size_mm, *shape, breast_mm2, tuple(described))


def phantom_truth(mammogram: PhantomMammogram, pixels_sha256: str = "", suffix: str = ".png") -> TrueImage:
    """Return the truth of a phantom mammogram, whose file is its name and a suffix."""
    size = (mammogram.pixel_size_mm, mammogram.pixel_size_mm)
    rows, columns = mammogram.pixels.shape
    name, area = mammogram.name + suffix, mammogram.breast_mm2
    return true_image(name, (rows, columns), size, mammogram.clusters, area, pixels_sha256)


def write_phantom_mammograms(folder: Path, mammograms: Iterable[PhantomMammogram], dicom: bool = False) -> None:
    """Write phantom mammograms and their truth: all of it, or nothing.

    Args:
        folder: gets a 16-bit PNG for each, and ``truth.json``, see :class:`Truth`; empty or missing.
        mammograms: one is held in memory at a time.
        dicom: whether to write DICOM files instead.

    Raises:
        RequestError: there is something at ``folder`` already.
        FailedError: no room, or no right to write there.

    >>> import tempfile
    >>> from microcalc.data.phantom_mammograms import iter_phantom_mammograms
    >>> folder = Path(tempfile.mkdtemp()) / "phantom"
    >>> write_phantom_mammograms(folder, iter_phantom_mammograms(1, field_mm=(70, 60)))
    >>> sorted(path.name for path in folder.iterdir())
    ['phantom00000_LCC.png', 'truth.json']
    """
    with filled_folder(folder) as whole:
        truth = []
        for mammogram in mammograms:
            path = whole / (mammogram.name + (".dcm" if dicom else ".png"))
            if dicom:
                path.write_bytes(phantom_dicom(mammogram))
            else:
                Image.fromarray(mammogram.pixels).save(path)
            truth.append(phantom_truth(mammogram, read_mammogram(path).pixels_sha256, path.suffix))
        write_json(whole / FILE, asdict(Truth(1, tuple(truth))))
