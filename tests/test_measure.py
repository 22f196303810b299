"""Scores against hand-worked examples, the SQuAD script's published cases, and scikit-learn."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from minillm import measure
from minillm.measure import (
    accuracy,
    entity_f1,
    entity_spans,
    exact_match,
    normalize,
    perplexity,
    span_f1,
    span_scores,
)

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)
TAGS = st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]), max_size=10)


def test_docstring_examples():
    results = doctest.testmod(measure)
    assert results.attempted >= 8 and results.failed == 0


def test_perplexity():
    assert perplexity(0) == 1
    assert perplexity(math.log(50257)) == pytest.approx(50257)
    assert perplexity(math.inf) == perplexity(1e6) == math.inf


@given(LABELS)
def test_accuracy_is_scikit_learns(pairs):
    predicted, expected = zip(*pairs, strict=True)
    assert accuracy(predicted, expected) == pytest.approx(accuracy_score(expected, predicted))
    assert accuracy(torch.tensor(predicted), torch.tensor(expected)) == accuracy(
        predicted, expected
    )


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The Norman dukes", "norman dukes"),
        ("  an   Apple\ta day ", "apple day"),
        ("theatre, another", "theatre another"),  # articles only as whole words
        ("10th–11th century", "10th–11th century"),  # only ASCII punctuation goes
        ("$1.5 million!", "15 million"),
        ("the", ""),
    ],
)
def test_normalize_as_the_squad_script(answer, normal):
    assert normalize(answer) == normal


@pytest.mark.parametrize(
    ("predicted", "answers", "exact", "f1"),
    [
        ("France", ["France", "in France"], 1, 1),
        ("in france.", ["France"], 0, 2 / 3),
        ("10th and 11th centuries", ["in the 10th and 11th centuries"], 0, 8 / 9),
        ("Denmark", ["France"], 0, 0),
        ("a b b c", ["b b b"], 0, 4 / 6),  # repeated words count as often as they match
        ("the Normans", ["William", "Normans led by Rollo", "Norse"], 0, 2 / 5),  # the best answer
        ("", [], 1, 1),
        ("", ["France"], 0, 0),
        ("France", [], 0, 0),
        ("the", [], 1, 1),
        ("", ["the", "France"], 0, 0),  # an answer that normalises to nothing is no answer
    ],
)
def test_spans_as_the_squad_script(predicted, answers, exact, f1):
    assert exact_match(predicted, answers) == exact
    assert span_f1(predicted, answers) == pytest.approx(f1)
    assert span_scores([predicted], [iter(answers)]) == {
        "exact_match": exact,
        "f1": pytest.approx(f1),
    }


@given(st.text("ab .", max_size=8), st.lists(st.text("ab .", max_size=8), max_size=3))
def test_an_exact_match_has_f1_one(predicted, answers):
    f1 = span_f1(predicted, answers)
    assert 0 <= f1 <= 1
    if exact_match(predicted, answers):
        assert f1 == 1


def test_entity_spans_of_tags():
    assert entity_spans([]) == entity_spans(["O", "O"]) == []
    assert entity_spans(["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]) == [
        (0, 2, "PER"),
        (3, 4, "LOC"),
        (4, 5, "LOC"),
    ]
    assert entity_spans(["I-PER", "I-PER", "I-LOC", "O", "I-LOC"]) == [
        (0, 2, "PER"),
        (2, 3, "LOC"),
        (4, 5, "LOC"),
    ]
    assert entity_spans(["B-creative-work", "I-creative-work"]) == [(0, 2, "creative-work")]


@given(TAGS)
def test_entity_spans_cover_the_tagged_tokens_once(tags):
    covered = [(i, kind) for start, end, kind in entity_spans(tags) for i in range(start, end)]
    assert covered == [(i, tag[2:]) for i, tag in enumerate(tags) if tag != "O"]


def test_entity_f1_by_hand():
    expected = [[(0, 2, "person"), (5, 6, "place")], [(1, 2, "person")], []]
    predicted = [[(0, 2, "person"), (5, 6, "thing")], [(1, 3, "person")], [(0, 1, "place")]]
    scores = entity_f1(predicted, expected)
    assert list(scores) == ["micro", "person", "place", "thing"]
    assert scores["micro"] == (1 / 4, 1 / 3, 2 / 7, 3)
    assert scores["person"] == (1 / 2, 1 / 2, 1 / 2, 2)
    assert scores["place"] == (0, 0, 0, 1)
    assert scores["thing"] == (0, 0, 0, 0)


@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=5))
def test_entity_f1_is_the_harmonic_mean_and_symmetric(pairs):
    predicted, expected = (
        [entity_spans(tags) for tags in side] for side in zip(*pairs, strict=True)
    )
    score, swapped = (
        entity_f1(*sides)["micro"] for sides in [(predicted, expected), (expected, predicted)]
    )
    assert (score.precision, score.recall, score.f1) == (
        swapped.recall,
        swapped.precision,
        swapped.f1,
    )
    if score.f1:
        harmonic = 2 / (1 / score.precision + 1 / score.recall)
        assert score.f1 == pytest.approx(harmonic)
    assert entity_f1(expected, expected)["micro"].f1 == float(any(expected))


@pytest.mark.parametrize("score", [accuracy, span_scores, entity_f1])
def test_scores_of_nothing_or_of_unequal_lengths_are_refused(score):
    with pytest.raises(ValueError, match=r"predicted \(0\) and expected \(0\)"):
        score([], [])
    with pytest.raises(ValueError, match=r"predicted \(1\) and expected \(2\)"):
        score(["a"], ["a", "b"])
