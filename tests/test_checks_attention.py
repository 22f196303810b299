"""Chapter 3's exercise checks: the mistakes that learners make, each with its diagnosis."""

import math

import pytest
import torch
import torch.nn.functional as F
from exercisecheck import assert_diagnosed

from minillm.checks import attention as check
from minillm.checks import exercises

NAMES = list(exercises(check).values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nonsense", [3, None, "text", lambda *_: None, lambda *_: torch.zeros(1)])
def test_nonsense_fails_in_one_line(name, nonsense, capsys):
    assert not getattr(check, name)(nonsense)
    line = capsys.readouterr().out
    assert line.startswith("✗") and line.count("\n") == 1


def tril(q, diagonal=0):
    return torch.ones(len(q), len(q)).tril(diagonal).bool()


def masked(q, k, may_read, filling=-math.inf, scale=None, axis=-1):
    scores = q @ k.T / (scale or math.sqrt(q.shape[-1]))
    return scores.masked_fill(~may_read, filling).softmax(dim=axis)


def plain(q, k):
    return (q @ k.T / math.sqrt(q.shape[-1])).softmax(dim=-1)


def renormalised(q, k):
    weights = plain(q, k) * tril(q)
    return weights / weights.sum(dim=-1, keepdim=True)


def multiplied_scores(q, k):
    return (q @ k.T / math.sqrt(q.shape[-1]) * tril(q)).softmax(dim=-1)


def infinity_times_zero(q, k):
    return (q @ k.T + (1 - tril(q).float()) * -math.inf).softmax(dim=-1)


def by_hand(q, k, keepdim=True, divide=True):
    grown = (q @ k.T / math.sqrt(q.shape[-1])).masked_fill(~tril(q), -math.inf).exp()
    return grown / grown.sum(dim=-1, keepdim=keepdim) if divide else grown


def even_rows(q, k):
    return tril(q) / tril(q).sum(dim=-1, keepdim=True)


def in_place(q, k):
    q /= math.sqrt(q.shape[-1])
    return q @ k.T


SCORES = [
    (lambda q, k: q @ k.transpose(-2, -1), "divide by the square root of D"),
    (lambda q, k: q @ k.transpose(-2, -1) / q.shape[-1], "divided by D"),
    (lambda q, k: q @ k.T / math.sqrt(q.shape[-1]), "turns all axes round"),
    (lambda q, k: k @ q.transpose(-2, -1) / math.sqrt(q.shape[-1]), "gave shape (3, 2)"),
    (lambda q, k: F.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1), "before the softmax"),
    (lambda q, k: q @ k.mT / math.sqrt(k.shape[-2]), "the number of keys"),
    (lambda q, k: q @ k.mT / math.sqrt(q.shape[-2]), "of the queries"),
    (lambda q, k: q @ k.mT / q.shape[-1] ** 1 / 2, "write D ** 0.5"),
    (lambda q, k: q @ k.mT / (q.shape[-1] ** 1 / 2), "write D ** 0.5"),
    (lambda q, k: q @ k / math.sqrt(q.shape[-1]), "transpose k"),
    (in_place, "changed its argument"),
]
CAUSAL = [
    (lambda q, k: masked(q, k, tril(q).T), "transposed"),
    (lambda q, k: masked(q, k, ~tril(q)), "inverted"),
    (lambda q, k: masked(q, k, tril(q, -1)), "strict triangle"),
    (lambda q, k: masked(q, k, tril(q, -1), -1e9), "strict triangle"),
    (lambda q, k: plain(q, k) * tril(q), "masked after the softmax"),
    (lambda q, k: plain(q, k) * tril(q).T, "masked after the softmax"),
    (renormalised, "mask before the softmax"),
    (lambda q, k: masked(q, k, tril(q), axis=0), "softmax over the wrong axis?"),
    (lambda q, k: masked(q, k, tril(q).T, axis=0), "softmax over the wrong axis"),
    (lambda q, k: masked(q, k, tril(q), scale=1.0), "the scale is missing"),
    (lambda q, k: masked(q, k, tril(q), scale=q.shape[-1]), "divided by D"),
    (lambda q, k: masked(q, k, tril(q), 0.0), "e^0 = 1"),
    (multiplied_scores, "e^0 = 1"),
    (plain, "nothing is masked"),
    (lambda q, k: (q @ k.T / math.sqrt(q.shape[-1])).masked_fill(~tril(q), -math.inf), "softmax"),
    (lambda q, k: masked(k, q, tril(q)), "exchanged"),
    (lambda q, k: masked(q, k, tril(q, 1)), "the future has a weight"),
    (lambda q, k: plain(q, k) * 2, "rows sum to 2.00"),
    (even_rows, "expected"),
    (lambda q, k: masked(q, k, torch.ones(len(q), len(q)).tril()), ".bool()"),
    (lambda q, k: plain(q, k).masked_fill(torch.ones(3, 3).triu(1), 0.0), ".bool()"),
    (lambda q, k: masked(q, k, torch.ones(7, 7).tril().bool()), "both be (3, 3)"),
    (lambda q, k: (q @ k.T).softmax(dim=-1) * tril(q), "mask the scores before"),
    (lambda q, k: (q @ k.T * tril(q)).softmax(dim=-1), "and the scale is missing"),
    (lambda q, k: masked(q, k, tril(q), scale=1) / math.sqrt(len(q[0])), "not the weights"),
    (lambda q, k: plain(q, k).masked_fill(~tril(q), -math.inf), "belongs before the softmax"),
    (lambda q, k: masked(q, k, tril(q), -10.0), "only minus infinity"),
    (lambda q, k: masked(q, k, tril(q), math.inf), "masked_fill with minus infinity"),
    (infinity_times_zero, "infinity times 0 is NaN"),
    (lambda q, k: tril(q), "the mask alone"),
    (by_hand, "highest score of a row first"),
    (lambda q, k: by_hand(q, k, keepdim=False), "keepdim=True"),
    (lambda q, k: by_hand(q, k, divide=False), "divide each row by its sum"),
]
PADDING = [
    (lambda lengths, T: (torch.arange(T) >= lengths[:, None])[:, None], "not at the padding"),
    (lambda lengths, T: (torch.arange(T) <= lengths[:, None])[:, None], "one word too many"),
    (lambda lengths, T: torch.arange(T) < lengths[:, None], "the axis of the queries"),
    (lambda lengths, T: torch.arange(T) < lengths, "lengths[:, None]"),
    (lambda lengths, T: torch.ones(len(lengths), 1, T).bool(), "padding is read too"),
    (lambda lengths, T: torch.ones(T, T).tril().bool(), "one row is enough"),
    (lambda lengths, T: (torch.arange(T) < lengths[:, None])[..., None], "this masks queries"),
    (lambda lengths, T: (torch.arange(T) < lengths[:, None])[:, None].float(), "booleans"),
    (lambda lengths, T: (torch.arange(T) >= T - lengths[:, None])[:, None], "behind the words"),
]


