"""The picture of the whole: parts, chapters, what each builds and needs, drawn from book.yml.

One layout draws it twice: in columns for wide screens, in one column for phones; whole.css shows
the one that fits. Where the arrows run is in arrows.py.
But: text is measured by an estimate, as no browser is at hand; whole.css asks for a font like it.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from html import escape

import arrows

WIDE, NARROW = 860, 360  # units; a unit is a pixel where the picture is as wide as it says
MOST_COLUMNS = 4
HEAD, NAME, SMALL = 17.5, 15.5, 14.0  # font sizes: part, chapter, files
LEADING = 1.25
PAD = 10.0  # between a box and its text
APART = 3.0  # between title and files
PITCH = 7.0  # between lanes
GAP = 22.0  # between rows, without lanes
GUTTER = 30.0  # between columns, without lanes
CAPTION = (
    "Each box is a chapter with the files of minillm that it builds, or a lab with what it reads; "
    "an arrow leads to a chapter from each one that it needs"
)


@dataclass(frozen=True)
class Box:
    """A chapter as it is drawn: its number, and the lines of its title and of its files."""

    chapter: dict
    label: str
    name: list[str]
    small: list[str]

    @property
    def hang(self) -> float:
        """How far the title stands right of the number."""
        return text_width(self.label, NAME, bold=True) + 7

    @property
    def height(self) -> float:
        """The height that the lines need."""
        lines = LEADING * (len(self.name) * NAME + len(self.small) * SMALL)
        return 2 * PAD + lines + (APART if self.small else 0)


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
    lefts, rights, gutters = across(lanes, width, columns)

    boxes = {n: make_box(chapter, rights[0] - lefts[0]) for n, chapter in chapters.items()}
    heads = [[wrap(p["title"], rights[0] - lefts[0], HEAD, True) for p in band] for band in bands]
    tops, bottoms, channels, head_tops = [], [], [], []
    y = 0.0
    for row, b in enumerate(row_bands):
        first = row == 0 or row_bands[row - 1] != b
        lines = lanes_in(lanes, ("channel", row))
        gap = (1 if row == 0 else (1.6 if first else 1) * GAP) + PITCH * max(0, lines - 1)
        channels.append(y + gap / 2 - (0 if first else 3))  # room for the heads of short arrows
        y += gap
        if first:
            head_tops.append(y)
            y += LEADING * HEAD * max(map(len, heads[b])) + PAD + 4
        tops.append(y)
        y += max(boxes[n].height for n, cell in cells.items() if cell[0] == row)
        bottoms.append(y)
    channels.append(y + GAP / 2)
    lines = lanes_in(lanes, ("channel", len(row_bands)))
    y += GAP + PITCH * lines if lines else 1
    entry = PAD + LEADING * NAME / 2
    grid = arrows.Grid(gutters, channels, lefts, rights, tops, bottoms, entry, PITCH)

    out = [
        f'<svg class="{name}" viewBox="0 0 {width} {y:.0f}" role="group"'
        ' aria-labelledby="whole-caption">'
    ]
    for b, band in enumerate(bands):
        for column, part in enumerate(band):
            x, rule = lefts[column], tops[row_bands.index(b)] - PAD
            out.append(f'<g role="group" aria-label="{escape(part["title"])}">')
            for i, line in enumerate(reversed(heads[b][column])):
                out.append(text("part", x, rule - 8 - i * LEADING * HEAD, HEAD, line))
            out.append(f'<path class="rule" d="M{x:.1f} {rule:.1f}H{rights[column]:.1f}"/>')
            for chapter in part["chapters"]:
                number = chapter["number"]
                row = cells[number][0]
                place = (x, tops[row], rights[column] - x, bottoms[row] - tops[row])
                out.append('<g class="chapter">')
                for way in ways:
                    if way.target == number:
                        path = arrows.as_path(arrows.trace(way, grid, lanes))
                        out.append(
                            f'<path class="need" data-from="{way.source}" data-to="{number}"'
                            f' d="{path}"/>'
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


def across(lanes: arrows.Lanes, width: float, columns: int) -> tuple[list[float], ...]:
    """Return the left and right edges of the columns and the middles of the gutters."""
    widths = []
    for gutter in range(columns):
        lines = lanes_in(lanes, ("gutter", gutter))
        least = GUTTER if gutter else 1.0  # left of the first column only what is needed
        widths.append(max(least, 18 + PITCH * (lines + 1)) if lines else least)
    box = (width - 1 - sum(widths)) / columns
    lefts, rights, gutters = [], [], []
    x = 0.0
    for gutter in widths:
        # Arrowheads stand on the right, so the lanes keep to the left.
        gutters.append(x + gutter / 2 - 3)
        lefts.append(x + gutter)
        x += gutter + box
        rights.append(x)
    return lefts, rights, [*gutters, x]


def make_box(chapter: dict, width: float) -> Box:
    """Break the text of a chapter into lines for a box of that width."""
    label = str(chapter["number"]).replace("lab", "Lab ")
    bare = Box(chapter, label, [], [])
    name = wrap(chapter["title"], width - 2 * PAD - bare.hang, NAME, bold=True)
    return Box(chapter, label, name, wrap(contents(chapter), width - 2 * PAD, SMALL))


def contents(chapter: dict) -> str:
    """Return what a chapter builds and reads, each folder named once, before its files."""
    files = [name.removeprefix("minillm/") for name in chapter["builds"]]
    files = [name if name.endswith(".py") else f"{name}/" for name in files]
    shown, last = [], ""
    # Files in no folder come first: after text/ngram.py, measure.py would seem to be in text/.
    for name in sorted(files, key=lambda name: "/" in name):
        folder = name[: name.rstrip("/").rfind("/") + 1]
        shown.append(name.removeprefix(last) if folder == last else name)
        last = folder
    return ", ".join([*shown, *chapter.get("data", []), *chapter.get("models", [])])


def spoken(chapter: dict, chapters: dict) -> str:
    """Return what a screen reader says of a box; it begins with the words that are seen."""

    def called(number: int | str) -> str:
        return number.replace("lab", "Lab ") if isinstance(number, str) else f"Chapter {number}"

    what = f"{called(chapter['number'])} {chapter['title']}"
    what += ", planned." if chapter["status"] == "planned" else "."
    if contents(chapter):
        what += f" {'Builds' if chapter['builds'] else 'Reads'} {contents(chapter)}."
    if chapter["needs"]:
        names = [f"{called(n).lower()}, {chapters[n]['title']}" for n in chapter["needs"]]
        what += f" Needs {'; '.join(names)}."
    return what


def draw_box(box: Box, place: tuple[float, float, float, float], chapters: dict) -> list[str]:
    """Return the lines of a box at `place` (x, y, width, height): a link, if it is written."""
    x, y, width, height = place
    name = escape(spoken(box.chapter, chapters))
    if box.chapter["status"] == "planned":
        begin, end = f'<g class="planned" role="img" aria-label="{name}">', "</g>"
    else:
        link = f"chapters/{escape(box.chapter['slug'])}.html"
        begin, end = f'<a href="{link}" aria-label="{name}">', "</a>"
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5"/>'
    out = [begin, rect]
    base = y + PAD - 0.3 * SMALL
    for i, line in enumerate(box.name):
        base += LEADING * NAME
        if i == 0:
            out.append(text("number", x + PAD, base, NAME, box.label))
        out.append(text("name", x + PAD + box.hang, base, NAME, line))
    for i, line in enumerate(box.small, start=1):
        low = base + APART + i * LEADING * SMALL
        out.append(text("small", x + PAD, low, SMALL, line))
    return [*out, end]


def text(kind: str, x: float, y: float, size: float, words: str) -> str:
    """Return one line of text; y is its baseline."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(words)}</text>'


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Estimate how wide a line in Arial, or a font cut to its widths, is at most."""
    width = 0.0
    for char in words:
        if unicodedata.east_asian_width(char) in "WF":
            width += 1.0
        elif char in " .,:;'|!/()[]-ftijlrI":
            width += 0.34
        elif char in "mwMW%@—" or not char.isascii():
            width += 0.95
        else:
            width += 0.74 if char.isupper() else 0.56
    return width * size * (1.08 if bold else 1.0)


def wrap(words: str, room: float, size: float, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `room`; a word too long for a line is cut."""
    lines = [""]
    for word in words.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size, bold) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while text_width(word, size, bold) > room:
            fits = [n for n in range(1, len(word)) if text_width(word[:n], size, bold) <= room]
            most = max(fits, default=1)
            # After a mark that parts a name, if there is one; else wherever the line is full.
            marks = [match.end() for match in re.finditer(r"[/_-]", word[:most])]
            cut = max(marks, default=most)
            lines[-1:] = [word[:cut], ""]
            word = word[cut:]
        lines[-1] = word
    return [line for line in lines if line]
