"""A second opinion on suspected clusters: dust, vessels and single calcifications look like clusters to a committee.

A logistic regression on what the experts give and on what the spots of a cluster show: their number, contrast,
spacing, sharpness, roundness, and whether they lie on a line. Its coefficients are plain numbers in a JSON file, which
``microcalc adapt`` makes anew for another committee.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microcalc.errors import RequestError
from microcalc.files import read_record, write_json
from microcalc.mammograms.candidates import Spots
from microcalc.mammograms.clusters import Cluster

Floats = NDArray[np.float64]

FEATURES = (
    "mean logit",
    "lowest logit",
    "logit of the best window",
    "support",
    "number",
    "number of plain spots",
    "highest contrast",
    "third contrast",
    "mean contrast",
    "sharpness",
    "sharpness of the strongest",
    "roundness",
    "roundness of the strongest",
    "spacing",
    "linearity",
)
PLAIN = 6.0


def features(clusters: Sequence[Cluster], spots: Spots) -> Floats:
    """(n, 15) numbers that describe the clusters of one image, in the order of ``FEATURES``.

    Sharpness is against that of the image's weakest spots, which are noise and so show the blur of its scanner.
    """
    usual = np.median(spots.sharpness[len(spots) // 2 :]) if len(spots) else 0.0
    return np.array([_features(cluster, spots, float(usual)) for cluster in clusters]).reshape(-1, len(FEATURES))


def _features(cluster: Cluster, spots: Spots, usual_sharpness: float) -> list[float]:
    members = cluster.members[np.argsort(-spots.contrast[cluster.members], kind="stable")]
    points, contrast = spots.positions[members], spots.contrast[members]
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    long, short = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T))[::-1], 0.25))
    return [
        float(cluster.logits.mean()),
        float(cluster.logits.min()),
        cluster.logit,
        cluster.support,
        float(np.log(len(members))),
        float(np.log1p((contrast >= PLAIN).sum())),
        float(np.log(contrast[0])),
        float(np.log(contrast[2])),
        float(np.log(contrast).mean()),
        float(np.median(spots.sharpness[members]) - usual_sharpness),
        float(spots.sharpness[members[:3]].mean() - usual_sharpness),
        float(np.median(spots.roundness[members])),
        float(spots.roundness[members[:3]].mean()),
        float(np.log(np.median(nearest))),
        float(np.log(long / short)),
    ]


@dataclass(frozen=True)
class SecondOpinion:
    """A logistic regression on ``FEATURES``, and the probability from which on a finding is marked.

    Attributes:
        features: names, as a check that the file was made for this version.
        mean: of each feature in the training data.
        scale: standard deviation of each.
        weights: of each standardised feature.
        bias: added to their sum.
        threshold: the operating point.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float

    def scores(self, described: Floats) -> Floats:
        """(n, 15) of :func:`features` to (n,) logits of a cluster."""
        standardised = (described - np.array(self.mean)) / np.array(self.scale)
        answer: Floats = standardised @ np.array(self.weights) + self.bias
        return answer

    def save(self, path: Path) -> None:
        """Write the numbers as JSON.

        Raises:
            FailedError: the file cannot be written.
        """
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            RequestError: the file is missing, or was made for another version.
        """
        opinion = read_record(path, cls, "make it anew with microcalc adapt")
        lengths = {len(each) for each in (opinion.mean, opinion.scale, opinion.weights)}
        if opinion.features != FEATURES or lengths != {len(FEATURES)} or min(opinion.scale) <= 0:
            raise RequestError(f"{path}: was not made for this version; make it anew with microcalc adapt")
        return opinion

    @classmethod
    def beside(cls, committee: Path) -> Self | None:
        """Return the one made for a committee, from its directory or that of its run; None where there is none.

        Raises:
            RequestError: as for :meth:`load`.
        """
        places = (committee / "second_opinion.json", committee / "committee" / "second_opinion.json")
        return next((cls.load(path) for path in places if path.exists()), None)

    @classmethod
    def packaged(cls) -> Self:
        """Return the one made for the committee that comes with microcalc."""
        with resources.as_file(resources.files("microcalc") / "pretrained" / "scan" / "second_opinion.json") as path:
            return cls.load(path)
