"""Checks of the exercises of chapter 8, Generation."""

import math

import torch

from minillm.checks import exercise, expect, require
from minillm.model.attention import attention


def _normal(probs):
    return probs / probs.sum(dim=-1, keepdim=True)


@exercise("8.1")
def min_p_filter(attempt):
    """Tokens below a share of the likeliest one are dropped."""
    row = torch.tensor([0.4, 0.3, 0.16, 0.1, 0.04])
    rows = torch.tensor([[0.4, 0.3, 0.16, 0.1, 0.04], [0.05, 0.9, 0.05, 0.0, 0.0]])
    even = torch.tensor([0.4, 0.2, 0.2, 0.2])
    for probs, min_p in ((row, 0.3), (rows, 0.15), (even, 0.5), (row, 0.0), (row, 1.0)):
        best = probs.amax(dim=-1, keepdim=True)
        kept = probs.masked_fill(probs < min_p * best, 0.0)
        whole = probs.masked_fill(probs < min_p * probs.max(), 0.0)
        known = [
            (kept, "what is left must sum to one again: divide by the sum"),
            (
                lambda got, whole=whole: bool(torch.allclose(got, _normal(whole))),
                "the largest of each row, not of the whole tensor",
            ),
            (
                _normal(probs.masked_fill(probs < min_p, 0.0)),
                "min_p is a share of the largest probability, not a probability",
            ),
            (
                probs.masked_fill(probs < min_p, 0.0),
                "min_p is a share of the largest probability, not a probability",
            ),
            (
                _normal(probs.masked_fill(probs <= min_p * best, 0.0)),
                "a token exactly at the line stays: drop what is below it",
            ),
            (
                _normal(probs.masked_fill(probs >= min_p * best, 0.0)),
                "that drops the likely tokens and keeps the tail",
            ),
            (
                kept / kept.sum(),
                "each row must sum to one: sum along the last dimension, with keepdim",
            ),
            (
                lambda got, shape=probs.shape: got.shape != shape,
                "set what is dropped to zero, and leave it in its place",
            ),
            (kept.softmax(dim=-1), "these are probabilities already: divide, no softmax"),
        ]
        expect(attempt(probs.clone(), min_p), _normal(kept), known=known)


@exercise("8.2")
def cached_step(attempt):
    """One token's query against all keys, its own included."""
    generator = torch.Generator().manual_seed(8)
    for T, D in ((5, 8), (3, 2), (0, 4)):
        keys, values = torch.randn(2, T, D, generator=generator)
        q, k, v = torch.randn(3, D, generator=generator)
        got = attempt(q, k, v, keys, values)
        require(
            isinstance(got, tuple | list) and len(got) == 3,
            "should return three tensors: what is read, the keys, the values",
        )
        what = f"cached_step with {T} tokens in the cache, D = {D}:"
        all_keys, all_values = torch.cat((keys, k[None])), torch.cat((values, v[None]))
        for name, part, right, old, new in (
            ("keys", got[1], all_keys, keys, k),
            ("values", got[2], all_values, values, v),
        ):
            known = [(torch.cat((new[None], old)), "the new token comes last, not first")]
            shape = getattr(part, "shape", None)
            require(
                T == 0 or shape != old.shape,
                f"gave {T} {name}, expected {T + 1}: return the new ones too",
            )
            expect(part, right, f"{what} the {name}", known)
        known = [
            (
                _read(q, all_keys, all_values, scale=1.0),
                "the scale is missing: divide the scores by the root of D",
            ),
            (
                _read(q, all_keys, all_values, scale=1 / D),
                "divide the scores by the root of D, not by D",
            ),
            (
                _read(q, all_keys, all_values, scale=1 / math.sqrt(T + 1)),
                "the scale is the root of the width D, not of the number of tokens",
            ),
            (
                _read(q, all_keys, all_values, scale=1.0, after=1 / math.sqrt(D)),
                "divide the scores by the root of D before the softmax, not the weights after it",
            ),
            (lambda got: got.ndim == 2, "what is read is a vector (D,): take [0] of it"),
            (
                lambda got, n=T + 1: got.shape == (n,),
                "these are the weights: multiply them with the values",
            ),
        ]
        if T:
            known.append(
                (
                    _read(q, keys, values, scale=1 / math.sqrt(D)),
                    "a token reads itself too: append before you read",
                )
            )
        expect(got[0], attention(q[None], all_keys, all_values)[0], f"{what} what is read", known)


