"""The bibliography: each work that is cited has one entry, which says where.

Each check takes texts and returns faults, one line each. It is tried twice: on the book, which must
have none, and on a small page with a deliberate fault, which it must name.
"""

import re
import unicodedata
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from bookcheck import ROOT, link_faults

# Numbers of arXiv, new (year, month, dot) and old; "arXiv" itself stands only before the first.
NUMBER = re.compile(r"(?<![\d.])\d\d(?:0[1-9]|1[0-2])\.\d{4,5}(?!\d)|\b(?:cs|cmp-lg)/\d{7}\b")
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
ARXIV = "https://arxiv.org/abs/"
ENTRY = re.compile(r"- ([^,(]+?)(?:, .+)? \((\d{4})\)\. \*([^*]+[.?])\* .+\.")


class Entry(NamedTuple):
    """An entry as the checks need it; `places` are the files in which the work is cited."""

    author: str
    year: str
    title: str
    number: str
    places: list[str]


def read_entries(page: str) -> list[Entry]:
    """Return the entries of the page in its order."""
    entries = []
    for found in filter(None, map(ENTRY.fullmatch, page.split("\n"))):
        targets = [target for _, target in LINK.findall(found[0])]
        number = next((t.removeprefix(ARXIV) for t in targets if t.startswith(ARXIV)), "")
        places = [as_source(target) for target in targets if ":" not in target]
        places += re.findall(r"`([^`]+)`", found[0])
        entries.append(Entry(found[1], found[2], found[3], number, places))
    return entries


def as_source(target: str) -> str:
    """Return the text behind a link of the page: ../solutions/02_a.ipynb is solutions/02_a.md."""
    path = PurePosixPath("chapters", target).with_suffix(".md").as_posix()
    return path.replace("chapters/../", "")


def label(target: str) -> str:
    """Return the words of a link to a page of the book: 3, lab 2, solutions 5, glossary."""
    slug = PurePosixPath(target).stem
    found = re.match(r"(lab)?0*(\d+)_", slug)
    name = " ".join(filter(None, found.groups())) if found else slug
    return f"solutions {name}" if "solutions/" in target else name


def is_page(file: str) -> bool:
    """Whether readers of the book see the file, as they don't see a docstring."""
    return file.startswith(("chapters/", "solutions/"))


def form_faults(page: str) -> list[str]:
    """Lines below the introduction that are no entry; links whose words are not their target."""
    lines = page.strip().split("\n")[4:]
    faults = [f"not an entry: {line}" for line in lines if not ENTRY.fullmatch(line)]
    for words, target in LINK.findall(page):
        if words.startswith("arXiv:") or target.startswith(ARXIV):
            right = words == f"arXiv:{target.removeprefix(ARXIV)}"
        else:
            right = ":" in target or words.lower() == label(target)
        faults += [] if right else [f"[{words}] leads to {target}"]
    return faults


def missing_faults(page: str, sources: dict[str, str]) -> list[str]:
    """Numbers of arXiv in the sources that no entry has."""
    known = {entry.number for entry in read_entries(page)}
    return [
        f"{number} of {file} has no entry"
        for file, text in sources.items()
        for number in sorted(set(NUMBER.findall(text)) - known)
    ]


def place_faults(page: str, sources: dict[str, str]) -> list[str]:
    """Places that don't mention the work, by number or author, and places left out."""
    faults = []
    for author, _, title, number, places in read_entries(page):
        faults += [] if places else [f"{title} says not where it is cited"]
        for place in places:
            text = sources.get(place, "")
            named = re.search(rf"\b{re.escape(author)}\b", text)
            if not named and number not in NUMBER.findall(text):
                faults.append(f"{title} is not in {place}")
        for file, text in sources.items():
            due = is_page(file) or not any(map(is_page, places))
            if due and file not in places and number in NUMBER.findall(text):
                faults.append(f"{title} leaves out {file}")
    return faults


def order_faults(page: str) -> list[str]:
    """Entries that stand before the one they should follow, and works that have two."""
    entries, faults = read_entries(page), []
    keys = [(plain(entry.author), entry.year, plain(entry.title)) for entry in entries]
    for before, after in pairwise(keys):
        faults += [f"{after} stands after {before}"] if before > after else []
    for names in ([key[2] for key in keys], [entry.number for entry in entries if entry.number]):
        faults += [
            f"{name} has two entries" for name in sorted(set(names)) if names.count(name) > 1
        ]
    return faults


def plain(words: str) -> str:
    """Return the words as they are sorted: small letters without accents, no quotes."""
    letters = unicodedata.normalize("NFKD", words.casefold().strip('"'))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def all_faults(page: str, sources: dict[str, str]) -> list[str]:
    """Every fault of the page."""
    return [
        *form_faults(page),
        *missing_faults(page, sources),
        *place_faults(page, sources),
        *order_faults(page),
    ]


