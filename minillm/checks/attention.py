"""Checks of the exercises of chapter 3, Attention."""

import math

import torch
from torch.overrides import TorchFunctionMode

from minillm.checks import Fault, exercise, expect, require
from minillm.model.attention import attention, attention_weights, causal_mask


def _draw(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _scaled(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _try(attempt, arguments, what, hints):
    """What the attempt returns; of an error whose text holds a hint's key, the hint is told."""
    try:
        return attempt(*arguments)
    except (ArithmeticError, RuntimeError, TypeError) as error:
        for piece, why in hints.items():
            if piece in str(error):
                raise Fault(f"raised {type(error).__name__}: {why}", what) from None
        raise


@exercise("3.1")
def scores(attempt):
    """Dot products of each query with each key, divided by the square root of the width."""
    queries = torch.tensor([[2.0, 0.0, 0.0, 2.0], [0.0, 4.0, 0.0, 0.0]])
    keys = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    for q, k in [(queries, keys), _draw(0, (3, 5), (7, 5)), _draw(1, (2, 3, 5), (2, 4, 5))]:
        right, (T_query, D), T_key = _scaled(q, k), q.shape[-2:], k.shape[-2]
        factors = [
            (math.sqrt(D), "these are the dot products; divide by the square root of D"),
            (1 / math.sqrt(D), "divided by D; the square root of D is asked for"),
            (D, "multiplied by the square root of D; divide by it"),
            (math.sqrt(D / T_key), f"divided by the root of {T_key}, the number of keys; D is {D}"),
            (math.sqrt(D / T_query), f"divided by the root of {T_query}, of the queries; D is {D}"),
        ]
        factors += [(x / math.sqrt(D), "D ** 1 / 2 is half of D; write D ** 0.5") for x in (2, 0.5)]
        known = [(right * factor, why) for factor, why in factors]
        known.append((right.softmax(dim=-1), "these are weights; scores come before the softmax"))
        known.append((right.mT, "rows and columns are exchanged: row i belongs to query i"))
        what = f"scores(q, k), shapes {tuple(q.shape)} and {tuple(k.shape)},"
        hints = {"multiplied": "the keys stand in rows; transpose k to multiply row by row"}
        if q.ndim > 2:
            hints = {"size": "in a batch .T turns all axes round; transpose(-2, -1) the last two"}
        expect(_try(attempt, (q, k), what, hints), right, what=what, known=known)


def _causal(q, k, may_read=None, masked=-math.inf, scale=None, axis=-1):
    """Causal weights, or what comes out with another mask, filling, scale or axis."""
    may_read = causal_mask(len(q), len(k)) if may_read is None else may_read
    scores = q @ k.T / (math.sqrt(q.shape[-1]) if scale is None else scale)
    return scores.masked_fill(~may_read, masked).softmax(dim=axis)


def _causal_mistakes(q, k):
    """(wrong weights, likely cause): the slips that have a name."""
    T, D = q.shape
    past, scores = causal_mask(T, T), _scaled(q, k)
    even, grown = scores.softmax(dim=-1), scores.exp() * past
    later = "the mask is transposed: it lets each word read itself and what comes after"
    strict = "a strict triangle: keep the diagonal, each word reads itself (the first, only itself)"
    strictly = [_causal(q, k, past.tril(-1), masked) for masked in (-math.inf, -1e9)]
    after = "masked after the softmax, so rows don't sum to 1: mask the scores before it"
    zero = "a score of 0 still gets e^0 = 1; minus infinity gets nothing"
    unscaled = "the scale is missing: divide the scores by the root of D"
    return [
        (_causal(q, k, past.T), later),
        (_causal(q, k, ~past), "the mask is inverted: it hides the past and shows the future"),
        (even, "nothing is masked: words read the future"),
        (even * past, after),
        (even * past.T, f"{after}; and {later}"),
        (even * past.tril(-1), f"{after}; and {strict}"),
        ((q @ k.T).softmax(dim=-1) * past, f"{after}; and {unscaled}"),
        (even.masked_fill(~past, -math.inf), "minus infinity belongs before the softmax"),
        (_causal(q, k, masked=0.0), zero),
        (_causal(q, k, masked=0.0, scale=1.0), f"{zero}; and {unscaled}"),
        (_causal(q, k, may_read=past.T, axis=0), f"softmax over the wrong axis, and {later}"),
        (_causal(q, k, scale=1.0), unscaled),
        (_causal(q, k, scale=D), "divided by D; the square root of D is asked for"),
        (_causal(q, k, scale=math.sqrt(T)), f"divided by the root of {T}; D is {D}"),
        (
            _causal(q, k, scale=1.0) / math.sqrt(D),
            "divide the scores by the root of D, not the weights",
        ),
        (_causal(k, q), "queries and keys are exchanged: row i belongs to query i"),
        (scores.masked_fill(~past, -math.inf), "these are scores: is the softmax missing?"),
        (grown, "these are exponentials: divide each row by its sum"),
        (grown / grown.sum(dim=-1), "each row by its own sum: keepdim=True is missing"),
        (past, "this is the mask alone: who may be read, not how much"),
        *((wrong, strict) for wrong in (*strictly, strictly[0].nan_to_num(0.0))),
    ]


@exercise("3.2")
def causal_weights(attempt):
    """Products, scale, minus infinity for later keys, softmax along the keys."""
    for q, k in [_draw(2, (3, 4), (3, 4)), _draw(3, (5, 16), (5, 16))]:
        T, what = len(q), f"causal_weights(q, k) of {len(q)} words"
        size = f"scores and mask must both be ({T}, {T}): is one made for another text?"
        hints = {"oolean": "the mask has to be boolean: .bool() makes it so", "must match": size}
        got = _try(attempt, (q, k), what, hints)
        known = _causal_mistakes(q, k)
        if isinstance(got, torch.Tensor) and got.shape == (T, T) and got.is_floating_point():
            rows, future = got.sum(dim=-1), got.triu(1).abs().max().item()
            totals = f"rows sum to {rows[0]:.2f} ... {rows[-1]:.2f}, and each should sum to 1"
            wrong_axis = f"columns sum to 1, {totals}: softmax over the wrong axis?"
            seen = f"the future has a weight of up to {future:.2f}; it should have none"
            nans = "infinity times 0 is NaN, and so is e^∞ / e^∞: masked_fill with minus infinity"
            known += [
                (lambda got: got.isnan().any(), nans),
                (lambda got: (got.sum(dim=0) - 1).abs().max() < 1e-3, wrong_axis),
                (lambda _, rows=rows: (rows - 1).abs().max() > 1e-3, totals),
                (lambda _, future=future: future > 1e-6, seen),
            ]
        expect(got, _causal(q, k), what, known)
    late = "a large score in the future reaches the past: mask before the softmax, and don't divide"
    low = "hidden words are read when all scores are low: only minus infinity is below every score"
    q, k = torch.ones(3, 4), torch.tensor([[1.0], [1.0], [400.0]]).expand(3, 4)
    what = "causal_weights, the last key 400 times as large,"
    over = "e to a large score is infinite: softmax subtracts the highest score of a row first"
    known = [(lambda got: got[:2].isnan().any(), late), (lambda got: got.isnan().any(), over)]
    expect(attempt(q, k), _causal(q, k), what, known)
    what, known = "causal_weights, with scores of -800,", [(lambda got: got[0, 1] > 0, low)]
    expect(attempt(q, torch.full((3, 4), -400.0)), _causal(q, 0 * k), what, known)


@exercise("3.3")
def padding_mask(attempt):
    """True at the real words of each story, the same for all queries."""
    hints = {"must match": "the lengths need an axis of their own to broadcast: lengths[:, None]"}
    queries = "this masks queries; the last axis is that of the keys: (B, 1, T)"
    for lengths, B, T in [([3, 1], 2, 4), ([5, 2, 4], 3, 5), ([2], 1, 6)]:
        shapes = {(B, T): "the axis of the queries is missing", (B, T, 1): queries}
        shapes |= dict.fromkeys([(B, T, T), (T, T)], "one row is enough, the same for all")
        lengths, places = torch.tensor(lengths)[:, None], torch.arange(T)
        known = [(lambda got, s=shape: got.shape == s, why) for shape, why in shapes.items()]
        masks = {
            "True should stand at the real words, not at the padding": places >= lengths,
            "one word too many: the last one has place length - 1": places <= lengths,
            "one word too few: the last one has place length - 1": places < lengths - 1,
            "the padding stands behind the words, not before them": places >= T - lengths,
            "padding is read too: the lengths make no difference": places >= 0 * lengths,
        }
        known += [(wrong[:, None], why) for why, wrong in masks.items()]
        real, lengths = (places < lengths)[:, None], lengths[:, 0]
        got = _try(attempt, (lengths, T), "", hints)
        if isinstance(got, torch.Tensor) and got.dtype != torch.bool and got.shape == real.shape:
            require(False, f"gave {got.dtype}, expected booleans: `~mask` needs them")
        expect(got, real, known=known)


@exercise("3.4")
def tempered_weights(attempt):
    """The softmax of the scaled scores divided by the temperature."""
    after = "divided after the softmax, so rows don't sum to 1; divide the scores"
    for seed, t in [(4, 0.5), (5, 1.0), (6, 4.0)]:
        q, k = _draw(seed, (2, 9), (3, 9))
        s = _scaled(q, k)
        known = [
            (s.softmax(dim=-1), "the temperature does nothing"),
            ((s * t).softmax(dim=-1), "multiplied by the temperature; divide by it"),
            (s.softmax(dim=-1) / t, after),
            ((s * 3 / t).softmax(dim=-1), "the scale by the root of D is missing"),
            ((s / t**0.5).softmax(dim=-1), "the temperature stands beside the root, not under it"),
            ((s / t).softmax(dim=0), "softmax over the wrong axis?"),
            (s / t, "these are scores: is the softmax missing?"),
        ]
        expect(attempt(q, k, t), (s / t).softmax(dim=-1), f"tempered_weights(q, k, {t})", known)
    q, k = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0], [3.0, 2.0]])
    branch = "zero needs a branch of its own: all weight on the highest score"
    known = [
        (lambda got: got[0, 1] == got[0, 2] > 0, "of several highest scores the first gets all"),
        (lambda got: got.isnan().any(), f"at 0 the division gives NaN; {branch}"),
        (attention_weights(q, k), f"at 0 the temperature does nothing; {branch}"),
    ]
    got = _try(attempt, (q, k, 0), "", {"zero": branch})
    whole = isinstance(got, torch.Tensor) and got.shape == (1, 3) and not got.is_floating_point()
    require(not whole, "gave whole numbers, expected floats: turn the one-hot row into floats")
    expect(got, torch.tensor([[0.0, 1.0, 0.0]]), known=known)


