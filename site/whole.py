"""The picture of the whole: parts, chapters, what each builds and needs, drawn from book.yml.

One layout draws it twice: in columns for wide screens, in one column for phones; whole.css shows
the one that fits. Where the arrows run is in arrows.py, what a box says in boxes.py, where lines
of text break in lettering.py.
"""

import math
from html import escape

import arrows
from boxes import NAME, PAD, draw_box, make_box
from lettering import LEADING, text, wrap

WIDE, NARROW = 720, 360  # units; a unit is a pixel where the picture is as wide as it says
MOST_COLUMNS = 3  # more would be too slim for the theme's column of text
HEAD = 17.5  # font size of a part's title
LANES_SHARE = 0.22  # of the width, at most
RULE = 8.0  # between a part's title and the rule below it
PITCH = 7.0  # between lanes, at most
GAP = 22.0  # between rows, without lanes
GUTTER = 28.0  # between columns, without lanes
CAPTION = (
    "Each box is a chapter with the files of minillm that it builds, or a lab with what it reads; "
    "an arrow leads to a chapter from each one that it needs"
)


def draw(parts: list[dict]) -> str:
    """Draw the parts and chapters of the book.

    Args:
        parts: `parts` of book.yml, as yaml loads it.

    Returns: a `<figure class="whole">` with two pictures, .wide and .narrow, and a caption.

    Raises:
        ValueError: if a chapter needs one that is not in the book.
    """
    chapters = [chapter for part in parts for chapter in part["chapters"]]
    known = {chapter["number"] for chapter in chapters}
    for chapter in chapters:
        for need in chapter["needs"]:
            if need not in known:
                raise ValueError(f"{chapter['slug']} needs {need}, which is no chapter of the book")
    columns = math.ceil(len(parts) / math.ceil(len(parts) / MOST_COLUMNS))
    planned = any(chapter["status"] == "planned" for chapter in chapters)
    caption = CAPTION + ("; what is dashed is planned." if planned else ".")
    return "\n".join(
        [
            '<figure class="whole">',
            *picture(parts, "wide", WIDE, columns),
            *picture(parts, "narrow", NARROW, 1),
            f'<figcaption id="whole-caption">{caption}</figcaption>',
            "</figure>",
        ]
    )


def picture(parts: list[dict], name: str, width: float, columns: int) -> list[str]:
    """Lay the parts out in so many columns, and return the lines of an svg of class `name`."""
    bands = [parts[i : i + columns] for i in range(0, len(parts), columns)]
    row_bands = [b for b in range(len(bands)) for _ in range(rows_of(bands[b]))]
    cells, chapters = {}, {}
    for b, band in enumerate(bands):
        for column, part in enumerate(band):
            for i, chapter in enumerate(part["chapters"]):
                cells[chapter["number"]] = (row_bands.index(b) + i, column)
                chapters[chapter["number"]] = chapter
    needs = {number: chapter["needs"] for number, chapter in chapters.items()}
    ways = arrows.plan(cells, needs, row_bands)
    lanes = arrows.assign(ways, len(row_bands), columns)
    lefts, rights, gutters, pitch = across(lanes, width, columns)

    box = rights[0] - lefts[0]
    boxes = {number: make_box(chapter, box) for number, chapter in chapters.items()}
    heads = [[wrap(part["title"], box, HEAD, bold=True) for part in band] for band in bands]
    firsts = {b: row_bands.index(b) for b in range(len(bands))}
    titles = {
        firsts[b]: LEADING * HEAD * max(map(len, heads[b])) + RULE + PAD for b in range(len(bands))
    }
    heights = [
        max((boxes[n].height for n in cells if cells[n][0] == row), default=0.0)
        for row in range(len(row_bands))
    ]
    lines = [lanes_in(lanes, ("channel", row)) for row in range(len(row_bands) + 1)]
    tops, channels, height = down(heights, titles, lines, pitch)
    bottoms = [top + height for top, height in zip(tops, heights, strict=True)]
    entry = PAD + LEADING * NAME / 2
    grid = arrows.Grid(gutters, channels, lefts, rights, tops, bottoms, entry, pitch)

    out = [
        f'<svg class="{name}" viewBox="0 0 {width} {height:.0f}" role="group"'
        ' aria-labelledby="whole-caption">'
    ]
    for b, band in enumerate(bands):
        for column, part in enumerate(band):
            x, rule = lefts[column], tops[firsts[b]] - PAD
            out.append(f'<g role="group" aria-label="{escape(part["title"])}">')
            for i, line in enumerate(reversed(heads[b][column])):
                out.append(text("part", x, rule - RULE - i * LEADING * HEAD, HEAD, line))
            out.append(f'<path class="rule" d="M{x:.1f} {rule:.1f}H{rights[column]:.1f}"/>')
            for chapter in part["chapters"]:
                number = chapter["number"]
                row = cells[number][0]
                place = (x, tops[row], box, heights[row])
                out.append('<g class="chapter">')
                routes = [arrows.trace(way, grid, lanes) for way in ways if way.target == number]
                if routes:
                    sources = " ".join(map(str, chapter["needs"]))
                    out.append(
                        f'<path class="need" data-from="{sources}" data-to="{number}"'
                        f' d="{arrows.as_path(routes)}"/>'
                    )
                out += [*draw_box(boxes[number], place, chapters), "</g>"]
            out.append("</g>")
    return [*out, "</svg>"]


