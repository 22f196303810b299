"""Tasks: a perfect model's logits give back what was labelled; wrong records are named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.adapt.examples import Example, Examples, collate
from minillm.adapt.heads import SequenceClassifier, SpanClassifier, TokenClassifier
from minillm.adapt.tasks import (
    LONGEST_ANSWER,
    Classification,
    QuestionAnswering,
    Tagging,
    answers,
    best_span,
    encode,
    first_pieces,
    word_tags,
)
from minillm.model.bert import BERT, BertConfig
from minillm.text import village
from minillm.text.tokenizers import BPETokenizer, WordPieceTokenizer
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import IGNORE, classification

# A vocabulary too small for whole words, so that most words have several pieces.
TOKENIZER = WordPieceTokenizer.train([s.text for s in village.stories(200)], 150)
LONG = 400
KINDS = ("PERSON", "PLACE", "THING")
SENTIMENT, TAGGING, READING = Classification((0, 1)), Tagging(KINDS), QuestionAnswering()
CLAIMS = ("entailment", "contradiction", "neutral")
PAIRS = Classification(CLAIMS, ("premise", "hypothesis"))
VILLAGE = [
    (SENTIMENT, village.sentiment),
    (PAIRS, village.pairs),
    (TAGGING, village.entities),
    (READING, village.questions),
]


def perfect(task, example):
    """The logits of a model that is sure of an example's targets."""
    if isinstance(task, Classification):
        return torch.eye(len(task.classes))[example.target]
    if isinstance(task, Tagging):
        target = torch.tensor(example.target).clamp(min=0)
        return torch.eye(len(task.tags))[target]
    return torch.eye(len(example.ids))[torch.tensor(example.target)]


@pytest.mark.parametrize(("task", "draw"), VILLAGE)
def test_a_perfect_models_answers_are_the_labels(task, draw):
    records = draw(60, 1)
    found = []
    for record in records:
        example = task.example(record, TOKENIZER, LONG)
        assert len(example.ids) == len(example.segments)
        found.append(task.answer(perfect(task, example), record, TOKENIZER))
    assert task.score(found, records) == 1.0
    if task is TAGGING:
        assert found == [record["spans"] for record in records]
    if task is READING:
        assert found == [record["answer"] for record in records]


WORDS = st.lists(
    st.text(st.sampled_from("abcdefAZé中ß-'."), min_size=1, max_size=9), min_size=1, max_size=9
)


@given(WORDS, st.data())
def test_labels_come_back_from_the_pieces_of_any_words(words, data):
    text, spans, place = " ".join(words), [], 0
    for word in words:
        kind = data.draw(st.sampled_from(("", *KINDS)))
        if kind:
            spans.append((place, place + len(word), kind))
        place += len(word) + 1
    record = {"text": text, "spans": spans}
    example = TAGGING.example(record, TOKENIZER, LONG)
    assert TAGGING.answer(perfect(TAGGING, example), record, TOKENIZER) == spans


def test_a_tag_stands_at_the_first_piece_of_each_word_and_nowhere_else():
    record = {"text": "Beverley took the violin", "spans": [(0, 8, "PERSON"), (18, 24, "THING")]}
    example = TAGGING.example(record, TOKENIZER, LONG)
    tokens = [TOKENIZER.id_to_token(i) for i in example.ids]
    assert any(token.startswith("##") for token in tokens)
    for token, target in zip(tokens, example.target, strict=True):
        assert (target == IGNORE) == (token.startswith("##") or token in ("[CLS]", "[SEP]"))
    tags = [TAGGING.tags[t] for t in example.target if t != IGNORE]
    assert tags == ["B-PERSON", "O", "O", "B-THING"]


def test_an_answer_is_its_own_pieces_and_not_the_quotation_mark_before_it():
    record = {"text": 'He said "mill".', "question": "What?", "answer": "mill", "start": 9}
    example = READING.example(record, TOKENIZER, LONG)
    first, last = example.target
    assert TOKENIZER.decode(example.ids[first : last + 1]) == "mill"