class _Watch(TorchFunctionMode):
    """Notes whether any torch function returns a tensor with two given sizes among its axes."""

    def __init__(self, *sizes):
        super().__init__()
        self.sizes, self.seen = set(sizes), False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.seen |= isinstance(result, torch.Tensor) and self.sizes <= set(result.shape)
        return result


def _blocks(q, k, v, size, sums=1, reads=1, divide=True):
    """Attention block by block, or what comes out when a step is left out."""
    high = torch.full((len(q), 1), -math.inf)
    total, read = torch.zeros(len(q), 1), torch.zeros(len(q), v.shape[1])
    for keys, values in zip(k.split(size), v.split(size), strict=True):
        s = _scaled(q, keys)
        new = torch.maximum(high, s.amax(dim=-1, keepdim=True))
        shrink, parts, high = (high - new).exp(), (s - new).exp(), new
        total = total * shrink**sums + parts.sum(dim=-1, keepdim=True)  # anything**0 is 1
        read = read * shrink**reads + parts @ values
    return read / total if divide else read


@exercise("3.5")
def attention_in_blocks(attempt):
    """Attention whose weights are never held all at once."""
    older = "made under an older highest score must be multiplied by exp(old - new)"
    for size in (4, 5, 12, 20):  # blocks that divide the 12 keys, that don't, all at once
        q, k, v = _draw(8, (7, 3), (12, 3), (12, 2))
        k = k * torch.linspace(0.2, 3.0, 12)[:, None]  # later scores are larger
        blocks = list(zip(k.split(size), v.split(size), strict=True))
        parts, ours = [attention(q, *block) for block in blocks], (q, k, v, size)
        n = 12 // size * size
        known = [
            (sum(parts) / len(parts), "the mean of the blocks; higher scores must count for more"),
            (sum(parts), "each block had a softmax of its own"),
            (parts[-1], "this is the last block alone: what was before is lost"),
            (parts[0], "this is the first block alone"),
            (_blocks(*ours, sums=0, reads=0), f"sums {older}"),
            (_blocks(*ours, reads=0), f"the sum of values too, {older}"),
            (_blocks(*ours, sums=0), f"the sum of exponentials too, {older}"),
            (attention(q * math.sqrt(3), k, v), "the scale by the root of D is missing"),
            (_blocks(*ours, divide=False), "divide by the sum of the exponentials"),
            (attention(q, k[:n], v[:n]), "the last, shorter than the others, was left out"),
        ]
        with _Watch(7, 12) as watch:
            got = attempt(q, k, v, size)
        what = f"attention_in_blocks(q, k, v, {size}) of 7 queries and 12 keys"
        expect(got, attention(q, k, v), what=what, known=known)
        whole = "is right, but held a tensor with an axis of all 7 queries and one of all 12 keys"
        if size < 12 and watch.seen:
            raise Fault(f"{whole}: that is what blocks avoid", what)
    q, k, v = torch.ones(2, 4), torch.arange(24.0).reshape(6, 4) * 20, _draw(9, (6, 2))[0]
    large = "subtract the highest score before exponentiating: exp(1000) is infinite"
    known = [(lambda got: not got.isfinite().all(), large)]
    expect(attempt(q, k, v, 2), attention(q, k, v), "with scores of about 1,000", known)
