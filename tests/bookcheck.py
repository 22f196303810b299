"""What a chapter must be like: functions that return a list of faults, one line each.

Each takes what it judges as an argument, so that tests can hand over a broken notebook. See
test_book.py for their use.
"""

import ast
import base64
import importlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from nbformat import NotebookNode
from PIL import Image

from minillm.checks import exercises

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import book  # noqa: E402

MAX_BYTES = 600_000
MAX_CLASS_LINES = 30
TAGS = {"package", "nbval-check-output", "nbval-raises-exception", "nbval-skip"}
MACHINE_PATHS = r"/home/\w|/Users/\w|/root/|/tmp/|/var/folders|site-packages|[A-Za-z]:\\\w"
TIMES = r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d|\b\d\d:\d\d:\d\d\b"
STUB = "raise NotImplementedError"


def list_faults(root: Path) -> list[str]:
    """Faults of book.yml: its numbers, names and needs, and the files it promises."""
    entries, faults = book.load_chapters(root), []
    labs = [entry for entry in entries if book.is_lab(entry)]
    chapters = [entry for entry in entries if entry not in labs]
    if [c["number"] for c in chapters] != list(range(1, len(chapters) + 1)):
        faults.append("chapters are not numbered 1, 2, 3 ...")
    if [lab["number"] for lab in labs] != [f"lab{i + 1}" for i in range(len(labs))]:
        faults.append("labs are not numbered lab1, lab2, lab3 ...")
    for entry in entries:
        lab, slug, number = book.is_lab(entry), entry["slug"], entry["number"]
        name = number if lab else f"chapter {number}"
        if not re.fullmatch(rf"{number if lab else f'{number:02d}'}_[a-z0-9_]+", slug):
            faults.append(f"{name}: the slug {slug} does not start with its number")
        if entry["status"] not in ("planned", "written"):
            faults.append(f"{name}: status is {entry['status']}, not planned or written")
        last = len(chapters) if lab else number - 1
        if not all(1 <= need <= last for need in entry["needs"]):
            faults.append(f"{name}: needs a later chapter, {entry['needs']}")
        if entry["status"] == "written":
            stems = [f"{d}/{slug}" for d in ("chapters", *(() if lab else ("solutions",)))]
            files = [f"{stem}{suffix}" for stem in stems for suffix in (".md", ".ipynb")]
            files += entry["builds"] if lab else [f"minillm/checks/{slug[3:]}.py", *entry["builds"]]
            faults += [f"{name}: {file} is missing" for file in files if not (root / file).exists()]
            if not entry["seconds"] or not entry["minutes_to_read"]:
                faults.append(f"{name}: seconds or minutes_to_read is empty")
    slugs = {entry["slug"] for entry in entries}
    for folder in ("chapters", "solutions"):
        for file in sorted((root / folder).glob("*_*.*")):
            if file.suffix in (".md", ".ipynb") and file.stem not in slugs:
                faults.append(f"{folder}/{file.name} is not in book.yml")
    return faults


def table_faults(readme: str, chapters: list[dict]) -> list[str]:
    """A fault if README's table is not the one that book.yml gives."""
    try:
        fresh = book.with_table(readme, book.chapter_table(chapters))
    except ValueError as error:
        return [str(error)]
    return [] if fresh == readme else ["README.md: stale table, run `scripts/book.py table`"]


def pair_faults(notebook: NotebookNode, text: str) -> list[str]:
    """A fault naming the first line in which the .ipynb and its .md differ, outputs aside."""
    ours, theirs = (
        book.to_text(notebook).split("\n"),
        book.to_text(book.from_text(text)).split("\n"),
    )
    for i in range(max(len(ours), len(theirs))):
        pair = [lines[i] if i < len(lines) else "" for lines in (ours, theirs)]
        if pair[0] != pair[1] or i >= min(len(ours), len(theirs)):
            return [f"line {i + 1}: {pair[0]!r} in the .ipynb, {pair[1]!r} in the .md: `make sync`"]
    return []


