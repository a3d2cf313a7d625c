"""The training of one network."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from microcalc.committee.inference import choose_device, predict
from microcalc.config import AugmentationSettings, TrainingSettings
from microcalc.errors import FailedError
from microcalc.networks.backend import keras
from microcalc.networks.hypermodel import computing_in, logit_model
from microcalc.training.number_format import fastest_format
from microcalc.transforms.augment import augment

Images = NDArray[np.float32]
Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Curves:
    """One value an epoch; the hold-out's lists are empty where there is no hold-out.

    Loss and accuracy are means over the augmented patches as they were trained on, with dropout. ``holdout_auc`` is
    0.5 where the hold-out has patches of one class alone.

    >>> Curves(loss=[0.9, 0.5, 0.3], accuracy=[0.5, 0.7, 0.8], holdout_loss=[0.8, 0.6, 0.7]).best_epoch
    1
    """

    loss: list[float]
    accuracy: list[float]
    holdout_loss: list[float] = field(default_factory=list)
    holdout_accuracy: list[float] = field(default_factory=list)
    holdout_auc: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, whose weights the network has: of least hold-out loss, or the last without hold-out."""
        return self.holdout_loss.index(min(self.holdout_loss)) if self.holdout_loss else len(self.loss) - 1


def train(
    network: Any,
    images: Images,
    labels: Labels,
    *,
    settings: TrainingSettings,
    augmentation: AugmentationSettings | None,
    epochs: int,
    seed: int,
    holdout: tuple[Images, Labels] | None = None,
    on_epoch: Callable[[Curves], bool] | None = None,
    device: str | torch.device | None = None,
) -> Curves:
    """Train a network in place on binary cross-entropy, with AdamW and a one-cycle learning rate.

    An epoch goes through the patches in random order, in batches as equal as can be and no larger than
    ``settings.batch_size``. Weight decay (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101) spares biases
    and batch normalisation; the learning rate rises and falls once (Smith and Topin, 2018,
    https://arxiv.org/abs/1708.07120). The same arguments on the same processor, with the same number of threads, give
    the same weights bit for bit, whatever ran before.

    Args:
        network: as :func:`microcalc.networks.hypermodel.build_network` makes it.
        images: (n, 60, 60) raw patches in [0, 1].
        labels: (n,) 0 or 1.
        settings: batch size, learning rate, weight decay and precision.
        augmentation: how each patch is varied each time it is used; None leaves it as it is.
        epochs: how many times each patch is used.
        seed: of the order of the patches, the augmentation and the dropout.
        holdout: images and labels on which each epoch is evaluated; the network ends with the weights of the epoch
            whose loss on them is least.
        on_epoch: called after each epoch with the curves so far; training stops when it returns True.
        device: "cpu", "cuda" or "auto", before ``settings.device``.

    Raises:
        FailedError: the loss is not finite any more.

    >>> from microcalc.networks.hypermodel import build_network
    >>> rng = np.random.default_rng(0)
    >>> images, labels = rng.random((8, 60, 60), np.float32), rng.integers(0, 2, 8)
    >>> network = build_network(dim=2, depth=1, dropout=0.0)
    >>> curves = train(network, images, labels, settings=TrainingSettings(), augmentation=None, epochs=3, seed=0)
    >>> len(curves.loss)
    3
    """
    where = choose_device(device or settings.device)
    if settings.precision == "auto":
        settings = replace(settings, precision=fastest_format(where))
    with _seeded(seed, where), keras.device(str(where)):
        network.to(where)
        run_epoch = _epochs(network, images, labels, settings, augmentation, epochs, seed, where)
        curves, best = Curves([], []), []
        for number, (loss, accuracy) in enumerate(run_epoch):
            curves.loss.append(loss)
            curves.accuracy.append(accuracy)
            if holdout is not None:
                figures = zip(
                    (curves.holdout_loss, curves.holdout_accuracy, curves.holdout_auc),
                    _evaluate(network, *holdout),
                    strict=True,
                )
                for curve, figure in figures:
                    curve.append(figure)
                if curves.best_epoch == number:
                    best = [variable.value.detach().clone() for variable in network.variables]
            if on_epoch is not None and on_epoch(curves):
                break
        _restore(network, best)
    return curves


def _epochs(
    network: Any,
    images: Images,
    labels: Labels,
    settings: TrainingSettings,
    augmentation: AugmentationSettings | None,
    epochs: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[float, float]]:
    """Train for an epoch at a time and give its loss and accuracy."""
    patches = torch.tensor(images, dtype=torch.float32, device=device).unsqueeze(1)
    targets = torch.tensor(labels, dtype=torch.float32, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    batches = math.ceil(len(patches) / settings.batch_size)
    optimizer, schedule = _optimizer(network, settings, epochs * batches)
    logits = logit_model(network)
    for _ in range(epochs):
        totals = torch.zeros(2, device=device)
        with computing_in(network, settings.precision):
            for chosen in torch.randperm(len(patches), generator=generator, device=device).tensor_split(batches):
                batch, target = patches[chosen], targets[chosen]
                if augmentation is not None:
                    batch = augment(batch, target, augmentation, generator)
                output = logits(batch, training=True)[:, 0].float()
                loss = functional.binary_cross_entropy_with_logits(output, target)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                totals += torch.stack((loss.detach() * len(chosen), ((output > 0) == (target > 0.5)).sum()))
        mean_loss, accuracy = (totals / len(patches)).tolist()
        if not math.isfinite(mean_loss):
            raise FailedError("the training diverged: its loss is not finite; lower the learning rate")
        yield mean_loss, accuracy


def _optimizer(network: Any, settings: TrainingSettings, steps: int) -> tuple[AdamW, OneCycleLR]:
    parameters = [variable.value for variable in network.trainable_variables]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    return optimizer, OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)


def _evaluate(network: Any, images: Images, labels: Labels) -> tuple[float, float, float]:
    """Loss, accuracy and AUC on the hold-out."""
    probabilities = predict(network, images)
    loss = log_loss(labels, probabilities, labels=[0, 1])
    accuracy = ((probabilities > 0.5) == (labels == 1)).mean()
    auc = roc_auc_score(labels, probabilities) if len(np.unique(labels)) == 2 else 0.5
    return float(loss), float(accuracy), float(auc)


def _restore(network: Any, values: list[Tensor]) -> None:
    with torch.no_grad():
        for variable, value in zip(network.variables, values, strict=False):
            variable.value.copy_(value)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's own generators, on which dropout draws, and give them back as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
