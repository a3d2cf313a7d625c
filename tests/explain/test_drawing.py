"""The picture of a patch and its map."""

import numpy as np

from microcalc.explain.drawing import overlay


def test_the_title_of_a_long_name_lies_inside_the_picture() -> None:
    figure = overlay(np.eye(60), np.eye(60), 0.984, 1, "phantom00001_00006_left_cc.png", vote=(3, 0.984))
    figure.canvas.draw()
    (title,) = figure.texts
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
