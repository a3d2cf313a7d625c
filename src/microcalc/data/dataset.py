"""Data: patches with their labels and groups, all that a study knows of its images."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microcalc.config import AugmentationSettings, Count, GivenPixelSize, Seed, WaveletBackend, WaveletName
from microcalc.data.folder import PixelSizeKind, read_labelled_folder
from microcalc.data.phantom import make_phantom
from microcalc.data.provenance import identical_pairs, linked_groups, parse_infn_name
from microcalc.data.sources import download_infn, find_external, find_infn, read_infn
from microcalc.errors import DataError, UnreachableError
from microcalc.files import checked
from microcalc.images.tiles import PATCH_SIDE, check_patches
from microcalc.transforms.wavelet import wavelet_filter

_PATCH = (PATCH_SIDE, PATCH_SIDE)


@dataclass(frozen=True, eq=False)
class Data:
    """Patches, their labels, and the groups that must never be split.

    Attributes:
        name: "infn", "phantom", "external", or the name of the folder or ZIP archive.
        images: (n, 60, 60) float32 grey values in [0, 1]; other floats are converted.
        labels: (n,) int64, 1 = cluster present, 0 = normal tissue.
        groups: (n,) int64, equal for patches of one patient or linked by identical or overlapping pixels.
        files: path of each patch in its archive or folder.
        patients: the patient of each patch, by its name or ``groups.csv``.
        official_test: (n,) bool, whether a patch is in the INFN archive's own Test folder; None for other data.
        masks: (n, 60, 60) bool, where the calcifications are; None except for the phantom.
        pixel_size: "known" (85 um), "assumed" to be that where neither file nor user gave it, or "unknown".
        warnings: sentences on what was left out or assumed, and on patients that had to be guessed; they go into every
            report.
        augmented: whether copies by :meth:`augment` are among the patches; no study takes such data to test on.
        filtered_by: the wavelet of the filter that the patches have passed; a study takes raw patches alone.

    Raises:
        DataError: a shape, a type or a value is not as above.

    >>> images = np.random.default_rng(0).random((4, 60, 60), dtype=np.float32)
    >>> data = Data("mine", images, np.array([0, 0, 1, 1]), np.arange(4), tuple("abcd"), tuple("abcd"))
    >>> len(data), data.select(data.labels == 1).files
    (4, ('c', 'd'))
    """

    name: str
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    files: tuple[str, ...]
    patients: tuple[str, ...]
    official_test: NDArray[np.bool_] | None = None
    masks: NDArray[np.bool_] | None = None
    pixel_size: PixelSizeKind = "known"
    warnings: tuple[str, ...] = ()
    augmented: bool = False
    filtered_by: WaveletName = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", check_patches(self.images, fewest=0))
        n = len(self.images)
        _check_array("labels", self.labels, np.int64, (n,))
        _check_array("groups", self.groups, np.int64, (n,))
        if self.official_test is not None:
            _check_array("official_test", self.official_test, np.bool_, (n,))
        if self.masks is not None:
            _check_array("masks", self.masks, np.bool_, (n, *_PATCH))
        for name, values in (("files", self.files), ("patients", self.patients)):
            if len(values) != n:
                raise DataError(f"{name} must be {n}, one for each image: got {len(values)}")
        if not np.isin(self.labels, (0, 1)).all():
            raise DataError(f"labels must be 0 or 1: got {np.unique(self.labels).tolist()}")

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        archive: Path | None = None,
        pixel_size_mm: GivenPixelSize = None,
        seed: int = 0,
    ) -> "Data":
        """Load a dataset.

        Args:
            source: "infn"; "phantom"; "external"; "auto", which is "infn" where it can be found or downloaded and
                "phantom" where its site does not answer (see ``name``); or a folder or ZIP archive with ``0/`` and
                ``1/``, for which see :func:`microcalc.data.folder.read_labelled_folder`.
            archive: the INFN archive or its unpacked folder, for "infn" and "auto".
            pixel_size_mm: of images of a folder or ZIP archive whose files do not give it, in mm; or "unknown". Where
                it is known, images are brought to 85 um a pixel, and must then be one patch each.
            seed: of the phantom.

        Raises:
            DataError: the dataset is nowhere, or is not what it should be.
            ImageError: an image that cannot be read.
            FailedError: no room for what is downloaded or unpacked.

        >>> data = Data.load("phantom", seed=0)
        >>> data.name, data.images.shape[1:]
        ('phantom', (60, 60))
        """
        if archive is not None and source not in ("infn", "auto"):
            raise DataError(f"archive is for the data infn or auto: got {source}; leave one of them out")
        match source:
            case "infn" | "auto":
                try:
                    return _infn(find_infn(archive) or download_infn())
                except UnreachableError:
                    if source == "infn":
                        raise
                    return _phantom(seed)
            case "phantom":
                return _phantom(seed)
            case "external":
                return _labelled_folder(_external(), "external", "unknown")
        return _labelled_folder(Path(source), _folder_name(Path(source)), pixel_size_mm)

    @classmethod
    def of_patients(
        cls,
        name: str,
        images: NDArray[np.float32],
        labels: NDArray[np.int64],
        files: Sequence[str],
        patients: Sequence[str],
    ) -> "Data":
        """Data of patches at 85 um a pixel, whose groups are the patients, linked where patches share pixels.

        Raises:
            DataError: a shape, a type or a value is not as ``Data`` has it.
        """
        return cls(name, images, labels, linked_groups(images, patients), tuple(files), tuple(patients))

    @classmethod
    def join(cls, parts: Sequence["Data"]) -> "Data":
        """Put several data together; files begin with the name of their part, and equal patients are one.

        Raises:
            DataError: a part has an unknown pixel size, augmented copies or a wavelet filter; or a name and a file are
                there twice.

        >>> phantom = Data.load("phantom")
        >>> len(Data.join([phantom, Data.load("phantom", seed=1)])) == 2 * len(phantom)
        True
        """
        for part in parts:
            if part.pixel_size == "unknown" or part.augmented or part.filtered_by != "none":
                raise DataError(f"{part.name} must hold raw patches of known pixel size to be joined to others")
        files = [f"{part.name}/{file}" for part in parts for file in part.files]
        if len(set(files)) < len(files):
            twice = next(file for file in files if files.count(file) > 1)
            raise DataError(f"{twice}: is there twice in the data to be joined; rename the folder of one of them")
        joined = cls.of_patients(
            " and ".join(part.name for part in parts),
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            files,
            [patient for part in parts for patient in part.patients],
        )
        return replace(joined, warnings=tuple(warning for part in parts for warning in part.warnings))

    def select(self, chosen: ArrayLike) -> "Data":
        """The patches at some indices, or where a mask is true; their groups keep their numbers."""
        rows = np.arange(len(self))[np.asarray(chosen) if np.size(chosen) else []]
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            groups=self.groups[rows],
            files=tuple(self.files[row] for row in rows),
            patients=tuple(self.patients[row] for row in rows),
            official_test=None if self.official_test is None else self.official_test[rows],
            masks=None if self.masks is None else self.masks[rows],
        )

    def get_random_images(
        self, size: int, classes: Sequence[int] | None = None, seed: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Draw patches at random, none of them twice.

        Args:
            size: how many.
            classes: the labels to draw from; None for both.
            seed: the same seed draws the same patches.

        Returns:
            (size, 60, 60) images and (size,) labels.

        Raises:
            DataError: ``size`` is more than there are, or a label other than 0 and 1.
            RequestError: a seed that is negative or above 2,147,483,647.
        """
        checked(Seed, seed, "seed")
        wanted = (0, 1) if classes is None else tuple(classes)
        if not set(wanted) <= {0, 1}:
            raise DataError(f"classes are 0 (normal) and 1 (cluster): got {list(wanted)}")
        candidates = np.flatnonzero(np.isin(self.labels, wanted))
        if not 0 <= size <= len(candidates):
            raise DataError(
                f"size must be from 0 to {len(candidates)}, the patches of classes {list(wanted)}: got {size}"
            )
        rows = np.random.default_rng(seed).choice(candidates, size, replace=False)
        return self.images[rows], self.labels[rows]

    def wavelet(
        self, name: WaveletName = "sym3", threshold: float = 1.5, backend: WaveletBackend = "pywavelets"
    ) -> "Data":
        """Return the same patches, filtered by :func:`microcalc.transforms.wavelet.wavelet_filter`.

        Raises:
            DataError: they are filtered already.
            RequestError: as for the filter.
        """
        if self.filtered_by != "none":
            raise DataError(f"{self.name} is already filtered by {self.filtered_by}; filter the raw patches instead")
        return replace(self, images=wavelet_filter(self.images, name, threshold, backend), filtered_by=name)

    def augment(self, copies: int = 1, seed: int = 0, settings: AugmentationSettings | None = None) -> "Data":
        """The same patches, followed by varied copies of each, by :func:`microcalc.transforms.augment.augment`.

        A copy stays in the group of its patch, so that no split parts the two; ``#1``, ``#2``... end its file name.

        Args:
            copies: of each patch, at least 1.
            seed: the same seed gives the same copies.
            settings: of the variation; None for those of training, which draw nothing into filtered patches.

        Raises:
            RequestError: ``copies`` is below 1, or the seed is negative or above 2,147,483,647.

        >>> data = Data.load("phantom").select(range(4))
        >>> varied = data.augment(copies=2)
        >>> len(varied), varied.files[4] == data.files[0] + "#1", set(varied.groups) == set(data.groups)
        (12, True, True)
        """
        import torch

        from microcalc.transforms.augment import augment  # PyTorch is slow to import, and few need it here

        checked(Count, copies, "copies")
        checked(Seed, seed, "seed")
        originals, labels = torch.tensor(self.images).unsqueeze(1), torch.tensor(self.labels)
        generator = torch.Generator().manual_seed(seed)
        settings = settings or AugmentationSettings()
        varied = [
            augment(originals, labels, settings, generator, self.filtered_by)[:, 0].numpy() for _ in range(copies)
        ]
        times = copies + 1
        return replace(
            self,
            images=np.concatenate([self.images, *varied]),
            labels=np.tile(self.labels, times),
            groups=np.tile(self.groups, times),
            files=tuple(f"{file}#{copy}" if copy else file for copy in range(times) for file in self.files),
            patients=self.patients * times,
            official_test=None,
            masks=None,
            augmented=True,
        )

    @property
    def identical_pairs(self) -> int:
        """Number of pairs of patches with identical pixels but different patients."""
        return sum(self.patients[one] != self.patients[other] for one, other in identical_pairs(self.images))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, labels, groups and files: equal for equal data, however it was found."""
        digest = hashlib.sha256(json.dumps(self.files).encode())
        for array in (self.images, self.labels, self.groups):
            digest.update(array.tobytes())
        if self.pixel_size == "unknown":  # such patches are seen at several magnifications
            digest.update(b"unknown pixel size")
        return digest.hexdigest()


def _check_array(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise DataError(f"{name} must be {np.dtype(dtype)} of shape {shape}: got {array.dtype} of shape {array.shape}")


def _infn(path: Path) -> Data:
    files, pixels = read_infn(path)
    names = [parse_infn_name(file) for file in files]
    images, labels = pixels.astype(np.float32) / np.float32(255), np.array([name.label for name in names], np.int64)
    data = Data.of_patients("infn", images, labels, files, [name.patient for name in names])
    return replace(data, official_test=np.array([file.startswith("Test/") for file in files]))


def _phantom(seed: int) -> Data:
    images, labels, patients, masks = make_phantom(seed=seed)
    files = [f"{labels[row]}/{patient}_{row:05d}.png" for row, patient in enumerate(patients)]
    return replace(Data.of_patients("phantom", images, labels, files, patients), masks=masks)


def _external() -> Path:
    path = find_external()
    if path is None:
        raise DataError(
            "the external set is not here; set MICROCALC_DATA to the folder that holds external_patches.zip"
        )
    return path


def _folder_name(path: Path) -> str:
    name = path.stem if path.suffix.lower() == ".zip" else path.resolve().name
    return f"folder {name}" if name in ("infn", "phantom", "external") else name


def _labelled_folder(path: Path, name: str, pixel_size_mm: GivenPixelSize) -> Data:
    read = read_labelled_folder(path, pixel_size_mm)
    return Data(name, groups=linked_groups(read.images, read.patients), **read._asdict())
