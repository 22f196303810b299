"""Tasks: how a record of labelled text becomes an example, and a model's logits an answer.

Three kinds, which differ in their head, their targets and their score:

    Classification     one of K classes for a text, or for two texts
    Tagging            the spans in a text that are a person, a place ...
    QuestionAnswering  the span of a text that answers a question

A record is a dictionary, with the keys that the village's tasks have.

But: the training loop, its objective and the body know nothing of tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minillm.adapt.examples import Example, encode_words, join, predict
from minillm.adapt.heads import SequenceClassifier, SpanClassifier, TokenClassifier
from minillm.measure import Span, accuracy, entity_f1, entity_spans, span_scores
from minillm.train.objectives import IGNORE

LONGEST_ANSWER = 30  # tokens, as in BERT's code


@dataclass(frozen=True)
class Classification:
    """Which class a text has, or two texts together. An answer is one of the classes.

    Args:
        classes: the labels that records may have.
        texts: the keys of the one text, or of the two.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4.1.
    Built in chapter 10.
    """

    classes: tuple
    texts: tuple[str, ...] = ("text",)

    def head(self, body: nn.Module) -> nn.Module:
        """A body with this task's head, not trained yet."""
        return SequenceClassifier(body, len(self.classes))

    def example(self, record: dict, tokenizer: Any, context_length: int) -> Example:
        """A record as an example; a ValueError for a label that is none of the classes."""
        if record["label"] not in self.classes:
            raise ValueError(f"label ({record['label']!r}) must be one of {self.classes}")
        ids = [tokenizer.encode(record[key]) for key in self.texts]
        row = join(tokenizer, context_length, *ids)
        return Example(*row, self.classes.index(record["label"]))

    def answer(self, logits: Tensor, record: dict, tokenizer: Any) -> Any:
        """The most likely class, from logits (K,)."""
        return self.classes[int(logits.argmax())]

    def score(self, answers: Sequence, records: Sequence[dict]) -> float:
        """The share of right answers."""
        return accuracy(answers, [record["label"] for record in records])


@dataclass(frozen=True)
class Tagging:
    """Which stretches of a text are entities. An answer is a list of (start, end, label) spans.

    Each word gets one of 2K + 1 tags: O, or B- for an entity's first word and I- for its others.
    The tag is learned, and read, at the first piece of the word.

    Args:
        labels: the K kinds of entities.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 5.3; the tags: Ramshaw and Marcus 1995,
    cmp-lg/9505040, as Tjong Kim Sang 2002, cs/0209010, has them.
    Built in chapter 10.
    """

    labels: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The classes of a word."""
        return ("O", *(f"{part}-{label}" for label in self.labels for part in "BI"))

    def head(self, body: nn.Module) -> nn.Module:
        """A body with this task's head, not trained yet."""
        return TokenClassifier(body, len(self.tags))

    def example(self, record: dict, tokenizer: Any, context_length: int) -> Example:
        """A record as an example; a ValueError for a span of an unknown label."""
        ids, words, places = encode_words(record["text"], tokenizer)
        of_words = word_tags(places, record["spans"])
        if unknown := {*of_words} - {*self.tags}:
            raise ValueError(f"spans: the label of {unknown.pop()!r} must be one of {self.labels}")
        row, segments = join(tokenizer, context_length, ids)
        target = [IGNORE] * len(row)
        for i in first_pieces(words):
            if i + 1 < len(row) - 1:  # [CLS] stands before, [SEP] behind; a long text was cut
                target[i + 1] = self.tags.index(of_words[words[i]])
        return Example(row, segments, target)

    def answer(self, logits: Tensor, record: dict, tokenizer: Any) -> list[Span]:
        """The entities, from logits (T, 2K + 1)."""
        _, words, places = encode_words(record["text"], tokenizer)
        best, tags = logits.argmax(dim=1).tolist(), ["O"] * len(places)
        for i in first_pieces(words):
            if i + 1 < len(best) - 1:
                tags[words[i]] = self.tags[best[i + 1]]
        spans = entity_spans(tags)
        return [(places[first][0], places[last - 1][1], label) for first, last, label in spans]

    def score(self, answers: Sequence, records: Sequence[dict]) -> float:
        """The F1 of the entities."""
        return entity_f1(answers, [record["spans"] for record in records])["micro"].f1


