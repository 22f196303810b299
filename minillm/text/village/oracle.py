"""The village's oracle: sample stories, list what can come next, score any text exactly.

    >>> story = stories(1, seed=1)[0]
    >>> abs(score(story.text).logprob - story.logprob) < 1e-9
    True

Everything goes through the tree of `grammar.py`. Probabilities are exact; logarithms are natural,
so every log-probability is in nats.

But: no labels for tasks here (see `tasks.py`).
"""

import random
from math import inf, log
from typing import NamedTuple

from minillm.text.ngram import END
from minillm.text.village.grammar import Choice, Said, root
from minillm.text.village.reasons import reason, shorten
from minillm.text.village.render import readings, text_of
from minillm.text.village.split import sentences, words
from minillm.text.village.state import APPEAR, START, Act, State, after


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


class Judgement(NamedTuple):
    """A scored sentence: its log-probability in nats, and why it could not happen (or None)."""

    text: str
    logprob: float
    reason: str | None


class Score(NamedTuple):
    """A scored text: its log-probability in nats (or -inf), the first reason, each sentence."""

    logprob: float
    reason: str | None
    sentences: list[Judgement]


# Sampling: walk one branch.


def _walk(s: State, rng: random.Random) -> tuple[Said | None, float]:
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
        sentence, logprob = _walk(s, rng)
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


# Scoring: follow the sentence's own branch.

_TOPICS = {
    **{kind: kind for kind in APPEAR}, "there": "thing", "own": "thing", "weather": "scene",
    "animal": "scene", "stay": "unchanged", "keep": "unchanged", "lie": "unchanged",
}  # fmt: skip


def _follow(s: State, wanted: Said | None) -> float:
    """The probability of `wanted` (None: the end) in state `s`, 0 if it can't be said there."""
    node, p = root(s), 1.0
    while type(node) is Choice:
        what, options, weights, then = node
        if wanted is None:
            value = "end"
        elif what == "topic":
            value = _TOPICS.get(wanted.act.kind, wanted.act.who)
        elif what == "act":
            value = next((act for act in options if _agrees(act, wanted.act)), None)
        else:
            value = getattr(wanted if what in Said._fields else wanted.act, what)
        if value not in options:
            return 0.0
        i = options.index(value)
        p *= 1 / len(options) if weights is None else weights[i] / sum(weights)
        node = then(value)
    return p if node == wanted else 0.0


def _agrees(partial: Act, act: Act) -> bool:
    return all(a is None or a == b for a, b in zip(partial, act, strict=True))


def _judge(s: State, sentence: str) -> tuple[State, Judgement]:
    """The state after a sentence, and what is to be said of it."""
    # If none can happen, the reason is that of the first: coming into the story is the last guess.
    meant = sorted(readings(s, sentence), key=lambda said: said.act.kind in APPEAR)
    for said in meant:
        p = _follow(s, said)
        if p and text_of(said) == sentence:
            return after(s, said.act), Judgement(sentence, log(p), None)
    if not meant:
        why = f"{shorten(sentence)} is no sentence of the village"
        return s, Judgement(sentence, -inf, why)
    told = Judgement(sentence, -inf, reason(s, meant[0], sentence))
    return after(s, meant[0].act) if _known(s, meant[0]) else s, told


def _known(s: State, said: Said) -> bool:
    """Whether a sentence, possible or not, speaks of people and things that the story has named."""
    act = said.act
    if act.kind in APPEAR:
        return True
    people = {act.who, act.other} - {None}
    clear = (act.who or not said.pronoun) and (act.other or act.kind not in ("yes", "no"))
    named = act.thing in (*s.things(), None) and (act.thing or not said.it)
    return bool(clear and people <= s.place.keys() and (named or act.kind in ("there", "own")))


def score(text: str) -> Score:
    """The exact log-probability of a text as a whole story, or why it could not be told.

    A sentence that can't happen is then taken as told: who is said to have taken the lamp has it.
    So `sentences` says of each sentence whether it could have followed those before it. (Where it
    speaks of somebody or something that was never named, nothing is known of it, and the state
    stays as it was.)

    Returns:
        Score: `logprob` in nats (-inf if any sentence is impossible, or the story can't end there),
        `reason` (None, or why the first such sentence could not happen), and `sentences`.

    Example:
        >>> score("Anna was at the mill. Anna took the lamp.").reason
        "Anna can't take the lamp: the story has not named it"

    Built in chapter 1.
    """
    s, total, first, judged = START, 0.0, None, []
    for sentence in sentences(text):
        s, judgement = _judge(s, sentence)
        judged.append(judgement)
        total += judgement.logprob
        first = first or judgement.reason
    p = _follow(s, None)
    total += log(p) if p else -inf
    if not p and first is None:
        first = reason(s, None)
    return Score(total, first, judged)


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
    s = START
    *whole, rest = sentences(prefix, cut=True)
    for sentence in whole:
        s, judgement = _judge(s, sentence)
        if judgement.reason:
            raise ValueError(f"no story begins like that: {judgement.reason}")
    rest = rest.rstrip(" ")
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
