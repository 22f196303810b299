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
    "adapt": {"text", "model", "train", "measure"},
    "compress": {"text", "model", "train", "measure", "adapt"},
}
ON_TOP = {"checks", "plot", "flags", "cli", "cli_adapt", "__main__", "__init__"}  # these may know everybody


def imported(source):
    """The parts of minillm that a source file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("minillm.")}


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__pycache__"} == KNOWS.keys() | ON_TOP


@pytest.mark.parametrize("part", KNOWS)
def test_a_part_knows_only_what_stands_below_it(part):
    files = [PACKAGE / f"{part}.py", *(PACKAGE / part).rglob("*.py")]
    for path in filter(Path.exists, files):
        wrong = imported(path.read_text("utf-8")) - KNOWS[part] - {part}
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}"
