"""The village's judge: how probable a text is as a story, or why it could not be told.

    >>> score("Anna was at the mill. Anna took the lamp.").reason
    "Anna can't take the lamp: the story has not named it"

Scoring follows a sentence's own branch through the tree of `grammar.py`, so it can't disagree with
sampling and listing, which read the same tree (see `oracle.py`).
"""

from math import inf, log
from typing import NamedTuple

from minillm.text.village.grammar import Choice, Said, root
from minillm.text.village.reasons import reason, shorten
from minillm.text.village.render import readings, text_of
from minillm.text.village.split import sentences
from minillm.text.village.state import APPEAR, START, Act, State, after


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


_TOPICS = {
    **{kind: kind for kind in APPEAR}, "there": "thing", "own": "thing", "weather": "scene",
    "animal": "scene", "stay": "unchanged", "keep": "unchanged", "lie": "unchanged",
}  # fmt: skip


def follow(s: State, wanted: Said | None) -> float:
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


def judge(s: State, sentence: str) -> tuple[State, Judgement]:
    """The state after a sentence, and what is to be said of it."""
    # If none can happen, the reason is that of the first: coming into the story is the last guess.
    meant = sorted(readings(s, sentence), key=lambda said: said.act.kind in APPEAR)
    for said in meant:
        p = follow(s, said)
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
        s, judgement = judge(s, sentence)
        judged.append(judgement)
        total += judgement.logprob
        first = first or judgement.reason
    p = follow(s, None)
    total += log(p) if p else -inf
    if not p and first is None:
        first = reason(s, None)
    return Score(total, first, judged)
