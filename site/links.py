"""The links that the site puts into the book's texts: chapters, papers, the package, first uses.

Every function takes a text and returns one; pages.py puts them together.
"""

import ast
import re

import book
from nbformat import NotebookNode

# Text in which no link is put: code, formulas, links, HTML, headings, and folded answers.
FIXED = re.compile(
    r"(<details>.*?</details>|```.*?```|`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|<[^>]+>|^#.*?$)",
    re.M | re.S,
)
NAMED = re.compile(r"\b([Cc]hapter|[Ll]ab)(s?) (\d+(?:(?:,? and|,| to) \d+)*)\b")
ARXIV = re.compile(r"\barXiv[ :](\d{4}\.\d{4,5})")
SOURCE = re.compile(r"\[([^\]]*)\]\(\.\./minillm/([\w/]+)\.py\)")


def slugs_by_name(chapters: list[dict]) -> dict[str, str]:
    """Return what the written chapters and labs are called in a text, "chapter 3" -> slug."""
    return {
        f"lab {c['number'][3:]}" if book.is_lab(c) else f"chapter {c['number']}": c["slug"]
        for c in chapters
        if c["status"] == "written"
    }


def with_links(text: str, slugs: dict[str, str], own: str) -> str:
    """Return a text with links to papers, and to each chapter or lab that a paragraph names.

    Args:
        text: Markdown.
        slugs: "chapter 3" or "lab 1" -> slug; what is not there stays without a link.
        own: the slug of the page itself, to which nothing links.
    """
    linked = set()

    def link(words: str, name: str) -> str:
        slug = slugs.get(name.lower())
        if slug is None or slug == own or slug in linked:
            return words
        linked.add(slug)
        return f"[{words}](../chapters/{slug}.ipynb)"

    def named(found: re.Match) -> str:
        kind, plural, numbers = found.groups()
        if not plural:
            number = re.match(r"\d+", numbers)[0]
            one = link(f"{kind}\u00a0{number}", f"{kind} {number}")
            return one + numbers.removeprefix(number) if "[" in one else found[0]
        each = re.sub(r"\d+", lambda number: link(number[0], f"{kind} {number[0]}"), numbers)
        return f"{kind}s {each}"

    parts = FIXED.split(text)
    for i in range(0, len(parts), 2):
        paragraphs = re.split(r"(\n\n)", parts[i])
        for k, paragraph in enumerate(paragraphs):
            if paragraph == "\n\n":
                linked.clear()
            cited = ARXIV.sub(r"[\g<0>](https://arxiv.org/abs/\1)", paragraph)
            paragraphs[k] = NAMED.sub(named, cited)
        parts[i] = "".join(paragraphs)
    return "".join(parts)


def with_apostrophes(text: str) -> str:
    """Return a text in whose folded answers, which are HTML, apostrophes are as elsewhere."""
    code = re.compile(r"(<code>.*?</code>|<[^>]*>)", re.S)

    def fold(found: re.Match) -> str:
        parts = code.split(found[0])
        return "".join(
            p if i % 2 else re.sub(r"(?<=\w)'(?=\w)", "’", p) for i, p in enumerate(parts)
        )

    return re.sub(r"<details>.*?</details>", fold, text, flags=re.S)


def with_reference(text: str) -> str:
    """Return a text whose links to files of the package lead to the package's reference."""

    def link(found: re.Match) -> str:
        module = f"minillm.{found[2].replace('/', '.')}".removesuffix(".__init__")
        return f"{{py:mod}}`{found[1].strip('`')} <{module}>`"

    return SOURCE.sub(link, text)


def built_names(source: str, homes: dict[str, str]) -> list[tuple[str, str]]:
    """Return the names that a cell of finished code defines, each with its module.

    Args:
        source: the cell.
        homes: public name -> the module that defines it, for the files that the chapter builds.
    """
    names = [node.name for node in ast.parse(source).body if hasattr(node, "name")]
    return [(name, homes[name]) for name in names if name in homes]


def package_line(names: list[tuple[str, str]]) -> str:
    """Return the line under a cell of finished code: where its names are in the package."""
    links = [
        f"{{py:obj}}`{name} <{module}.{name}>` "
        f'(<a href="../_modules/{module.replace(".", "/")}.html#{name}">source</a>)'
        for name, module in names
    ]
    return f":::{{container}} in-package\nIn `minillm`: {', '.join(links)}\n:::"


def glossary(text: str, chapters: dict[str, NotebookNode]) -> tuple[str, dict[str, list]]:
    """Return the glossary with links to first uses, and where those are.

    A row's chapter, as in "[3](03_attention.ipynb)", becomes a link to the first cell of that
    chapter which has the term in bold, or else in plain text.

    Args:
        text: the glossary's Markdown.
        chapters: slug -> notebook.

    Returns:
        The text, and slug -> pairs of a cell's index and the anchor's name, for `page`.
    """
    anchors: dict[str, list] = {}

    def link(found: re.Match) -> str:
        term, meaning, number, slug = found.groups()
        index = first_use(term, chapters[slug])
        if index is None:
            return found[0]
        name = "term-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")
        anchors.setdefault(slug, []).append((index, name))
        return f"| {term} | {meaning} | [{number}](#{name}) |"

    row = re.compile(r"^\| (.+?) \| (.+) \| \[(\d+)\]\((\w+)\.ipynb\) \|$", re.M)
    return row.sub(link, text), anchors


def first_use(term: str, notebook: NotebookNode) -> int | None:
    """Return the index of the first Markdown cell with a term, in bold if it is anywhere."""
    words = [re.sub(r"[`*]", "", re.sub(r"\(.*?\)", "", w)).strip() for w in term.split(",")]
    words += re.findall(r"\((.*?)\)", term)
    texts = [c.source if c.cell_type == "markdown" else "" for c in notebook.cells]
    for pattern in (r"\*\*[^*\n]*\b{}", r"\b{}"):
        for i, text in enumerate(texts):
            if any(re.search(pattern.format(re.escape(w)), text, re.I) for w in words if w):
                return i
    return None
