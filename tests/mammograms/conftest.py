"""One phantom mammogram with plain clusters, shared by the tests of the scan."""

import numpy as np
import pytest

from microcalc.data.phantom_mammograms import PhantomMammogram, iter_phantom_mammograms


@pytest.fixture(scope="session")
def phantom() -> PhantomMammogram:
    made = iter_phantom_mammograms(20, difficulty=0.0, seed=5, field_mm=(110, 70), pixel_size_mm=0.05)
    return next(each for each in made if len(each.clusters) == 2)


@pytest.fixture(scope="session")
def pixels(phantom: PhantomMammogram) -> np.ndarray:
    return phantom.pixels.astype(np.float32) / np.float32(65535)
