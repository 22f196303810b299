"""The village's oracle: sample stories, list what can come next, to the last decimal.

    >>> round(sum(c.probability for c in continuations()), 9)
    1.0

Everything goes through the tree of `grammar.py`. Probabilities are exact; logarithms are natural,
so every log-probability is in nats.

But: judging a text that is given is in `judge.py`, labels for tasks are in `tasks.py`.
"""

import random
from math import log
from typing import NamedTuple

from minillm.text.ngram import END
from minillm.text.village.grammar import Choice, Said, root
from minillm.text.village.judge import judge
from minillm.text.village.render import text_of
from minillm.text.village.split import sentences, words
from minillm.text.village.state import START, State, after


class Story(NamedTuple):
    """A story: its text, its exact log-probability in nats (its end included), and how it was told.

    `said[i]` is the meaning and form of sentence i, `states[i]` the state before it;
    `states[-1]` is the state at the end.
    """

    text: str
    logprob: float
    said: tuple[Said, ...]
    states: tuple[State, ...]


class Continuation(NamedTuple):
    """One possible next sentence ("" is the end of the story), its probability, the state after."""

    text: str
    probability: float
    state: State | None


# Sampling: walk one branch.


def walk(s: State, rng: random.Random) -> tuple[Said | None, float]:
    """Draw the next sentence (None: the end) in state `s`, and its log-probability."""
    node, p = root(s), 1.0
    while type(node) is Choice:
        _, options, weights, then = node
        n = len(options)
        if n == 1:
            node = then(options[0])
        elif weights is None:
            p /= n
            node = then(options[int(rng.random() * n)])
        else:
            total = sum(weights)
            x = rng.random() * total
            for option, weight in zip(options, weights, strict=True):  # noqa: B007
                x -= weight
                if x < 0:
                    break
            p *= weight / total
            node = then(option)
    return node, log(p)


def story(rng: random.Random) -> Story:
    """Draw one story with the random numbers of `rng`.

    Built in chapter 1.
    """
    s, said, states, texts, total = START, [], [START], [], 0.0
    while True:
        sentence, logprob = walk(s, rng)
        total += logprob
        if sentence is None:
            return Story(" ".join(texts), total, tuple(said), tuple(states))
        s = after(s, sentence.act)
        texts.append(text_of(sentence))
        said.append(sentence)
        states.append(s)


def check_counts(**counts: int) -> None:
    """Raise ValueError unless all are whole numbers, 0 or more."""
    for name, value in counts.items():
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} ({value!r}) must be a whole number, 0 or more")


def stories(n: int, seed: int = 0) -> list[Story]:
    """Draw `n` stories; the same seed gives the same stories on every machine.

    Args:
        n: how many, 0 or more. The first stories don't depend on it.
        seed: 0 or more; different seeds give independent stories.

    Raises:
        ValueError: `n` or `seed` is negative or not an integer.

    Built in chapter 1.
    """
    check_counts(n=n, seed=seed)
    rng = random.Random(seed)
    return [story(rng) for _ in range(n)]


# Listing: visit every leaf.


def continuations(s: State = START) -> list[Continuation]:
    """Every sentence that can come next, with its probability and the state that follows.

    Args:
        s: a state, from a story's `states` or an earlier continuation; `START` begins a story.

    Returns:
        Some thousands of `Continuation`s; their probabilities sum to one.

    Built in chapter 1.
    """
    leaves = []

    def visit(node, p):
        if type(node) is Choice:
            weights = node.weights or [1] * len(node.options)
            total = sum(weights)
            for option, weight in zip(node.options, weights, strict=True):
                visit(node.then(option), p * weight / total)
        elif node is None:
            leaves.append(Continuation("", p, None))
        else:
            leaves.append(Continuation(text_of(node), p, after(s, node.act)))

    visit(root(s), 1.0)
    return leaves


def state_after(told: list[str]) -> State:
    """What a story knows after its first sentences.

    Raises:
        ValueError: no story begins like that; the message says why.

    Built in chapter 1.
    """
    s = START
    for sentence in told:
        s, judgement = judge(s, sentence)
        if judgement.reason:
            raise ValueError(f"no story begins like that: {judgement.reason}")
    return s


def next_word(prefix: str) -> dict[str, float]:
    """The true distribution of the next word after `prefix`, the likeliest first.

    A word is a run of letters, or one mark (`.` `,` `?` `"`); the end of the story is the word
    `<|endoftext|>`. The probabilities sum to one.

    Args:
        prefix: the beginning of a story, cut after a whole word; "" asks for the first word.

    Raises:
        ValueError: no story begins like that; the message says why.

    Example:
        >>> next_word("Anna was at the mill")
        {'.': 1.0}

    Built in chapter 1.
    """
    *whole, rest = sentences(prefix, cut=True)
    s, rest = state_after(whole), rest.rstrip(" ")
    distribution: dict[str, float] = {}
    for text, p, _ in continuations(s):
        ahead = text[len(rest) :]
        if text.startswith(rest) and not (rest[-1:].isalnum() and ahead[:1].isalnum()):
            word = words(ahead)[0] if ahead else END
            distribution[word] = distribution.get(word, 0.0) + p
    total = sum(distribution.values())
    if not total:
        raise ValueError(f"no story goes on with {rest!r} here")
    ranked = sorted(distribution.items(), key=lambda item: (-item[1], item[0]))
    return {word: p / total for word, p in ranked}
