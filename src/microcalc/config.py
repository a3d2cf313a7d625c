"""The settings of a study: one tree of frozen dataclasses, made at the edge and passed down."""

import ipaddress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Len
from pydantic import AfterValidator
from tyro.conf import arg

from microcalc import __version__
from microcalc.errors import RequestError
from microcalc.files import checked

WaveletName = Literal["none", "sym3", "haar"]
PhantomScanner = Literal["first", "second"]
WaveletBackend = Literal["pywavelets", "matlab"]
Protocol = Literal["honest", "naive"]
Preprocessing = Literal[
    "raw", "mean_centered", "high_pass", "contrast_normalized", "raw+high_pass", "raw+contrast_normalized"
]
PRETRAINED = f"pretrained {__version__}"
"""Name of the committees that come with microcalc."""

GivenPixelSize = float | Literal["unknown"] | None
"""A pixel size as users give it, for images whose files do not: one in mm, that it is unknown, or nothing."""

Engine = Literal["torch", "torch-bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]
GradcamMethod = Literal["hirescam", "gradcam"]

CLASS_NAMES = ("normal", "cluster")
"""Names of the labels 0 and 1."""

LARGEST_SEED = 2**31 - 1
"""Every library that is given a seed, or one a little above it for a fold, takes one of this size."""

Seed = Annotated[int, Ge(0), Le(LARGEST_SEED)]
Count = Annotated[int, Ge(1)]
Epochs = Annotated[int, Ge(1), Le(100_000)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
SomeShare = Annotated[float, Gt(0), Le(1)]
UpToHalf = Annotated[float, Gt(0), Le(0.5)]


class Settings:
    """The base of all settings: each field is checked against its annotation, as a dataclass is made.

    Raises:
        RequestError: naming the setting, what it takes and what was given.

    >>> TrainingSettings(epochs=0)
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: epochs must be at least 1: got 0
    """

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            options = [getattr(each, "name", None) for each in getattr(hint, "__metadata__", ())]
            checked(hint, getattr(self, name), next(filter(None, options), name).replace("-", "_"))


@dataclass(frozen=True)
class AugmentationSettings(Settings):
    """How training patches are varied, on the fly; all ranges but that of scale are symmetric about no change.

    Attributes:
        rotation_degrees: largest rotation; 180, since a cluster has no preferred direction.
        shift_pixels: largest shift along each axis.
        flips: mirror each axis half of the time.
        scale_range: smallest and largest factor on the size; half of the patches are enlarged, half reduced and
            blurred to match.
        blur_pixels: largest standard deviation of a Gaussian blur, which half of the patches get.
        gamma: 1 + this is the largest exponent on the grey levels, and its inverse the smallest.
        contrast: 1 + this is the largest factor on the contrast about the patch's mean, and its inverse the smallest.
        brightness: largest grey level added.
        noise: largest standard deviation of Gaussian noise added.
        p_background_swap: share of the patches that are put on the background of another patch of their batch.
        p_linear_structures: share of the patches into which bright lines are drawn, such as vessels and ducts make;
            None takes 0.15, or 0 for patches that a wavelet filter has passed, since it draws into raw patches.
        p_power_law_noise: share of the patches to which noise with the power spectrum of breast tissue is added; None
            takes 0.3, or 0 likewise.
        p_dust: share of the normal patches into which one or two specks of dust are drawn; None takes 0.3, or 0
            likewise.
        p_single_calcifications: share of the normal patches into which one or two isolated calcifications are drawn,
            which are no cluster; for a committee that scans whole mammograms. INFN labels crops with one or two large
            calcifications as clusters, so that it costs accuracy there.

    >>> AugmentationSettings().rotation_degrees
    180.0
    """

    rotation_degrees: NotNegative = 180.0
    shift_pixels: NotNegative = 3.0
    flips: bool = True
    scale_range: tuple[Annotated[float, Ge(0.25), Le(1)], Annotated[float, Ge(1), Le(4)]] = (0.7, 1.15)
    blur_pixels: NotNegative = 0.7
    gamma: NotNegative = 0.2
    contrast: NotNegative = 0.35
    brightness: NotNegative = 0.1
    noise: NotNegative = 0.015
    p_background_swap: Share = 0.35
    p_linear_structures: Share | None = None
    p_power_law_noise: Share | None = None
    p_dust: Share | None = None
    p_single_calcifications: Share = 0.0

    def drawn(self, wavelet: WaveletName = "none") -> dict[str, float]:
        """The shares of what is drawn into patches, with numbers for None, as suits raw or wavelet-filtered patches.

        >>> AugmentationSettings().drawn()["p_dust"], AugmentationSettings().drawn("haar")["p_dust"]
        (0.3, 0.0)
        """
        usual = {"p_linear_structures": 0.15, "p_power_law_noise": 0.3, "p_dust": 0.3}
        if wavelet != "none":
            usual = dict.fromkeys(usual, 0.0)
        return {name: share if (own := getattr(self, name)) is None else own for name, share in usual.items()}


@dataclass(frozen=True)
class WaveletSettings(Settings):
    """The wavelet filter of :func:`microcalc.transforms.wavelet.wavelet_filter`.

    Attributes:
        name: wavelet filter on every patch; none leaves the patches as they are.
        threshold: of the wavelet filter, in standard deviations.
        backend: what computes the wavelet filter.
    """

    name: Annotated[WaveletName, arg(name="wavelet")] = "none"
    threshold: Positive = 1.5
    backend: Annotated[WaveletBackend, arg(name="wavelet-backend")] = "pywavelets"


@dataclass(frozen=True)
class SearchSettings(Settings):
    """The space of hyperparameters and how much of it is explored in each fold.

    Attributes:
        dim: filters of the first block, to choose from.
        depth: dense layers, to choose from.
        dropout: dropout rates, to choose from.
        searching_fraction: share of all combinations that the search tries in each fold.
        pruning: end a trial early once it cannot win.
        epochs: of a trial.

    >>> SearchSettings().trials
    7
    """

    dim: Annotated[tuple[Count, ...], Len(1)] = (15, 20, 25)
    depth: Annotated[tuple[Count, ...], Len(1)] = (1, 3, 5)
    dropout: Annotated[tuple[Annotated[float, Ge(0), Le(0.8)], ...], Len(1)] = (0.0, 0.05, 0.1)
    searching_fraction: SomeShare = 0.25
    pruning: bool = True
    epochs: Annotated[Epochs, arg(name="search-epochs")] = 8

    @property
    def trials(self) -> int:
        """Number of combinations explored in each fold, at least one."""
        space = len(set(self.dim)) * len(set(self.depth)) * len(set(self.dropout))
        return max(1, round(self.searching_fraction * space))


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """The training of one network: one-cycle learning rate, AdamW, batches of patches.

    Attributes:
        epochs: of an expert's final training.
        batch_size: patches in a step of training.
        learning_rate: the highest of the one-cycle schedule.
        weight_decay: of AdamW, on all but biases and batch normalisation.
        preprocessing: what the network sees: the raw patch, less its mean, less a wide blur, that over its texture, or
            two of these as channels.
        precision: of the arithmetic in training; auto takes bfloat16 where the hardware multiplies it.
        device: cpu, cuda, or auto for CUDA where there is one.
    """

    epochs: Epochs = 80
    batch_size: Count = 60
    learning_rate: Positive = 3e-3
    weight_decay: NotNegative = 1e-2
    preprocessing: Preprocessing = "raw+contrast_normalized"
    precision: Precision = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class StudyConfig(Settings):
    """Everything a study depends on besides the data.

    Attributes:
        search: the hyperparameters to choose from.
        training: of every network.
        augmentation: how training patches are varied; None leaves them as they are.
        wavelet: the filter that all patches pass.
        protocol: naive repeats the study the earlier, leaking way too, to show side by side how optimistic that is.
        folds: parts of the cross-validation, and experts of the committee.
        validation_fraction: share of the patients of a development set who are its hold-out.
        committee_fraction: share of the patients on whom the committee is weighted and calibrated.
        sensitivity: choose the threshold for this sensitivity instead of the best balanced accuracy.
        fast_execution: skip the search and take hyperparameters saved in the package; the figures are then optimistic.
        gradcam: patches explained by Grad-CAM, at most 25.
        gradcam_method: hirescam weights each pixel by its own gradient; gradcam is the method as published.
        seed: the same seed gives the same figures on the same machine.

    >>> StudyConfig().folds
    5
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: AugmentationSettings | None = field(default_factory=AugmentationSettings)
    wavelet: WaveletSettings = field(default_factory=WaveletSettings)
    protocol: Protocol = "honest"
    folds: Annotated[int, Ge(2)] = 5
    validation_fraction: UpToHalf = 0.25
    committee_fraction: UpToHalf = 0.15
    sensitivity: SomeShare | None = None
    fast_execution: bool = False
    gradcam: Annotated[int, Ge(0), Le(25)] = 6
    gradcam_method: GradcamMethod = "hirescam"
    seed: Seed = 0

    @property
    def training_augmentation(self) -> AugmentationSettings | None:
        """The augmentation with a number for every share, as suits raw or wavelet-filtered patches."""
        if self.augmentation is None:
            return None
        drawn: dict[str, Any] = dict(self.augmentation.drawn(self.wavelet.name))
        return replace(self.augmentation, **drawn)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for ``config.json``."""
        return asdict(replace(self, augmentation=self.training_augmentation))


def _check_ae_title(title: str) -> str:
    if not 1 <= len(title.strip()) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("must have 1 to 16 ASCII characters, no backslash")
    return title


AETitle = Annotated[str, AfterValidator(_check_ae_title)]


@dataclass(frozen=True)
class NodeSettings(Settings):
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
    ae_title: AETitle = "MICROCALC"
    port: Annotated[int, Ge(0), Le(65535)] = 11112
    bind: str = "127.0.0.1"
    calling: tuple[AETitle, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    associations: Count = 10
    largest_object_mib: Count = 256
    disk_gib: Positive = 20.0
    quiet_s: NotNegative = 10.0
    pause_s: Positive = 10.0
    longest_pause_s: Positive = 3600.0
    tries: Count = 12

    def __post_init__(self) -> None:
        super().__post_init__()
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
