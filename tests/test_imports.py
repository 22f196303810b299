"""Imports point one way: who may know whom in `minillm`."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "minillm"
KNOWS = {  # part of the package -> the other parts that it may import
    "text": set(),
    "model": set(),
    "measure": set(),
    "sampling": set(),
    "train": {"text", "model"},
    "generate": {"model", "sampling"},
    "speculative": {"model", "sampling", "generate"},
    "zoo": {"train"},
    "hub": {"text", "model", "train"},
    "adapt": {"text", "model", "train", "measure"},
    "compress": {"text", "model", "train", "measure", "adapt"},
}
# The one exception: these methods import the part that knows their class, when they are called.
LATER = {
    "model/gpt.py": ("GPT", ("from_pretrained", "save_pretrained"), "hub"),
    "model/bert.py": ("BERT", ("from_pretrained", "save_pretrained"), "hub"),
}
ON_TOP = {"checks", "plot", "flags", "cli", "__main__", "__init__"}  # these may know everybody


def imported(tree):
    """The parts of minillm that a syntax tree imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("minillm.")}


def without_later(tree, name, methods, part):
    """A file's tree without the imports of `part` alone in these methods of the class `name`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name in methods:
                    method.body = [n for n in method.body if imported(n) != {part}]
    return tree


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__pycache__"} == KNOWS.keys() | ON_TOP


@pytest.mark.parametrize("part", KNOWS)
def test_a_part_knows_only_what_stands_below_it(part):
    files = [PACKAGE / f"{part}.py", *(PACKAGE / part).rglob("*.py")]
    for path in filter(Path.exists, files):
        tree, name = ast.parse(path.read_text("utf-8")), path.relative_to(PACKAGE).as_posix()
        if name in LATER:
            tree = without_later(tree, *LATER[name])
        wrong = imported(tree) - KNOWS[part] - {part}
        assert not wrong, f"{name} imports {wrong}"


def test_the_exception_is_needed_and_narrow():
    for name, later in LATER.items():
        source = (PACKAGE / name).read_text("utf-8")
        assert imported(ast.parse(source)) - {"model"} == {later[-1]}
        for wrong in (
            f"from minillm import hub\n{source}",
            source.replace("def from_pretrained(", "def from_elsewhere("),
            source.replace("import hub", "import zoo, hub"),
        ):
            assert imported(without_later(ast.parse(wrong), *later)) - {"model"}
