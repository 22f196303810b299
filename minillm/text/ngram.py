"""N-gram language models: the probability of a token from counts of what followed before.

Holds the counting, `NGram` (maximum likelihood and add-k) and `InterpolatedNGram`, which mixes all
orders. Tokens are anything hashable: words, characters, ids. A document is a sequence of tokens;
one boundary token, `END`, both closes it and stands in front of it, as for GPT.
But: no Kneser-Ney or Katz smoothing; a token outside the vocabulary has probability zero.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

END = "<|endoftext|>"
Context = tuple[Hashable, ...]


def windows(
    document: Iterable[Hashable], order: int, end: Hashable = END
) -> Iterator[tuple[Context, Hashable]]:
    """Yield (context, token) for each token of a document and for its end.

    `context` is the `order - 1` tokens before; in front of the document stand boundary tokens.

    >>> list(windows("ab", 2, end="."))
    [(('.',), 'a'), (('a',), 'b'), (('b',), '.')]

    Built in chapter 1.
    """
    tokens = (end,) * (order - 1) + tuple(document) + (end,)
    for i in range(order - 1, len(tokens)):
        yield tokens[i - order + 1 : i], tokens[i]


def count(
    documents: Iterable[Iterable[Hashable]], order: int, end: Hashable = END
) -> dict[Context, Counter]:
    """Count what follows each context of 0, 1, ... `order - 1` tokens.

    Returns one table for all lengths: `counts[()]` are the unigrams, `counts["the",]` is what
    followed *the*. Raises ValueError when there is nothing to count.

    >>> count(["ab", "aa"], 2, end=".")["a",]
    Counter({'b': 1, 'a': 1, '.': 1})

    Built in chapter 1.
    """
    counts = defaultdict(Counter)
    for document in documents:
        for context, token in windows(document, order, end):
            for start in range(order):
                counts[context[start:]][token] += 1
    if not counts:
        raise ValueError("documents is empty: give at least one sequence of tokens")
    return dict(counts)


def longest_seen(counts: Mapping[Context, Counter], context: Context) -> Context:
    """Return a context shortened from the left until it was seen before.

    Built in chapter 1.
    """
    while context not in counts:
        context = context[1:]
    return context


def add_k(count: int, total: int, k: float, vocabulary_size: int) -> float:
    """Return the share of a token counted `count` times in `total`, with k added to each count.

    >>> add_k(1, 3, k=0, vocabulary_size=2), add_k(1, 3, k=1, vocabulary_size=2)    # 1/3 and 2/5
    (0.3333333333333333, 0.4)

    Source: Lidstone 1920; Jurafsky and Martin, Speech and Language Processing, section 3.6.
    Built in chapter 1.
    """
    return (count + k) / (total + k * vocabulary_size)


def fit_mixture(estimates: np.ndarray, steps: int = 100) -> np.ndarray:
    """Fit the weights of a mixture by expectation maximisation.

    estimates: (T, N) probabilities that N models give to the same T tokens; no row is all zero.
    Returns (N,) weights that sum to one; no step makes the tokens less likely.

    >>> fit_mixture(np.array([[0.9, 0.1], [0.9, 0.1]])).round(6).tolist()    # the first is better
    [1.0, 0.0]

    Source: Jelinek and Mercer 1980, Interpolated estimation of Markov source parameters.
    Built in chapter 1.
    """
    weights = np.full(estimates.shape[1], 1 / estimates.shape[1])
    for _ in range(steps):
        share = weights * estimates  # (T, N): how likely each model was behind each token
        share /= share.sum(axis=1, keepdims=True)
        weights = share.mean(axis=0)
    return weights


class LanguageModel:
    """What follows from P(next token | tokens before) alone: sampling, and the loss on a text.

    But: no probabilities of its own. A subclass has the fields `order` (it looks at `order - 1`
    tokens) and `end` (the boundary token), and the methods `prob(context, token)` and
    `distribution(context)`.

    Built in chapter 1.
    """

    def sample(
        self, rng: Random, prompt: Sequence[Hashable] = (), max_new_tokens: int = 200
    ) -> list[Hashable]:
        """Draw a document that starts with the prompt, up to its end or `max_new_tokens`."""
        tokens = list(prompt)
        for _ in range(max_new_tokens):
            chances = self.distribution(tokens[-self.order :])  # one more than it needs
            token = rng.choices(list(chances), chances.values())[0]
            if token == self.end:
                break
            tokens.append(token)
        return tokens

    def surprisals(self, document: Iterable[Hashable]) -> list[float]:
        """Return -log P in nats of each token of a document and, last, of its end."""
        probs = (self.prob(*pair) for pair in windows(document, self.order, self.end))
        return [-math.log(p) if p > 0 else math.inf for p in probs]

    def nats_per_token(self, documents: Iterable[Iterable[Hashable]]) -> float:
        """Return the cross-entropy in nats per token, ends included; exp of it is the perplexity.

        Infinite as soon as one token has probability zero.
        """
        nats = [value for document in documents for value in self.surprisals(document)]
        if not nats:
            raise ValueError("documents is empty: give at least one sequence of tokens")
        return sum(nats) / len(nats)


@dataclass
class NGram(LanguageModel):
    """Counts of the next token after the last `order - 1`, smoothed by adding k to each.

    order: length of the n-gram, 1 or more. k: 0 is maximum likelihood. end: the boundary token
    (give its id when the tokens are ids). A context that was never seen is shortened until it was.
    But: one order answers alone; see InterpolatedNGram.

    By hand: in three documents *a* is followed by b twice and by the end once, so P(b | a) = 2/3.

    >>> model = NGram(2, end=".").fit(["ab", "ab", "a"])
    >>> model.prob("a", "b"), model.prob("", "a"), model.prob("b", "a")
    (0.6666666666666666, 1.0, 0.0)
    >>> NGram(2, k=1, end=".").fit(["ab", "ab", "a"]).distribution("b")    # counts 0, 0 and 2
    {'a': 0.2, 'b': 0.2, '.': 0.6}

    Source: Shannon 1948, A Mathematical Theory of Communication, sections 2 and 3.
    Built in chapter 1.
    """

    order: int
    k: float = 0.0
    end: Hashable = END

    def __post_init__(self):
        if self.order < 1 or self.k < 0:
            raise ValueError(f"order ({self.order}) must be 1 or more, k ({self.k}) 0 or more")

    def fit(self, documents: Iterable[Iterable[Hashable]], vocabulary: Iterable[Hashable] = ()):
        """Count the documents and return the model; `vocabulary` adds tokens they may lack."""
        self.counts = count(documents, self.order, self.end)
        self.totals = {context: seen.total() for context, seen in self.counts.items()}
        self.vocabulary = dict.fromkeys([*self.counts[()], *vocabulary])
        return self

    def window(self, context: Sequence[Hashable]) -> Context:
        """Return the last `order - 1` tokens of a document so far, with its boundary in front."""
        padded = (self.end,) * (self.order - 1) + tuple(context)
        return padded[len(padded) - self.order + 1 :]

    def share(self, context: Context, token: Hashable) -> float:
        """Return the smoothed share of a token behind the longest seen part of a context."""
        context = longest_seen(self.counts, context)
        seen = self.counts[context].get(token, 0)
        return add_k(seen, self.totals[context], self.k, len(self.vocabulary))

    def prob(self, context: Sequence[Hashable], token: Hashable) -> float:
        """Return P(token | context). A context is a document so far; it may be empty."""
        return self.share(self.window(context), token) if token in self.vocabulary else 0.0

    def distribution(self, context: Sequence[Hashable]) -> dict[Hashable, float]:
        """Return P(token | context) for each token of the vocabulary; the values sum to one."""
        context = longest_seen(self.counts, self.window(context))
        return {token: self.share(context, token) for token in self.vocabulary}


@dataclass
class InterpolatedNGram(NGram):
    """The weighted mean of all orders from 1 to `order`: Jelinek-Mercer smoothing.

    weights: one an order, from 1 to `order`; equal when left out. Other arguments as NGram.

    >>> model = InterpolatedNGram(2, end=".", weights=(0.5, 0.5)).fit(["ab", "ab", "a"])
    >>> model.prob("a", "b")    # half of 2/8, the share of b, and half of 2/3
    0.4583333333333333

    Source: Jelinek and Mercer 1980, Interpolated estimation of Markov source parameters.
    Built in chapter 1.
    """

    weights: Sequence[float] = ()

    def __post_init__(self):
        super().__post_init__()
        self.weights = tuple(self.weights) or (1 / self.order,) * self.order
        proper = min(self.weights) >= 0 and math.isclose(sum(self.weights), 1, abs_tol=1e-6)
        if len(self.weights) != self.order or not proper:
            raise ValueError(f"weights {self.weights} must be {self.order} parts that sum to one")

    def estimates(self, context: Sequence[Hashable], token: Hashable) -> list[float]:
        """Return P(token | context) by each order alone, from 1 to `order`."""
        if token not in self.vocabulary:
            return [0.0] * self.order
        context = self.window(context)
        return [self.share(context[start:], token) for start in reversed(range(self.order))]

    def prob(self, context: Sequence[Hashable], token: Hashable) -> float:
        """Return the weighted mean of the orders' probabilities."""
        return sum(w * p for w, p in zip(self.weights, self.estimates(context, token), strict=True))

    def distribution(self, context: Sequence[Hashable]) -> dict[Hashable, float]:
        """Return P(token | context) for each token of the vocabulary; the values sum to one."""
        mixed, context = dict.fromkeys(self.vocabulary, 0.0), self.window(context)
        for weight, start in zip(self.weights, reversed(range(self.order)), strict=True):
            seen = longest_seen(self.counts, context[start:])
            total = self.totals[seen] + self.k * len(mixed)
            for token in mixed if self.k else self.counts[seen]:  # k = 0: the others have no share
                mixed[token] += weight * (self.counts[seen].get(token, 0) + self.k) / total
        return mixed


def fit_weights(
    model: InterpolatedNGram, documents: Iterable[Iterable[Hashable]], steps: int = 100
) -> InterpolatedNGram:
    """Fit a model's weights to documents held out from its counts, and return the model.

    Raises ValueError if a token has probability zero in every order.

    Built in chapter 1.
    """
    pairs = [pair for document in documents for pair in windows(document, model.order, model.end)]
    estimates = np.array([model.estimates(*pair) for pair in pairs])  # (T, order)
    lost = [token for (_, token), row in zip(pairs, estimates, strict=True) if not row.any()]
    if lost or not pairs:
        raise ValueError(f"documents must be tokens that some order expects, not {lost[:3]}")
    model.weights = tuple(fit_mixture(estimates, steps).tolist())
    return model
