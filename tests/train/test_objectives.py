"""Objectives: nats per scored target."""

import math

import pytest
import torch

from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.train.objectives import (
    IGNORE,
    causal_lm,
    classification,
    masked_lm,
    masked_lm_and_next_sentence,
    next_sentence,
    scored,
)


def test_even_bets_cost_log_v():
    inputs = torch.zeros(2, 3, dtype=torch.int64)
    loss = causal_lm(lambda ids: torch.zeros(*ids.shape, 7), (inputs, inputs))
    assert math.isclose(loss, math.log(7), rel_tol=1e-6)


def test_ignored_targets_neither_count_nor_cost():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, generator=generator)
    targets = torch.tensor([[1, IGNORE, 4], [IGNORE, IGNORE, 2]])
    by_hand = [-logits[b, t].log_softmax(0)[targets[b, t]] for b, t in [(0, 0), (0, 2), (1, 2)]]
    inputs = torch.zeros_like(targets)
    torch.testing.assert_close(
        causal_lm(lambda ids: logits, (inputs, targets)), torch.stack(by_hand).mean()
    )
    assert scored((inputs, targets)) == 3


def test_with_its_end_given_no_document_reads_another():
    """The same loss for a document alone and for the same one behind others."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(9, context_length=12, d_model=16, n_heads=2, positions="rotary"))
    before, after = [0, 3, 1, 4], [0, 5, 2, 6, 5, 3]
    ids = torch.tensor([[*before, *after, 0, 7]])
    targets = ids.roll(-1).masked_fill(torch.arange(12) < 4, IGNORE)
    targets[0, 9:] = IGNORE  # what is left are the targets within `after`
    alone = torch.tensor([after])
    expected = causal_lm(model, (alone[:, :-1], alone[:, 1:]))
    torch.testing.assert_close(causal_lm(model, (ids, targets), end=0), expected)
    assert abs(causal_lm(model, (ids, targets)) - expected) > 1e-4


def bert_and_batch():
    """A BERT, and two rows with three and one hidden words, the second padded."""
    torch.manual_seed(0)
    model = BERT(BertConfig(30, context_length=8, d_model=16, n_heads=2, n_layers=2)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.2)
    ids = torch.randint(30, (2, 8))
    segments = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 0, 0]])
    real = torch.tensor([[True] * 8, [True] * 6 + [False] * 2])
    targets = torch.full_like(ids, IGNORE)
    targets[[0, 0, 0, 1], [1, 2, 5, 4]] = torch.tensor([7, 11, 13, 17])
    return model, (ids, segments, real, torch.tensor([0, 1]), targets)


def test_bert_is_asked_for_the_hidden_words_only():
    model, batch = bert_and_batch()
    ids, segments, real, _, targets = batch
    logprobs = model(ids, segments, real).log_softmax(dim=-1)
    places = [(0, 1), (0, 2), (0, 5), (1, 4)]
    by_hand = [-logprobs[b, t, targets[b, t]] for b, t in places]
    torch.testing.assert_close(masked_lm(model, batch), torch.stack(by_hand).mean())
    other_padding = torch.where(real, ids, 29 - ids)
    torch.testing.assert_close(
        masked_lm_and_next_sentence(model, (other_padding, *batch[1:])),
        masked_lm_and_next_sentence(model, batch),
    )
    assert scored(batch) == 4


def test_a_pair_counts_as_often_as_it_has_hidden_words():
    model, batch = bert_and_batch()
    logits = model.next_sentence(model.hidden(*batch[:3])).log_softmax(dim=-1)
    pairs = -(3 * logits[0, 0] + logits[1, 1]) / 4  # 0: the second text goes on; 1: it doesn't
    both = masked_lm_and_next_sentence(model, batch)
    torch.testing.assert_close(both, masked_lm(model, batch) + pairs)
    torch.testing.assert_close(next_sentence(model, batch), pairs)


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (4, 2, 6)])  # of rows, of tokens, of spans
def test_choosing_evenly_costs_log_k_whatever_is_chosen_from(shape):
    inputs, targets = torch.zeros(4, 5), torch.randint(shape[-1], shape[:-1])
    loss = classification(lambda ids: torch.zeros(shape), (inputs, targets))
    assert math.isclose(loss, math.log(shape[-1]), rel_tol=1e-6)


def test_class_weights_count_and_unscored_targets_do_not():
    torch.manual_seed(0)
    logits, weights = torch.randn(3, 2, 3), torch.tensor([0.5, 2.0, 1.0])
    targets = torch.tensor([[0, IGNORE], [1, 1], [IGNORE, 2]])
    places = [(0, 0), (1, 0), (1, 1), (2, 1)]
    by_hand = [-logits[p].log_softmax(0)[targets[p]] * weights[targets[p]] for p in places]
    loss = classification(lambda ids: logits, (targets, targets), weights)
    torch.testing.assert_close(loss, sum(by_hand) / 4)
    # The parts of a split batch, weighed by their targets, add up: a weight is no part of the mean.
    parts = [classification(lambda ids, b=b: logits[b : b + 1], (targets[b : b + 1],) * 2, weights)
             for b in range(3)]  # fmt: skip
    torch.testing.assert_close(loss, (parts[0] + 2 * parts[1] + parts[2]) / 4)