def tempered(q, k, temperature, scale=None, axis=-1):
    return (q @ k.T / (scale or math.sqrt(q.shape[-1])) / temperature).softmax(dim=axis)


def shares_ties(q, k, temperature):
    return tempered(q, k, temperature or 1e-6)


def all_highest(q, k, temperature):
    scores = q @ k.T
    if temperature == 0:
        return (scores == scores.amax(dim=-1, keepdim=True)).float()
    return tempered(q, k, temperature)


def place_of_the_highest(q, k, temperature):
    return tempered(q, k, temperature) if temperature else (q @ k.T).argmax(dim=-1)


def whole_numbers(q, k, temperature):
    if temperature == 0:
        return F.one_hot((q @ k.T).argmax(dim=-1), len(k))
    return tempered(q, k, temperature)


def plain_division(q, k, temperature):
    1 / temperature
    return tempered(q, k, temperature)


TEMPERED = [
    (tempered, "at 0 the division gives NaN"),
    (plain_division, "zero needs a branch"),
    (shares_ties, "the first gets all"),
    (all_highest, "the first gets all"),
    (place_of_the_highest, "gave shape (1,), expected (1, 3)"),
    (whole_numbers, "floats"),
    (lambda q, k, t: tempered(q, k, 1 / t), "divide by it"),
    (lambda q, k, t: tempered(q, k, 1) / t, "divided after the softmax"),
    (lambda q, k, t: tempered(q, k, t, scale=1), "root of D is missing"),
    (lambda q, k, t: tempered(q, k, 1), "the temperature does nothing"),
    (lambda q, k, t: tempered(q, k, t, axis=0), "wrong axis"),
]


def softmax_each(q, k, v, size):
    parts = list(zip(k.split(size), v.split(size), strict=True))
    return sum(plain(q, keys) @ values for keys, values in parts) / len(parts)


def online(q, k, v, size, rescale=True, highest=True, whole_only=False, reads=True):
    high = torch.full((len(q), 1), -math.inf if highest else 0.0)
    total = read = 0.0
    for keys, values in zip(k.split(size), v.split(size), strict=True):
        if whole_only and len(keys) < size:
            continue
        scores = q @ keys.T / math.sqrt(q.shape[-1])
        new = torch.maximum(high, scores.amax(-1, keepdim=True)) if highest else high
        shrink = (high - new).exp() if rescale else 1.0
        total = total * shrink + (scores - new).exp().sum(-1, keepdim=True)
        read = read * (shrink if reads else 1.0) + (scores - new).exp() @ values
        high = new
    return read / total


BLOCKS = [
    (softmax_each, "the mean of the blocks"),
    (lambda q, k, v, size: plain(q, k) @ v, "all 7 queries"),
    (lambda q, k, v, size: online(q, k, v, size, rescale=False), "exp(old - new)"),
    (lambda q, k, v, size: online(q, k, v, size, reads=False), "the sum of values too"),
    (lambda q, k, v, size: online(q, k, v, size, highest=False), "exp(1000) is infinite"),
    (lambda q, k, v, size: online(q, k, v, size, whole_only=True), "shorter than the others"),
    (lambda q, k, v, size: (q @ k.T).softmax(-1) @ v, "root of D is missing"),
    (lambda q, k, v, size: plain(q, k[-size:]) @ v[-size:], "last block alone"),
]

MISTAKES = [
    *[("scores", *pair) for pair in SCORES],
    *[("causal_weights", *pair) for pair in CAUSAL],
    *[("padding_mask", *pair) for pair in PADDING],
    *[("tempered_weights", *pair) for pair in TEMPERED],
    *[("attention_in_blocks", *pair) for pair in BLOCKS],
]


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize(("name", "wrong", "diagnosis"), MISTAKES)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)


def test_a_loop_over_queries_in_blocks_is_right_too(capsys):
    def one_by_one(q, k, v, size):
        return torch.cat([online(row[None], k, v, size) for row in q])

    assert check.attention_in_blocks(one_by_one)
