"""The heat map of a breast: which place each of its pixels is of."""

import numpy as np
import pytest

from microcalc.committee.committee import Committee
from microcalc.mammograms import heatmap
from microcalc.mammograms.heatmap import SHRINK, STEP, colour_heat_map, heat_map


@pytest.mark.parametrize("axis", [0, 1])
def test_each_cell_is_of_the_window_around_its_centre(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.indices((205, 343))[axis].astype(np.float32)
    monkeypatch.setattr(heatmap, "best_expert", lambda committee, windows: windows[:, 29:31, 29:31].mean((1, 2)))
    grid = heat_map(image, np.ones(image.shape, bool), Committee.pretrained())
    centers = np.indices(grid.shape)[axis] * STEP + (STEP - 1) / 2
    np.testing.assert_allclose(grid[1:-2, 1:-2], centers[1:-2, 1:-2], atol=1)


@pytest.mark.parametrize(("row", "column"), [(2, 7), (7, 2), (4, 4)])
def test_the_brightest_place_of_the_picture_is_the_middle_of_the_brightest_cell(row: int, column: int) -> None:
    grid = np.zeros((10, 15), np.float32)
    grid[row, column] = 1
    opacity = colour_heat_map(grid, (200, 300))[..., 3]
    places = np.indices(opacity.shape) + 0.5
    middle = (places * opacity).sum((1, 2)) / opacity.sum() * SHRINK
    np.testing.assert_allclose(middle, ((row + 0.5) * STEP, (column + 0.5) * STEP), atol=0.5)
