"""BERT's examples: what is joined, what is hidden, and that each is known by its number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model.bert import BERT, BertConfig
from minillm.text import village
from minillm.text.tokenizers import WordPieceTokenizer
from minillm.train.config import TrainConfig
from minillm.train.loop import backward, evaluate, train
from minillm.train.objectives import IGNORE, masked_lm_and_next_sentence
from minillm.train.pairs import SentencePairs, hide

STORIES = [village.sentences(story.text) for story in village.stories(150, seed=3)]
TOKENIZER = WordPieceTokenizer.train((" ".join(story) for story in STORIES), 600)
CLS, SEP, MASK, PAD = (TOKENIZER.special_tokens[f"[{s}]"] for s in ("CLS", "SEP", "MASK", "PAD"))
# Numbered sentences of one word each, so that a row says where its parts are from.
NUMBERED = [[f"d{d}s{s}" for s in range(5 + d % 4)] for d in range(40)]


IDS = {s: 4 + i for i, s in enumerate(s for document in NUMBERED for s in document)}
PLACES = {i: tuple(map(int, s[1:].split("s"))) for s, i in IDS.items()}


class Numbered:
    """One id for each sentence of NUMBERED."""

    def __init__(self):
        self.special_tokens = {"[CLS]": 0, "[SEP]": 1, "[MASK]": 2, "[PAD]": 3}

    def encode(self, text):
        return [IDS[text]]

    def __len__(self):
        return 4 + len(IDS)


def numbered(**options):
    return SentencePairs(NUMBERED, Numbered(), 64, share=0.0001, fates=(0, 0, 1), **options)


def village_pairs(documents=STORIES, **options):
    return SentencePairs(documents, TOKENIZER, **({"context_length": 128} | options))


def texts(row, segments, real):
    """The two texts of a row of NUMBERED, as (document, sentence) of each sentence."""
    row, segments = row[real].tolist(), segments[real].tolist()
    cut = segments.index(1)
    assert row[0] == 0 and row[cut - 1] == 1 and row[-1] == 1 and set(segments[cut:]) == {1}
    return [PLACES[i] for i in row[1 : cut - 1]], [PLACES[i] for i in row[cut:-1]]


@pytest.mark.parametrize("negatives", [("other",), ("same",), ("other", "same"), ()])
@pytest.mark.parametrize("n_sentences", [1, 3])
def test_the_label_says_whether_the_second_text_comes_next(negatives, n_sentences):
    pairs = numbered(negatives=negatives, n_sentences=n_sentences)
    seen = {"next": 0, "other": 0, "same": 0}
    n_examples = 40 * (1 + len(negatives))
    for ids, segments, real, labels, _ in (pairs.batch(i, 40) for i in range(0, n_examples, 40)):
        for row, segment, there, label in zip(ids, segments, real, labels.tolist(), strict=True):
            first, second = texts(row, segment, there)
            (document, last), (source, begin) = first[-1], second[0]
            assert first == [(document, i) for i in range(last + 1)]
            assert second == [(source, begin + i) for i in range(n_sentences)]
            if document != source:
                kind = "other"
            else:
                assert begin > last
                kind = "next" if begin == last + 1 else "same"
            assert label == (kind != "next")
            seen[kind] += 1
    assert seen == {kind: 40 * (kind in ("next", *negatives)) for kind in seen}


def test_cuts_are_everywhere():
    pairs = numbered(negatives=("other", "same"), n_sentences=1)
    cuts = [pairs.cut(i) for i in range(0, 120 * 60, 3)]  # 60 epochs, one kind
    some = [c.cut for c in cuts if len(NUMBERED[c.document]) == 8]
    assert set(some) == {1, 2, 3, 4, 5, 6}
    assert np.mean(some) == pytest.approx(3.5, abs=0.25)


def test_each_text_stands_once_in_a_true_pair_and_once_in_a_false_one():
    """Side by side in the stream: neither text alone says anything of the label."""
    pairs = numbered()
    cuts = [pairs.cut(i) for i in range(80)]
    firsts = [(c.document, c.cut) for c in cuts]
    seconds = [(c.source, c.begin) for c in cuts]
    assert firsts[::2] == firsts[1::2]
    assert seconds[2::2] == seconds[1:-1:2] and seconds[0] == seconds[-1]
    assert [c.label for c in cuts] == [0, 1] * 40
    further_on = numbered(negatives=("same",))
    firsts = [further_on.cut(i)[:2] for i in range(80)]
    assert firsts[::2] == firsts[1::2]


def test_an_epoch_has_each_document_once_with_each_kind_and_the_next_one_cuts_anew():
    pairs = numbered()
    epochs = [[pairs.cut(i) for i in range(e * 80, e * 80 + 80)] for e in range(2)]
    for epoch in epochs:
        assert sorted(cut.document for cut in epoch) == sorted([*range(40), *range(40)])
    assert sorted(epochs[0]) != sorted(epochs[1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 400), st.integers(1, 12), st.integers(0, 3))
def test_an_example_is_known_by_its_number(start, size, seed):
    whole = village_pairs(seed=seed).batch(start, size)
    pairs = village_pairs(seed=seed)
    pairs.batch(700, 1)  # whatever was asked before
    for i in reversed(range(size)):
        ids, segments, real, labels, targets = (t[0] for t in pairs.batch(start + i, 1))
        T = len(ids)
        for ours, alone in zip(whole, (ids, segments, real, labels, targets), strict=True):
            assert torch.equal(ours[i, :T] if ours.ndim == 2 else ours[i], alone)
        assert not whole[2][i, T:].any() and (whole[4][i, T:] == IGNORE).all()
        assert (whole[0][i, T:] == PAD).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_hidden_is_the_target_and_nothing_else_is_touched(data):
    T = data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ids, words = rng.integers(5, 50, T), rng.random(T) < 0.7
    words[data.draw(st.integers(0, T - 1))] = True
    share = data.draw(st.floats(0.01, 1.0))
    before = ids.copy()
    inputs, targets = hide(ids, words, 1, 50, rng, share)
    hidden = targets != IGNORE
    assert (ids == before).all()  # a row is hidden anew in each epoch
    assert (targets[hidden] == ids[hidden]).all() and not (hidden & ~words).any()
    assert (inputs[~hidden] == ids[~hidden]).all()
    assert hidden.sum() == max(1, round(share * words.sum()))


def test_hidden_words_meet_the_three_fates():
    rng = np.random.default_rng(0)
    counts, n = np.zeros(3), 3000
    for _ in range(n):
        ids = rng.integers(5, 50_000, 40)
        inputs, targets = hide(ids, np.ones(40, bool), 1, 50_000, rng)
        hidden = targets != IGNORE
        masked, same = inputs[hidden] == 1, inputs[hidden] == ids[hidden]
        counts += masked.sum(), (~masked & ~same).sum(), same.sum()
        assert hidden.sum() == 6
    assert counts / counts.sum() == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_marks_are_never_hidden_and_rows_are_hidden_anew():
    pairs = village_pairs()
    places = []
    for start in (0, 300):
        ids, _, real, _, targets = pairs.batch(start, 150)
        rows = torch.where(targets == IGNORE, ids, targets)  # as they were
        marks = (rows == CLS) | (rows == SEP)
        assert (marks.sum(dim=1) == 3).all() and (targets[marks | ~real] == IGNORE).all()
        places.append(((targets != IGNORE).sum() / real.sum()).item())
    assert places == pytest.approx([0.14, 0.14], abs=0.02)
    assert not torch.equal(pairs.batch(0, 1)[4], pairs.batch(300, 1)[4])


def test_a_long_pair_loses_the_beginning_of_its_first_text():
    whole, short = village_pairs(), village_pairs(context_length=40)
    for number in range(150):
        (ids, _, _, _, targets), (cut, segments, *_, cut_targets) = (
            [t[0] for t in pairs.batch(number, 1)] for pairs in (whole, short)
        )
        ids, cut = (torch.where(t == IGNORE, i, t) for i, t in ((ids, targets), (cut, cut_targets)))
        assert len(cut) <= 40 and cut[0] == CLS
        assert torch.equal(cut[1:], ids[1:][-len(cut) + 1 :])
        assert segments.tolist() == sorted(segments.tolist())


def test_batches_have_little_padding():
    pairs = village_pairs()
    real = [pairs.batch(start, 32)[2] for start in range(0, 128, 32)]
    assert sum(r.sum() for r in real) / sum(r.numel() for r in real) > 0.75


def test_in_order_gives_an_epoch_whatever_the_batch_size():
    pairs = village_pairs()
    whole = [t for ids, *_ in pairs.in_order(64) for t in ids.sum(dim=1).tolist()]
    assert len(whole) == 2 * len(pairs.counts) == pairs.n_examples
    small = [len(ids) for ids, *_ in pairs.in_order(7)]
    assert sum(small) == pairs.n_examples and set(small[:-1]) == {7}


def test_the_parts_of_a_batch_add_up_to_the_whole():
    torch.manual_seed(0)
    model = BERT(BertConfig(len(TOKENIZER), d_model=16, n_heads=2, n_layers=1))
    batch = village_pairs().batch(0, 12)
    gradients = []
    for parts in (1, 4):
        model.zero_grad()
        loss = backward(model, masked_lm_and_next_sentence, batch, parts)
        gradients.append([loss, *(p.grad.clone() for p in model.parameters())])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)


def test_the_one_loop_trains_and_resumes_it(tmp_path):
    config = TrainConfig(steps=6, batch_size=4, checkpoint_every=3, device="cpu")

    def run(objective, **options):
        torch.manual_seed(0)
        model = BERT(BertConfig(len(TOKENIZER), d_model=16, n_heads=2, n_layers=1))
        train(model, objective, village_pairs(), config, progress=False, **options)
        return model

    calls = []

    def power_cut(model, batch):
        calls.append(batch)
        if len(calls) == 5:
            raise ConnectionError
        return masked_lm_and_next_sentence(model, batch)

    with pytest.raises(ConnectionError):
        run(power_cut, folder=tmp_path)
    whole = run(masked_lm_and_next_sentence)
    resumed = run(masked_lm_and_next_sentence, folder=tmp_path, resume=True)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    losses = [evaluate(whole, masked_lm_and_next_sentence, village_pairs(), n) for n in (50, 7)]
    assert losses[0] == pytest.approx(losses[1])


def test_other_data_has_another_fingerprint():
    prints = {
        village_pairs(**options).fingerprint()
        for options in (
            {}, {"seed": 1}, {"negatives": ("same",)}, {"n_sentences": 2}, {"share": 0.2},
            {"fates": (1, 0, 0)}, {"context_length": 64}, {"documents": STORIES[1:]},
        )
    }  # fmt: skip
    assert len(prints) == 8
    assert village_pairs().fingerprint() == village_pairs().fingerprint()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"negatives": ("random",)}, "negatives: 'random' must be other or same"),
        ({"n_sentences": 40}, "documents: 0 have 41 sentences or more, too few"),
        ({"documents": STORIES[:1]}, "documents: 1 have 4 sentences or more, too few"),
        ({"context_length": 4}, r"context_length \(4\) must be at least 5"),
    ],
)
def test_what_cannot_be_paired_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        village_pairs(**options)