def test_the_bibliography_holds_what_the_book_cites():
    file = ROOT / "chapters/bibliography.md"
    page = file.read_text(encoding="utf-8")
    globs = ("chapters/*.md", "solutions/*.md", "minillm/**/*.py", "benchmarks/*.py", "README.md")
    paths: list[Path] = [path for glob in globs for path in sorted(ROOT.glob(glob)) if path != file]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    assert len(read_entries(page)) > 100 and len(sources) > 50
    assert all_faults(page, sources) + link_faults(page, file.parent) == []


GOOD = """# Bibliography

Two sentences.

- Ba, J., Hinton, G. (2016). *Layers.* [arXiv:1607.06450](https://arxiv.org/abs/1607.06450). Cited in `minillm/a.py`.
- Gage, P. (1994). *A new algorithm.* The C Users Journal 12. Chapter [2](02_tokens.ipynb).
- Kim Sang, E. (2003). *Names.* [arXiv:cs/0306050](https://arxiv.org/abs/cs/0306050). [Lab 1](lab1_play.ipynb).
- Öhm, A., et al. (2017). *Attention?* ACL. [arXiv:1706.03762](https://arxiv.org/abs/1706.03762). Chapters [2](02_tokens.ipynb), [3](03_attention.ipynb); [solutions 2](../solutions/02_tokens.ipynb).
- Zed (2017). *Zeta.* [zed.org](https://zed.org). [Glossary](glossary.md).
"""  # noqa: E501
SOURCES = {
    "chapters/02_tokens.md": "Gage (1994), Öhm and colleagues (2017)",
    "chapters/03_attention.md": "in 2017 (arXiv:1706.03762, section 3), and 0.12345 of 12.34567",
    "chapters/glossary.md": "Zed 2017",
    "chapters/lab1_play.md": "(Kim Sang 2003, cs/0306050)",
    "solutions/02_tokens.md": "see arXiv\n1706.03762.",
    "minillm/a.py": "Source: Ba et al. 2016, arXiv:1607.06450; arXiv:1706.03762.",
}


def test_a_page_without_faults():
    assert all_faults(GOOD, SOURCES) == []
    assert len(read_entries(GOOD)) == 5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("- Gage", "* Gage", "not an entry: * Gage"),
        ("(1994). ", "", "not an entry: - Gage"),
        ("*Names.*", "Names.", "not an entry: - Kim Sang"),
        ("abs/1706.03762", "abs/1706.03763", "[arXiv:1706.03762] leads to"),
        ("[arXiv:1607", "[arXiv:1608", "[arXiv:1608.06450] leads to"),
        ("[arXiv:1607.06450]", "[Layers]", "[Layers] leads to"),
        ("[3](", "[4](", "[4] leads to 03_attention.ipynb"),
        ("[Lab 1]", "[1]", "[1] leads to lab1_play.ipynb"),
        ("[solutions 2]", "[2]", "[2] leads to ../solutions/02_tokens.ipynb"),
        ("1607.06450", "1607.06451", "1607.06450 of minillm/a.py has no entry"),
        ("cs/0306050", "cs/0306051", "cs/0306050 of chapters/lab1_play.md has no entry"),
        ("Gage, P.", "Cage, P.", "A new algorithm. is not in chapters/02_tokens.md"),
        ("[2](02_tokens.ipynb).", "[3](03_attention.ipynb).", "is not in chapters/03_attention.md"),
        ("`minillm/a.py`", "`minillm/b.py`", "Layers. is not in minillm/b.py"),
        ("`minillm/a.py`", "`minillm/b.py`", "Layers. leaves out minillm/a.py"),
        (", [3](03_attention.ipynb)", "", "Attention? leaves out chapters/03_attention.md"),
        ("; [solutions 2](../solutions/02_tokens.ipynb)", "", "out solutions/02_tokens.md"),
        ("Chapter [2](02_tokens.ipynb)", "Somewhere", "A new algorithm. says not where"),
        ("Gage, P.", "Aage, P.", "('aage', '1994', 'a new algorithm.') stands after ('ba'"),
        ("- Zed (2017)", "- Öhm, B. (2016)", "stands after ('ohm', '2017', 'attention?')"),
        ("*Zeta.*", "*Attention?*", "attention? has two entries"),
        ("[zed.org](https://zed.org)", f"[arXiv:1706.03762]({ARXIV}1706.03762)", "two entries"),
    ],
)
def test_a_page_with_a_fault(old, new, words):
    assert old in GOOD
    faults = all_faults(GOOD.replace(old, new), SOURCES)
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize(
    "text",
    [
        "(arXiv 1301.3781 and 1310.4546)",
        "arXiv:1301.3781,\n    1310.4546",
        "2013 (1301.3781) and 2013 (1310.4546v2)",
    ],
)
def test_each_number_of_a_row_counts(text):
    faults = missing_faults(GOOD, {"chapters/02_tokens.md": text})
    assert [fault.split()[0] for fault in faults] == ["1301.3781", "1310.4546"]