@dataclass(frozen=True)
class QuestionAnswering:
    """Which span of a text answers a question. An answer is a piece of the text.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4.2.
    Built in chapter 10.
    """

    def head(self, body: nn.Module) -> nn.Module:
        """A body with this task's head, not trained yet."""
        return SpanClassifier(body)

    def example(self, record: dict, tokenizer: Any, context_length: int) -> Example:
        """A record as an example; without a target where the answer is in what was cut off."""
        question = tokenizer.encode(record["question"])
        ids, words, places = encode_words(record["text"], tokenizer)
        row, segments = join(tokenizer, context_length, question, ids)
        start, end = record["start"], record["start"] + len(record["answer"])
        inside = [i for i, w in enumerate(words) if places[w][1] > start and places[w][0] < end]
        if record["text"][start:end] != record["answer"] or not inside:
            raise ValueError(f"answer ({record['answer']!r}) must stand at start ({start})")
        before = segments.index(1)
        target = [before + inside[0], before + inside[-1]]
        return Example(row, segments, target if target[1] < len(row) - 1 else [IGNORE, IGNORE])

    def answer(self, logits: Tensor, record: dict, tokenizer: Any) -> str:
        """The most likely span, from logits (2, T); "" if nothing of the text is left."""
        question = tokenizer.encode(record["question"])
        ids, words, places = encode_words(record["text"], tokenizer)
        _, segments = join(tokenizer, logits.shape[1], question, ids)
        before, n = segments.index(1), sum(segments) - 1  # [SEP] stands behind
        if n == 0:
            return ""
        first, last = best_span(logits[:, before : before + n])
        return record["text"][places[words[first]][0] : places[words[last]][1]]

    def score(self, answers: Sequence, records: Sequence[dict]) -> float:
        """The F1 of the answers' words, as SQuAD counts it."""
        return span_scores(answers, [[record["answer"]] for record in records])["f1"]


Task = Classification | Tagging | QuestionAnswering


def word_tags(places: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """The tag of each word: B- where an entity's first characters are, I- where more are, or O.

    >>> word_tags([(0, 3), (4, 6), (7, 12), (13, 17)], [(0, 3, "PERSON"), (7, 17, "PLACE")])
    ['B-PERSON', 'O', 'B-PLACE', 'I-PLACE']

    Built in chapter 10.
    """
    tags = ["O"] * len(places)
    for start, end, label in spans:
        inside = [w for w, (a, b) in enumerate(places) if b > start and a < end]
        for w in inside:
            tags[w] = f"{'B' if w == inside[0] else 'I'}-{label}"
    return tags


def first_pieces(words: Sequence[int]) -> list[int]:
    """Which pieces are the first of their word.

    >>> first_pieces([0, 1, 1, 2])
    [0, 1, 3]

    Built in chapter 10.
    """
    return [i for i, word in enumerate(words) if i == 0 or words[i - 1] != word]


def best_span(logits: Tensor) -> tuple[int, int]:
    """The first and last token of the span with the highest sum of two logits.

    Args:
        logits: (2, T), of starting and of ending at each token.
    Returns: two numbers of tokens; the last isn't before the first, nor LONGEST_ANSWER after it.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4.2.
    Built in chapter 10.
    """
    sums = logits[0][:, None] + logits[1][None]  # (T, T)
    allowed = torch.ones_like(sums, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
    return divmod(int(sums.masked_fill(~allowed, -torch.inf).argmax()), len(sums))


def encode(task: Task, records: Sequence[dict], tokenizer: Any, body: nn.Module) -> list[Example]:
    """All records as examples for a body.

    Built in chapter 10.
    """
    return [task.example(record, tokenizer, body.config.context_length) for record in records]


def answers(task: Task, model: nn.Module, records: Sequence[dict], tokenizer: Any) -> list:
    """What a model with the task's head answers for each record.

    Built in chapter 10.
    """
    found = predict(model, encode(task, records, tokenizer, model.body))
    return [task.answer(x, r, tokenizer) for x, r in zip(found, records, strict=True)]
