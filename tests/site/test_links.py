"""The site's files: links lead somewhere, and chapters to all that belongs to them.

Every check of sitecheck.py is tried twice: on the site, which must have no fault, and on a small
page with a deliberate fault, which it must name.
"""

import nbformat
import pytest
import sitecheck
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sitecheck import DRAWN_UP, IN_ORDER, PAGES, SOLVED, WRITTEN, book

from conftest import REPOSITORY, ROOT

VIEWED = {c["slug"]: c["viewer"] for c in book.load_chapters(ROOT) if "viewer" in c}
PARTS = book.load_book(ROOT)["parts"]
NOTEBOOKS = [f"chapters/{c['slug']}" for c in WRITTEN] + [f"solutions/{c['slug']}" for c in SOLVED]
BINDER = f"https://mybinder.org/v2/gh/{REPOSITORY}/gh-pages?urlpath=lab%2Ftree%2F"
COLAB = f"https://colab.research.google.com/github/{REPOSITORY}/blob/gh-pages/"


@pytest.fixture(scope="module")
def elements(site):
    return lambda name: sitecheck.read(site / name)


def test_the_site_has_the_pages_of_the_book_and_no_others(site):
    names = [file.relative_to(site).as_posix() for file in site.rglob("*.html")]
    drawn_up = ("_static/", "_modules/", *DRAWN_UP)
    assert sorted(n for n in names if not n.startswith(drawn_up)) == sorted(PAGES)


def test_every_link_within_the_site_leads_somewhere(site):
    assert sitecheck.link_faults(site) == []


@pytest.mark.parametrize("name", [*PAGES, *DRAWN_UP])
def test_a_page_needs_no_other_place(elements, name):
    assert sitecheck.local_faults(elements(name)) == []


@pytest.mark.parametrize("name", IN_ORDER)
def test_the_sidebar_lists_the_book(elements, name):
    assert sitecheck.sidebar_faults(elements(name), name, PARTS) == []


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_page_leads_to_the_ones_before_and_after(elements, name):
    place = IN_ORDER.index(name)
    expected = {
        "left-prev": [f"/{IN_ORDER[place - 1]}"] if place else [],
        "right-next": [f"/{other}" for other in IN_ORDER[place + 1 : place + 2]],
    }
    page = elements(name)
    for side, pages in expected.items():
        assert [sitecheck.target(name, url) for url in sitecheck.links(page, side)] == pages


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_can_be_had_and_run_elsewhere(elements, site, name):
    actions = sitecheck.links(elements(f"{name}.html"), "actions")
    file = f"notebooks/{name}.ipynb"
    folder, slug = name.split("/")
    other = {"chapters": "solutions", "solutions": "chapters"}[folder]
    also = [f"../{other}/{slug}.html"] if slug in {c["slug"] for c in SOLVED} else []
    if folder == "chapters" and slug in VIEWED:
        also.append(f"../viewer.html#{VIEWED[slug]}")
    assert actions == [f"../{file}", f"{COLAB}{file}", BINDER + file.replace("/", "%2F"), *also]
    committed = book.read_notebook(ROOT / f"{name}.ipynb")
    text = (site / file).read_text(encoding="utf-8")
    assert sitecheck.notebook_faults(text, committed, REPOSITORY) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_finished_code_leads_to_its_place_in_the_package(elements, name):
    committed = book.read_notebook(ROOT / f"{name}.ipynb")
    assert sitecheck.package_faults(elements(f"{name}.html"), committed, f"{name}.html") == []


# The checks themselves, on pages with one fault each


def parse(html):
    return sitecheck.Parser(html).elements


def test_dead_links_are_found(tmp_path):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here">x</a> <a href="#">x</a> <a href="chapters/b.html#there">x</a>'
        '<a href="https://example.com/none">x</a> <img src="none.png"> <a href="#none">x</a>',
        encoding="utf-8",
    )
    (tmp_path / "chapters/b.html").write_text(
        '<a id="there" href="../a.html">x</a> <a href="../a.html#there">x</a> <a href="c.html">x',
        encoding="utf-8",
    )
    assert sitecheck.link_faults(tmp_path) == [
        "a.html: none.png leads to no file",
        "a.html: #none leads to no place of that page",
        "chapters/b.html: ../a.html#there leads to no place of that page",
        "chapters/b.html: c.html leads to no file",
    ]


def test_files_of_other_places_are_found():
    html = '<link rel="stylesheet" href="https://a.org/x.css"><script src="//b.org/x.js"></script>'
    html += '<link rel="stylesheet" href="x.css"><a href="https://c.org"><img src="x.png"></a>'
    expected = ["takes //b.org/x.js", "takes https://a.org/x.css"]
    assert sitecheck.local_faults(parse(html)) == expected


def test_a_changed_notebook_is_found():
    cells = [new_markdown_cell("[x](../minillm/x.py)", id="a"), new_code_cell("1", id="b")]
    committed = new_notebook(cells=cells)
    install = new_code_cell("%pip install --quiet git+https://github.com/me/book", id="c")
    link = new_markdown_cell("[x](https://github.com/me/book/blob/main/minillm/x.py)", id="a")

    def faults(*cells):
        text = nbformat.writes(new_notebook(cells=list(cells)))
        return sitecheck.notebook_faults(text, committed, "me/book")

    assert faults(install, link, cells[1]) == []
    assert faults(new_code_cell("1"), link, cells[1]) == [
        "the first cell does not install git+https://github.com/me/book"
    ]
    assert faults(install, link) == ["1 cells after the first, not 2"]
    assert faults(install, link, new_code_cell("2", id="b")) == ["cell 1 differs: 2"]


def test_missing_places_in_the_package_are_found():
    code = new_code_cell("def double(x):\n    return 2 * x", metadata={"tags": ["package"]})
    notebook = new_notebook(cells=[code, new_code_cell("def other(): pass")])
    described = '<a href="../reference/m.html#minillm.m.double">double</a>'
    shown = '<a href="../_modules/minillm/m.html#double">source</a>'

    def faults(*links):
        html = f'<div class="in-package"><p>{"".join(links)}</p></div>'
        return sitecheck.package_faults(parse(html), notebook, "chapters/x.html")

    assert faults(described, shown) == []
    assert faults(described) == ["double has no link to its source"]
    assert faults(shown) == ["double has no link to its reference"]
    outside = sitecheck.package_faults(parse(described + shown), notebook, "chapters/x.html")
    assert len(outside) == 2


def test_a_sidebar_in_another_order_is_found():
    titles = [p["title"] for p in PARTS]
    captions = "".join(f'<p class="caption">{title}</p>' for title in titles)
    links = [f'<a href="{name}">x</a>' for name in IN_ORDER[1:]]
    wrong = [*links[1::-1], *links[2:]]

    def faults(captions, links):
        html = f'<nav class="bd-links">{captions}{"".join(links)}</nav>'
        return sitecheck.sidebar_faults(parse(html), "index.html", PARTS)

    assert faults(captions, links) == []
    assert len(faults(captions, wrong)) == len(faults(captions, links[1:])) == 1
    assert len(faults(captions, [*links, links[0]])) == len(faults("", links)) == 1
