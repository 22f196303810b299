"""Checks of the exercises of chapter 1, What a language model is."""

import math
from itertools import pairwise
from random import Random

from minillm.checks import exercise, expect, require
from minillm.text.ngram import count


@exercise("1.1")
def perplexity_of(attempt):
    """The exponential of the mean surprisal."""
    for probs in ([0.5, 0.5, 0.5], [0.5, 0.125], [1.0], [0.9, 0.01, 0.3, 0.3]):
        n, nats = len(probs), -sum(math.log(p) for p in probs)
        expect(
            attempt(list(probs)),
            math.exp(nats / n),
            known=[
                (nats / n, "that is the loss in nats per token; its exponential is asked for"),
                (math.exp(nats), "the sum was not divided by the number of tokens"),
                (math.exp(-nats / n), "the sign: surprisal is minus the logarithm"),
                (sum(1 / p for p in probs) / n, "that is the mean of 1/p; average the logarithms"),
                (n / sum(probs), "that is one over the mean of p; average the logarithms"),
                (
                    math.exp(nats / n / math.log(2)),
                    "logarithms to base 2 go with powers of 2; e goes with natural ones",
                ),
            ],
        )


@exercise("1.2")
def bigram_prob(attempt):
    """Counts of a pair over counts of what follows its first word."""
    texts = ["a b a b a", "the mill by the well by the inn", "no no no yes"]
    for tokens in map(str.split, texts):
        pairs = list(pairwise(tokens))
        for before, after in sorted({*pairs, (tokens[0], "zebra")}):
            together = pairs.count((before, after))
            row = sum(a == before for a, _ in pairs)
            backwards = sum(b == after for _, b in pairs)
            share_below = "divided by every place of `before`, also the last, that nothing follows"
            expect(
                attempt(list(tokens), before, after),
                together / row,
                known=[
                    (together, "that is a count; divide it by how often anything follows `before`"),
                    (
                        together / len(pairs),
                        "divided by all pairs; only those after `before` count",
                    ),
                    (together / len(tokens), "divided by all tokens; only `before`'s pairs count"),
                    (together / tokens.count(before), share_below),
                    (backwards and together / backwards, "divided by what comes before `after`"),
                ],
            )
    expect(attempt(["a", "b"], "b", "a"), 0.0)
    expect(attempt(["a", "b"], "zebra", "a"), 0.0)


@exercise("1.3")
def draw(attempt):
    """The word on whose stretch of the line the number falls."""
    distribution = {"lamp": 0.5, "key": 0.125, "hat": 0.375}
    words = list(distribution)
    for u, word in [(0.0, 0), (0.2, 0), (0.6, 1), (0.99, 2), (0.5, 1), (0.625, 2)]:
        known = [
            (word, "that is the index; return the word"),
            ("lamp", "that is the likeliest word, whatever u is"),
        ]
        if u in (0.5, 0.625):
            border = "u lies on a border: a stretch includes its left end, not its right end"
            known.insert(0, (words[word - 1], border))
        expect(attempt(dict(distribution), u), words[word], known=known)
    rng, n = Random(0), 2000
    share = sum(attempt({"a": 0.25, "b": 0.75}, rng.random()) == "a" for _ in range(n)) / n
    require(abs(share - 0.25) < 0.05, f"drew 'a' in {share:.0%} of {n} draws, expected 25%")


@exercise("1.4")
def backoff(attempt):
    """The share where it was seen, else alpha times the score with less context."""
    counts = count(["abab", "abc", "ca"], 3, end=".")
    asked = [((".", "a"), "b"), (("a", "b"), "."), (("b", "c"), "a"), (("a", "b"), "b"), ((), "a")]
    for context, token in [*asked, ((), "z"), (("z", "z"), "a"), (("z", "a"), "b")]:
        for alpha in (0.4, 0.5):
            right, steps = _backoff(counts, context, token, alpha)
            plain = right / alpha**steps
            expect(
                attempt(counts, context, token, alpha),
                right,
                known=[
                    (steps and 0.0, "an unseen token gets a score from a shorter context, not 0"),
                    (plain, f"each dropped word costs a factor alpha; here {steps} were dropped"),
                    (right * alpha, "alpha is paid for a dropped word, not for a seen context"),
                    (plain * 0.4**steps, "the factor was 0.4, whatever alpha is"),
                    (
                        plain * alpha * 0.4 ** (steps - 1),
                        "the first dropped word cost alpha, the next 0.4: hand alpha on",
                    ),
                    (counts.get(context, {}).get(token, math.nan), "that is a count"),
                ],
            )


def _backoff(counts, context, token, alpha):
    """The score, and how many words of context were dropped for it."""
    score, steps = 1.0, 0
    while True:
        row = counts.get(context, {})
        if token in row:
            return score * row[token] / sum(row.values()), steps
        if not context:
            return 0.0, steps
        context, score, steps = context[1:], score * alpha, steps + 1
