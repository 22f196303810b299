"""Objectives: functions (model, batch) -> loss, which the one training loop lowers.

A batch is a tuple of tensors. Its last tensor holds the targets, and a target of `IGNORE` isn't
scored; the loss is the mean over the targets that are. So the loop can weigh the parts of a split
batch, and the batches of a validation split, by the number of targets in each (`scored`).

But: the masked-word objective of BERT comes with BERT, not here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORE = -100  # what torch's cross_entropy leaves out by default


def causal_lm(model: nn.Module, batch: tuple[Tensor, Tensor], end: int | None = None) -> Tensor:
    """The loss of predicting each next token: minus the mean log-probability of the targets.

    Args:
        model: ids (B, T) -> logits (B, T, V); with `end` it must take a mask.
        batch: inputs (B, T) and targets (B, T), both ids; targets[b, t] is the token that follows
            inputs[b, t], or IGNORE where nothing is to be predicted.
        end: the id that stands before each document; no token then reads one of another document.
            None: windows are read as one text.
    Returns: the mean over all scored targets, a scalar in nats per token.

    Example: a model whose logits are all 0 spreads its bets evenly, so its loss is log(V).

    Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", 3.1;
    documents kept apart: Llama 3, arXiv:2407.21783, section 3.2.
    Built in chapter 7.
    """
    inputs, targets = batch
    if end is None:
        logits = model(inputs)
    else:
        document = (inputs == end).cumsum(dim=1)  # (B, T), counted from the window's first
        same = document[:, None, :, None] == document[:, None, None, :]  # (B, 1, T, T)
        logits = model(inputs, mask=same)
    # In float32 under autocast too: a sum over the vocabulary is where bfloat16 loses most.
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE)


def scored(batch: tuple[Tensor, ...]) -> Tensor:
    """How many targets of a batch are scored, as an integer tensor on the batch's device.

    Example: targets [[5, 7, IGNORE]] count 2.

    Built in chapter 7.
    """
    return torch.count_nonzero(batch[-1] != IGNORE)
