"""Objectives: nats per scored target."""

import math

import torch

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
