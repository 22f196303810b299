"""Words find their pieces, whatever the text; batches hold what was given, in a known order."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.adapt.examples import (
    Example,
    Examples,
    collate,
    encode_words,
    join,
    predict,
    word_spans,
)
from minillm.adapt.heads import SequenceClassifier, SpanClassifier, TokenClassifier
from minillm.model.bert import BERT, BertConfig
from minillm.text.tokenizers import BPETokenizer, WordPieceTokenizer
from minillm.train.objectives import IGNORE, scored

TEXTS = ["Anna took the lamp to the mill, didn't she?", "Größe 中文 and other words' ends"]
TOKENIZER = WordPieceTokenizer.train(TEXTS * 3, 200)
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.text(
    "aZé中́ß\t\n\x0b\x1c\u200b\ufffd .,!'-$^`\u037e\u1fefİΣ", max_size=20
)


def body(**changes):
    torch.manual_seed(0)
    sizes = {"context_length": 16, "d_model": 16, "n_heads": 2, "n_layers": 1} | changes
    return BERT(BertConfig(len(TOKENIZER), **sizes)).eval()


def rows(n=7):
    return [Example([*range(2, 3 + k % 4)], [0] * (1 + k % 4), k) for k in range(n)]


@given(ANY_TEXT)
def test_words_one_by_one_give_the_ids_of_the_whole_text(text):
    ids, words, spans = encode_words(text, TOKENIZER)
    assert ids == TOKENIZER.encode_plain(text)
    assert len(words) == len(ids) and words == sorted(words)
    assert all(a < b for a, b in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@given(st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12), max_size=8))
def test_each_piece_belongs_to_the_word_it_is_in(given_words):
    text = " ".join(given_words)
    _, words, spans = encode_words(text, TOKENIZER)
    for number, (start, end) in enumerate(spans):
        n_pieces = len(TOKENIZER.encode_plain(text[start:end]))
        assert words.count(number) == n_pieces


def test_a_word_a_sign_and_a_chinese_character_each_stand_alone():
    text = "She's at 中文!"
    assert [text[a:b] for a, b in word_spans(text)] == ["She", "'", "s", "at", "中", "文", "!"]


def test_rows_of_a_bert_and_of_a_gpt():
    cls, sep = (TOKENIZER.special_tokens[mark] for mark in ("[CLS]", "[SEP]"))
    assert join(TOKENIZER, 16, [7, 8]) == ([cls, 7, 8, sep], [0, 0, 0, 0])
    assert join(TOKENIZER, 16, [7], [8, 9]) == ([cls, 7, sep, 8, 9, sep], [0, 0, 0, 1, 1, 1])
    gpt = BPETokenizer.train(TEXTS, 300)
    end = gpt.special_tokens["<|endoftext|>"]
    assert join(gpt, 16, [7], [8, 9]) == ([end, 7, 8, 9], [0] * 4)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(4, 14))
def test_a_row_is_never_too_long_and_keeps_all_that_fits(n_first, n_second, limit):
    first, second = [7] * n_first, [8] * n_second
    ids, segments = join(TOKENIZER, limit, first, second)
    assert len(ids) == len(segments) == min(limit, n_first + n_second + 3)
    left = ids.count(7), ids.count(8)
    if left != (n_first, n_second):  # what was cut was cut from the longer one
        assert abs(left[0] - left[1]) <= 1 or min(left) == min(n_first, n_second)
    assert [s for i, s in zip(ids, segments, strict=True) if i == 8] == [1] * left[1]


def test_a_batch_holds_the_rows_and_nothing_counts_on_the_padding():
    few = [Example([5, 6, 7], [0, 0, 1], [1, IGNORE, 2]), Example([8], [0], [0])]
    ids, segments, real, targets = collate(few)
    assert ids[real].tolist() == [5, 6, 7, 8]
    assert segments.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert real.tolist() == [[True] * 3, [True, False, False]]
    assert targets.tolist() == [[1, IGNORE, 2], [0, IGNORE, IGNORE]]
    assert scored((ids, targets)) == 3
    assert collate([Example([5], [0], 3), Example([5, 6], [0, 0], 1)])[3].tolist() == [3, 1]
    assert collate([Example([5, 6], [0, 0], [0, 1])])[3].tolist() == [[0, 1]]


def test_an_epoch_has_each_example_once_and_starts_where_asked():
    data = Examples(rows(), seed=3)
    numbers = data.batch(0, 21)[3].tolist()
    for epoch in range(3):
        assert sorted(numbers[7 * epoch : 7 * epoch + 7]) == [*range(7)]
    assert numbers[:7] != numbers[7:14]
    assert [data.batch(i, 1)[3].item() for i in range(21)] == numbers
    assert Examples(rows(), seed=3).batch(5, 9)[3].tolist() == numbers[5:14]
    assert Examples(rows(), seed=4).batch(0, 21)[3].tolist() != numbers
    in_order = [t for *_, targets in data.in_order(3) for t in targets.tolist()]
    assert in_order == [*range(7)]


def test_streams_are_told_apart():
    other = [e._replace(target=0) for e in rows()]
    prints = {Examples(r, s).fingerprint() for r, s in ((rows(), 0), (rows(), 1), (other, 0))}
    assert len(prints) == 3
    with pytest.raises(ValueError, match="examples must hold at least one"):
        Examples([])


HEADS = {
    "K": lambda body: SequenceClassifier(body, 3),
    "T, K": lambda body: TokenClassifier(body, 3),
    "2, T": SpanClassifier,
}


@pytest.mark.parametrize("shape", HEADS)
def test_predictions_do_not_depend_on_what_is_read_beside_them(shape):
    model = HEADS[shape](body()).train()
    together = predict(model, rows(), batch_size=4)
    assert model.training
    for example, logits in zip(rows(), together, strict=True):
        (alone,) = predict(model, [example])
        n = len(example.ids)
        assert logits.shape == {"K": (3,), "T, K": (n, 3), "2, T": (2, n)}[shape]
        torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)


def test_an_epoch_is_put_in_order_once(monkeypatch):
    data, orders = Examples(rows()), []
    order = data.order
    monkeypatch.setattr(data, "order", lambda epoch: orders.append(epoch) or order(epoch))
    for start in range(0, 21, 3):
        data.batch(start, 3)
    assert orders == [0, 1, 2]
