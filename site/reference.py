"""The reference of `minillm`: a page for each wing of the package, drawn from its docstrings.

Sphinx's autodoc reads the docstrings; here stand the grouping, and the links from what they name:
chapters of the book and papers on arXiv.
"""

import ast
import re
from pathlib import Path

import links

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
SECTION = re.compile(r"^(Returns|Yields):(?: (.+)|())$|^(Raises): (.+)$")
FIELDS = {"Returns": ":returns:", "Raises": ":raises:", "Yields": ":Yields:"}
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
        elif definitions(file) or exports(file):
            found[name.removesuffix(".__init__")] = file
    return found


def definitions(file: Path) -> list[str]:
    """Return the public functions and classes that a file defines at its top level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"]


def entries() -> list[str]:
    """Return the files and folders of all wings."""
    return [entry for _, wing in WINGS.values() for entry in wing]


def homes(root: Path, entries: list[str]) -> dict[str, str]:
    """Return public name -> module, for the names that only one module of the entries defines."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for module, file in modules(root, entry).items():
            for name in definitions(file):
                found.setdefault(name, []).append(module)
    return {name: places[0] for name, places in found.items() if len(places) == 1}


def exports(file: Path) -> list[tuple[str, str]]:
    """Return the names that a package takes from its modules, each with its module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        (alias.name, node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and file.name == "__init__.py"
        for alias in node.names
        if node.module.startswith("minillm.") and alias.name[0].islower()
    ]


def wing_page(title: str, names: dict[str, Path], built_in: dict[str, list[str]]) -> str:
    """Return a wing's page: for each module its docstring and its public names.

    Args:
        title: of the wing.
        names: module -> file.
        built_in: module -> links to the chapters that build it, in MyST.
    """
    lines = [f"# {title}"]
    for name, file in names.items():
        lines.append(f"## `{name}`")
        if built_in.get(name):
            lines.append(f"Built in {', '.join(built_in[name])}.")
        # A package's own names; what it takes from its modules is described there.
        members = "\n   :members:" if definitions(file) else ""
        lines.append(f"```{{eval-rst}}\n.. automodule:: {name}{members}\n```")
        taken = [f"{{py:obj}}`{public} <{home}.{public}>`" for public, home in exports(file)]
        if taken:
            lines.append(f"To import from here: {', '.join(taken)}.")
    return "\n\n".join(lines) + "\n"


def to_rst(lines: list[str], slugs: dict[str, str], homes: dict[str, str]) -> list[str]:
    """Return a docstring as reStructuredText, which the package's docstrings nearly are.

    Names between backticks become literals or links, signs that would mean something else are kept
    as they are, papers and chapters become links, an indented block after a colon becomes code, and
    what is returned, raised or yielded a field, whether it begins on the line or below it.

    Args:
        lines: the docstring's lines.
        slugs: "chapter 3" -> slug.
        homes: public name of the package -> its module.
    """
    done: list[str] = []
    depth = None  # of a block of code that we are in
    field = False  # whether a field goes on
    example = False  # whether lines are an example's input or output
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent <= depth:
            depth = None
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if depth is not None or example:
            done.append(line)
            continue
        found = SECTION.match(line)
        if found:
            name, words = found[1] or found[4], found[2] or found[5] or ""
            done += ["", f"{FIELDS[name]} {inline(words, slugs, homes)}".rstrip()]
        else:
            ended = field and bool(line.strip() and done[-1].strip()) and indent == 0
            done += [""] * ended + [inline(line, slugs, homes)]
        field = bool(found) or (field and (indent > 0 or not line.strip()))
        if line.endswith(":") and re.match(r"\n( +)", "\n".join(lines[i + 1 : i + 3])):
            deeper = len(lines[i + 2]) - len(lines[i + 2].lstrip())
            if deeper > indent:
                done[-1] += ":"
                depth = indent
    return done


def inline(text: str, slugs: dict[str, str], homes: dict[str, str]) -> str:
    """Return a line of a docstring in reStructuredText; see `to_rst`."""

    def chapter(found: re.Match) -> str:
        slug = slugs.get(found[0].lower())
        return f":doc:`{found[0]} </chapters/{slug}>`" if slug else found[0]

    parts = re.split(r"`([^`]*)`", text)
    for i, part in enumerate(parts):
        name = part.strip()
        if i % 2:
            known = name in homes and re.search("[A-Z_]", name)
            parts[i] = f":py:obj:`{name} <{homes[name]}.{name}>`" if known else f"``{name}``"
        else:
            # Stars stay where they mean emphasis, as in *word*.
            part = re.sub(r"(?<!\w)\*([A-Za-z][^*]*)\*(?!\w)|([*|\\])", keep_emphasis, part)
            part = re.sub(r"(\w)_(?!\w)", r"\1\\_", part)
            part = HOME.sub(
                chapter, links.ARXIV.sub(r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", part)
            )
            # A literal ends only before a sign or a space.
            parts[i] = f"\\ {part}" if i and re.match(r"\w", part) else part
            if i + 1 < len(parts) and re.search(r"\w$", part):
                parts[i] += "\\ "
    return "".join(parts)


def keep_emphasis(found: re.Match) -> str:
    return found[0] if found[1] else f"\\{found[0]}"


def index_page() -> str:
    """Return the first page of the reference: its wings in order."""
    lines = [
        "# Reference of `minillm`",
        "The functions and classes of the package, grouped as the book is. What a chapter builds"
        " says so; [source] beside a name shows the code.",
        "To begin with: {py:obj}`GPT <minillm.model.gpt.GPT>`,"
        " {py:obj}`train <minillm.train.loop.train>`,"
        " {py:obj}`generate <minillm.generate.generate>`,"
        " {py:mod}`the village <minillm.text.village>`,"
        " {py:mod}`published weights <minillm.hub>`.",
        "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(WINGS) + "\n```",
    ]
    return "\n\n".join(lines) + "\n"
