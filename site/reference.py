"""The reference of `minillm`: a page for each wing of the package, drawn from its docstrings.

Sphinx's autodoc reads the docstrings; here stand the grouping, and the links from what they name:
chapters of the book and papers on arXiv.
"""

import ast
import re
from pathlib import Path

# Wings in the order of the book: title, and files and folders of minillm/.
WINGS = {
    "text": ("Text: the village, counts, tokenizers, data sets", ["minillm/text"]),
    "model": ("Models: attention, positions, layers, GPT, BERT", ["minillm/model"]),
    "train": ("Training: one loop, many objectives", ["minillm/train", "minillm/zoo.py"]),
    "generate": (
        "Generation",
        ["minillm/generate.py", "minillm/sampling.py", "minillm/speculative.py"],
    ),
    "adapt": ("Adapting: heads, tasks, LoRA", ["minillm/adapt"]),
    "compress": ("Shrinking: distillation", ["minillm/compress"]),
    "hub": ("Weights in and out", ["minillm/hub"]),
    "tools": (
        "Measures, pictures, checks, the command line",
        [
            "minillm/measure.py",
            "minillm/plot.py",
            "minillm/checks",
            "minillm/flags.py",
            "minillm/cli.py",
            "minillm/cli_adapt.py",
        ],
    ),
}
ARXIV = re.compile(r"arXiv[ :](\d{4}\.\d{4,5})")
SECTION = re.compile(r"^(Returns|Raises|Yields|Args): (.+)$")
HOME = re.compile(r"\b([Cc]hapter|[Ll]ab) (\d+)\b")


def modules(root: Path, entry: str) -> dict[str, Path]:
    """Return module -> file of a file or folder of minillm/; a package only where it has code.

    Args:
        root: the folder that holds minillm/.
        entry: the file or folder, as in "minillm/model/gpt.py" or "minillm/text".
    """
    path = root / entry
    found = {}
    for file in [path] if path.suffix else sorted(path.rglob("*.py")):
        name = ".".join(file.relative_to(root).with_suffix("").parts)
        if file.name != "__init__.py":
            found[name] = file
        elif definitions(file):
            found[name.removesuffix(".__init__")] = file
    return found


def definitions(file: Path) -> list[str]:
    """Return the public functions and classes that a file defines at its top level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"]


def wing_page(title: str, names: list[str], built_in: dict[str, list[str]]) -> str:
    """Return a wing's page: for each module its docstring and its public names.

    Args:
        title: of the wing.
        names: of the modules.
        built_in: module -> links to the chapters that build it, in MyST.
    """
    lines = [f"# {title}"]
    for name in names:
        lines.append(f"## `{name}`")
        if built_in.get(name):
            lines.append(f"Built in {', '.join(built_in[name])}.")
        lines.append(f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```")
    return "\n\n".join(lines) + "\n"


def to_rst(lines: list[str], slugs: dict[str, str]) -> list[str]:
    """Return a docstring as reStructuredText, which the package's docstrings nearly are.

    Names between backticks become literals, signs that would mean something else are kept as they
    are, papers and chapters become links, an indented block after a colon becomes code, and
    "Returns: ..." in one line a paragraph of its own.

    Args:
        lines: the docstring's lines.
        slugs: "chapter 3" -> slug.
    """
    done: list[str] = []
    depth = None  # of a block of code that we are in
    section = False  # whether a "Returns: ..." goes on
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent <= depth:
            depth = None
        if depth is not None or line.lstrip().startswith(">>>"):
            done.append(line)
            continue
        found = SECTION.match(line)
        ended = section and indent == 0
        section = bool(found) or (section and not ended)
        if found:
            done += ["", f"**{found[1]}:** {inline(found[2], slugs)}"]
        else:
            text = inline(line, slugs)
            done += [""] * ended + [text.lstrip() if section else text]
        if line.endswith(":") and re.match(r"\n( +)", "\n".join(lines[i + 1 : i + 3])):
            deeper = len(lines[i + 2]) - len(lines[i + 2].lstrip())
            if deeper > indent:
                done[-1] += ":"
                depth = indent
    return done


def inline(text: str, slugs: dict[str, str]) -> str:
    """Return a line of a docstring in reStructuredText; see `to_rst`."""

    def chapter(found: re.Match) -> str:
        slug = slugs.get(found[0].lower())
        return f":doc:`{found[0]} </chapters/{slug}>`" if slug else found[0]

    parts = re.split(r"`([^`]*)`", text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip()}``"
        else:
            part = re.sub(r"([*|\\])", r"\\\1", part)
            part = re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
            part = HOME.sub(chapter, ARXIV.sub(r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", part))
            # A literal ends only before a sign or a space.
            parts[i] = f"\\ {part}" if i and re.match(r"\w", part) else part
            if i + 1 < len(parts) and re.search(r"\w$", part):
                parts[i] += "\\ "
    return "".join(parts)


def index_page() -> str:
    """Return the first page of the reference: its wings in order."""
    lines = [
        "# Reference of `minillm`",
        "Every public name of the package, grouped as the book is. A name says which chapter builds"
        " it; [source] beside it shows the code.",
        "```{toctree}\n:maxdepth: 2\n\n" + "\n".join(WINGS) + "\n```",
    ]
    return "\n\n".join(lines) + "\n"
