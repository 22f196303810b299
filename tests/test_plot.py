"""The shared pictures: dotted levels and the names of curves keep out of each other's way."""

import matplotlib.pyplot as plt
import pytest

from minillm import plot


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def level_ends(last: float, level: float) -> float:
    """Draw a curve that falls from 3 to `last`; return where the level's line ends, 1 the edge."""
    curves = {"a curve": ([0, 1, 2], [3, 2, last]), "a short one": ([0, 1], [3, 2])}
    axes = plot.lines(curves, "title", "x", "y", {"level": level})
    return axes.lines[-1].get_xdata()[1]


@pytest.mark.parametrize("level", [1.0, 1.05])
def test_a_level_stops_short_of_a_name_at_its_height(level):
    assert level_ends(1.0, level) < 0.97


@pytest.mark.parametrize("level", [2.0, 1.5])  # 2: the height of a name within the picture
def test_other_levels_cross_the_whole_picture(level):
    assert level_ends(1.0, level) == 1
