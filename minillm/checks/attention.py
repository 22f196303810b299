"""Checks of the exercises of chapter 3, Attention."""

import math

import torch
from torch.overrides import TorchFunctionMode

from minillm.checks import exercise, expect, require
from minillm.model.attention import attention, attention_weights, causal_mask


def _draw(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _scaled(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _is_tensor(got, right):
    return isinstance(got, torch.Tensor) and got.shape == right.shape


@exercise("3.1")
def scores(attempt):
    """Dot products of each query with each key, divided by the square root of the width."""
    queries = torch.tensor([[2.0, 0.0, 0.0, 2.0], [0.0, 4.0, 0.0, 0.0]])
    keys = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    batches = "raised {}: in a batch .T turns all axes round; transpose(-2, -1) the last two"
    for q, k in [(queries, keys), _draw(0, (3, 5), (7, 5)), _draw(1, (2, 3, 5), (2, 4, 5))]:
        right, D = _scaled(q, k), q.shape[-1]
        known = [
            (right * math.sqrt(D), "these are the dot products; divide by the square root of D"),
            (right / math.sqrt(D), "divided by D; the square root of D is asked for"),
            (right * D, "multiplied by the square root of D; divide by it"),
            (
                right * math.sqrt(D / k.shape[-2]),
                "divided by the root of the number of keys; D is the length of a row",
            ),
            (right.softmax(dim=-1), "these are weights; scores come before the softmax"),
            (
                lambda got, right=right: torch.allclose(got, right.transpose(-2, -1)),
                "rows and columns are exchanged: row i belongs to query i",
            ),
        ]
        try:
            got = attempt(q, k)
        except RuntimeError as error:
            require(q.ndim == 2, batches.format(type(error).__name__))
            raise
        what = f"scores(q, k), shapes {tuple(q.shape)} and {tuple(k.shape)},"
        expect(got, right, what=what, known=known)


def _causal(q, k, may_read=None, masked=-math.inf, scale=None, axis=-1):
    """Causal weights, or what comes out with another mask, filling, scale or axis."""
    may_read = causal_mask(len(q), len(k)) if may_read is None else may_read
    scores = q @ k.T / (math.sqrt(q.shape[-1]) if scale is None else scale)
    return scores.masked_fill(~may_read, masked).softmax(dim=axis)


def _causal_mistakes(q, k):
    """(wrong weights, likely cause): the slips that have a name."""
    T, D = q.shape
    past, scores = causal_mask(T, T), _scaled(q, k)
    later = "the mask is transposed: it lets each word read itself and what comes after"
    strict = "a strict triangle: each word may read itself too, so the diagonal stays"
    strict += " (the first word has nothing else)"
    after = "masked after the softmax: hidden words have taken their share. Mask the scores before"
    zero = "a score of 0 still gets e^0 = 1; minus infinity gets nothing"
    known = [
        (_causal(q, k, past.T), later),
        (_causal(q, k, ~past), "the mask is inverted: it hides the past and shows the future"),
        (scores.softmax(dim=-1), "nothing is masked: words read the future"),
        (scores.softmax(dim=-1) * past, f"rows don't sum to 1: {after}"),
        (scores.softmax(dim=-1) * past.T, f"rows don't sum to 1: {after}; and {later}"),
        (scores.softmax(dim=-1) * past.tril(-1), f"rows don't sum to 1: {after}; and {strict}"),
        (_causal(q, k, masked=0.0), zero),
        (_causal(q, k, axis=0), "rows sum to {rows}, columns to 1: softmax over the wrong axis?"),
        (_causal(q, k, axis=0, may_read=past.T), f"softmax over the wrong axis, and {later}"),
        (_causal(q, k, scale=1.0), "the scale is missing: divide the scores by the root of D"),
        (_causal(q, k, scale=D), "divided by D; the square root of D is asked for"),
        (_causal(q, k, scale=math.sqrt(T)), "divided by the root of T; D is the length of a row"),
        (_causal(k, q), "queries and keys are exchanged: row i belongs to query i"),
        (scores.masked_fill(~past, -math.inf), "these are scores: is the softmax missing?"),
    ]
    for masked in (-math.inf, -1e9):  # the first row is NaN, or even
        wrong = _causal(q, k, past.tril(-1), masked)
        known.append((wrong, strict))
        known.append((wrong.nan_to_num(0.0), strict))
    rows = [known[7][0].sum(dim=-1)[i].item() for i in range(T)]
    shown = ", ".join(f"{total:.2f}" for total in rows)
    return [(wrong, why.replace("{rows}", shown)) for wrong, why in known]


@exercise("3.2")
def causal_weights(attempt):
    """Products, scale, minus infinity for later keys, softmax along the keys."""
    for q, k in [_draw(2, (3, 4), (3, 4)), _draw(3, (5, 16), (5, 16))]:
        got, right = attempt(q, k), _causal(q, k)
        known = _causal_mistakes(q, k)
        if _is_tensor(got, right):
            rows, columns = got.sum(dim=-1), got.sum(dim=0)
            totals = f"rows sum to {rows[0]:.2f} ... {rows[-1]:.2f}, and each should sum to 1"
            known.append((lambda _, rows=rows: (rows - 1).abs().max() > 1e-3, totals))
            future = got.triu(1).abs().max().item()
            seen = f"the future has a weight of up to {future:.2f}; it should have none"
            known.append((lambda _, future=future: future > 1e-6, seen))
            if bool((columns - 1).abs().max() < 1e-3):
                known.insert(0, (lambda _: True, f"columns sum to 1, {totals}: the wrong axis?"))
        known.sort(key=lambda pair: callable(pair[0]))  # mistakes with a name come first
        expect(got, right, what=f"causal_weights(q, k) of {len(q)} words", known=known)
    q, k = torch.ones(3, 4), torch.ones(3, 4)
    k[2] = 400.0  # a later word with a large score
    late = "a large score in the future reaches the past: mask before the softmax, and don't divide"
    what = "causal_weights, the last key 400 times as large,"
    expect(attempt(q, k), _causal(q, k), what=what, known=[(lambda got: got.isnan().any(), late)])


@exercise("3.3")
def padding_mask(attempt):
    """True at the real words of each story, the same for all queries."""
    for lengths, T in [([3, 1], 4), ([5, 2, 4], 5), ([2], 6)]:
        lengths = torch.tensor(lengths)
        places = torch.arange(T)
        real = (places < lengths[:, None])[:, None]
        front = (places >= T - lengths[:, None])[:, None]
        one_more = (places <= lengths[:, None])[:, None]
        one_less = (places < lengths[:, None] - 1)[:, None]
        B = len(lengths)
        known = [
            (lambda got, B=B, T=T: got.shape == (B, T), "the axis of the queries is missing"),
            (
                lambda got, B=B, T=T: got.shape == (B, T, 1),
                "this masks queries; the last axis is that of the keys: (B, 1, T)",
            ),
            (
                lambda got, T=T: got.shape[-2:] == (T, T),
                "one row is enough, the same for all",
            ),
            (~real, "True should stand at the real words, not at the padding"),
            (one_more, "one word too many: the last one has place length - 1"),
            (one_less, "one word too few: the last one has place length - 1"),
            (front, "the padding stands behind the words, not before them"),
        ]
        got = attempt(lengths, T)
        if isinstance(got, torch.Tensor) and got.dtype != torch.bool and got.shape == real.shape:
            require(False, f"gave {got.dtype}, expected booleans: `~mask` needs them")
        expect(got, real, known=known)


@exercise("3.4")
def tempered_weights(attempt):
    """The softmax of the scaled scores divided by the temperature."""
    for seed, temperature in enumerate((0.5, 1.0, 4.0)):
        q, k = _draw(seed + 4, (2, 9), (3, 9))
        s = _scaled(q, k)
        known = [
            (s.softmax(dim=-1), "the temperature does nothing"),
            ((s * temperature).softmax(dim=-1), "multiplied by the temperature; divide by it"),
            (
                s.softmax(dim=-1) / temperature,
                "divided after the softmax, so rows don't sum to 1; divide the scores",
            ),
            ((s * 3 / temperature).softmax(dim=-1), "the scale by the root of D is missing"),
            (
                (s * 3 / math.sqrt(9 * temperature)).softmax(dim=-1),
                "the temperature stands beside the root, not under it",
            ),
            ((s / temperature).softmax(dim=0), "softmax over the wrong axis?"),
            (s / temperature, "these are scores: is the softmax missing?"),
        ]
        got, what = attempt(q, k, temperature), f"tempered_weights(q, k, {temperature})"
        expect(got, (s / temperature).softmax(dim=-1), what=what, known=known)
    q, k = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0], [3.0, 2.0]])
    branch = "zero needs a branch of its own: all weight on the highest score"
    known = [
        (torch.tensor([[0.0, 0.5, 0.5]]), "of several highest scores the first gets all"),
        (lambda got: got.isnan().any(), f"at 0 the division gives NaN; {branch}"),
        (attention_weights(q, k), f"at 0 the temperature does nothing; {branch}"),
        (torch.tensor([[0, 1, 0]]), "whole numbers; weights are floats"),
    ]
    try:
        got = attempt(q, k, 0)
    except ZeroDivisionError:
        require(False, f"divided by zero: {branch}")
    whole = isinstance(got, torch.Tensor) and not got.is_floating_point()
    require(not whole, "gave whole numbers, expected floats: turn the one-hot row into floats")
    expect(got, torch.tensor([[0.0, 1.0, 0.0]]), known=known)


