"""The picture of the whole: links, arrows, and a layout in which nothing runs through anything."""

import random
import re
import sys
from itertools import chain, combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "site"))
import whole  # noqa: E402
from lettering import text_width  # noqa: E402

WORDS = ["learning", "long", "unsupervised", "documents", "&", "<sparse>", "of", "quantization"]


def made_up(n_parts=8, n_chapters=30, seed=11):
    """A book with long titles, far needs and planned chapters at its end."""
    rng, number, parts = random.Random(seed), 0, []
    for i in range(n_parts):
        chapters = []
        for _ in range(n_chapters // n_parts + (i < n_chapters % n_parts)):
            number += 1
            files = [f"minillm/{rng.choice(WORDS[:4])}/a_rather_long_name_{k}.py" for k in range(5)]
            earlier = range(max(1, number - 9), number)
            chapters.append(
                {
                    "number": number,
                    "slug": f"{number:02d}_chapter",
                    "title": " ".join(rng.sample(WORDS, rng.randint(1, 8))),
                    "status": "planned" if number > 24 else "written",
                    "needs": sorted(rng.sample(earlier, min(len(earlier), rng.randint(1, 3)))),
                    "builds": files[: rng.randint(0, 5)],
                }
            )
        parts.append({"title": f"Part {i}: {' '.join(rng.sample(WORDS, 4))}", "chapters": chapters})
    return parts


BOOKS = {
    "ours": yaml.safe_load((ROOT / "book.yml").read_text(encoding="utf-8"))["parts"],
    "made up": made_up(),
    "one part": made_up(1, 5),
}
EACH = pytest.mark.parametrize("parts", BOOKS.values(), ids=BOOKS)


def chapters_of(parts):
    return [chapter for part in parts for chapter in part["chapters"]]


def svgs(parts):
    """Both pictures, parsed: wide, narrow."""
    figure = ElementTree.fromstring(whole.draw(parts))
    pictures = figure.findall("svg")
    assert [svg.get("class") for svg in pictures] == ["wide", "narrow"]
    return pictures


def chapter_groups(svg):
    """What holds a chapter's rectangle and text: a link, or a group for a planned one."""
    return [e for e in svg.iter() if e.tag == "a" or e.get("class") == "planned"]


def box_of(rect):
    """Left, top, right, bottom."""
    x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def line_box(text):
    """What a line of text covers, by the estimate of its width."""
    x, y, size = (float(text.get(key)) for key in ("x", "y", "font-size"))
    bold = text.get("class") != "small"
    return x, y - 0.8 * size, x + text_width(text.text, size, bold), y + 0.22 * size


def touch(a, b, slack=0.0):
    """Whether two boxes share more than an edge."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide > slack and high > slack


def corners_of(line):
    """The corners of `M.. L.. Q.. L..`: a corner that is rounded is the Q's middle point."""
    commands = re.findall(r"([MLQ])([^MLQ]+)", line)
    points = [[float(n) for n in numbers.split()] for _, numbers in commands]
    rounded = [
        point[:2] for (letter, _), point in zip(commands, points, strict=True) if letter == "Q"
    ]
    return [points[0], *rounded, points[-1]]


def nets(svg):
    """For each chapter that needs others: (source, corners of the arrow) for each."""
    found = {}
    for path in svg.iterfind(".//path[@class='need']"):
        sources = path.get("data-from").split()
        lines = re.findall(r"M[^M]+", path.get("d"))
        assert path.get("data-to") not in found
        found[path.get("data-to")] = [
            (source, corners_of(line)) for source, line in zip(sources, lines, strict=False)
        ]
        assert len(found[path.get("data-to")]) == len(sources) < len(lines)  # then come the heads
    return found


def stretches(corners):
    """The straight pieces of a line, as boxes of no width."""
    for (x1, y1), (x2, y2) in pairwise(corners):
        yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def drawn(svg):
    """The rectangle of each chapter, by its number as it is shown."""
    return {
        group.find("text[@class='number']").text.replace("Lab ", "lab"): box_of(group.find("rect"))
        for group in chapter_groups(svg)
    }


@EACH
def test_each_written_chapter_is_linked_once_a_picture_and_no_planned_one(parts):
    expected = [
        f"chapters/{chapter['slug']}.html"
        for chapter in chapters_of(parts)
        if chapter["status"] == "written"
    ]
    for svg in svgs(parts):
        links = [link.get("href") for link in svg.iterfind(".//a")]
        assert links == expected
        n_planned = len(svg.findall(".//g[@class='planned']"))
        assert n_planned == len(chapters_of(parts)) - len(expected)


@EACH
def test_every_need_is_an_arrow_from_one_box_to_the_other(parts):
    for svg in svgs(parts):
        boxes, arrows = drawn(svg), nets(svg)
        for chapter in chapters_of(parts):
            number = str(chapter["number"])
            assert [source for source, _ in arrows.get(number, [])] == [
                str(need) for need in chapter["needs"]
            ]
            for source, corners in arrows.get(number, []):
                (x1, y1), (x2, y2) = corners[0], corners[-1]
                left, top, right, bottom = boxes[source]
                assert left - 0.2 <= x1 <= right + 0.2 and top - 0.2 <= y1 <= bottom + 0.2
                assert x2 < right or abs(x1 - right) < 0.2  # to the right it starts on the right
                left, top, right, bottom = boxes[number]
                enters_left = abs(x2 - left) < 0.2 and top < y2 < bottom
                assert enters_left or (abs(y2 - top) < 0.2 and left < x2 < right)


@EACH
def test_boxes_lie_apart_and_inside_the_picture(parts):
    for svg in svgs(parts):
        width, height = (float(n) for n in svg.get("viewBox").split()[2:])
        boxes = drawn(svg)
        assert len(boxes) == len(chapters_of(parts))
        for left, top, right, bottom in boxes.values():
            assert left >= 0.5 and top >= 0.5 and right <= width - 0.5 and bottom <= height - 0.5
        assert not [pair for pair in combinations(boxes.values(), 2) if touch(*pair)]


@EACH
def test_text_stays_in_its_box_and_lines_do_not_meet(parts):
    for svg in svgs(parts):
        for group in chapter_groups(svg):
            left, top, right, bottom = box_of(group.find("rect"))
            lines = [line_box(text) for text in group.iterfind("text")]
            for x1, y1, x2, y2 in lines:
                assert left + 5 < x1 and x2 < right - 5 and top + 3 < y1 and y2 < bottom - 3
            assert not [pair for pair in combinations(lines, 2) if touch(*pair)]
        titles = [line_box(text) for text in svg.iterfind(".//text[@class='part']")]
        assert len(titles) >= len(parts)
        for title in titles:
            assert title[2] <= float(svg.get("viewBox").split()[2])
            assert not [box for box in drawn(svg).values() if touch(box, title)]


@EACH
def test_arrows_run_through_no_box_and_no_title(parts):
    for svg in svgs(parts):
        width, height = (float(n) for n in svg.get("viewBox").split()[2:])
        titles = [line_box(text) for text in svg.iterfind(".//text[@class='part']")]
        solid = [*drawn(svg).values(), *titles]
        for _, corners in chain(*nets(svg).values()):
            pieces = list(stretches(corners))
            for i, (x1, y1, x2, y2) in enumerate(pieces):
                assert x1 == x2 or y1 == y2
                assert x1 > 0 and y1 > 0 and x2 < width and y2 < height
                # Only the first and the last piece come near a box: those that it joins.
                air = 3.5 if 0 < i < len(pieces) - 1 else 0.5
                covered = (x1 - air, y1 - air, x2 + air, y2 + air)
                assert not [box for box in solid if touch(covered, box, slack=0.7)]


@EACH
def test_arrows_to_different_chapters_cross_but_never_run_as_one(parts):
    for svg in svgs(parts):
        pieces = [
            (number, piece)
            for number, arrows in nets(svg).items()
            for _, corners in arrows
            for piece in stretches(corners)
        ]
        for (number, a), (other, b) in combinations(pieces, 2):
            if number != other:
                shared = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                # A crossing shares a point; a stretch along one another would share more.
                assert not (min(shared) > -2 and max(shared) > 1), (number, a, other, b)


@EACH
def test_a_screen_reader_hears_title_and_needs_and_ids_are_unique(parts):
    figure = ElementTree.fromstring(whole.draw(parts))
    ids = [element.get("id") for element in figure.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    titles = {chapter["number"]: chapter["title"] for chapter in chapters_of(parts)}
    for svg in svgs(parts):
        assert svg.get("role") == "group" and svg.get("aria-labelledby") in ids
        names = [group.get("aria-label") for group in chapter_groups(svg)]
        for chapter, name in zip(chapters_of(parts), names, strict=True):
            assert all(titles[number] in name for number in [chapter["number"], *chapter["needs"]])
            assert ("planned" in name) == (chapter["status"] == "planned")


def test_marks_of_html_are_escaped():
    parts = made_up(1, 1)
    parts[0]["title"] = parts[0]["chapters"][0]["title"] = 'R&D <b> "x"'
    for svg in svgs(parts):
        shown = [text.text for text in svg.iterfind(".//text")]
        assert shown.count('R&D <b> "x"') == 2  # as title of the part and of the chapter
        assert svg.find(".//a").get("aria-label").startswith('Chapter 1 R&D <b> "x".')


def test_folders_are_named_once_and_files_in_none_come_first():
    chapter = made_up(1, 1)[0]["chapters"][0]
    files = ["text/tokenizers", "text/corpora.py", "measure.py", "train/loop.py"]
    chapter |= {"builds": [f"minillm/{file}" for file in files], "models": ["gpt2"]}
    svg = svgs([{"title": "One", "chapters": [chapter]}])[0]
    small = " ".join(text.text for text in svg.iterfind(".//text[@class='small']"))
    assert small == "measure.py, text/tokenizers/, corpora.py, train/loop.py, gpt2"


def test_a_need_that_no_chapter_meets_is_named():
    parts = made_up(1, 3)
    parts[0]["chapters"][2]["needs"] = [40]
    with pytest.raises(ValueError, match="03_chapter needs 40, which is no chapter"):
        whole.draw(parts)


def test_the_smallest_type_is_12_pixels_wherever_a_picture_is_shown():
    css = (ROOT / "site/static/whole.css").read_text(encoding="utf-8")
    least = int(re.search(r"@container \(min-width: (\d+)px\)", css)[1])
    for svg, pixels in zip(svgs(BOOKS["ours"]), (least, 350), strict=True):
        sizes = [float(text.get("font-size")) for text in svg.iterfind(".//text")]
        assert min(sizes) * pixels / float(svg.get("viewBox").split()[2]) >= 12
