"""Known truth in the form of an answer: clusters of annotated calcifications as findings of an image."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from microcalc.data.phantom_mammograms import PhantomMammogram
from microcalc.errors import RequestError
from microcalc.files import filled_folder, write_json
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import Finding, ScannedImage

LINK_MM = 5.0
FEWEST = 3

_CERTAIN = 100.0

Points = NDArray[np.float64]


def link_clusters(
    calcifications_px: ArrayLike, pixel_size_mm: tuple[float, float], link_mm: float = LINK_MM, fewest: int = FEWEST
) -> list[Points]:
    """Group calcifications into clusters: linked where nearer than ``link_mm``, links carrying on.

    Args:
        calcifications_px: (n, 2) column and row of each; n may be 0.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        link_mm: two calcifications nearer than this are linked.
        fewest: calcifications of a cluster; smaller groups are left out.

    Returns:
        (k, 2) column and row for each cluster, in the order of their first calcifications.

    >>> [len(cluster) for cluster in link_clusters([(0, 0), (30, 0), (60, 0), (500, 0)], (0.1, 0.1))]
    [3]
    """
    points = np.asarray(calcifications_px, np.float64).reshape(-1, 2)
    if not len(points):
        return []
    pairs = KDTree(points * _columns_rows(pixel_size_mm)).query_pairs(np.nextafter(link_mm, 0), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    count, member = connected_components(links, directed=False)
    clusters = (points[member == number] for number in range(count))
    return [cluster for cluster in clusters if len(cluster) >= fewest]


def true_image(
    file: str,
    shape: tuple[int, int],
    pixel_size_mm: tuple[float, float],
    clusters: Sequence[ArrayLike],
    breast_mm2: float = 0.0,
    pixels_sha256: str = "",
) -> ScannedImage:
    """The truth of one image as a scan would answer it, had it found every cluster and nothing else.

    Args:
        file: name of the image.
        shape: its rows and columns.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        clusters: (k, 2) column and row of the calcifications of each cluster.
        breast_mm2: area of the breast, 0 where nobody knows.
        pixels_sha256: of the image; empty where nobody knows.

    Returns:
        Findings of probability 1 and score 100, since the logit of 1 is infinite and JSON cannot hold it.

    Raises:
        RequestError: a cluster without calcifications, or one that lies outside of the image.

    >>> image = true_image("a.png", (400, 300), (0.1, 0.1), [[(10, 20), (40, 20), (25, 60)]])
    >>> image.findings[0].box_px, image.findings[0].extent_mm, image.findings[0].marked
    ((10, 20, 40, 60), 4.27..., True)
    """
    findings = []
    for number, cluster in enumerate(clusters, start=1):
        points = np.asarray(cluster, np.float64).reshape(-1, 2)
        if not len(points) or (points < -0.5).any() or (points > np.array(shape[::-1]) - 0.5).any():
            raise RequestError(f"{file}: cluster {number} has no calcification, or one outside of the image")
        left, top = np.floor(points.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
        column, row = points.mean(axis=0).tolist()
        finding = Finding(
            number=number,
            score=_CERTAIN,
            probability=1.0,
            marked=True,
            center_px=(column, row),
            box_px=(left, top, right, bottom),
            extent_mm=float(pdist(points * _columns_rows(pixel_size_mm)).max(initial=0.0)),
            calcifications_px=tuple((float(column), float(row)) for column, row in points),
        )
        findings.append(finding)
    return ScannedImage(file, None, pixels_sha256, pixel_size_mm, *shape, breast_mm2, 0.0, (), tuple(findings))


def phantom_truth(mammogram: PhantomMammogram) -> ScannedImage:
    """The truth of a phantom mammogram, as :func:`true_image`; its file is ``NAME.png``."""
    size = (mammogram.pixel_size_mm, mammogram.pixel_size_mm)
    rows, columns = mammogram.pixels.shape
    return true_image(f"{mammogram.name}.png", (rows, columns), size, mammogram.clusters, mammogram.breast_mm2)


def write_phantom_mammograms(folder: Path, mammograms: Iterable[PhantomMammogram]) -> None:
    """Write phantom mammograms and what is true of them: all of it, or nothing.

    Args:
        folder: gets a 16-bit PNG for each, and ``findings.json`` as a scan would leave it that had found every cluster
            and nothing else: its committee is ``truth``. Empty or missing.
        mammograms: one is held in memory at a time.

    Raises:
        RequestError: there is something at ``folder`` already.
        FailedError: no room, or no right to write there.

    >>> import tempfile
    >>> from microcalc.data.phantom_mammograms import iter_phantom_mammograms
    >>> folder = Path(tempfile.mkdtemp()) / "phantom"
    >>> write_phantom_mammograms(folder, iter_phantom_mammograms(1, field_mm=(70, 60)))
    >>> sorted(path.name for path in folder.iterdir())
    ['findings.json', 'phantom00000_LCC.png']
    """
    with filled_folder(folder) as whole:
        truths = []
        for mammogram in mammograms:
            truth = phantom_truth(mammogram)
            Image.fromarray(mammogram.pixels).save(whole / truth.file)
            truths.append({**truth.to_dict(), "pixels_sha256": read_mammogram(whole / truth.file).pixels_sha256})
        answer = {"schema": 2, "committee": "truth", "operating_point": 0.5, "images": truths, "failed": []}
        write_json(whole / "findings.json", answer)


def _columns_rows(pixel_size_mm: tuple[float, float]) -> Points:
    """Size of a pixel in the order of a position: along a row first."""
    return np.array([pixel_size_mm[1], pixel_size_mm[0]])
