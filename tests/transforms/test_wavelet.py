"""The wavelet filter: checked against the textbook, one patch at a time.

MATLAB cannot be had here: its backend is tested at the seam, with a stand-in for ``matlab.engine`` that keeps
MATLAB's calling conventions (one patch a call, nested lists in, one row of coefficients in column-major order out).
"""

import sys
import warnings
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from microcalc.errors import RequestError
from microcalc.transforms.wavelet import wavelet_filter

# Scaling filters as printed by Daubechies, "Ten Lectures on Wavelets", table 6.1 (sym3 is db3 under another name).
SCALING = {
    "haar": np.array([0.5, 0.5]) * np.sqrt(2),
    "sym3": np.array(
        [0.33267055295008, 0.80689150931109, 0.45987750211849, -0.13501102001025, -0.08544127388203, 0.03522629188571]
    ),
}

grey = st.integers(0, 255)
patches = arrays(np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([59, 60]), st.just(60)), elements=grey)


def as_images(greys: np.ndarray) -> np.ndarray:
    return greys.astype(np.float32) / np.float32(256)


def random_images(number: int, seed: int = 0) -> np.ndarray:
    return as_images(np.random.default_rng(seed).integers(0, 256, (number, 60, 60)))


def analyse(signal: np.ndarray, scaling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One level of the transform along the first axis: half-point symmetric extension, filter, every other one."""
    taps = len(scaling)
    wavelet = scaling * (-1.0) ** np.arange(taps)
    low, high = scaling[::-1], -wavelet
    extended = np.pad(signal, [(taps - 1, taps - 1), (0, 0)], mode="symmetric")
    convolved = [np.apply_along_axis(np.convolve, 0, extended, kernel, "valid") for kernel in (low, high)]
    return convolved[0][1::2], convolved[1][1::2]


def synthesise(low: np.ndarray, high: np.ndarray, scaling: np.ndarray, length: int) -> np.ndarray:
    taps = len(scaling)
    wavelet = -(scaling * (-1.0) ** np.arange(taps))[::-1]
    total = np.zeros((2 * len(low) - 1 + taps - 1, low.shape[1]))
    for coefficients, kernel in ((low, scaling), (high, wavelet)):
        spread = np.zeros((2 * len(coefficients) - 1, low.shape[1]))
        spread[::2] = coefficients
        total += np.apply_along_axis(np.convolve, 0, spread, kernel, "full")
    return total[taps - 2 : taps - 2 + length]


def analyse_patch(patch: np.ndarray, scaling: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    low, high = analyse(patch, scaling)
    (approximation, horizontal), (vertical, diagonal) = (
        (b.T for b in analyse(part.T, scaling)) for part in (low, high)
    )
    return approximation, [horizontal, vertical, diagonal]


def synthesise_patch(approximation, bands, scaling, shape) -> np.ndarray:
    horizontal, vertical, diagonal = bands
    low = synthesise(approximation.T, horizontal.T, scaling, shape[1]).T
    high = synthesise(vertical.T, diagonal.T, scaling, shape[1]).T
    return synthesise(low, high, scaling, shape[0])


def textbook_filter(patch: np.ndarray, name: str, threshold: float) -> np.ndarray:
    scaling, approximation = SCALING[name], patch.astype(np.float64)
    shapes, levels = [], []
    for _ in range(3):
        shapes.append(approximation.shape)
        approximation, bands = analyse_patch(approximation, scaling)
        limit = threshold * np.std(np.concatenate([band.ravel() for band in bands]), ddof=1)
        levels.append([np.where(np.abs(band) < limit, 0, band) for band in bands])
    result = np.zeros_like(approximation)
    for shape, bands in zip(reversed(shapes), reversed(levels), strict=True):
        result = synthesise_patch(result, bands, scaling, shape)
    return (result - result.min()) / (result.max() - result.min())


def test_the_textbook_transform_reconstructs_what_it_took_apart():
    patch = random_images(1)[0].astype(np.float64)
    for scaling in SCALING.values():
        approximation, bands = analyse_patch(patch, scaling)
        np.testing.assert_allclose(synthesise_patch(approximation, bands, scaling, patch.shape), patch, atol=1e-10)


@pytest.mark.parametrize("name", ["sym3", "haar"])
@pytest.mark.parametrize("threshold", [0.5, 1.5, 2.0])
def test_the_batch_equals_the_textbook_patch_by_patch(name, threshold):
    images = random_images(5)[:, :, :57]
    expected = np.stack([textbook_filter(image, name, threshold) for image in images])
    np.testing.assert_allclose(wavelet_filter(images, name, threshold), expected, atol=1e-6)


def test_a_small_bright_spot_outlives_a_smooth_slope():
    image = np.linspace(0, 0.5, 60, dtype=np.float32) * np.ones((1, 60, 1), np.float32)
    image[0, 20:22, 40:42] += 0.2
    filtered = wavelet_filter(image)[0]
    assert np.unravel_index(filtered.argmax(), filtered.shape) in {(r, c) for r in (20, 21) for c in (40, 41)}
    assert np.ptp(filtered[40:]) < 0.1


@settings(deadline=None, max_examples=40)
@given(patches, st.sampled_from(["sym3", "haar"]), st.floats(0.01, 2))
def test_the_result_has_the_shape_given_and_fills_0_to_1(greys, name, threshold):
    images = as_images(greys)
    filtered = wavelet_filter(images, name, threshold)
    assert filtered.shape == images.shape and filtered.dtype == np.float32
    for patch in filtered:
        assert not patch.any() or (patch.min() == 0 and patch.max() == 1)


@settings(deadline=None, max_examples=40)
@given(patches, st.integers(0, 255))
def test_adding_a_grey_level_changes_nothing(greys, level):
    images = as_images(greys)
    np.testing.assert_array_equal(wavelet_filter(images + np.float32(level / 256)), wavelet_filter(images))


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, 1.0])
def test_a_flat_patch_becomes_zeros(level):
    flat = np.full((2, 60, 60), level, np.float32)
    assert not wavelet_filter(flat).any()
    assert not wavelet_filter(wavelet_filter(flat)).any()


def test_no_patches_give_no_patches():
    assert wavelet_filter(np.empty((0, 60, 60), np.float32)).shape == (0, 60, 60)


def test_the_images_given_are_left_as_they_are():
    images = random_images(2)
    before = images.copy()
    wavelet_filter(images)
    np.testing.assert_array_equal(images, before)


def test_a_threshold_above_2_warns_and_2_does_not():
    with pytest.warns(UserWarning, match=r"threshold of 2\.5 .* above 2") as caught:
        wavelet_filter(random_images(1), threshold=2.5)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wavelet_filter(random_images(1), threshold=2.0)


@pytest.mark.parametrize("threshold", [0.0, -1.5, float("nan"), float("inf")])
def test_a_threshold_that_is_no_positive_number_is_refused(threshold):
    with pytest.raises(RequestError, match="threshold must be"):
        wavelet_filter(random_images(1), threshold=threshold)


@pytest.mark.parametrize("wrong", [{"name": "none"}, {"name": "db4"}, {"backend": "octave"}])
def test_an_unknown_wavelet_or_backend_is_refused(wrong):
    with pytest.raises(RequestError, match=r"wavelet.* must be"):
        wavelet_filter(random_images(1), **wrong)


def test_one_image_alone_is_refused():
    with pytest.raises(RequestError, match=r"\(n, height, width\)"):
        wavelet_filter(random_images(1)[0])


class Engine:
    """A MATLAB session: ``wavedec2`` and ``waverec2`` as MATLAB documents them, from the textbook transform."""

    def __init__(self, toolbox: bool = True) -> None:
        self.toolbox, self.mode, self.running = toolbox, "per", True

    def exist(self, name: str) -> float:
        return 2.0 if self.toolbox and name in ("wavedec2", "waverec2") else 0.0

    def dwtmode(self, mode: str, display: str, nargout: int) -> None:
        assert (display, nargout) == ("nodisp", 0)
        self.mode = mode

    def wavedec2(self, image: "Double", level: float, name: str, nargout: int) -> tuple["Double", "Double"]:
        assert self.running and self.mode == "sym" and nargout == 2 and isinstance(level, float)
        approximation = np.asarray(image)
        row, sizes = [], [approximation.shape]
        for _ in range(int(level)):
            approximation, bands = analyse_patch(approximation, SCALING[name])
            row = [band.ravel(order="F") for band in bands] + row
            sizes.insert(0, approximation.shape)
        row.insert(0, approximation.ravel(order="F"))
        sizes.insert(0, approximation.shape)
        return Double([np.concatenate(row).tolist()]), Double([list(map(float, size)) for size in sizes])

    def waverec2(self, row: "Double", sizes: "Double", name: str) -> "Double":
        flat, shapes = np.asarray(row)[0], [tuple(map(int, size)) for size in np.asarray(sizes)]

        def take(shape: tuple[int, ...]) -> np.ndarray:
            nonlocal flat
            band, flat = np.split(flat, [shape[0] * shape[1]])
            return band.reshape(shape, order="F")

        image = take(shapes[0])
        for shape, outer in pairwise(shapes[1:]):
            image = synthesise_patch(image, [take(shape) for _ in range(3)], SCALING[name], outer)
        return Double(image.tolist())

    def quit(self) -> None:
        self.running = False


class Double:
    """``matlab.double``: made from nested lists of floats, never from an array."""

    def __init__(self, values: list[list[float]]) -> None:
        assert isinstance(values, list) and isinstance(values[0], list) and isinstance(values[0][0], float)
        self.values = values

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)


def install(monkeypatch: pytest.MonkeyPatch, start_matlab) -> None:
    matlab = ModuleType("matlab")
    matlab.double = Double
    matlab.engine = SimpleNamespace(start_matlab=start_matlab)
    monkeypatch.setitem(sys.modules, "matlab", matlab)
    monkeypatch.setitem(sys.modules, "matlab.engine", matlab.engine)


@pytest.mark.parametrize("name", ["sym3", "haar"])
def test_through_a_stand_in_for_matlab_the_result_is_the_same(name, monkeypatch):
    engine = Engine()
    install(monkeypatch, lambda: engine)
    images = random_images(3)[:, :, :57]
    np.testing.assert_allclose(wavelet_filter(images, name, backend="matlab"), wavelet_filter(images, name), atol=1e-6)
    assert not engine.running


def test_without_the_engine_one_line_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matlab", None)
    with pytest.raises(RequestError, match=r"needs MATLAB and its Python engine \(pip install matlabengine") as refusal:
        wavelet_filter(random_images(1), backend="matlab")
    assert "\n" not in str(refusal.value)


def test_where_matlab_does_not_start_one_line_says_why(monkeypatch):
    def start_matlab() -> Engine:
        raise RuntimeError("License checkout failed.\nLicense Manager Error -5")

    install(monkeypatch, start_matlab)
    with pytest.raises(RequestError, match="License checkout failed") as refusal:
        wavelet_filter(random_images(1), backend="matlab")
    assert "\n" not in str(refusal.value)


def test_without_the_wavelet_toolbox_one_line_says_so_and_matlab_is_let_go(monkeypatch):
    engine = Engine(toolbox=False)
    install(monkeypatch, lambda: engine)
    with pytest.raises(RequestError, match="Wavelet Toolbox"):
        wavelet_filter(random_images(1), backend="matlab")
    assert not engine.running
