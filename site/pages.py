"""From the book's notebooks to the pages that Sphinx reads: the same cells, with links put in.

Nothing is executed and nothing is written here; website.py writes what these functions return. A
page keeps its outputs. Put in are: a line of links under the title, a box around what the reader
will be able to do, and what links.py finds in the texts. But: the package's reference is drawn up
in reference.py.
"""

import copy
import re
from urllib.parse import quote

import book
import links
import nbformat
from nbformat import NotebookNode

# What chapters and labs say they teach: a bold line, a list, and a line in italics.
OBJECTIVES = re.compile(
    r"^\*\*(In this (?:chapter|lab))\*\* you will\n\n((?:[-*] .*\n|  .*\n)+)\n(\*[^*\n].*\*)$", re.M
)
# From this width on, in pixels, a picture scrolls on a phone; from this length on, a line wraps.
WIDE_PICTURE, LONG_LINE = 700, 100
OWN_HEADING = re.compile(r"\]\(#([\w-]+)\)")
GAP = "\n\n"


def with_objectives(text: str) -> str:
    """Return a cell's text with a box around what the chapter teaches."""
    return OBJECTIVES.sub(
        lambda found: (
            f":::{{admonition}} {found[1]} you will\n:class: objectives\n\n"
            f"{found[2]}\n{found[3]}\n:::"
        ),
        text,
    )


def actions(folder: str, slug: str, chapter: dict, repository: str) -> str:
    """Return the line of links under a page's title.

    Args:
        folder: chapters or solutions.
        slug: the notebook's name.
        chapter: its entry in book.yml.
        repository: OWNER/NAME on GitHub, or "": then there is nothing that Colab could open.
    """
    file = f"notebooks/{folder}/{slug}.ipynb"
    ways = [f'<a href="../{file}" download>Download notebook</a>']
    if repository:
        ways += [
            f'<a href="https://colab.research.google.com/github/{repository}/blob/gh-pages/{file}">'
            "Open in Colab</a>",
            f'<a href="https://mybinder.org/v2/gh/{repository}/gh-pages?urlpath='
            f'{quote(f"lab/tree/{file}", safe="")}">Open in Binder</a>',
        ]
    if folder == "solutions":
        ways.append(f'<a href="../chapters/{slug}.html">The chapter</a>')
    elif not book.is_lab(chapter):
        ways.append(f'<a href="../solutions/{slug}.html">Solutions</a>')
    if folder == "chapters" and "viewer" in chapter:
        ways.append(f'<a href="../viewer.html#{chapter["viewer"]}">Attention viewer</a>')
    return f'<p class="actions">{" ".join(ways)}</p>'


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
        slugs: as in `links.with_links`.
        homes: as in `links.built_names`.
        anchors: indices of cells with the names of places to put before them.
        repository: as in `actions`.
    """
    notebook = copy.deepcopy(notebook)
    title, _, rest = notebook.cells[0].source.partition("\n")
    ways = actions(folder, chapter["slug"], chapter, repository)
    notebook.cells[0].source = rest.strip()
    for index, name in anchors:
        notebook.cells[index].source = f"({name})=\n{notebook.cells[index].source}"
    # Cells have names of their own, since Sphinx reads again what is not the same as last time.
    cells = [nbformat.v4.new_markdown_cell(f"{title}{GAP}{ways}", id="title")]
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            own = chapter["slug"] if folder == "chapters" else ""
            cell.source = links.with_links(with_objectives(cell.source), slugs, own)
            cell.source = links.with_apostrophes(links.with_reference(cell.source))
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
            names = links.built_names(cell.source, homes)
            if names:
                line = links.package_line(names)
                line = nbformat.v4.new_markdown_cell(line, id=f"{cell.id}-package")
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