class _Watch(TorchFunctionMode):
    """Notes whether any torch function returns a tensor with two given sizes among its axes."""

    def __init__(self, *sizes):
        super().__init__()
        self.sizes, self.seen = set(sizes), False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and self.sizes <= set(result.shape):
            self.seen = True
        return result


def _blocks(q, k, v, size, rescale=True, only_whole=False, divide=True, scale=True):
    """Attention block by block, or what comes out when a step is left out."""
    high = torch.full((len(q), 1), -math.inf)
    total, read = torch.zeros(len(q), 1), torch.zeros(len(q), v.shape[1])
    for keys, values in zip(k.split(size), v.split(size), strict=True):
        if only_whole and len(keys) < size:
            break
        s = q @ keys.T / (math.sqrt(q.shape[-1]) if scale else 1)
        new = torch.maximum(high, s.amax(dim=-1, keepdim=True))
        shrink = (high - new).exp() if rescale else torch.ones_like(new)
        total = total * shrink + (s - new).exp().sum(dim=-1, keepdim=True)
        read = read * shrink + (s - new).exp() @ values
        high = new
    return read / total if divide else read


@exercise("3.5")
def attention_in_blocks(attempt):
    """Attention whose weights are never held all at once."""
    for size in (4, 5, 12, 20):  # blocks that divide the 12 keys, that don't, all at once
        q, k, v = _draw(8, (7, 3), (12, 3), (12, 2))
        k = k * torch.linspace(0.2, 3.0, 12)[:, None]  # later scores are larger
        parts = list(zip(k.split(size), v.split(size), strict=True))
        known = [
            (
                sum(attention(q, *part) for part in parts) / len(parts),
                "the mean of the blocks' own attentions; blocks with high scores count for more",
            ),
            (sum(attention(q, *part) for part in parts), "each block had a softmax of its own"),
            (attention(q, *parts[-1]), "this is the last block alone: what was before is lost"),
            (attention(q, *parts[0]), "this is the first block alone"),
            (
                _blocks(q, k, v, size, rescale=False),
                "sums made under an older highest score must be multiplied by exp(old - new)",
            ),
            (_blocks(q, k, v, size, scale=False), "the scale by the root of D is missing"),
            (_blocks(q, k, v, size, divide=False), "divide by the sum of the exponentials"),
            (
                _blocks(q, k, v, size, only_whole=True),
                "the last block, shorter than the others, was left out",
            ),
        ]
        with _Watch(7, 12) as watch:
            got = attempt(q, k, v, size)
        what = f"attention_in_blocks(q, k, v, {size}) of 7 queries and 12 keys"
        expect(got, attention(q, k, v), what=what, known=known)
        whole = "is right, but held a tensor with an axis of all 7 queries and one of all 12 keys"
        require(size >= 12 or not watch.seen, f"{whole}: that is what blocks avoid")
    q, k, v = torch.ones(2, 4), torch.arange(24.0).reshape(6, 4) * 20, _draw(9, (6, 2))[0]
    large = "subtract the highest score before exponentiating: exp(1000) is infinite"
    known = [(lambda got: not got.isfinite().all(), large)]
    expect(attempt(q, k, v, 2), attention(q, k, v), "with scores of about 1,000", known)