def output_faults(notebook: NotebookNode) -> list[str]:
    """Faults of the outputs: missing, out of order, noisy, or of one machine only."""
    faults = []
    ran = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for i, cell in enumerate(ran, start=1):
        where = f"code cell {i} ({cell.source.splitlines()[0][:40]})"
        if cell.execution_count != i:
            faults.append(f"{where}: execution count {cell.execution_count}, expected {i}")
        if "nbval-check-output" in cell.metadata.get("tags", []) and not cell.outputs:
            faults.append(f"{where}: is tagged nbval-check-output and has no output")
        for output in cell.outputs:
            if output.output_type == "error":
                faults.append(f"{where}: ends in {output.ename}")
            if output.get("name") == "stderr":
                faults.append(f"{where}: writes to stderr, {output.text[:60]!r}")
            data = output.get("data", {})
            if any("widget" in kind or "javascript" in kind for kind in data):
                faults.append(f"{where}: shows a widget")
            texts = [value for kind, value in data.items() if kind.startswith("text/")]
            for text in [*texts, output.get("text", "")]:
                for pattern, name in [
                    (MACHINE_PATHS, "a machine's path"),
                    (TIMES, "a time of day"),
                ]:
                    if found := re.search(pattern, text):
                        faults.append(f"{where}: shows {name}, {found[0]!r}")
    return faults


def picture_faults(notebook: NotebookNode) -> list[str]:
    """Pictures that no words describe, or with fewer pixels than fine screens show."""
    faults = []
    for cell in code_cells(notebook):
        line = cell.source.splitlines()[0] if cell.source else ""
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        alt = cell.metadata.get("alt")
        if alt and not pictures:
            faults.append(f"alt without a picture: {line}")
        elif pictures and not alt:
            faults.append(f"no alt: {line}")
        elif pictures and not 60 <= len(alt) <= 300:
            faults.append(f"alt of {len(alt)} letters, not 60 to 300: {line}")
        for output in pictures:
            image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            shown = output.metadata.get("image/png", {}).get("width")
            if shown is None or abs(image.width - 2 * shown) > 1:
                faults.append(f"{image.width} pixels wide, shown as {shown}: {line}")
    return faults


def size_faults(n_bytes: int) -> list[str]:
    """A fault for a file that is too large."""
    return [f"{n_bytes} bytes, at most {MAX_BYTES}"] if n_bytes >= MAX_BYTES else []


def metadata_faults(notebook: NotebookNode) -> list[str]:
    """Faults of metadata: anything that a clean notebook has not, or tags that nobody knows."""
    clean, faults = book.clean(notebook), []
    if notebook.metadata != clean.metadata:
        faults.append(f"notebook metadata {dict(notebook.metadata)}, run `make sync`")
    if (notebook.nbformat, notebook.nbformat_minor) != (clean.nbformat, clean.nbformat_minor):
        faults.append(f"format {notebook.nbformat}.{notebook.nbformat_minor}, run `make sync`")
    for i, (cell, expected) in enumerate(zip(notebook.cells, clean.cells, strict=True)):
        if cell.get("id") != expected.id or cell.metadata != expected.metadata:
            faults.append(f"cell {i}: id or metadata {dict(cell.metadata)}, run `make sync`")
        if unknown := set(cell.metadata.get("tags", [])) - TAGS:
            faults.append(f"cell {i}: unknown tags {sorted(unknown)}")
    return faults


def class_faults(notebook: NotebookNode) -> list[str]:
    """Faults of cells that define a class in more lines than can be read at once."""
    faults = []
    for cell in code_cells(notebook):
        for node in parse(cell.source).body:
            if isinstance(node, ast.ClassDef):
                hidden = docstring_lines(node)
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                lines = enumerate(cell.source.splitlines(), start=1)
                span = range(first, node.end_lineno + 1)
                n_lines = sum(bool(t.strip()) and i in span and i not in hidden for i, t in lines)
                if n_lines > MAX_CLASS_LINES:
                    faults.append(f"class {node.name}: {n_lines} lines, at most {MAX_CLASS_LINES}")
    return faults


def lab_faults(notebook: NotebookNode, kind: str = "lab", n_checked: int = 5) -> list[str]:
    """Faults of what labs and chapters have: objectives, pictures, checked outputs."""
    faults, prose = [], all_prose(notebook)
    objectives = re.search(rf"\*\*In this {kind}\*\*.*\n\n((?:- .*\n?)+)", prose)
    n_objectives = len(re.findall(r"^- ", objectives[1], re.MULTILINE)) if objectives else 0
    if n_objectives < 3:
        faults.append(f"{n_objectives} objectives after **In this {kind}**, expected 3 or more")
    kinds = [
        kind for cell in code_cells(notebook) for o in cell.outputs for kind in o.get("data", {})
    ]
    if kinds.count("image/png") < 2:
        faults.append(f"{kinds.count('image/png')} pictures, expected 2 or more")
    tags = [tag for cell in code_cells(notebook) for tag in cell.metadata.get("tags", [])]
    n = tags.count("nbval-check-output")
    return faults + [f"{n} checked outputs, expected {n_checked} or more"] * (n < n_checked)


