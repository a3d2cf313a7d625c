"""Augmentation of a training batch, and a committee's answers for 1000 patches; one thread."""

import time

import numpy as np
import torch

from microcalc import Committee
from microcalc.config import AugmentationSettings
from microcalc.data.phantom import make_phantom
from microcalc.transforms.augment import augment

BATCH = 60


class Augmentation:
    """One batch of 60 patches, half of them normal."""

    timer = time.process_time

    def setup(self) -> None:
        """Make the patches."""
        torch.set_num_threads(1)
        images, labels, *_ = make_phantom(BATCH // 6, seed=0)
        self.images, self.labels = torch.from_numpy(images[:, None]), torch.from_numpy(labels)
        self.settings = AugmentationSettings()

    def time_batch(self) -> None:
        """All transforms, with the default settings."""
        augment(self.images, self.labels, self.settings, torch.Generator().manual_seed(0))


class Prediction:
    """The committee that comes with the package."""

    timer = time.process_time
    timeout = 300

    def setup(self) -> None:
        """Load the committee and draw noise: what is seen makes no difference to the time."""
        torch.set_num_threads(1)
        self.committee = Committee.pretrained()
        self.images = np.random.default_rng(0).random((1000, 60, 60), dtype=np.float32)

    def time_1000_patches(self) -> None:
        """Probabilities, without reading files."""
        self.committee.predict_proba(self.images)

    def peakmem_1000_patches(self) -> None:
        """The whole process, PyTorch included."""
        self.committee.predict_proba(self.images)