def test_word_tags_of_entities_of_several_words_side_by_side():
    places = [(0, 3), (4, 6), (7, 9), (10, 12)]
    spans = [(0, 6, "PLACE"), (7, 9, "PLACE")]
    assert word_tags(places, spans) == ["B-PLACE", "I-PLACE", "B-PLACE", "O"]
    assert word_tags(places, [(1, 2, "PLACE")])[0] == "B-PLACE"  # of a part of a word
    assert first_pieces([]) == []


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_best_span_is_the_best_of_all(T, seed):
    logits = torch.randn(2, T, generator=torch.Generator().manual_seed(seed))
    allowed = [(i, j) for i in range(T) for j in range(i, min(T, i + LONGEST_ANSWER))]
    best = max(allowed, key=lambda span: logits[0, span[0]] + logits[1, span[1]])
    assert best_span(logits) == best


@pytest.mark.parametrize("T", [5, 24, 100])
def test_a_text_that_is_too_long_loses_its_end_and_can_still_be_answered(T):
    torch.manual_seed(0)
    body = BERT(BertConfig(len(TOKENIZER), context_length=T, d_model=16, n_heads=2, n_layers=1))
    for task, draw in VILLAGE:
        records, model = draw(8, 2), task.head(body).eval()
        rows = encode(task, records, TOKENIZER, body)
        assert all(len(row.ids) <= T for row in rows)
        found = answers(task, model, records, TOKENIZER)
        assert 0 <= task.score(found, records) <= 1
        if task is READING:
            lost = [row.target == [IGNORE, IGNORE] for row in rows]
            assert all(lost) if T == 5 else any(lost)
            assert T < 100 or not all(lost)
            kept = [row for row in rows if row.target[0] != IGNORE]
            assert all(row.segments[row.target[0]] == 1 for row in kept)


def test_wrong_records_are_named():
    with pytest.raises(ValueError, match=r"label \(2\) must be one of \(0, 1\)"):
        SENTIMENT.example({"text": "a", "label": 2}, TOKENIZER, LONG)
    with pytest.raises(ValueError, match=r"the label of 'B-CITY' must be one of \('PERSON'"):
        TAGGING.example({"text": "York", "spans": [(0, 4, "CITY")]}, TOKENIZER, LONG)
    record = {"text": "the mill", "question": "Where?", "answer": "mill", "start": 3}
    with pytest.raises(ValueError, match=r"answer \('mill'\) must stand at start \(3\)"):
        READING.example(record, TOKENIZER, LONG)


def test_each_task_has_its_head():
    body = BERT(BertConfig(9, d_model=8, n_heads=2, n_layers=1))
    ids = torch.zeros(2, 5, dtype=torch.long)
    heads = {SENTIMENT: (2, 2), PAIRS: (2, 3), TAGGING: (2, 5, 7), READING: (2, 2, 5)}
    kinds = [SequenceClassifier, SequenceClassifier, TokenClassifier, SpanClassifier]
    for (task, shape), kind in zip(heads.items(), kinds, strict=True):
        assert type(task.head(body)) is kind
        assert task.head(body)(ids).shape == shape


@pytest.mark.parametrize(("task", "draw"), VILLAGE)
def test_a_small_model_learns_a_few_records_by_heart(task, draw):
    torch.manual_seed(0)
    config = BertConfig(len(TOKENIZER), context_length=160, d_model=32, n_heads=2, n_layers=2)
    records = draw(6, 3)
    model = task.head(BERT(config))
    data = Examples(encode(task, records, TOKENIZER, model.body))
    settings = TrainConfig(steps=80, batch_size=6, lr=3e-3, warmup_steps=10, weight_decay=0.0)
    history = train(model, classification, data, settings, progress=False)
    assert history.losses[-1] < 0.2 * history.losses[0]
    assert task.score(answers(task, model, records, TOKENIZER), records) > 0.9


def test_a_gpt_is_asked_after_its_last_token():
    tokenizer = BPETokenizer.train([s.text for s in village.stories(50)], 300)
    record = village.sentiment(1)[0]
    example = SENTIMENT.example(record, tokenizer, LONG)
    assert tokenizer.decode(example.ids) == "<|endoftext|>" + record["text"]
    *_, targets = collate([example, Example([1], [0], 0)])
    assert targets.tolist() == [record["label"], 0]
