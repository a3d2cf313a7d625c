"""Training learns, repeats itself exactly, keeps what was best, and stops when asked to."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from microcalc.committee.inference import predict
from microcalc.config import AugmentationSettings, TrainingSettings
from microcalc.errors import FailedError
from microcalc.networks.hypermodel import build_network
from microcalc.training import loop
from microcalc.training.loop import train

SETTINGS = TrainingSettings(batch_size=16)


def bright_spots(n: int, seed: int = 0) -> "tuple[np.ndarray, np.ndarray]":
    """Noise, with a few bright pixels in label 1: what a small network learns in seconds."""
    rng = np.random.default_rng(seed)
    images, labels = 0.3 * rng.random((n, 60, 60), np.float32), np.arange(n) % 2
    for number in np.flatnonzero(labels):
        rows, columns = rng.integers(5, 55, (2, 6))
        images[number, rows, columns] = 1
    return images, labels


IMAGES, LABELS = bright_spots(40)


def curves_of(network=None, images=IMAGES, labels=LABELS, **changed) -> "loop.Curves":
    """Train for an epoch without augmentation, but for what is changed."""
    given = {"settings": SETTINGS, "augmentation": None, "epochs": 1, "seed": 0, **changed}
    return train(network or build_network(2, 1, 0.0), images, labels, **given)


def trained(seed: int = 0, settings: TrainingSettings = SETTINGS) -> "list[np.ndarray]":
    network = build_network(3, 1, 0.05, seed=seed)
    curves_of(network, settings=settings, augmentation=AugmentationSettings(), epochs=2, seed=seed)
    return network.get_weights()


@pytest.mark.slow
def test_training_learns_what_tells_the_classes_apart():
    network = build_network(4, 1, 0.0)
    curves = curves_of(network, *bright_spots(96), augmentation=AugmentationSettings(), epochs=20)
    unseen, labels = bright_spots(40, seed=1)
    assert curves.loss[-1] < 0.3 < curves.loss[0]
    assert ((predict(network, unseen) > 0.5) == labels).mean() > 0.9


def test_one_seed_gives_the_same_weights_bit_for_bit_whatever_ran_before():
    first = trained()
    torch.manual_seed(1234)
    torch.rand(17)
    np.random.default_rng().random(3)
    second = trained()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], trained(seed=1)[0])


def test_training_leaves_the_generators_of_the_process_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_the_network_keeps_the_weights_of_the_best_epoch_on_the_hold_out():
    network, holdout = build_network(4, 1, 0.0), bright_spots(20, seed=2)
    curves = curves_of(network, epochs=5, holdout=holdout)
    assert len(curves.holdout_loss) == len(curves.holdout_auc) == 5
    assert curves.holdout_loss[curves.best_epoch] == min(curves.holdout_loss)
    assert log_loss(holdout[1], predict(network, holdout[0]).astype(float)) == pytest.approx(min(curves.holdout_loss))


def test_judging_on_a_hold_out_does_not_change_the_training():
    varied = {"augmentation": AugmentationSettings(), "epochs": 2}
    curves = [
        curves_of(build_network(3, 1, 0.05), holdout=holdout, **varied) for holdout in (None, bright_spots(10, seed=2))
    ]
    assert curves[0].loss == curves[1].loss
    assert curves[0].holdout_loss == []
    assert curves[0].best_epoch == 1


def test_training_stops_when_the_caller_says_so():
    seen = []

    def stop_after_two(curves):
        seen.append(list(curves.loss))
        return len(seen) == 2

    curves = curves_of(epochs=9, on_epoch=stop_after_two)
    assert seen == [curves.loss[:1], curves.loss] and len(curves.loss) == 2
    assert curves.holdout_loss == []


def test_batches_are_nearly_equal_and_each_patch_is_varied_once_an_epoch(monkeypatch):
    sizes = []

    def counting(images, labels, settings, generator):
        sizes.append(len(images))
        return images

    monkeypatch.setattr(loop, "augment", counting)
    curves_of(images=IMAGES[:37], labels=LABELS[:37], augmentation=AugmentationSettings(), holdout=(IMAGES, LABELS))
    assert sorted(sizes) == [12, 12, 13]


def test_a_single_batch_and_a_single_epoch_are_enough():
    assert len(curves_of(images=IMAGES[:3], labels=LABELS[:3]).loss) == 1


def test_a_hold_out_of_one_class_has_the_auc_of_chance():
    assert curves_of(holdout=(IMAGES[LABELS == 1], LABELS[LABELS == 1])).holdout_auc == [0.5]


def test_training_that_diverges_says_so():
    settings = TrainingSettings(batch_size=16, learning_rate=1e30)
    with pytest.raises(FailedError, match="diverged"):
        curves_of(settings=settings, epochs=3)


@pytest.mark.parametrize("fastest", ["bfloat16", "float32"])
def test_precision_auto_takes_what_is_fastest(monkeypatch, fastest):
    monkeypatch.setattr(loop, "fastest_format", lambda device: fastest)
    automatic, named = trained(), trained(settings=TrainingSettings(batch_size=16, precision=fastest))
    assert all(np.array_equal(a, b) for a, b in zip(automatic, named, strict=True))


def test_predictions_do_not_depend_on_the_batch_nor_on_where_the_patches_lie(tmp_path):
    network = build_network(4, 2, 0.1)
    np.save(tmp_path / "patches.npy", IMAGES)
    mapped = np.load(tmp_path / "patches.npy", mmap_mode="r")
    whole = predict(network, IMAGES)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(predict(network, mapped, batch_size=7), whole, atol=1e-6)
    assert predict(network, IMAGES[:0]).shape == (0,)
