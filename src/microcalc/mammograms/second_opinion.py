"""A second opinion on suspected clusters, which judges each against the other candidates of its image.

Scanners differ in blur, noise and grey scale. Where the committee finds most candidates of an image suspicious, it is
the image that is unusual, and not they: so the log odds of each are lowered by as much as their median lies above what
is usual. Nothing is raised. With this an operating point carries over from one source of mammograms to another.
"""

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import RequestError
from microcalc.files import read_record, write_json

Floats = NDArray[np.float64]

FEATURES = ("committee", "excess")
USUAL = -1.0
"""Median log odds of the candidates of an image like those that the committee has learned from."""

ADVICE = "make it anew with microcalc adapt"


def features(logits: Floats) -> Floats:
    """(n,) log odds by the committee of all clusters of one image to (n, 2) numbers, in the order of ``FEATURES``.

    The log odds of each, and how far the median of all lies above ``USUAL``, the same for each.
    """
    excess = max(0.0, float(np.median(logits)) - USUAL) if len(logits) else 0.0
    return np.stack([logits, np.full(len(logits), excess)], axis=1)


@dataclass(frozen=True)
class SecondOpinion:
    """A linear model of the log odds of a cluster on ``FEATURES``, and the probability from which on it is marked.

    Attributes:
        features: names, as a check that the file was made for this version.
        weights: of each feature; 1 and -1 in the one that comes with microcalc.
        bias: added to their sum.
        threshold: the operating point.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float

    def scores(self, described: Floats) -> Floats:
        """(n, 2) of :func:`features` to (n,) log odds of a cluster."""
        answer: Floats = described @ np.array(self.weights) + self.bias
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
        opinion = read_record(path, cls, ADVICE)
        if opinion.features != FEATURES or len(opinion.weights) != len(FEATURES):
            raise RequestError(f"{path}: was not made for this version; {ADVICE}")
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
        with resources.as_file(resources.files("microcalc") / "pretrained" / "second_opinion.json") as path:
            return cls.load(path)
