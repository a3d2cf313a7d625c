"""Run directories: their figures, their reports, and the patches that they classify wrongly."""

import contextlib
import csv
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.app.tiles import encode
from microcalc.errors import MicrocalcError, RequestError
from microcalc.files import read_json

if TYPE_CHECKING:
    from microcalc.committee.committee import Committee
    from microcalc.data import Data

PatchSet = Literal["own", "test", "external"]
ROLES = {"development": "own", "test": "test", "external": "external"}
OUT_OF_FOLD_THRESHOLD = 0.5
"""Of one expert alone, which is not calibrated; as the report has it."""

ENLARGED = 4


@dataclass(frozen=True)
class Patch:
    """One patch that a part of the study which never saw it has classified.

    Attributes:
        row: of ``predictions.csv``, from 0.
        set: that it belongs to.
        file: its name there.
        label: 1 where a cluster is present.
        probability: of a cluster.
        decision: 1 where that reaches the threshold.
        fold: that it was tested in; None for other sets.
    """

    row: int
    set: PatchSet
    file: str
    label: int
    probability: float
    decision: int
    fold: int | None


@dataclass(frozen=True, eq=False)
class Study:
    """One run directory.

    Attributes:
        id: by which the page names it.
        folder: the run directory.
        image_folders: of the command line, in which data of the user's own may lie.
    """

    id: str
    folder: Path
    image_folders: Sequence[Path] = ()
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    def entry(self) -> dict[str, Any]:
        """What the page is told."""
        return {"id": self.id, "name": self.folder.resolve().name, "metrics": self.metrics, "config": self.config}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` holds.

        Raises:
            RequestError: it cannot be read.
        """
        metrics = read_json(self.folder / "metrics.json")
        if not isinstance(metrics, dict):
            raise RequestError(f"{self.folder}: its metrics.json is not what a study leaves; name another run")
        return metrics

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds; empty where it is missing."""
        path = self.folder / "config.json"
        config = read_json(path) if path.exists() else {}
        return config if isinstance(config, dict) else {}

    @property
    def report(self) -> Path | None:
        """The report, where there is one."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    @cached_property
    def patches(self) -> tuple[Patch, ...]:
        """Every patch that a part of the study which never saw it has classified.

        Raises:
            RequestError: ``predictions.csv`` is missing, or is not what a study leaves.
        """
        path = self.folder / "predictions.csv"
        try:
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
            found = (self._patch(number, row) for number, row in enumerate(rows))
            return tuple(patch for patch in found if patch is not None)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RequestError(f"{self.folder.name}: its predictions.csv is not what a study leaves") from error

    def _patch(self, number: int, row: dict[str, str]) -> Patch | None:
        kind: Any = ROLES.get(row["role"])
        if kind is None or not row["out_of_fold"]:
            return None
        probability, fold = float(row["out_of_fold"]), int(row["fold"]) if row["fold"] else None
        decision = int(probability >= self._thresholds[kind])
        return Patch(number, kind, row["file"], int(row["label"]), probability, decision, fold)

    @cached_property
    def _thresholds(self) -> dict[PatchSet, float]:
        committee = float(self.metrics["committee"]["threshold"])
        return {"own": OUT_OF_FOLD_THRESHOLD, "test": committee, "external": self._external_threshold(committee)}

    def _external_threshold(self, otherwise: float) -> float:
        path = self.folder / "committee" / "committee.json"
        saved = read_json(path) if path.exists() else {}
        return float(saved["unknown_scale"]["threshold"]) if saved.get("unknown_scale") else otherwise

    def has_picture(self, patch: Patch) -> bool:
        """Whether the pixels of a patch are on this machine."""
        return patch.file in self._images.get(patch.set, {})

    def picture(self, patch: Patch) -> bytes | None:
        """A PNG of a patch and of its Grad-CAM map over it, side by side; None where its pixels are not here.

        The map is of the expert that was tested on the patch; of the one of highest weight for other sets.

        Raises:
            RequestError: the committee of the run cannot be read.
        """
        image = self._images.get(patch.set, {}).get(patch.file)
        if image is None:
            return None
        from microcalc.committee.committee import filtered
        from microcalc.explain.gradcam import gradcam
        from microcalc.explain.overlay import coloured, stretched

        with self._drawing:
            committee = self._committee
            expert = committee.highest_weight if patch.fold is None else patch.fold
            prepared = filtered(image[None], committee.wavelet)
            heat = coloured(gradcam(committee.networks[expert], prepared)[0]).astype(np.float32)
        grey = np.repeat(stretched(image)[..., None], 3, axis=2)
        opacity = heat[..., 3:] / 255
        over = np.rint((1 - opacity) * grey + opacity * heat[..., :3]).astype(np.uint8)
        both = np.concatenate([grey, over], axis=1)
        return encode(both.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1), "png")

    @cached_property
    def _committee(self) -> "Committee":
        from microcalc.committee.committee import Committee

        return Committee.load(self.folder)

    @cached_property
    def _images(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """By set and file name, the patches whose pixels are on this machine; nothing is downloaded."""
        from microcalc.data import Data

        images = {}
        for name, described in self.config.get("data", {}).items():
            with contextlib.suppress(MicrocalcError, KeyError, TypeError):
                data = self._find_data(Data, described["name"], described["sha256"])
                if data is not None:
                    images[name] = dict(zip(data.files, data.images, strict=True))
        return images

    def _find_data(self, data: "type[Data]", name: str, fingerprint: str) -> "Data | None":
        """A dataset of a run; INFN's files are known by their content, all others must be the same as in the run."""
        from microcalc.data.sources import find_infn

        if name == "infn":
            archive = find_infn()
            return None if archive is None else data.load("infn", archive=archive)
        seed = self.config["settings"]["seed"]
        sources: list[str | Path] = [name] if name in ("phantom", "external") else []
        sources += [folder for folder in self.image_folders if folder.resolve().name == name]
        loaded = (data.load(source, seed=each) for source in sources for each in dict.fromkeys((seed, 0)))
        return next((found for found in loaded if found.fingerprint == fingerprint), None)