def parts_faults(notebook: NotebookNode) -> list[str]:
    """Faults of a chapter's parts: what a lab has, recall questions, exercises."""
    faults, prose = lab_faults(notebook, "chapter", 10), all_prose(notebook)
    recall = "\n".join(section(prose, "Recall"))
    if recall.count("<details>") < 5 or recall.count("<details>") != recall.count("</details>"):
        faults.append(f"{recall.count('<details>')} recall questions with answers, expected 5 to 8")
    if not 3 <= len(find_exercises(notebook)) <= 5:
        faults.append(f"{len(find_exercises(notebook))} exercises, expected 3 to 5")
    return faults


def exercise_faults(
    notebook: NotebookNode, solution: NotebookNode, checks: ModuleType, number: int
) -> list[str]:
    """Faults of exercises: their parts, their solutions, and their checks in `minillm.checks`."""
    faults, asked, solved = [], find_exercises(notebook), find_exercises(solution)
    for key, cells in asked.items():
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        name = exercises(checks).get(key)
        if not re.search(r"★.*\(\d+ minutes\)", prose.split("\n")[0]):
            faults.append(f"exercise {key}: no stars or minutes in its title")
        if not any(STUB in source or "= ..." in source for source in code):
            faults.append(f"exercise {key}: no stub with {STUB}")
        if name and not any(f"check.{name}({name})" in source for source in code):
            faults.append(f"exercise {key}: no cell with check.{name}({name})")
        if "<details><summary>Hint" not in prose:
            faults.append(f"exercise {key}: no hint in <details>")
        if not key.startswith(f"{number}."):
            faults.append(f"exercise {key} is in chapter {number}")
        answers = [cell for cell in solved.get(key, []) if cell.cell_type == "code"]
        if name and not any(f"check.{name}({name})" in cell.source for cell in answers):
            faults.append(f"exercise {key}: its solution has no cell with check.{name}({name})")
        if name and f"✓ {key} {name}" not in "".join(
            o.get("text", "") for cell in answers for o in cell.outputs
        ):
            faults.append(f"exercise {key}: its solution does not show ✓")
        if any(STUB in cell.source for cell in answers):
            faults.append(f"exercise {key}: its solution is a stub")
    for where, keys in [("the solutions", solved), (checks.__name__, exercises(checks))]:
        if sorted(keys) != sorted(asked):
            faults.append(f"exercises {sorted(asked)} in the chapter, {sorted(keys)} in {where}")
    return faults


def package_faults(
    notebook: NotebookNode, modules: dict[str, str], not_shown: dict[str, str]
) -> list[str]:
    """Faults of `package` cells: definitions that are not as in the modules (name to source).

    A class is compared without its methods in `not_shown`, written as Class.method.
    """
    known, faults = {}, []
    for source in modules.values():
        for name, node in definitions(source):
            if isinstance(node, ast.ClassDef):
                node.body = [inner for n, inner in members(node) if n not in not_shown]
            known.setdefault(name, []).append(bare(node))
    for cell in package_cells(notebook):
        for name, node in definitions(cell.source):
            if name not in known:
                faults.append(f"{name} is in a package cell, and not in {sorted(modules)}")
            elif bare(node) not in known[name]:
                faults.append(f"{name} differs from the one in {sorted(modules)}")
        if not any(True for _ in definitions(cell.source)):
            faults.append(f"a package cell defines nothing: {cell.source[:40]!r}")
    return faults


