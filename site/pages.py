"""From the book's notebooks to the pages that Sphinx reads: the same cells, with links put in.

Nothing is executed and nothing is written here; build.py writes what these functions return. A page
keeps its outputs. Put in are: a line of links under the title, a box around what the reader will
be able to do, links to chapters where they are named, and links from the finished code to the
package's reference. But: the reference itself is drawn up in reference.py.
"""

import ast
import copy
import re
from urllib.parse import quote

import book
import nbformat
from nbformat import NotebookNode

# What chapters and labs say they teach: a bold line, a list, and a line in italics.
OBJECTIVES = re.compile(
    r"^\*\*(In this (?:chapter|lab))\*\* you will\n\n((?:[-*] .*\n|  .*\n)+)\n(\*[^*\n].*\*)$", re.M
)
# Text in which no link is put: code, formulas, links, HTML, headings, and folded answers.
FIXED = re.compile(
    r"(<details>.*?</details>|```.*?```|`[^`]*`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|<[^>]+>|^#.*?$)",
    re.M | re.S,
)
NAMED = re.compile(r"\b([Cc]hapter|[Ll]ab)(s?) (\d+(?:(?:,? and|,| to) \d+)*)\b")
ARXIV = re.compile(r"\barXiv[ :](\d{4}\.\d{4,5})")
# From this width on, in pixels, a picture scrolls on a phone; from this length on, a line wraps.
WIDE_PICTURE, LONG_LINE = 700, 100
SOURCE = re.compile(r"\[([^\]]*)\]\(\.\./minillm/([\w/]+)\.py\)")
OWN_HEADING = re.compile(r"\]\(#([\w-]+)\)")
GAP = "\n\n"


def slugs_by_name(chapters: list[dict]) -> dict[str, str]:
    """Return what the written chapters and labs are called in a text, "chapter 3" -> slug."""
    return {
        f"lab {c['number'][3:]}" if book.is_lab(c) else f"chapter {c['number']}": c["slug"]
        for c in chapters
        if c["status"] == "written"
    }


def with_objectives(text: str) -> str:
    """Return a cell's text with a box around what the chapter teaches."""
    return OBJECTIVES.sub(
        lambda found: (
            f":::{{admonition}} {found[1]} you will\n:class: objectives\n\n"
            f"{found[2]}\n{found[3]}\n:::"
        ),
        text,
    )


def with_links(text: str, slugs: dict[str, str], own: str, folder: str = "../chapters") -> str:
    """Return a text with links to papers, and to each chapter or lab that a paragraph names.

    Args:
        text: Markdown.
        slugs: "chapter 3" or "lab 1" -> slug; what is not there stays without a link.
        own: the slug of the page itself, to which nothing links.
        folder: where the pages are, seen from this one.
    """
    linked = set()

    def link(words: str, name: str) -> str:
        slug = slugs.get(name.lower())
        if slug is None or slug == own or slug in linked:
            return words
        linked.add(slug)
        return f"[{words}]({folder}/{slug}.ipynb)"

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
            if paragraph == GAP:
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


def actions(folder: str, slug: str, chapter: dict, repository: str) -> str:
    """Return the line of links under a page's title.

    Args:
        folder: chapters or solutions.
        slug: the notebook's name.
        chapter: its entry in book.yml.
        repository: OWNER/NAME on GitHub, or "": then there is nothing that Colab could open.
    """
    file = f"notebooks/{folder}/{slug}.ipynb"
    links = [f'<a href="../{file}" download>Download notebook</a>']
    if repository:
        links += [
            f'<a href="https://colab.research.google.com/github/{repository}/blob/gh-pages/{file}">'
            "Open in Colab</a>",
            f'<a href="https://mybinder.org/v2/gh/{repository}/gh-pages?urlpath='
            f'{quote(f"lab/tree/{file}", safe="")}">Open in Binder</a>',
        ]
    if folder == "solutions":
        links.append(f'<a href="../chapters/{slug}.html">The chapter</a>')
    elif not book.is_lab(chapter):
        links.append(f'<a href="../solutions/{slug}.html">Solutions</a>')
    if folder == "chapters" and "viewer" in chapter:
        links.append(f'<a href="../viewer.html#{chapter["viewer"]}">Attention viewer</a>')
    return f'<p class="actions">{" ".join(links)}</p>'


