"""How what a learner's function gave differs from what was expected, said in one line.

Holds `difference`, which compares, and `show`, which writes a value short.
But: no verdicts; see `minillm.checks`.
"""

import cmath
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import torch

TOLERANCE = 1e-4


def difference(got: Any, expected: Any, tol: float = TOLERANCE) -> str:
    """Say how a result differs from what was expected; "" where it doesn't.

    >>> difference({"a": 2}, {"a": 2, "b": 1})
    "gave {'a': 2}, which lacks 'b'"

    Built in chapter 1.
    """
    if got is None and expected is not None:
        return "gave None: is a return missing?"
    if isinstance(expected, np.ndarray | torch.Tensor) and expected.ndim:
        return _array_difference(got, expected, tol)
    if isinstance(expected, Number | np.ndarray | torch.Tensor):
        return _number_difference(got, expected, tol)
    if isinstance(got, Mapping) and isinstance(expected, Mapping):
        return _mapping_difference(got, expected, tol)
    if all(isinstance(x, Sequence) and not isinstance(x, str | bytes) for x in (got, expected)):
        return _sequence_difference(got, expected, tol)
    return "" if bool(got == expected) else _gave(got, expected)


def show(value: Any, limit: int = 120) -> str:
    """Return a value as one short line; arrays and tensors with their shape.

    Built in chapter 1.
    """
    if isinstance(value, np.ndarray | torch.Tensor):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        shape = f" of shape {tuple(value.shape)}" if value.ndim else ""
        numbers = _as_array(value)
        numbers = np.round(numbers, 4) if numbers.dtype.kind in "fc" else numbers
        text = f"{kind}{shape} {numbers.tolist()}"
    elif callable(value) and hasattr(value, "__name__"):
        text = f"the function or class {value.__name__}"
    else:
        text = _short(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def _short(value: Any) -> str:
    if type(value) is list:
        return f"[{', '.join(map(_short, value))}]"
    if type(value) is dict:
        return f"{{{', '.join(f'{_short(key)}: {_short(item)}' for key, item in value.items())}}}"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _number_difference(got: Any, expected: Any, tol: float) -> str:
    if not isinstance(got, Number) and getattr(got, "ndim", None) != 0:
        return _gave(got, expected)
    ours, right = (x.item() if hasattr(x, "item") else x for x in (got, expected))
    if ours == right or (ours != ours and right != right):  # or both NaN
        return ""
    relative = 0 if isinstance(right, int) else tol  # ids and counts are exact
    close = cmath.isclose(ours, right, rel_tol=relative, abs_tol=tol)
    return "" if close else _gave(got, expected)


def _as_array(value: np.ndarray | torch.Tensor) -> np.ndarray:
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    return (value.double() if value.is_floating_point() else value).numpy()


def _array_difference(got: Any, expected: Any, tol: float) -> str:
    kind = "tensor" if isinstance(expected, torch.Tensor) else "array"
    if not isinstance(got, torch.Tensor if kind == "tensor" else np.ndarray):
        return f"gave {show(got)}, expected a {kind} of shape {tuple(expected.shape)}"
    if got.shape != expected.shape:
        return f"gave shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    ours, right = _as_array(got), _as_array(expected)
    if ours.dtype.kind not in "biufc":
        return _gave(got, expected)
    if (lost := np.isnan(ours) & ~np.isnan(right)).any():
        return f"gave NaN in {lost.sum()} of {ours.size} places"
    relative = tol if right.dtype.kind in "fc" else 0
    return "" if np.allclose(ours, right, relative, tol, equal_nan=True) else _gave(got, expected)


def _mapping_difference(got: Mapping, expected: Mapping, tol: float) -> str:
    for key in expected:
        if key not in got:
            return f"gave {show(got)}, which lacks {show(key)}"
    for key in got:
        if key not in expected:
            return f"gave {show(got)}, where {show(key)} is too much"
    texts = ((key, difference(got[key], expected[key], tol)) for key in expected)
    return next((f"at {show(key)} {text}" for key, text in texts if text), "")


def _sequence_difference(got: Sequence, expected: Sequence, tol: float) -> str:
    if len(got) != len(expected):
        return f"gave {len(got)} items, expected {len(expected)}: {show(got)}"
    texts = (difference(*pair, tol) for pair in zip(got, expected, strict=True))
    return next((f"at index {i} {text}" for i, text in enumerate(texts) if text), "")


def _gave(got: Any, expected: Any) -> str:
    return f"gave {show(got)}, expected {show(expected)}"
