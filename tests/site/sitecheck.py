"""What the site's files must be like: functions that return a list of faults, one line each.

Each takes what it judges as an argument, so that tests can hand over a broken page. See
test_links.py and test_chapters.py for their use.
"""

import ast
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "site")]
import book  # noqa: E402
import reference  # noqa: E402

WRITTEN = [c for c in book.load_chapters(ROOT) if c["status"] == "written"]
SOLVED = [c for c in WRITTEN if not book.is_lab(c)]
# The site's pages in the order in which a reader turns them, then those outside of that order.
IN_ORDER = [
    "index.html",
    *(f"chapters/{c['slug']}.html" for c in WRITTEN),
    *(f"chapters/{a['slug']}.html" for a in book.load_book(ROOT)["appendices"]),
    "reference/index.html",
    *(f"reference/{wing}.html" for wing in reference.WINGS),
    "solutions/index.html",
    *(f"solutions/{c['slug']}.html" for c in SOLVED),
]
PAGES = [*IN_ORDER, "search.html", "viewer.html"]
DRAWN_UP = ("genindex.html", "py-modindex.html")  # by Sphinx, as _modules/ is
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass
class Element:
    """An element of a page.

    Attributes:
        tag: its name.
        attributes: by name.
        around: the classes of the elements that it is in, and its own.
        text: all that is in it, for paragraphs and links.
    """

    tag: str
    attributes: dict[str, str]
    around: set[str]
    text: str = ""


class Parser(HTMLParser):
    """Lists the elements of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        around = set(attributes.get("class", "").split())
        if self.open:
            around |= self.open[-1].around
        element = Element(tag, attributes, around)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if any(element.tag == tag for element in self.open):
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data):
        for element in self.open:
            if element.tag in ("a", "p"):
                element.text += data


def read(file: Path) -> list[Element]:
    """Return the elements of a page."""
    return Parser(file.read_text(encoding="utf-8")).elements


def links(elements: list[Element], name: str) -> list[str]:
    """Return where the links lead that are in an element with the class `name`."""
    return [e.attributes["href"] for e in elements if e.tag == "a" and name in e.around]


def target(page: str, url: str) -> str:
    """Return the file of the site that a link on a page leads to, without the place in it."""
    return normpath(f"/{page}/../{unquote(urlsplit(url).path)}")


def link_faults(site: Path) -> list[str]:
    """Links within the site, on all its pages, to files or places that aren't there.

    Args:
        site: the folder of the site.
    """
    files = [f for f in sorted(site.rglob("*.html")) if site / "_static" not in f.parents]
    found, places = [], {}
    for file in files:
        places[file] = set()
        for element in read(file):
            attributes = element.attributes
            places[file] |= {attributes[key] for key in ("id", "name") if key in attributes}
            urls = [attributes[key] for key in ("href", "src", "action") if key in attributes]
            found += [(file, url) for url in urls if element.tag != "base"]
    faults = []
    for file, url in found:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or url == "#":  # "#": the page itself
            continue
        to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        place, page = unquote(parts.fragment), file.relative_to(site).as_posix()
        if not to.is_file():
            faults.append(f"{page}: {url} leads to no file")
        elif place and place not in places.get(to, ()):
            faults.append(f"{page}: {url} leads to no place of that page")
    return faults


def local_faults(elements: list[Element]) -> list[str]:
    """What a page takes from other places when it is opened: nothing should be."""
    used = [e.attributes.get("src") for e in elements]
    used += [
        e.attributes.get("href")
        for e in elements
        if e.tag == "link" and e.attributes.get("rel") in ("stylesheet", "icon", "preload")
    ]
    return [f"takes {url}" for url in used if url and urlsplit(url).netloc]


def notebook_faults(text: str, committed: NotebookNode, repository: str) -> list[str]:
    """How a notebook for download differs from the committed one with a cell that installs.

    Args:
        text: the file for download.
        committed: the notebook of the book.
        repository: OWNER/NAME, from which the package is installed.
    """
    url = f"https://github.com/{repository}"
    text = text.replace(f"]({url}/blob/main/minillm/", "](../minillm/")
    first, *cells = book.nbformat.reads(text, as_version=4).cells
    faults = []
    if first.cell_type != "code" or f"%pip install --quiet git+{url}" not in first.source:
        faults.append(f"the first cell does not install git+{url}")
    if len(cells) != len(committed.cells):
        faults.append(f"{len(cells)} cells after the first, not {len(committed.cells)}")
    pairs = zip(cells, committed.cells, strict=False)
    return faults + [
        f"cell {i} differs: {a.source[:50]}" for i, (a, b) in enumerate(pairs) if a != b
    ]


def package_faults(elements: list[Element], notebook: NotebookNode, page: str) -> list[str]:
    """Names that a page's finished code defines, and that lead not to reference and source.

    Args:
        elements: of the page.
        notebook: that the page shows.
        page: its file.
    """
    names = [
        node.name
        for cell in notebook.cells
        if "package" in cell.metadata.get("tags", [])
        for node in ast.parse(cell.source).body
        if hasattr(node, "name") and not node.name.startswith("_")
    ]
    to = [(target(page, url), urlsplit(url).fragment) for url in links(elements, "in-package")]
    described = [place.rpartition(".")[2] for file, place in to if file.startswith("/reference/")]
    shown = [place for file, place in to if file.startswith("/_modules/minillm/")]
    return [
        f"{name} has no link to its {what}"
        for what, there in (("reference", described), ("source", shown))
        for name in names
        if name not in there
    ]


def sidebar_faults(elements: list[Element], page: str, parts: list[dict]) -> list[str]:
    """How the sidebar differs from the list of parts and chapters.

    Args:
        elements: of the page.
        page: its file.
        parts: book.yml's parts.
    """
    captions = [
        e.text.strip() for e in elements if e.tag == "p" and {"bd-links", "caption"} <= e.around
    ]
    titles = [p["title"] for p in parts if any(c["status"] == "written" for c in p["chapters"])]
    faults = []
    if captions[: len(titles)] != titles:
        faults.append(f"captions {captions}, not {titles} and more")
    listed = [
        target(page, url) if url != "#" else f"/{page}" for url in links(elements, "bd-links")
    ]
    if listed != [f"/{name}" for name in IN_ORDER[1:]]:
        faults.append(f"pages {listed}, not those of book.yml in order")
    return faults
