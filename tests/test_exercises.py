"""Every exercise of the book: its stub is not attempted, and the book's own solution passes."""

import importlib

import pytest
from bookcheck import ROOT, book
from exercisecheck import solutions

from minillm.checks import exercises


def each_exercise():
    """(slug, check) of every exercise in the chapters that are written."""
    for chapter in book.load_chapters(ROOT):
        if chapter["status"] == "written" and not book.is_lab(chapter):
            module = importlib.import_module(f"minillm.checks.{chapter['slug'][3:]}")
            for key, name in exercises(module).items():
                yield pytest.param(chapter["slug"], getattr(module, name), id=f"{key} {name}")


EACH = pytest.mark.parametrize(("slug", "check"), list(each_exercise()))


@EACH
def test_a_stub_is_not_attempted(slug, check, capsys):
    def stub(*_, **__):
        raise NotImplementedError

    assert not check(stub)
    assert capsys.readouterr().out.startswith("·")


@EACH
def test_the_solution_passes(slug, check, capsys):
    assert check(solutions(slug)[check.__name__])
    assert capsys.readouterr().out.startswith("✓")
