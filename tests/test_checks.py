"""The machinery of exercise checks: one line, a bool, and never an exception, whatever comes."""

import doctest
import math
import sys
import types
import warnings
from collections import Counter, OrderedDict
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm import checks
from minillm.checks import Attempt, Fault, difference, exercise, exercises, expect, require, show
from minillm.checks import compare as compare_module


@exercise("9.1")
def total(attempt):
    expect(
        attempt([1, 2, 3]),
        6,
        known=[
            (3, "that is the number of items"),
            (lambda got: got < 0, "a sum of positives is positive"),
        ],
    )
    require(attempt([]) == 0, "gave no zero for an empty list")


@exercise("9.2")
def softmax(attempt):
    x = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
    expect(
        attempt(x),
        x.softmax(-1),
        known=[(x.softmax(0), "softmax over the wrong axis?"), (x.exp(), "not divided by the sum")],
    )


@exercise("9.3")
def answer(attempt):
    expect(attempt.candidate, 42.0, known=[(24, "digits swapped")])


@exercise("9.4")
def Stack(attempt):
    stack = attempt()
    stack.push(1)
    expect(stack.pop(), 1, what="pop() after push(1)")


TOTAL = "✗ 9.1 total: total([1, 2, 3]) "
SOFTMAX = "✗ 9.2 softmax: softmax(tensor of shape (2, 2) [[0.0, 1.0], [2.0, 2.0]]) "


def line(check, candidate, capsys):
    passed = check(candidate)
    out, err = capsys.readouterr()
    assert err == "" and out.endswith("\n") and out.count("\n") == 1
    assert type(passed) is bool and passed == out.startswith("✓")
    return out.rstrip("\n")


class Evil:
    """Nothing about it works."""

    def __getattribute__(self, name):
        raise ValueError("evil")

    __repr__ = __eq__ = __len__ = __iter__ = __bool__ = None
    __hash__ = None


class EvilError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Abort(BaseException):
    pass


def stub(*args):
    raise NotImplementedError


def raising(error):
    def learner(*args):
        raise error

    return learner


def forever(x):
    return forever(x)


def chatty(items):
    print("debugging", items)
    print("oh", file=sys.stderr)
    warnings.warn("careful", stacklevel=1)
    return sum(items)


def greedy(items):
    result = 0
    while items:
        result += items.pop()
    return result


def test_docstring_examples():
    for module in (checks, compare_module):
        results = doctest.testmod(module)
        assert results.attempted and not results.failed