def shown_faults(
    notebooks: list[NotebookNode], modules: dict[str, str], not_shown: dict[str, str]
) -> list[str]:
    """Faults of coverage: public definitions that no package cell shows and no reason excuses.

    A method needs a reason only if a class is shown without it; then it is written Class.method.
    """
    shown = {
        part
        for notebook in notebooks
        for cell in package_cells(notebook)
        for name, node in definitions(cell.source)
        for part in (name, *method_names(node))
    }
    methods = {
        method
        for source in modules.values()
        for name, node in definitions(source)
        if name in shown
        for method in method_names(node)
    }
    public = {
        name: file
        for file, source in modules.items()
        for name, node in definitions(source)
        if not name.startswith("_") and isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    faults = [
        f"{file}: {name} is not shown by a chapter, and book.yml's not_shown gives no reason"
        for name, file in public.items()
        if name not in shown and not not_shown.get(name)
    ]
    there = public.keys() | methods
    stale = sorted(name for name in not_shown if name in shown or name not in there)
    empty = sorted(name for name in not_shown if name in methods and not not_shown[name])
    faults += [f"not_shown: {name} has no reason" for name in empty]
    return faults + [f"not_shown: {name} is shown, or does not exist" for name in stale]


def trust_faults(notebook: NotebookNode) -> list[str]:
    """A fault if layers are built and hardly compared with those that everybody trusts."""
    compared = [cell for cell in code_cells(notebook) if "assert_close(" in cell.source]
    if len(compared) >= 3:
        return []
    return [f"{len(compared)} comparisons by assert_close, expected 3 or more"]


def order_faults(notebook: NotebookNode, number: int) -> list[str]:
    """Faults of names from the package that a later chapter builds, by their docstrings."""
    faults, modules = [], {}
    used = {}  # what the notebook names, and the object that it is
    for cell in code_cells(notebook):
        for node in ast.walk(parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minillm"):
                for alias in node.names:
                    found = member(importlib.import_module(node.module), alias.name)
                    if isinstance(found, ModuleType):
                        modules[alias.asname or alias.name] = found
                    used[alias.name] = found
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules:
                module = node.value.id
                used[f"{module}.{node.attr}"] = member(modules[module], node.attr)
    for name, found in used.items():
        built = re.search(r"Built in chapter (\d+)\.", getattr(found, "__doc__", None) or "")
        if built and int(built[1]) > number:
            faults.append(f"{name} is used, and built in chapter {built[1]}")
    return faults


def member(module: ModuleType, name: str) -> object:
    """Return what a module holds by that name, a module of its own included."""
    if not hasattr(module, name):
        return importlib.import_module(f"{module.__name__}.{name}")
    return getattr(module, name)


def link_faults(text: str, folder: Path) -> list[str]:
    """Faults of links between files: targets, from `folder`, that don't exist."""
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", text, flags=re.DOTALL)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(
        r"(?:src|href)=\"([^\"]+)", prose
    )
    files = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    return [f"link to {file}: no such file" for file in files if not (folder / file).exists()]


def all_prose(notebook: NotebookNode) -> str:
    """Return the Markdown of a notebook."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def find_exercises(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Return the cells of each exercise by its number, from its heading to the next.

    A heading may stand anywhere in a cell of prose, which is cut there.
    """
    found, current = {}, None
    for cell in notebook.cells:
        is_prose = cell.cell_type == "markdown"
        for part in re.split(r"(?m)^(?=#+ )", cell.source) if is_prose else [cell.source]:
            if is_prose and part.startswith("#"):
                number = re.match(r"#+ (\d+\.\d+) ", part)
                current = number[1] if number else None
            if current and part.strip():
                found.setdefault(current, []).append(NotebookNode({**cell, "source": part}))
    return found


def section(prose: str, title: str) -> Iterator[str]:
    """Yield the lines between a heading of level 2 and the next one."""
    inside = False
    for line in prose.split("\n"):
        if line.startswith("## "):
            inside = line == f"## {title}"
        elif inside:
            yield line


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def package_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in code_cells(notebook) if "package" in c.metadata.get("tags", [])]


def parse(source: str) -> ast.Module:
    """Parse a cell; lines for IPython alone (%magic, !shell) count as blank."""
    return ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))


def definitions(source: str) -> Iterator[tuple[str, ast.stmt]]:
    """Yield (name, node) for the functions, classes and constants at the top level of a source."""
    for node in parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node


def members(node: ast.ClassDef) -> list[tuple[str, ast.stmt]]:
    """Return what stands in a class: (Class.method, node) for methods, ("", node) for the rest."""
    return [
        (f"{node.name}.{inner.name}" if isinstance(inner, ast.FunctionDef) else "", inner)
        for inner in node.body
    ]


def method_names(node: ast.stmt) -> list[str]:
    """Return the methods of a class as Class.method, and nothing for another definition."""
    if not isinstance(node, ast.ClassDef):
        return []
    return [name for name, _ in members(node) if name]


def bare(node: ast.stmt) -> str:
    """Return a definition's syntax tree as text, docstrings dropped."""
    node = ast.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(inner) is not None
        ):
            inner.body = inner.body[1:] or [ast.Pass()]
    return ast.dump(node)


def docstring_lines(node: ast.stmt) -> set[int]:
    """Return the numbers of the lines that the docstrings in a definition take."""
    return {
        line
        for inner in ast.walk(node)
        if isinstance(inner, ast.FunctionDef | ast.ClassDef)
        and ast.get_docstring(inner) is not None
        for line in range(inner.body[0].lineno, inner.body[0].end_lineno + 1)
    }
