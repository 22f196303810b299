"""The pictures that chapters share: bars, lines and heat maps, readable in greyscale.

Series differ by marker and dash as well as by colour, and carry their names beside them.
matplotlib is imported on first use, so that `import minillm` stays light.

But: pictures that one chapter alone draws stand in that chapter.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito's colours, told apart by colour-blind readers, dark ones first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")
MARKERS, DASHES = "os^Dvx", ("-", "--", "-.", ":", "-", "--")


def _axes(width: float, height: float, title: str) -> Any:
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def bars(
    distributions: Mapping[str, Mapping[str, float]], title: str, xlabel: str = "probability"
) -> Any:
    """Draw numbers side by side: one row a word, one bar a distribution.

    Args:
        distributions: name -> {word: number}; the first one's words, in its order, are the rows.
        title: the one thing to see.
        xlabel: what the bars measure, with its unit.

    Returns:
        The matplotlib axes.

    Built in chapter 1.
    """
    words = list(next(iter(distributions.values())))
    height = 0.8 / len(distributions)
    axes = _axes(6, 0.8 + 0.3 * len(words), title)
    for i, (name, chances) in enumerate(distributions.items()):
        rows = [row + i * height for row in range(len(words))]
        values = [chances.get(word, 0.0) for word in words]
        hatch = ("", "///", "...")[i % 3]
        axes.barh(
            rows, values, height, color=COLOURS[i], hatch=hatch, edgecolor="white", label=name
        )
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(words))], words)
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    if len(distributions) > 1:
        axes.legend(frameon=False, loc="lower right")
    else:  # room for the numbers themselves
        axes.bar_label(axes.containers[0], fmt=" {:.3g}")
        axes.margins(x=0.12)
    return axes


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
    levels: Mapping[str, float] | None = None,
) -> Any:
    """Draw curves, each with its name at its end, and level lines such as a floor.

    Args:
        series: name -> (x values, y values).
        title: the one thing to see.
        xlabel, ylabel: what the axes measure, with units.
        levels: name -> y of a horizontal line.

    Returns:
        The matplotlib axes.

    Built in chapter 1.
    """
    axes = _axes(6.5, 3.6, title)
    axes.margins(y=0.1)  # room for the name of the lowest line
    for i, (x, y) in enumerate(series.values()):
        few = len(x) <= 12
        axes.plot(x, y, DASHES[i], color=COLOURS[i], marker=MARKERS[i] if few else None)
    dotted = []
    for name, y in (levels or {}).items():
        dotted.append(axes.axhline(y, color="0.4", linewidth=1, linestyle=(0, (1, 2))))
        lowest = y <= min(min(values) for _, values in series.values())
        where = {"ha": "right", "va": "top" if lowest else "bottom"}
        axes.annotate(name, (0.6, y), color="0.3", xycoords=("axes fraction", "data"), **where)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    _name_ends(axes, series, dotted)
    return axes


def _name_ends(
    axes: Any, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], dotted: list
) -> None:
    """Write each curve's name at its end, upper ones first, no two on one line.

    A dotted level at the height of a name stops where the curves do, short of the name.
    """
    ends = [(x[-1], y[-1], name, COLOURS[i]) for i, (name, (x, y)) in enumerate(series.items())]
    axes.autoscale_view()  # so that heights are those of the finished picture
    last = max(x for x, _, _, _ in ends)
    line, above = 13 * axes.figure.dpi / 72, math.inf  # a line of text, in pixels
    for x, y, name, colour in sorted(ends, key=lambda end: -end[1]):
        height = axes.transData.transform((x, y))[1]
        shift = min(0.0, above - line - height)
        above = height + shift
        for level in dotted:
            level_height = axes.transData.transform((x, level.get_ydata()[0]))[1]
            if x == last and abs(level_height - above) < line / 2:
                level.set_xdata([0, axes.transLimits.transform((x, y))[0]])
        axes.annotate(
            name,
            (x, y),
            xytext=(8, shift * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def heatmap(
    matrix: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    xlabel: str,
    ylabel: str,
) -> Any:
    """Draw a matrix of shares from 0 to 1 as shades, the number in each cell, words on the ticks.

    Args:
        matrix: (len(rows), len(columns)) numbers from 0 to 1.
        rows, columns: the words of the ticks.
        title: the one thing to see.
        xlabel, ylabel: what columns and rows are.

    Returns:
        The matplotlib axes.

    Built in chapter 1.
    """
    axes = _axes(1.5 + 0.55 * len(columns), 1.1 + 0.4 * len(rows), title)
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    for i in range(len(rows)):
        for j in range(len(columns)):
            value = float(matrix[i][j])
            if value >= 0.005:
                colour = "white" if value > 0.6 else "black"
                text = f"{value:.2f}".lstrip("0")
                axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    return axes
