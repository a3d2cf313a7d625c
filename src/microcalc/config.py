"""The settings of a study: one tree of frozen dataclasses, made at the edge and passed down."""

import ipaddress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from microcalc.errors import RequestError

WaveletName = Literal["none", "sym3", "haar"]
WaveletBackend = Literal["pywavelets", "matlab"]
Protocol = Literal["honest", "naive"]
InputScaling = Literal["unit", "centred", "detail", "normalized", "unit+detail", "unit+normalized"]
Looks = Literal["one", "eight", "quarters"]
Engine = Literal["torch", "torch-bfloat16", "onnx"]


@dataclass(frozen=True)
class AugmentationSettings:
    """How training patches are varied, on the fly; all ranges but that of scale are symmetric about no change.

    Attributes:
        rotation_degrees: largest rotation; 180, since a mammogram has no direction that tells of a cluster.
        shift_pixels: largest shift along each axis.
        flips: mirror each axis half of the time.
        largest_scale: the most by which half of the patches are enlarged.
        largest_reduction: the most by which the other half are reduced, and blurred to match; more than the former, for
            film of coarser resolution.
        blur_pixels: largest standard deviation of a Gaussian blur, which half of the patches get.
        gamma: 1 + this is the largest exponent on the grey levels, and its inverse the smallest.
        contrast: 1 + this is the largest factor on the contrast about the patch's mean, and its inverse the smallest.
        brightness: largest grey level added.
        noise: largest standard deviation of Gaussian noise added.
        other_backgrounds: share of the patches that are put on the background of another patch of their batch.
        strands: share of the patches into which bright strands are drawn; meant for raw patches, not filtered ones.
        texture: share of the patches to which the texture of normal tissue is added; the same goes for it.

    >>> AugmentationSettings().rotation_degrees
    180.0
    """

    rotation_degrees: float = 180.0
    shift_pixels: float = 3.0
    flips: bool = True
    largest_scale: float = 1.15
    largest_reduction: float = 1.4
    blur_pixels: float = 0.7
    gamma: float = 0.2
    contrast: float = 0.35
    brightness: float = 0.1
    noise: float = 0.015
    other_backgrounds: float = 0.35
    strands: float = 0.15
    texture: float = 0.3

    def __post_init__(self) -> None:
        for name in ("other_backgrounds", "strands", "texture"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise RequestError(f"--{name.replace('_', '-')} is a share, from 0 to 1: got {share}")
        for name in ("largest_scale", "largest_reduction"):
            if not 1 <= (scale := getattr(self, name)) <= 4:
                raise RequestError(f"--{name.replace('_', '-')} is a factor, from 1 to 4: got {scale}")


@dataclass(frozen=True)
class WaveletSettings:
    """The wavelet filter of :func:`microcalc.transforms.wavelet.wavelet_filter`; ``name="none"`` leaves it out."""

    name: WaveletName = "none"
    threshold: float = 1.5
    backend: WaveletBackend = "pywavelets"

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise RequestError(f"--threshold must be above 0: got {self.threshold}")


@dataclass(frozen=True)
class SearchSettings:
    """The space of hyperparameters and how much of it is explored in each fold.

    >>> SearchSettings().trials
    7
    """

    dim: tuple[int, ...] = (15, 20, 25)
    depth: tuple[int, ...] = (1, 3, 5)
    dropout: tuple[float, ...] = (0.0, 0.05, 0.1)
    searching_fraction: float = 0.25
    patient: bool = False
    epochs: int = 8

    def __post_init__(self) -> None:
        for name, values, smallest in (("dim", self.dim, 1), ("depth", self.depth, 1), ("dropout", self.dropout, 0.0)):
            if not values or min(values) < smallest:
                raise RequestError(f"--{name} takes values of at least {smallest}: got {list(values)}")
        if max(self.dropout) > 0.8:
            raise RequestError(f"--dropout takes rates up to 0.8: got {list(self.dropout)}")
        if not 0 < self.searching_fraction <= 1:
            raise RequestError(f"--searching-fraction must lie in (0, 1]: got {self.searching_fraction}")

    @property
    def trials(self) -> int:
        """Number of combinations explored in each fold, at least one."""
        space = len(set(self.dim)) * len(set(self.depth)) * len(set(self.dropout))
        return max(1, round(self.searching_fraction * space))


@dataclass(frozen=True)
class TrainingSettings:
    """The training of one network: one-cycle learning rate, AdamW, batches of patches."""

    epochs: int = 80
    batch_size: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    input_scaling: InputScaling = "unit+normalized"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class StudyConfig:
    """Everything a study depends on besides the data.

    >>> StudyConfig().folds
    5
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: AugmentationSettings | None = field(default_factory=AugmentationSettings)
    wavelet: WaveletSettings = field(default_factory=WaveletSettings)
    protocol: Protocol = "honest"
    folds: int = 5
    validation_fraction: float = 0.25
    committee_fraction: float = 0.15
    looks: Looks = "quarters"
    sensitivity: float | None = None
    fast_execution: bool = False
    gradcam: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise RequestError(f"--folds must be at least 2: got {self.folds}")
        if self.sensitivity is not None and not 0 < self.sensitivity <= 1:
            raise RequestError(f"--sensitivity must lie in (0, 1]: got {self.sensitivity}")
        if not 0 <= self.gradcam <= 25:
            raise RequestError(f"--gradcam takes 0 to 25 patches: got {self.gradcam}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for ``config.json``."""
        return asdict(self)


@dataclass(frozen=True)
class NodeSettings:
    """How the DICOM node listens, sends and waits.

    Attributes:
        send_to: where results go: AET@HOST:PORT, or the address of a DICOMweb server.
        queue: folder for what is not finished yet.
        ae_title: of this node, at most 16 characters; peers must call it so.
        port: to listen on; 0 lets the system choose.
        bind: address to listen on; other machines reach no loopback address.
        calling: titles of the peers that may connect; all may where it is empty, which needs a loopback address.
        tls_certificate: of this node, a PEM file; with the next two, or none of the three.
        tls_key: of the certificate, a PEM file.
        tls_ca: the authority that signs the peers' certificates, a PEM file.
        associations: most of them at a time.
        largest_object_mib: most MiB of an object.
        disk_gib: most GiB that wait in the queue.
        quiet_s: seconds without a new image after which the results of a study are sent.
        pause_s: seconds until a study that could not be sent is tried again; doubled each time.
        longest_pause_s: the most that it is doubled to.
        tries: after which a study is parked.

    >>> NodeSettings(send_to="ARCHIVE@localhost:104").bind
    '127.0.0.1'
    """

    send_to: str = ""
    queue: Path = Path("node")
    ae_title: str = "MICROCALC"
    port: int = 11112
    bind: str = "127.0.0.1"
    calling: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    associations: int = 10
    largest_object_mib: int = 256
    disk_gib: float = 20.0
    quiet_s: float = 10.0
    pause_s: float = 10.0
    longest_pause_s: float = 3600.0
    tries: int = 12

    def __post_init__(self) -> None:
        for name, titles in {"ae_title": (self.ae_title,), "calling": self.calling}.items():
            for title in titles:
                if not 1 <= len(title.strip()) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
                    raise RequestError(f"{name} must have 1 to 16 ASCII characters, no backslash: got {title!r}")
        if not 0 <= self.port <= 65535:
            raise RequestError(f"port must lie in [0, 65535]: got {self.port}")
        for name in ("associations", "largest_object_mib", "tries"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} must be at least 1: got {getattr(self, name)}")
        for name in ("disk_gib", "pause_s", "longest_pause_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise RequestError(f"{name} must be positive: got {getattr(self, name)}")
        if not 0 <= self.quiet_s < float("inf"):
            raise RequestError(f"quiet_s must not be negative: got {self.quiet_s}")
        if not self.calling and not _is_loopback(self.bind):
            raise RequestError(
                f"name the peers that may connect (calling) to listen on {self.bind}, no loopback address"
            )
        given = [path is not None for path in (self.tls_certificate, self.tls_key, self.tls_ca)]
        if any(given) and not all(given):
            raise RequestError("TLS needs all three: the certificate, its key and the authority")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise RequestError(f"bind must be an IP address: got {address!r}") from None