def rows_of(band: list[dict]) -> int:
    """Return how many rows of boxes the parts of a band need; an empty part still has a title."""
    return max(1, *(len(part["chapters"]) for part in band))


def lanes_in(lanes: arrows.Lanes, strip: arrows.Strip) -> int:
    """Return how many lanes a gutter or channel must have room for."""
    offsets = [offset for (other, _), offset in lanes.items() if other == strip]
    return round(2 * max(offsets)) + 1 if offsets else 0


def across(
    lanes: arrows.Lanes, width: float, columns: int
) -> tuple[list[float], list[float], list[float], float]:
    """Return the columns' left and right edges, the gutters' middles, and the lanes' pitch."""
    lines = [lanes_in(lanes, ("gutter", gutter)) for gutter in range(columns)]
    pitch = min(PITCH, LANES_SHARE * width / max(1, sum(lines)))
    # Left of the first column only what is needed.
    gutters = [max(GUTTER if c else 1.0, 25 + pitch * n if n else 0) for c, n in enumerate(lines)]
    box = (width - 1 - sum(gutters)) / columns
    lefts = [sum(gutters[: c + 1]) + c * box for c in range(columns)]
    # Arrowheads stand on the right of a gutter, so the lanes keep to its left.
    middles = [left - gutter / 2 - 3 for left, gutter in zip(lefts, gutters, strict=True)]
    return lefts, [left + box for left in lefts], middles, pitch


def down(
    heights: list[float], titles: dict[int, float], lines: list[int], pitch: float
) -> tuple[list[float], list[float], float]:
    """Return the rows' tops, the channels' middles, and where the picture ends.

    `heights` are the rows', `titles` those of the titles above some rows, `lines` the lanes in
    each channel.
    """
    tops, channels, y = [], [], 0.0
    for row, height in enumerate(heights):
        gap = 0.0
        if row:
            gap = GAP * (1.6 if row in titles else 1) + pitch * max(0, lines[row] - 1)
        # Short arrows end where a channel meets a row, so the lanes keep to its upper part.
        channels.append(y + gap / 2 - (0 if row in titles else 3))
        y += gap + titles.get(row, 0.0)
        tops.append(y)
        y += height
    gap = GAP + pitch * lines[-1] if lines[-1] else 2.0
    return tops, [*channels, y + gap / 2], y + gap