@pytest.mark.filterwarnings("ignore:careful")
@pytest.mark.parametrize(
    ("check", "candidate", "verdict"),
    [
        (total, sum, "✓ 9.1 total"),
        (total, chatty, "✓ 9.1 total"),
        (total, stub, "· 9.1 total: not attempted yet"),
        (total, ..., "· 9.1 total: not attempted yet"),
        (
            total,
            len,
            TOTAL + "gave 3, expected 6: that is the number of items",
        ),
        (
            total,
            lambda items: -sum(items),
            TOTAL + "gave -6, expected 6: a sum of positives is positive",
        ),
        (
            total,
            max,
            TOTAL + "gave 3, expected 6: that is the number of items",
        ),
        (total, lambda items: 7, TOTAL + "gave 7, expected 6"),
        (total, lambda items: 6, "✗ 9.1 total: total([]) gave no zero for an empty list"),
        (total, print, TOTAL + "gave None: is a return missing?"),
        (total, lambda items: "6", TOTAL + "gave '6', expected 6"),
        (total, lambda items: math.nan, TOTAL + "gave nan, expected 6"),
        (total, greedy, TOTAL + "changed its argument 1: work on a copy"),
        (
            total,
            6,
            "✗ 9.1 total: got 6, expected a function: "
            "hand over the function itself, without calling it",
        ),
        (
            total,
            raising(ValueError("two\nlines")),
            TOTAL + "raised ValueError: two lines (line 2 of learner)",
        ),
        (
            total,
            raising(KeyError()),
            TOTAL + "raised KeyError (line 2 of learner)",
        ),
        (total, raising(EvilError()), "✗ 9.1 total: raised EvilError"),
        (
            total,
            raising(NotImplementedError("'Long'")),
            TOTAL + "raised NotImplementedError: 'Long' (line 2 of learner)",
        ),
        (
            total,
            raising(SystemExit(3)),
            TOTAL + "called exit(): return a value instead (line 2 of learner)",
        ),
        (
            total,
            raising(KeyboardInterrupt()),
            TOTAL + "was interrupted: does a loop never end? (line 2 of learner)",
        ),
        (
            total,
            raising(Abort("x")),
            TOTAL + "raised Abort: x (line 2 of learner)",
        ),
        (
            total,
            forever,
            TOTAL + "called itself without end: RecursionError (line 2 of forever)",
        ),
        (
            total,
            lambda: 6,
            TOTAL + "raised TypeError: <lambda>() takes 0 positional arguments but 1 was given",
        ),
        (softmax, lambda x: x.softmax(-1), "✓ 9.2 softmax"),
        (
            softmax,
            lambda x: x.softmax(-1).mT,
            SOFTMAX + "gave tensor of shape "
            "(2, 2) [[0.2689, 0.5], [0.7311, 0.5]], expected tensor of shape (2, 2) "
            "[[0.2689, 0.7311], [0.5, 0.5]]",
        ),
        (
            softmax,
            lambda x: x[0].softmax(-1),
            SOFTMAX + "gave shape (2,), expected (2, 2)",
        ),
        (
            softmax,
            lambda x: x / 0,
            SOFTMAX + "gave NaN in 1 of 4 places",
        ),
        (
            softmax,
            lambda x: x.exp_(),
            SOFTMAX + "changed its argument 1: work on a copy",
        ),
        (
            softmax,
            lambda x: x.softmax(-1).tolist(),
            SOFTMAX + "gave [[0.268941, 0.731059], [0.5, 0.5]], expected a tensor of shape (2, 2)",
        ),
        (answer, 42, "✓ 9.3 answer"),
        (answer, 24, "✗ 9.3 answer: gave 24, expected 42: digits swapped"),
        (answer, ..., "· 9.3 answer: not attempted yet"),
        (answer, sum, "✗ 9.3 answer: gave the function or class sum, expected 42"),
        (
            Stack,
            list,
            "✗ 9.4 Stack: Stack() gave what the check can't use "
            "(AttributeError: 'list' object has no attribute 'push')",
        ),
    ],
)
def test_verdicts(check, candidate, verdict, capsys):
    assert line(check, candidate, capsys) == verdict


def test_axis_mistake_is_named(capsys):
    assert line(softmax, lambda x: x.softmax(0), capsys).endswith(": softmax over the wrong axis?")
    assert line(softmax, lambda x: x.exp(), capsys).endswith(": not divided by the sum")


def test_classes(capsys):
    class Stack1:
        def __init__(self):
            self.items = []

        def push(self, item):
            self.items.append(item)

        def pop(self):
            return self.items.pop()

    class Stack2(Stack1):
        def pop(self):
            return self.items

    class Stack3(Stack1):
        def pop(self):
            return self.missing

    class Stack4(Stack1):
        def pop(self):
            raise NotImplementedError

    assert line(Stack, Stack1, capsys) == "✓ 9.4 Stack"
    assert line(Stack, Stack2, capsys) == "✗ 9.4 Stack: pop() after push(1) gave [1], expected 1"
    assert line(Stack, Stack3, capsys).endswith("no attribute 'missing' (line 2 of pop)")
    assert line(Stack, Stack4, capsys) == "· 9.4 Stack: not attempted yet"


THINGS = [
    None,
    0,
    math.nan,
    "text",
    [],
    {},
    object(),
    Evil(),
    Evil,
    ValueError,
    torch.zeros(3),
    torch.zeros(2, 2, dtype=torch.bfloat16),
    torch.tensor([[1j, 0], [0, 0]]),
    torch.zeros(2, 2, device="meta"),
    np.array(["a", None], dtype=object),
    (i for i in range(3)),
    torch.nn.Linear(2, 2),
    10**400,
]


@pytest.mark.parametrize("check", [total, softmax, answer, Stack])
@pytest.mark.parametrize("i", range(len(THINGS)))
def test_no_thing_and_no_result_makes_a_check_raise(check, i, capsys):
    assert line(check, THINGS[i], capsys).startswith("✗")
    assert line(check, lambda *args: THINGS[i], capsys).startswith("✗")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_every_value_equals_itself_and_shows_on_one_short_line(value):
    assert difference(value, value) == ""
    assert len(show(value)) <= 120 and len(show(value).splitlines()) <= 1


