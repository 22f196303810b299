"""For every test, notebooks too: one thread each; labs only where what they read is at hand.

Two kernels with two threads each, on two cores, wait for each other and take ten times as long.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "scripts"))
import book

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the cells of labs that can't run, and says why."""
    labs = [chapter for chapter in book.load_chapters() if book.is_lab(chapter)]
    reasons = {lab["slug"]: book.lacking(lab, os.environ) for lab in labs}
    for item in items:
        if item.path.suffix == ".ipynb" and reasons.get(item.path.stem):
            item.add_marker(pytest.mark.skip(reason=f"{item.path.stem} {reasons[item.path.stem]}"))
