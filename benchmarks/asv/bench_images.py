"""Reading a 12-megapixel mammogram, and bringing it to 85 um."""

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from microcalc.images import read_mammogram
from microcalc.images.resample import to_true_scale

SHAPE = (4096, 3000)


class Mammogram:
    """A 16-bit PNG file, made in the setup."""

    timer = time.process_time
    timeout = 300

    def setup(self) -> None:
        """Write the file."""
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "mammogram.png"
        smooth = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) * 8
        noise = np.random.default_rng(0).integers(0, 256, SHAPE)
        Image.fromarray((smooth + noise).astype(np.uint16)).save(self.path)
        self.pixels = read_mammogram(self.path).pixels

    def teardown(self) -> None:
        """Delete the file."""
        self.folder.cleanup()

    def time_read(self) -> None:
        """Decode to grey levels in [0, 1]."""
        read_mammogram(self.path)

    def peakmem_read(self) -> None:
        """The whole process."""
        read_mammogram(self.path)

    def time_true_scale(self) -> None:
        """From 0.05 to 0.085 mm a pixel."""
        to_true_scale(self.pixels, 0.05)