@pytest.mark.parametrize(
    ("got", "expected", "text"),
    [
        (1.00001, 1.0, ""),
        (1.001, 1.0, "gave 1.001, expected 1"),
        (torch.tensor(2.0), 2, ""),
        (np.float32(2), 2.0, ""),
        (torch.tensor([2.0]), 2, "gave tensor of shape (1,) [2.0], expected 2"),
        (math.inf, math.inf, ""),
        (math.nan, math.nan, ""),
        (50256, 50257, "gave 50256, expected 50257"),  # near enough for a float, not for an id
        (10**400, 10**400, ""),
        (2.0, torch.tensor(2.0), ""),
        (
            np.array(["a"], dtype=object),
            np.ones(1),
            "gave array of shape (1,) ['a'], expected array of shape (1,) [1.0]",
        ),
        (
            torch.tensor([50256]),
            torch.tensor([50257]),
            "gave tensor of shape (1,) [50256], expected tensor of shape (1,) [50257]",
        ),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), ""),
        (
            torch.tensor([True, False]),
            torch.tensor([False, True]),
            "gave tensor of shape (2,) [True, False], expected tensor of shape (2,) [False, True]",
        ),
        (
            np.ones(2),
            torch.ones(2),
            "gave array of shape (2,) [1.0, 1.0], expected a tensor of shape (2,)",
        ),
        (torch.tensor([1.0, math.inf]), torch.tensor([1.0, math.inf]), ""),
        (torch.tensor([math.nan]), torch.tensor([math.nan]), ""),
        (torch.tensor([math.nan, 1]), torch.tensor([0.0, 1]), "gave NaN in 1 of 2 places"),
        (torch.ones(2, requires_grad=True), torch.ones(2), ""),
        (Counter("aab"), {"a": 2, "b": 1}, ""),
        ({"a": 2}, Counter("aab"), "gave {'a': 2}, which lacks 'b'"),
        ({"a": 1, "z": 0}, {"a": 1}, "gave {'a': 1, 'z': 0}, where 'z' is too much"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "at 'a' at 'b' gave 1, expected 2"),
        (OrderedDict(a=1.0), {"a": 1.0000001}, ""),
        ([1, 2], (1, 2), ""),
        ([1, 2], [1, 3], "at index 1 gave 2, expected 3"),
        ([1], [1, 3], "gave 1 items, expected 2: [1]"),
        ([None], [1], "at index 0 gave None: is a return missing?"),
        ({1, 2}, {2, 1}, ""),
        ("ab", ["a", "b"], "gave 'ab', expected ['a', 'b']"),
        (None, None, ""),
        (iter([]), [], None),
    ],
)
def test_differences(got, expected, text):
    found = difference(got, expected)
    assert found == text if text is not None else found.startswith("gave <list_iterator")


def test_arguments_that_are_meant_to_change_may(capsys):
    @exercise("9.5")
    def draw(attempt):
        model = torch.nn.Linear(1, 1)
        expect(attempt(Random(0), model, [model], scale=1), Random(0).random())
        require(model.weight.item() == 0, "gave the weight another value than 0")

    def learner(rng, model, models, scale):
        torch.nn.init.zeros_(model.weight)
        return scale * rng.random()

    assert line(draw, learner, capsys) == "✓ 9.5 draw"


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ({"a": [1]}, lambda x: x["a"].append(2)),
        ([torch.zeros(2)], lambda x: x[0].add_(1)),
        ({1, 2}, lambda x: x.discard(1)),
        (np.zeros(2), lambda x: x.fill(1)),
        ((1, [2]), lambda x: x[1].clear()),
    ],
)
def test_changed_arguments_are_seen(argument, change):
    with pytest.raises(Fault, match="changed its argument x"):
        Attempt(lambda x: change(x), "change")(x=argument)


def test_a_long_diagnosis_is_cut(capsys):
    assert len(line(total, raising(ValueError("long " * 1000)), capsys)) <= 600


def test_consoles_without_the_signs(monkeypatch):
    class Ascii:
        text = ""

        def write(self, text):
            self.text += text.encode("ascii").decode()

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", console := Ascii())
    assert total(sum) is True
    assert console.text == "? 9.1 total\n"


def test_exercises_lists_the_checks_of_a_module():
    module = types.ModuleType("chapter")
    module.np, module.total, module.softmax, module.expect = np, total, softmax, expect
    assert exercises(module) == {"9.1": "total", "9.2": "softmax"}
