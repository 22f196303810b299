"""The best guess of hidden words and of what goes on: true on average, and never surprised."""

import random
from statistics import fmean

import pytest

from minillm.text import village

STORIES = village.stories(120, seed=11)


def test_a_hidden_word_is_as_likely_as_the_story_with_it():
    """Word for word, from the scores of whole stories."""
    rng = random.Random(0)
    known = sorted({word for story in STORIES for word in village.words(story.text)})
    for story in STORIES[:3]:
        tokens = village.words(story.text)
        i = rng.randrange(len(tokens))
        truth = village.missing_word(story.text, i)
        assert sum(truth.values()) == pytest.approx(1) and tokens[i] in truth
        assert [*truth.values()] == sorted(truth.values(), reverse=True)
        likeliest = max(truth.values())
        for word in known:
            text = village.unwords([*tokens[:i], word, *tokens[i + 1 :]])
            logprob = village.score(text).logprob
            best = village.unwords([*tokens[:i], next(iter(truth)), *tokens[i + 1 :]])
            ratio = 2.718281828459045 ** (logprob - village.score(best).logprob)
            assert truth.get(word, 0.0) == pytest.approx(ratio * likeliest, rel=1e-6)


def test_what_stands_there_has_no_influence():
    story = STORIES[0].text
    tokens = village.words(story)
    for i in (0, 5, len(tokens) - 1):
        hidden = village.unwords([*tokens[:i], "goat", *tokens[i + 1 :]])
        assert village.missing_word(hidden, i) == village.missing_word(story, i)


def test_the_true_word_is_as_often_right_as_is_said():
    """The mean probability of the true word is that of a word drawn from the distribution."""
    rng, said, came = random.Random(1), [], []
    for story in STORIES[:40]:
        tokens = village.words(story.text)
        i = rng.randrange(len(tokens))
        truth = village.missing_word(story.text, i)
        said.append(sum(p * p for p in truth.values()))
        came.append(truth[tokens[i]])
    assert fmean(came) == pytest.approx(fmean(said), abs=0.06)


@pytest.mark.parametrize("negatives", ["same", "other"])
def test_what_goes_on_is_told_as_well_as_is_said(negatives):
    """Half go on; the chance that is given is right on average, and better than even."""
    rng, chances, right = random.Random(2), [], []
    texts = [village.sentences(story.text) for story in STORIES]
    for told in (told for told in texts if len(told) > 5):
        cut, goes_on = rng.randrange(1, len(told) - 3), rng.random() < 0.5
        source, begin = told, cut
        if not goes_on and negatives == "same":
            begin = rng.randrange(cut + 1, len(told) - 2)
        elif not goes_on:
            source = rng.choice(texts)
            begin = rng.randrange(1, len(source) - 2)
        second = " ".join(source[begin : begin + 3])
        chance = village.goes_on(" ".join(told[:cut]), second, negatives, n_samples=12)
        if goes_on:
            assert chance > 0
        chances.append(chance)
        right.append((chance >= 0.5) == goes_on)
    assert fmean(right) > (0.6 if negatives == "same" else 0.88)
    assert fmean(right) == pytest.approx(fmean(max(p, 1 - p) for p in chances), abs=0.1)


def test_what_cannot_come_next_has_no_chance():
    assert village.goes_on("Anna was at the mill.", "Tom was happy.") == 0
    assert 0 < village.goes_on("Anna was at the mill.", "She was happy.") < 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: village.missing_word("Anna was at the mill.", 6), r"i \(6\) must be from 0 to 5"),
        (lambda: village.missing_word("Anna was the mill at.", 0), "no story"),
        (lambda: village.goes_on("Anna took the lamp.", "She was happy."), "no story begins"),
        (lambda: village.goes_on("Anna was at the mill.", "", "near"), r"negatives \('near'\)"),
    ],
)
def test_what_cannot_be_asked_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
