"""The training of one network, and its predictions."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from microcalc.config import AugmentationSettings, TrainingSettings
from microcalc.networks.backend import keras

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Epoch:
    """What is known when an epoch ends; the hold-out's figures are None where there is no hold-out."""

    number: int
    loss: float
    accuracy: float
    holdout_loss: float | None = None
    holdout_accuracy: float | None = None
    holdout_auc: float | None = None


@dataclass(frozen=True)
class Curves:
    """One value an epoch; the hold-out's lists are empty where there is no hold-out.

    ``best_epoch`` counts from 0 and is the epoch whose weights the network keeps: that of the smallest hold-out loss,
    or the last one where there is no hold-out.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    holdout_loss: list[float] = field(default_factory=list)
    holdout_accuracy: list[float] = field(default_factory=list)
    holdout_auc: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped_early: bool = False


def train(
    network: "keras.Model",
    images: Images,
    labels: NDArray[Any],
    *,
    settings: TrainingSettings,
    augmentation: AugmentationSettings | None,
    epochs: int,
    seed: int,
    holdout: tuple[Images, NDArray[Any]] | None = None,
    on_epoch: Callable[[Epoch], bool] | None = None,
    device: str | torch.device | None = None,
) -> Curves:
    """Train ``network`` in place on (n, 60, 60) patches in [0, 1] and their (n,) labels, 0 or 1.

    With a ``holdout``, the network ends with the weights of the epoch of smallest hold-out loss. ``on_epoch`` is called
    after each epoch and stops the training by returning True. ``device`` goes before ``settings.device``.
    The same arguments on the same machine and number of threads give the same weights, bit for bit.
    """
    target = choose_device(device or settings.device)
    cuda = [target.index or 0] if target.type == "cuda" else []
    with torch.random.fork_rng(cuda), keras.device(_keras_name(target)):
        torch.manual_seed(seed)
        network.to(target)
        return _train(network, images, labels, settings, augmentation, epochs, seed, holdout, on_epoch, target)


def _train(
    network: "keras.Model",
    images: Images,
    labels: NDArray[Any],
    settings: TrainingSettings,
    augmentation: AugmentationSettings | None,
    epochs: int,
    seed: int,
    holdout: tuple[Images, NDArray[Any]] | None,
    on_epoch: Callable[[Epoch], bool] | None,
    device: torch.device,
) -> Curves:
    patches = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device).unsqueeze(1)
    targets = torch.from_numpy(np.asarray(labels, np.float32)).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    batches = math.ceil(len(patches) / settings.batch_size)
    optimizer, schedule = _optimizer(network, settings, epochs * batches)
    logits_of = keras.Model(network.inputs, network.get_layer("logit").output)
    curves = Curves()
    best: list[Tensor] = []
    for number in range(epochs):
        order = torch.randperm(len(patches), generator=generator, device=device)
        loss_sum, hits = torch.zeros((), device=device), torch.zeros((), device=device)
        for chosen in order.tensor_split(batches):
            batch, target = patches[chosen], targets[chosen]
            if augmentation is not None:
                from microcalc.transforms.augment import augment

                batch = augment(batch, augmentation, generator)
            with _autocast(settings.precision, device):
                logits = logits_of(batch.movedim(1, -1), training=True)[:, 0].float()
            loss = functional.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach() * len(chosen)
            hits += ((logits.detach() > 0) == (target > 0.5)).sum()
        curves.loss.append(loss_sum.item() / len(patches))
        curves.accuracy.append(hits.item() / len(patches))
        if holdout is not None:
            loss_, accuracy, auc = _judge(network, *holdout)
            curves.holdout_loss.append(loss_)
            curves.holdout_accuracy.append(accuracy)
            curves.holdout_auc.append(auc)
            if loss_ == min(curves.holdout_loss):
                best = [variable.value.detach().clone() for variable in network.variables]
                curves = replace(curves, best_epoch=number)
        else:
            curves = replace(curves, best_epoch=number)
        epoch = Epoch(
            number,
            curves.loss[-1],
            curves.accuracy[-1],
            *((curves.holdout_loss[-1], curves.holdout_accuracy[-1], curves.holdout_auc[-1]) if holdout else ()),
        )
        if on_epoch is not None and on_epoch(epoch):
            curves = replace(curves, stopped_early=number + 1 < epochs)
            break
    with torch.no_grad():
        for variable, value in zip(network.variables, best, strict=bool(best)):
            variable.value.copy_(value)
    return curves


def _optimizer(
    network: "keras.Model", settings: TrainingSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    parameters = [variable.value for variable in network.trainable_variables]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate, fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)


def _judge(network: "keras.Model", images: Images, labels: NDArray[Any]) -> tuple[float, float, float]:
    probabilities = predict(network, images).astype(np.float64)
    clipped = probabilities.clip(1e-7, 1 - 1e-7)
    loss = -np.where(labels == 1, np.log(clipped), np.log1p(-clipped)).mean()
    auc = roc_auc_score(labels, probabilities) if len(np.unique(labels)) == 2 else math.nan
    return float(loss), float(((probabilities > 0.5) == (labels == 1)).mean()), float(auc)


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware: AMX or AVX512-BF16 on a CPU, Ampere on from CUDA."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def predict(
    network: "keras.Model", images: Images, device: str | torch.device | None = None, batch_size: int = 256
) -> NDArray[np.float32]:
    """Give the (n,) probabilities of a cluster in (n, 60, 60) patches in [0, 1], in float32, reading as it goes.

    >>> from microcalc.networks.hypermodel import build_network
    >>> predict(build_network(dim=2, depth=1, dropout=0.0), np.zeros((3, 60, 60), np.float32)).shape
    (3,)
    """
    target = choose_device(device) if device is not None else network.variables[0].value.device
    network.to(target)
    probabilities = np.empty(len(images), np.float32)
    with torch.inference_mode(), keras.device(_keras_name(target)):
        for start in range(0, len(images), batch_size):
            part = np.ascontiguousarray(images[start : start + batch_size], np.float32)
            batch = torch.from_numpy(part).to(target).unsqueeze(-1)
            probabilities[start : start + batch_size] = network(batch, training=False)[:, 0].cpu().numpy()
    return probabilities


def choose_device(name: str | torch.device) -> torch.device:
    """Turn "auto" into CUDA where there is one, else the CPU; take any other name of PyTorch's as it is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _keras_name(device: torch.device) -> str:
    return f"{device.type}:{device.index or 0}"
