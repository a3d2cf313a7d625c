"""Fixtures shared by all tests: the real data, where it is, and the phantom, which takes half a second to make."""

import functools
import gc
import importlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

import microcalc  # noqa: F401 - before PyTorch, which some tests import first: it says how PyTorch's threads wait
from microcalc import Data
from microcalc.data import dataset

SHARED_DATA = Path(os.environ.get("MICROCALC_DATA") or Path(__file__).parents[2] / "shared" / "data")


phantom_made_once = functools.cache(dataset._phantom)


def copied_phantom(seed: int) -> Data:
    """Give everyone arrays of their own of a phantom that takes half a second to make."""
    made = phantom_made_once(seed)
    arrays = {name: getattr(made, name).copy() for name in ("images", "labels", "groups", "masks")}
    return replace(made, **arrays)


dataset._phantom = copied_phantom


gc.disable()  # until all modules are imported: half of the time of collecting would go into looking for garbage


def pytest_collection_finish() -> None:
    """Look for garbage again, but never among what is imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def phantom() -> Data:
    """The built-in phantom of 480 patches; no test changes it."""
    return Data.load("phantom")


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Leave the figures of studies white: to draw them takes half of the time of a small study."""
    for module in ("microcalc.reader.tasks", "microcalc.report.detection"):  # or they would take the white one for good
        importlib.import_module(module)
    white = io.BytesIO()
    PIL.Image.new("L", (96, 60), 255).save(white, "PNG")
    with pytest.MonkeyPatch.context() as patch:
        for place in ("explain.drawing", "report.detection"):
            patch.setattr(f"microcalc.{place}.png", lambda figure: white.getvalue())
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that holds the INFN archive and the external patches."""
    if not (SHARED_DATA / "DL_class_data.tar.gz").is_file():
        pytest.skip(
            f"the real data is not here: no DL_class_data.tar.gz in {SHARED_DATA}; set MICROCALC_DATA to its folder"
        )
    return SHARED_DATA


@pytest.fixture(scope="session")
def infn(shared_data: Path) -> Data:
    """The INFN archive; no test changes it."""
    return Data.load("infn", archive=shared_data / "DL_class_data.tar.gz")