def _read(q, keys, values, scale, after=1.0):
    return (q @ keys.T * scale).softmax(dim=-1) * after @ values


def _banned(ids, n, skipped=0):
    places = range(len(ids) - n + 1 - skipped)
    return {ids[i + n - 1] for i in places if ids[i : i + n - 1] == ids[len(ids) - n + 1 :]}


@exercise("8.3")
def banned(attempt):
    """Next tokens that would complete an n-gram that stands in the text."""
    cases = [([7, 8, 9, 7, 9, 7], 3), ([1, 2, 1, 3, 1], 2), ([1, 2, 3, 1, 2], 3), ([4, 4, 4], 2),
             ([5, 6, 5], 1), ([1, 2, 3], 5), ([], 2), ([3], 2), ([4, 4], 2),
             ([5, 6], 1)]  # fmt: skip
    for ids, n in cases:
        right = _banned(ids, n)
        got = attempt(list(ids), n)
        require(
            isinstance(got, set | frozenset),
            f"gave {got!r}, expected a set: start from set() and add to it",
        )
        known = [
            (
                set(ids),
                "only what followed an earlier place with the same last n - 1 ids is banned",
            ),
            (_banned(ids, n + 1), "compares n ids: the beginning of an n-gram is n - 1 long"),
        ]
        if n > 1:
            known.append((_banned(ids, n - 1), "compares n - 2 ids: the last n - 1 must agree"))
        if n == 1:
            known = [(set(), "with n = 1 every id of the text is banned: ids[-0:] is the whole")]
        stopped = "stops one place early: the last n ids of the text are an n-gram too"
        known.insert(0, (_banned(ids, n, skipped=1), stopped))
        last = [i for i in range(len(ids) - n, -1, -1) if ids[i : i + n - 1] == ids[1 - n :]]
        if n > 1 and len(right) > 1:
            known.append(
                (
                    lambda got, right=right: len(got) < len(right) and got <= right,
                    "only one earlier place was looked at; take all of them",
                )
            )
        if last and not right <= {ids[-1]}:
            known.append(({ids[-1]}, "that is the last id itself; take the id that followed"))
        expect(sorted(got), sorted(right), known=[_as_list(pair) for pair in known])


def _as_list(pair):
    wrong, why = pair
    if callable(wrong):
        return (lambda got: wrong(set(got))), why
    return sorted(wrong), why


def _look_up(ids, n, k, first=False):
    places = range(len(ids) - n)
    for i in places if first else reversed(places):
        if ids[i : i + n] == ids[len(ids) - n :]:
            return ids[i + n : i + n + k]
    return []


@exercise("8.4")
def look_up_draft(attempt):
    """What followed the latest earlier place of the last n tokens."""
    cases = [([1, 2, 3, 4, 1, 2], 2, 2), ([1, 2, 3, 9, 1, 2, 7, 8, 5, 1, 2], 2, 3),
             ([6, 6, 6], 1, 4), ([1, 2, 3], 1, 2), ([5, 1, 5], 2, 3), ([4], 1, 2),
             ([7, 8, 7, 8, 7], 2, 5), ([6, 6, 6], 2, 4)]  # fmt: skip
    for ids, n, k in cases:
        right = _look_up(ids, n, k)
        got = attempt(list(ids), n, k)
        require(got is not None, "gave None: return [] where there is no earlier place")
        at = next((i for i in range(len(ids) - n - 1, -1, -1) if ids[i : i + n] == ids[-n:]), None)
        known = [
            (_look_up(ids, n, k, first=True), "that is the first place; take the latest"),
            (_look_up(ids, n, len(ids)), "too many: at most k"),
            (_look_up(ids, n, 1), "only one id: up to k that followed"),
        ]
        if at is None:
            known = [
                (ids[-k:], "there is no earlier place: propose nothing, []"),
                (bool, f"there is no earlier place of all {n} ids: propose nothing, []"),
            ]
        else:
            known.append((ids[at : at + k], "begins with the n ids themselves; go on behind them"))
            if at + n > len(ids) - n:
                known.append(([], "the earlier place may overlap with the end of the text"))
            behind = f"they stand earlier at place {at}, and what follows begins at {at + n}"
            known.append(([], f"{behind}; leave out the end of the text itself"))
        expect(got, right, known=known)
