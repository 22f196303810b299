"""The best that any reader of the village could guess: hidden words, and pairs of texts.

Both follow from the oracle by Bayes' rule: what was hidden is as likely as the story is with it.
But: one hidden word at a time. Several would ask for every combination of them.
"""

import random
from math import exp
from statistics import fmean

from minillm.text.village.judge import judge, score
from minillm.text.village.oracle import END, next_word, state_after, stories, walk
from minillm.text.village.split import sentences, unwords, words
from minillm.text.village.state import State, after


def missing_word(text: str, i: int) -> dict[str, float]:
    """The true distribution of word `i` of a story, given all its other words, the likeliest first.

    Args:
        text: a whole story.
        i: which of `words(text)` is hidden; what stands there has no influence.

    Raises:
        ValueError: no story has these other words, or there is no word `i`.

    Example:
        >>> missing_word("Anna was at the mill. Anna was happy.", 1)
        {'was': 1.0}

    Source: Bayes' rule.
    Built in chapter 9.
    """
    tokens = words(text)
    if not 0 <= i < len(tokens):
        raise ValueError(f"i ({i}) must be from 0 to {len(tokens) - 1}, a word of the text")
    chances = {}
    for word in next_word(unwords(tokens[:i])):
        if word != END:
            chances[word] = exp(score(unwords([*tokens[:i], word, *tokens[i + 1 :]])).logprob)
    total = sum(chances.values())
    if not total:
        raise ValueError(f"no story has these words around word {i}")
    ranked = sorted(chances.items(), key=lambda item: (-item[1], item[0]))
    return {word: p / total for word, p in ranked if p}


def goes_on(
    before: str, after_it: str, negatives: str = "other", n_samples: int = 50, seed: int = 0
) -> float:
    """The chance that a text goes on from another, at even odds, estimated by sampling.

    Args:
        before: the beginning of a story, one sentence or more.
        after_it: some sentences: those that come next, or, just as often, not those.
        negatives: what else they may be: sentences of another story ("other"), or sentences from
            further on in the same story ("same").
        n_samples: stories drawn to find out how likely they are to hold these sentences.
        seed: of these stories.

    Returns:
        A probability, 0 where the sentences can't come next. A reader who says yes from one half
        on is right as often as can be, up to the error of sampling.

    Raises:
        ValueError: no story begins like `before`, or `negatives` is something else.

    Source: Bayes' rule.
    Built in chapter 9.
    """
    if negatives not in ("other", "same"):
        raise ValueError(f"negatives ({negatives!r}) must be other or same")
    s, told = state_after(sentences(before)), sentences(after_it)
    if_next = _chance(s, told)
    if not if_next:
        return 0.0
    if negatives == "other":
        places = [state for story in stories(n_samples, seed) for state in story.states[1:-1]]
    else:
        rng = random.Random(seed)
        places = [state for _ in range(n_samples) for state in _later(s, len(told), rng)]
    if_not = fmean(_chance(place, told) for place in places) if places else 0.0
    return if_next / (if_next + if_not)


def _chance(s: State, told: list[str]) -> float:
    """The probability that these sentences come next."""
    p = 1.0
    for sentence in told:
        s, judgement = judge(s, sentence)
        p *= exp(judgement.logprob)
        if not p:
            break
    return p


def _later(s: State, n_sentences: int, rng: random.Random) -> list[State]:
    """The states of one drawn story, after `s`, from which it still has that many sentences."""
    states = []
    while True:
        said, _ = walk(s, rng)
        if said is None:
            return states[: max(0, len(states) - n_sentences)]
        s = after(s, said.act)
        states.append(s)
