"""The box of a chapter in the picture of the whole: its words, its height, its link."""

from dataclasses import dataclass
from html import escape

from lettering import LEADING, text, text_width, wrap

NAME, SMALL = 15.5, 14.0  # font sizes: of a chapter's title, of its files
PAD = 10.0  # between a box and its text
APART = 3.0  # between title and files


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
