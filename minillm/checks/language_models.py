"""Checks of the exercises of chapter 1, What a language model is."""

import math
from collections import Counter
from itertools import pairwise
from random import Random

from minillm.checks import exercise, expect, require
from minillm.text.ngram import count


@exercise("1.1")
def perplexity_of(attempt):
    """The exponential of the mean surprisal."""
    for probs in ([0.5, 0.125], [0.5, 0.5, 0.5], [1.0], [0.9, 0.01, 0.3, 0.3], [0.5] * 2000):
        n, nats = len(probs), -sum(math.log(p) for p in probs)
        weighted = -sum(p * math.log(p) for p in probs)
        bits = nats / n / math.log(2)
        known = [
            (nats / n, "that is the loss in nats per token; its exponential is asked for"),
            (bits, "that is the loss in bits per token; 2 to that power is asked for"),
            (-nats / n, "the mean of log p; turn its sign, then take the exponential"),
            (nats, "that is the sum of the surprisals; take the mean, then the exponential"),
            (math.prod(probs), "that is the probability of the text"),
            (math.exp(-nats / n), "the sign: surprisal is minus the logarithm"),
            (sum(1 / p for p in probs) / n, "that is the mean of 1/p; average the logarithms"),
            (n / sum(probs), "that is one over the mean of p; average the logarithms"),
            (math.exp(bits), "logarithms to base 2 go with powers of 2; e goes with natural ones"),
            (2 ** (nats / n), "natural logarithms go with powers of e; 2 goes with base 2"),
            (math.exp(weighted), "each token counts once, not p times"),
            (math.exp(weighted / n), "each token counts once, not p times"),
        ]
        if nats < 700:
            known.append((math.exp(nats), "the sum was not divided by the number of tokens"))
        expect(attempt(list(probs)), math.exp(nats / n), known=known)


