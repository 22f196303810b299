"""What all exercise checks share: one line of verdict, whatever the learner hands over.

A check is a function named as the exercise, in a module named as the chapter:

    from minillm.checks import exercise, expect, require

    @exercise("1.1")
    def bigram_counts(attempt):
        expect(attempt("aba"), {("a", "b"): 1, ("b", "a"): 1},
               known=[({"a": 2, "b": 1}, "these are counts of single tokens")])

The learner hands over a function, and sees one line; the check returns whether it passed:

    >>> @exercise("0.1")
    ... def double(attempt):
    ...     expect(attempt(3), 6, known=[(9, "that is the square")])
    >>> double(lambda x: 2 * x)
    ✓ 0.1 double
    True
    >>> double(lambda x: x * x)
    ✗ 0.1 double: double(3) gave 9, expected 6: that is the square
    False

A stub ends in a bare `raise NotImplementedError` (torch's own come with a message), or is `...`
where an exercise asks for a value: `expect(attempt.candidate, 6)`. What the learner's function
prints is swallowed; what it raises, SystemExit and the interrupt of an endless loop too, becomes
the diagnosis. A function that changes a list, dict, set, array or tensor handed to it fails.
But: no time limit; an endless loop is stopped by hand, with the kernel's interrupt.
"""

import contextlib
import copy
import functools
import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from minillm.checks.compare import TOLERANCE, difference, show

__all__ = ["Attempt", "Fault", "difference", "exercise", "exercises", "expect", "require", "show"]


class Fault(Exception):
    """Why an attempt fails. Raised by `expect` and `require`; only what `exercise` wraps sees it.

    text: goes on after `what`, as in "gave 9, expected 6". what: the learner's last call if empty.

    Built in chapter 1.
    """

    def __init__(self, text: str, what: str = ""):
        super().__init__(text)
        self.what = what


def exercise(number: str) -> Callable:
    """Turn a function of an `Attempt` into a check of exercise `number`, named as the function.

    The check takes what the learner made, prints one line, returns a bool, and never raises.

    Built in chapter 1.
    """

    def decorate(body: Callable[["Attempt"], None]) -> Callable[[Any], bool]:
        @functools.wraps(body)
        def check(candidate: Any) -> bool:
            attempt = Attempt(candidate, body.__name__)
            quiet = io.StringIO()
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                mark, text = _verdict(body, attempt)
            _print_line(f"{mark} {number} {body.__name__}{text}")
            return mark == "✓"

        check.number = number
        return check

    return decorate


def exercises(module: ModuleType) -> dict[str, str]:
    """Return the checks of a chapter's module, exercise number to name, in order of writing.

    Built in chapter 1.
    """
    numbers = ((getattr(item, "number", None), name) for name, item in vars(module).items())
    return {number: name for number, name in numbers if isinstance(number, str)}


def expect(got: Any, expected: Any, what: str = "", known: Sequence = (), tol: float = TOLERANCE):
    """Raise Fault unless `got` equals `expected`: numbers, tensors, containers of them, anything.

    what: what gave it; the learner's last call when left out. known: (wrong result, likely cause)
    pairs; the wrong result is a value, or a function that tells whether `got` is of that kind.
    tol: how far numbers may be off, relative and absolute.

    Built in chapter 1.
    """
    text = difference(got, expected, tol)
    if text:
        causes = [cause for wrong, cause in known if _is_known(got, wrong, tol)][:1]
        raise Fault(": ".join([text, *causes]), what)


def require(condition: Any, text: str) -> None:
    """Raise Fault(text) unless all is well; for properties: "gave rows that sum to 5, expected 1".

    Built in chapter 1.
    """
    if not condition:
        raise Fault(text)


class Attempt:
    """What the learner handed over, as a check sees it: call it, or read `candidate`.

    A call that raises, or that changes what it was given, is a Fault that names the call.

    Built in chapter 1.
    """

    def __init__(self, candidate: Any, name: str):
        self.candidate, self.name, self.call = candidate, name, ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not callable(self.candidate):
            hint = "hand over the function itself, without calling it"
            raise Fault(f"got {show(self.candidate)}, expected a function: {hint}")
        shown = [show(x, 60) for x in args] + [f"{k}={show(x, 60)}" for k, x in kwargs.items()]
        self.call = f"{self.name}({', '.join(shown)})"
        given = {**dict(enumerate(args, 1)), **kwargs}
        before = {key: _snapshot(value) for key, value in given.items()}
        result = self.candidate(*args, **kwargs)
        for key, value in before.items():
            if difference(given[key], value, tol=0):
                raise Fault(f"changed its argument {key}: work on a copy")
        return result


def _snapshot(value: Any) -> Any:
    if isinstance(value, np.ndarray | torch.Tensor):
        return copy.deepcopy(value)
    if isinstance(value, Mapping):
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_snapshot(item) for item in value]
    return set(value) if isinstance(value, set) else value


def _verdict(body: Callable, attempt: Attempt) -> tuple[str, str]:
    if attempt.candidate is ...:
        return "·", ": not attempted yet"
    try:
        body(attempt)
    except BaseException as error:  # a learner's function may raise anything
        if isinstance(error, NotImplementedError) and not error.args:
            return "·", ": not attempted yet"
        try:
            return "✗", ": " + _diagnosis(error, attempt)
        except BaseException:  # its text too may raise
            return "✗", f": raised {type(error).__name__}"
    return "✓", ""


def _diagnosis(error: BaseException, attempt: Attempt) -> str:
    if isinstance(error, Fault):
        return f"{error.what or attempt.call} {error}".strip()
    line = _line_of(error, attempt.candidate)
    if isinstance(error, KeyboardInterrupt):
        text = "was interrupted: does a loop never end?"
    elif isinstance(error, SystemExit):
        text = "called exit(): return a value instead"
    elif isinstance(error, RecursionError) and line:
        text = "called itself without end: RecursionError"
    elif line or _is_inside_call(error):
        text = f"raised {type(error).__name__}: {error}".removesuffix(": ")
    else:
        text = f"gave what the check can't use ({type(error).__name__}: {error})"
    return f"{attempt.call or attempt.name} {text}{line}"


def _line_of(error: BaseException, candidate: Any) -> str:
    parts = vars(candidate).values() if isinstance(candidate, type) else [candidate]
    codes = [part.__code__ for part in parts if hasattr(part, "__code__")]
    text = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code in codes:
            text = f" (line {line - frame.f_code.co_firstlineno + 1} of {frame.f_code.co_name})"
    return text


def _is_inside_call(error: BaseException) -> bool:
    code = Attempt.__call__.__code__
    return any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))


def _is_known(got: Any, wrong: Any, tol: float) -> bool:
    try:
        return bool(wrong(got)) if callable(wrong) else not difference(got, wrong, tol)
    except Exception:  # a test for one mistake may not fit another
        return False


def _print_line(line: str) -> None:
    line = " ".join(line.split())
    line = line if len(line) <= 600 else line[:596] + " ..."
    try:
        print(line)
    except UnicodeEncodeError:  # a console that knows no ✓
        print(line.encode("ascii", "replace").decode())
