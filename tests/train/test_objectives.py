"""Objectives: nats per scored target."""

import math

import torch

from minillm.model.gpt import GPT, GPTConfig
from minillm.train.objectives import IGNORE, causal_lm, scored


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