def page(
    notebook: NotebookNode,
    folder: str,
    chapter: dict,
    slugs: dict[str, str],
    homes: dict[str, str],
    anchors: list[tuple[int, str]],
    repository: str,
) -> NotebookNode:
    """Return a notebook as the site shows it.

    Args:
        notebook: with its outputs.
        folder: chapters or solutions.
        chapter: its entry in book.yml.
        slugs: as in `with_links`.
        homes: as in `built_names`.
        anchors: indices of cells with the names of places to put before them.
        repository: as in `actions`.
    """
    notebook = copy.deepcopy(notebook)
    title, _, rest = notebook.cells[0].source.partition("\n")
    links = actions(folder, chapter["slug"], chapter, repository)
    notebook.cells[0].source = rest.strip()
    for index, name in anchors:
        notebook.cells[index].source = f"({name})=\n{notebook.cells[index].source}"
    # Cells have names of their own, since Sphinx reads again what is not the same as last time.
    cells = [nbformat.v4.new_markdown_cell(f"{title}{GAP}{links}", id="title")]
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            own = chapter["slug"] if folder == "chapters" else ""
            cell.source = with_links(with_objectives(cell.source), slugs, own)
            cell.source = with_apostrophes(with_reference(cell.source))
            # Jupyter names a heading's place as it is written, Sphinx in small letters.
            cell.source = OWN_HEADING.sub(lambda found: found[0].lower(), cell.source)
            continue
        if "alt" in cell.metadata:
            image = {"alt": " ".join(cell.metadata["alt"].split())}
            widths = [o.get("metadata", {}).get("image/png", {}).get("width") for o in cell.outputs]
            if max(filter(None, widths), default=0) >= WIDE_PICTURE:
                image["classes"] = "wide"
            cell.metadata["mystnb"] = {"image": image}
        printed = "\n".join(
            o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs
        )
        if max(map(len, printed.split("\n"))) > LONG_LINE:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "long-lines"]
        if "package" in cell.metadata.get("tags", []):
            names = built_names(cell.source, homes)
            if names:
                line = nbformat.v4.new_markdown_cell(package_line(names), id=f"{cell.id}-package")
                cells.append(line)
    notebook.cells = cells
    return notebook


def to_run_elsewhere(notebook: NotebookNode, repository: str) -> NotebookNode:
    """Return a notebook for a place without the package: its first cell installs it there."""
    notebook = copy.deepcopy(notebook)
    if not repository:
        return notebook
    url = f"https://github.com/{repository}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../minillm/", f"]({url}/blob/main/minillm/")
    install = (
        "# The book's package, where it isn't installed yet (Colab, Binder).\n"
        "import importlib.util\n\n"
        'if importlib.util.find_spec("minillm") is None:\n'
        f"    %pip install --quiet git+{url}"
    )
    cell = nbformat.v4.new_code_cell(install, id="install")
    notebook.cells.insert(0, cell)
    return notebook


def contents(parts: list[tuple[str, list[str]]]) -> str:
    """Return the hidden tables of contents of the home page: titles with their documents."""
    return GAP.join(
        f'```{{toctree}}\n:hidden:\n:caption: "{title}"\n\n{chr(10).join(names)}\n```'
        for title, names in parts
    )


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


def solutions_page(chapters: list[dict]) -> str:
    """Return the page that lists the worked solutions."""
    lines = [
        "# Solutions",
        "Worked solutions of the exercises, a page a chapter. Try first: the checks in a chapter"
        " say what is wrong.",
        "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(c["slug"] for c in chapters) + "\n```",
    ]
    return GAP.join(lines) + "\n"


def dump(notebook: NotebookNode) -> str:
    """Return a notebook as the text of a file."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT, indent=1) + "\n"
