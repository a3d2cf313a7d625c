"""Run directories: their figures, their reports, and the patches that they classify wrongly."""

import contextlib
import csv
import io
import threading
from collections.abc import Iterator, Sequence
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
ROLES = {"development": "own", "committee": "own", "test": "test", "external": "external"}
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
        try:
            found = (self._patch(number, row) for number, row in enumerate(self._rows) if row["out_of_fold"])
            return tuple(patch for patch in found if patch is not None)
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(f"{self.folder.name}: its predictions.csv is not what a study leaves") from error

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        try:
            text = (self.folder / "predictions.csv").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise RequestError(f"{self.folder.name}: its predictions.csv cannot be read; resume the study") from error
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _patch(self, number: int, row: dict[str, str]) -> Patch | None:
        kind: Any = ROLES.get(row["role"])
        if kind is None:
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
        images = {}
        for kind, described in self.config.get("data", {}).items():
            files = [row["file"] for row in self._rows if ROLES.get(row["role"]) == kind]
            with contextlib.suppress(MicrocalcError, KeyError, TypeError):
                data = self._find_data(described["name"], described["sha256"], files)
                if data is not None:
                    images[kind] = dict(zip(data.files, data.images, strict=True))
        return images

    def _find_data(self, name: str, fingerprint: str, files: list[str]) -> "Data | None":
        """The dataset of a run, or the part of it that the run used; the fingerprint must be that of the run."""
        for data in self._candidates(name):
            row_of = {file: row for row, file in enumerate(data.files)}
            if row_of.keys() >= set(files):
                part = data.select([row_of[file] for file in files])
                if part.fingerprint == fingerprint:
                    return part
        return None

    def _candidates(self, name: str) -> "Iterator[Data]":
        from microcalc.data import Data
        from microcalc.data.sources import find_infn

        if name == "infn" and (archive := find_infn()) is not None:
            yield Data.load("infn", archive=archive)
        elif name == "phantom":
            yield from (Data.load("phantom", seed=seed) for seed in dict.fromkeys((self.config["settings"]["seed"], 0)))
        elif name == "external":
            yield Data.load("external")
        yield from (Data.load(folder) for folder in self.image_folders if folder.resolve().name == name)
