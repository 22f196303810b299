"""Scores: perplexity, accuracy, and the F1 of answer spans and of entities.

All scores but perplexity are shares between 0 and 1.
But: `normalize` is SQuAD's, made for English; Chinese answers are not split into words by it.
"""

import math
import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Span = tuple[int, int, str]


def perplexity(nats_per_token: float) -> float:
    """Return exp(nats per token): among how many equally likely tokens the model seems to choose.

    >>> round(perplexity(math.log(6)), 9)    # a fair die
    6.0

    Source: Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition.
    Built in chapter 1.
    """
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def accuracy(predicted: Sequence, expected: Sequence) -> float:
    """Return the share of predictions that equal what was expected.

    Raises ValueError for unequal lengths or nothing to compare.

    >>> accuracy(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    0.6666666666666666

    Built in chapter 1.
    """
    _check_pairs(predicted, expected)
    return sum(bool(p == e) for p, e in zip(predicted, expected, strict=True)) / len(expected)


def normalize(answer: str) -> str:
    """Return an answer as SQuAD compares it: lower case, no punctuation or articles, single spaces.

    >>> normalize("The  Eiffel-Tower, (Paris)")
    'eiffeltower paris'

    Source: Rajpurkar et al. 2016 (1606.05250), section 6.1, and the official evaluation script.
    Built in chapter 10.
    """
    answer = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer).split())


def exact_match(predicted: str, answers: Iterable[str]) -> float:
    """Return 1.0 if the predicted span equals one of the right answers after `normalize`, else 0.0.

    A question that can't be answered has no right answers; the right prediction is then "".

    >>> exact_match("the mill.", ["A mill", "old mill"])
    1.0

    Source: Rajpurkar et al. 2016 (1606.05250), section 6.1; unanswerable: 2018 (1806.03822).
    Built in chapter 10.
    """
    return float(normalize(predicted) in _right_answers(answers))


def span_f1(predicted: str, answers: Iterable[str]) -> float:
    """Return the best F1 between the words of the predicted span and those of a right answer.

    A question that can't be answered has no right answers; the right prediction is then "".

    >>> span_f1("in the old mill", ["old mill"])    # 2 of 3 words right, 2 of 2 found
    0.8

    Source: Rajpurkar et al. 2016 (1606.05250), section 6.1; unanswerable: 2018 (1806.03822).
    Built in chapter 10.
    """
    words, best = normalize(predicted).split(), 0.0
    for answer in _right_answers(answers):
        right = answer.split()
        common = (Counter(words) & Counter(right)).total()
        both_empty = not words and not right
        best = max(best, 1.0 if both_empty else 2 * common / (len(words) + len(right)))
    return best


def span_scores(predicted: Sequence[str], answers: Sequence[Iterable[str]]) -> dict[str, float]:
    """Return the mean `exact_match` and `span_f1` over questions.

    answers: for each question its right answers. Raises ValueError as accuracy does.

    >>> span_scores(["old mill", "Anna"], [["the old mill"], ["Anna Reed"]])
    {'exact_match': 0.5, 'f1': 0.8333333333333333}

    Built in chapter 10.
    """
    _check_pairs(predicted, answers)
    pairs = list(zip(predicted, map(list, answers), strict=True))
    return {
        "exact_match": sum(exact_match(p, a) for p, a in pairs) / len(pairs),
        "f1": sum(span_f1(p, a) for p, a in pairs) / len(pairs),
    }


class Score(NamedTuple):
    """Precision, recall, their harmonic mean, and how many entities there were to find.

    Built in chapter 10.
    """

    precision: float
    recall: float
    f1: float
    support: int


def entity_spans(tags: Sequence[str]) -> list[Span]:
    """Return (start, end, type) for each entity in a sequence of B-, I- and O tags; end exclusive.

    An I- tag that continues nothing of its type starts an entity, so tags without B- work too.

    >>> entity_spans(["B-person", "I-person", "O", "I-place", "B-place"])
    [(0, 2, 'person'), (3, 4, 'place'), (4, 5, 'place')]

    Source: Tjong Kim Sang and De Meulder 2003 (cs/0306050), section 2.
    Built in chapter 10.
    """
    spans, previous = [], "O"
    for i, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and previous.partition("-")[2] == kind:
            spans[-1] = (spans[-1][0], i + 1, kind)
        elif prefix != "O":
            spans.append((i, i + 1, kind))
        previous = tag
    return spans


def entity_f1(
    predicted: Sequence[Iterable[Span]], expected: Sequence[Iterable[Span]]
) -> dict[str, Score]:
    """Return the scores of predicted entities: "micro" for all together, and by type.

    Both hold, text by text, (start, end, type) spans; a span counts if all three are right.
    Raises ValueError as accuracy does.

    >>> found, there = [(0, 1, "person"), (4, 5, "place")], [(0, 1, "person"), (3, 5, "place")]
    >>> entity_f1([found], [there])["micro"]
    Score(precision=0.5, recall=0.5, f1=0.5, support=2)

    Source: Tjong Kim Sang and De Meulder 2003 (cs/0306050), section 3.
    Built in chapter 10.
    """
    _check_pairs(predicted, expected)
    found, there, right = defaultdict(int), defaultdict(int), defaultdict(int)
    for predicted_spans, expected_spans in zip(predicted, expected, strict=True):
        predicted_spans, expected_spans = set(predicted_spans), set(expected_spans)
        for counts, spans in (
            (found, predicted_spans),
            (there, expected_spans),
            (right, predicted_spans & expected_spans),
        ):
            for _, _, kind in spans:
                counts[kind] += 1
                counts["micro"] += 1
    kinds = ["micro", *sorted({*found, *there} - {"micro"})]
    return {kind: _score(found[kind], there[kind], right[kind]) for kind in kinds}


def _right_answers(answers: Iterable[str]) -> list[str]:
    return [answer for answer in map(normalize, answers) if answer] or [""]


def _score(found: int, there: int, right: int) -> Score:
    precision, recall = (right / n if n else 0.0 for n in (found, there))
    return Score(precision, recall, 2 * right / (found + there) if right else 0.0, there)


def _check_pairs(predicted: Sequence, expected: Sequence) -> None:
    sizes = f"predicted ({len(predicted)}) and expected ({len(expected)})"
    if len(predicted) != len(expected) or len(expected) == 0:
        raise ValueError(f"{sizes} must be of one length, and not empty")
