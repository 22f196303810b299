"""The whole book as one PDF: a single page of HTML, printed by headless Chromium.

A browser can't tell on which sheet a heading will fall, so the book is printed twice: first with
empty places in the table of contents, then with the numbers read from the first printing.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FOOTER = (
    '<div style="width: 100%; font-size: 8px; text-align: center">'
    '<span class="pageNumber"></span></div>'
)
# Chapters stand inside the home page, and their headings too deep: a part becomes a heading of the
# first level, a chapter of the second. Folds open, the reference of the package stays on the site,
# and the table of contents is put in.
PREPARE = """
(parts) => {
  const book = document.querySelector("article.bd-article");
  document.body.classList.add("printed-book");
  for (const name of ["jb-print-docs-body", "reference-of-minillm"])
    document.getElementById(name)?.remove();
  for (const link of book.querySelectorAll(".headerlink, .actions, .in-package")) link.remove();
  for (const details of book.querySelectorAll("details")) details.open = true;
  for (const level of [3, 4, 5, 6])
    for (const old of book.querySelectorAll(`.toctree-wrapper h${level}`)) {
      const heading = document.createElement(`h${level - 1}`);
      heading.append(...old.childNodes);
      old.replaceWith(heading);
    }
  for (const [title, first] of parts) {
    const heading = document.createElement("h1");
    heading.className = "part";
    heading.textContent = title;
    document.getElementById(`document-${first}`).before(heading);
  }
  const list = document.createElement("nav");
  list.className = "printed-contents";
  [...book.querySelectorAll("h1, h2, h3")].forEach((heading, i) => {
    heading.id = `printed-${i}`;
    const line = document.createElement("a");
    line.className = `level-${heading.tagName[1]}`;
    line.href = `#${heading.id}`;
    for (const [name, text] of [["words", heading.textContent.trim()], ["number", "000"]]) {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = text;
      line.append(span);
    }
    list.append(line);
  });
  book.querySelector("h1").after(list);
}
"""
READY = """
async () => {
  if (window.MathJax) await MathJax.startup.promise;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode()));
}
"""
FILL = """
(numbers) => document.querySelectorAll(".printed-contents .number").forEach((place, i) => {
  place.textContent = numbers[i];
})
"""


def find_browser(environ: Mapping[str, str]) -> str:
    """Return the path of Chromium or Chrome: $CHROMIUM, or else the first one on PATH, or ""."""
    if environ.get("CHROMIUM"):
        return environ["CHROMIUM"]
    return next(filter(None, map(shutil.which, BROWSERS)), "")


def flags() -> list[str]:
    """Return the options with which Chromium stays offline, and starts for root as well."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return FLAGS + ["--no-sandbox"] * root


def print_book(html: Path, parts: list[tuple[str, str]], out: Path, browser: str) -> int:
    """Print a book that is one page of HTML, with a table of contents; returns its sheets.

    Args:
        html: the page, as Sphinx's singlehtml builder makes it.
        parts: titles, each with the name of its first document.
        out: the PDF, written whole or not at all.
        browser: path of Chromium or Chrome.
    """
    with sync_playwright() as playwright, TemporaryDirectory(dir=out.parent) as folder:
        chromium = playwright.chromium.launch(executable_path=browser, args=flags())
        page = chromium.new_page(color_scheme="light")
        page.set_default_timeout(300_000)
        page.goto(html.as_uri())
        page.evaluate(READY)
        page.evaluate(PREPARE, parts)
        draft = Path(folder) / "book.pdf"
        print_page(page, draft)
        page.evaluate(FILL, heading_sheets(draft))
        print_page(page, draft)
        chromium.close()
        draft.replace(out)
    return len(PdfReader(out).pages)


def print_page(page: Page, out: Path) -> None:
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "18mm")
    page.pdf(
        path=out,
        format="A4",
        scale=0.8,
        margin=margin,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        print_background=True,
        outline=True,
        tagged=True,
    )


def heading_sheets(pdf: Path) -> list[int]:
    """Return for each line of the table of contents the sheet of its heading, from 1.

    The PDF's outline has all headings in order; the lines are those of the first three levels.
    """
    reader = PdfReader(pdf)

    def walk(outline: list, level: int) -> list[tuple[int, int]]:
        found = []
        for entry in outline:
            if isinstance(entry, list):
                found += walk(entry, level + 1)
            else:
                found.append((level, reader.get_destination_page_number(entry) + 1))
        return found

    return [sheet for level, sheet in walk(reader.outline, 1) if level <= 3]
