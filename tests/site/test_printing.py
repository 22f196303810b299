"""The printed book, on a small page of the form that Sphinx makes."""

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from bookcheck import ROOT
from pypdf import PdfReader

sys.path.insert(0, str(ROOT / "site"))
import printing

BROWSER = printing.find_browser(os.environ)
pytestmark = pytest.mark.skipif(not BROWSER, reason="needs Chromium or Chrome on PATH or $CHROMIUM")
LONG = "<p>word</p>" * 60
PAGE = f"""<!doctype html><html lang="en"><title>Book</title><body>
<article class="bd-article"><section><h1>Book</h1><p>About it.</p>
<div class="toctree-wrapper">
<span id="document-one"></span>
<section><h3>Chapter one</h3>{LONG}<h4>Its section</h4>{LONG}</section>
</div><div class="toctree-wrapper">
<span id="document-two"></span><section><h3>Chapter two</h3>{LONG}
<details><summary>Answer</summary>folded words</details>
<p class="actions">Download</p></section>
<section id="reference-of-minillm"><h3>Reference</h3></section>
</div></section></article></body></html>"""


def print_apart(html, parts, out):
    """Print in a thread of its own: Playwright runs once in a thread, and a test's browser may."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(printing.print_book, html, parts, out, BROWSER).result()


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("print")
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    parts = [("Part A", "one"), ("Part B", "two")]
    n = print_apart(folder / "index.html", parts, folder / "book.pdf")
    assert sorted(file.name for file in folder.iterdir()) == ["book.pdf", "index.html"]
    texts = [page.extract_text() for page in PdfReader(folder / "book.pdf").pages]
    assert n == len(texts)
    return texts


def test_the_table_of_contents_tells_the_sheet_of_each_heading(sheets):
    titles = ["Part A", "Chapter one", "Its section", "Part B", "Chapter two"]
    contents = next(text for text in sheets if "Chapter two" in text)
    numbers = [int(re.search(rf"{title}\s*(\d+)", contents)[1]) for title in titles]
    for title, number in zip(titles, numbers, strict=True):
        assert title in sheets[number - 1]
    assert numbers == sorted(numbers) and len(set(numbers)) == 3  # a part begins with its chapter


def test_folds_are_open_and_what_is_for_the_screen_is_gone(sheets):
    text = "\n".join(sheets)
    assert "folded words" in text
    assert "Download" not in text and "Reference" not in text


def test_a_page_that_is_missing_leaves_no_half_a_book(tmp_path):
    with pytest.raises(Exception, match="ERR_FILE_NOT_FOUND"):
        print_apart(tmp_path / "none.html", [], tmp_path / "book.pdf")
    assert list(tmp_path.iterdir()) == []
