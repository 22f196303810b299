"""What the tests of all exercise checks share: the book's solutions, and what a diagnosis is."""

import ast
import functools
from collections.abc import Callable
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def solutions(slug: str) -> dict:
    """The functions that a chapter's solutions define for its exercises."""
    text = (ROOT / "solutions" / f"{slug}.md").read_text(encoding="utf-8")
    names: dict = {}
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if cell.cell_type == "code":
            source, ends_in_check, _ = cell.source.partition("\n\n\ncheck.")
            tree = ast.parse(source)
            if not ends_in_check:  # an experiment: of that only what it imports
                tree.body = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
            exec(compile(tree, slug, "exec"), names)
    return names


def assert_diagnosed(check: Callable, wrong: object, diagnosis: str, capsys) -> None:
    """A check fails a wrong answer, in one line that holds the diagnosis."""
    assert not check(wrong)
    line = capsys.readouterr().out
    assert line.startswith("✗") and diagnosis in line and line.count("\n") == 1, line