@exercise("1.2")
def bigram_prob(attempt):
    """Counts of a pair over counts of what follows its first word."""
    for text, before, after in [
        ("the mill by the well by the inn", "the", "well"),
        ("the mill by the well by the inn", "by", "the"),
        ("no no no no yes maybe so be it", "no", "no"),
        ("a b a b a", "a", "b"),
        ("a b a b a", "b", "zebra"),
    ]:
        tokens = text.split()
        pairs = list(pairwise(tokens))
        together, row = pairs.count((before, after)), sum(a == before for a, _ in pairs)
        places, types = tokens.count(before), len({b for a, b in pairs if a == before})
        backwards = sum(b == after for _, b in pairs)
        followers = Counter(b for a, b in pairs if a == before)
        known = [
            (tokens.count(after) / len(tokens), "the share among all tokens; look after `before`"),
            (together, "that is a count; divide it by how often anything follows `before`"),
            (together / len(pairs), "divided by all pairs; only those after `before` count"),
            (together / len(tokens), "divided by all tokens; only pairs after `before` count"),
            (together / places, "divided by every place of `before`; nothing follows the last"),
            (bool(together) / types, "a pair that comes twice counts twice: a set forgets that"),
            (backwards and together / backwards, "divided by what comes before `after`"),
            (pairs.count((after, before)) / row, "the two words are the wrong way round"),
            ((together + 1) / (row + len({*tokens})), "maximum likelihood adds nothing to a count"),
            (together // row, "// throws the fraction away; divide with /"),
            (followers, "that is the whole row; return the share of `after` in it"),
        ]
        expect(attempt(list(tokens), before, after), together / row, known=known)
    never = "nothing follows `before`: return 0.0 then"
    for before in ("b", "zebra"):
        expect(attempt(["a", "b"], before, "a"), 0.0, known=[(1.0, never)])


@exercise("1.3")
def draw(attempt):
    """The word on whose stretch of the line the number falls."""
    line = {"key": 0.125, "lamp": 0.5, "hat": 0.375}
    ends = {"key": (0.0, 0.125), "lamp": (0.125, 0.625), "hat": (0.625, 1.0)}
    words = list(line)
    for u, word in [
        (0.05, "key"),
        (0.3, "lamp"),
        (0.7, "hat"),
        (0.99, "hat"),
        (0.125, "lamp"),
        (0.625, "hat"),
        (0.0, "key"),
    ]:
        left, right = ends[word]
        stretch = f"{word!r} begins at {left} and ends before {right}"
        sums = "compare u with the sum of the probabilities so far, not with one of them"
        known = [
            (words.index(word), "that is the index; return the word"),
            (line[word], "that is the probability; return the word"),
            (None, sums) if u == 0.7 else (None, stretch),
            *[(other, stretch) for other in words if u == left and other != word],
            ("lamp", "that is the likeliest word, whatever u is"),
            *[(other, stretch) for other in words],
        ]
        expect(attempt(dict(line), u), word, known=known)
    tenths = dict.fromkeys("abcdefghij", 0.1)
    short = "ten times 0.1 falls short of 1 by a rounding: return the last word then"
    expect(attempt(tenths, 1 - 2**-53), "j", known=[(None, short)])
    rng, n = Random(0), 2000
    share = sum(attempt({"a": 0.25, "b": 0.75}, rng.random()) == "a" for _ in range(n)) / n
    require(abs(share - 0.25) < 0.05, f"drew 'a' in {share:.0%} of {n} draws, expected 25%")


@exercise("1.4")
def backoff(attempt):
    """The share where it was seen, else alpha times the score with less context."""
    shown = "count(['abab', 'abc', 'ca'], 3, end='.')"
    counts = count(["abab", "abc", "ca"], 3, end=".")
    long = count(["ba", *["bc"] * 5, "a" * 40], 2, end=".")
    cases = [
        (counts, shown, context, token)
        for context, token in [
            ((".", "a"), "b"),
            (("a", "b"), "."),
            ((), "a"),
            (("b", "c"), "a"),
            (("a", "b"), "b"),
            ((".", "c"), "b"),
            ((), "z"),
            (("z", "z"), "a"),
            (("z", "a"), "b"),
        ]
    ]
    cases.append((long, "count(['ba', *['bc'] * 5, 'a' * 40], 2, end='.')", ("b",), "a"))
    for table, name, context, token in cases:
        for alpha in (0.4, 0.5):
            right = _backoff(table, context, token, alpha)
            known = [(wrong(table, context, token, alpha), why) for wrong, why in _BACKOFF_MISTAKES]
            what = f"backoff({name}, {context!r}, {token!r}, alpha={alpha})"
            expect(attempt(table, context, token, alpha), right, what=what, known=known)


def _share(counts, context, token):
    row = counts.get(context, {})
    return row.get(token, 0) / sum(row.values()) if row else 0.0


def _backoff(counts, context, token, alpha, later=None, shorter=lambda context: context[1:]):
    """The score; `later` and `shorter` are what a mistaken version pays and drops instead."""
    share = _share(counts, context, token)
    if share or not context:
        return share
    pay = alpha if later is None else later
    return alpha * _backoff(counts, shorter(context), token, pay, later, shorter)


def _highest(counts, context, token, alpha):
    return max(alpha**i * _share(counts, context[i:], token) for i in range(len(context) + 1))


def _mixed(counts, context, token, alpha):
    rest = _mixed(counts, context[1:], token, alpha) if context else 0.0
    return _share(counts, context, token) + alpha * rest


_BACKOFF_MISTAKES = [
    (
        lambda c, x, t, a: c.get(x, {}).get(t, math.nan),
        "that is a count; divide it by the sum of its row",
    ),
    (
        lambda c, x, t, a: c[x][t] / len(c[x]) if t in c.get(x, {}) else math.nan,
        "divided by how many different tokens followed; divide by the sum of their counts",
    ),
    (lambda c, x, t, a: _share(c, x, t), "not seen here: go on with a shorter context"),
    (lambda c, x, t, a: _backoff(c, x, t, 1.0), "each dropped word costs a factor alpha"),
    (
        lambda c, x, t, a: _backoff(c, x, t, a, 1.0),
        "each dropped word costs alpha, not the first alone",
    ),
    (
        lambda c, x, t, a: _backoff(c, x, t, a, 0.4),
        "the first dropped word cost alpha, the next 0.4: hand alpha on",
    ),
    (lambda c, x, t, a: _backoff(c, x, t, 0.4), "the factor was 0.4, whatever alpha is"),
    (
        lambda c, x, t, a: _backoff(c, x, t, a, shorter=lambda x: x[:-1]),
        "drop the first word of the context, the farthest away, not the last",
    ),
    (
        lambda c, x, t, a: _backoff(c, x, t, a, shorter=lambda x: ()),
        "drop one word at a time, not the whole context",
    ),
    (lambda c, x, t, a: a * _backoff(c, x, t, a), "alpha is paid for a dropped word only"),
    (_mixed, "a token that was seen gets its share alone, nothing from shorter contexts"),
    (_highest, "take the longest context in which it was seen, not the highest score"),
    (
        lambda c, x, t, a: 1 / len(c[()]) if t not in c[()] else math.nan,
        "a token never seen gets 0.0",
    ),
]
