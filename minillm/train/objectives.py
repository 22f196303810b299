"""Objectives: functions (model, batch) -> loss, which the one training loop lowers.

A batch is a tuple of tensors. Its last tensor holds the targets, and a target of `IGNORE` isn't
scored; the loss is the mean over the targets that are. So the loop can weigh the parts of a split
batch, and the batches of a validation split, by the number of targets in each (`scored`).

But: what is hidden from BERT, and which texts are paired, is decided in `pairs.py`.
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


def masked_lm(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """The loss of guessing hidden words from both sides, alone.

    Args:
        model: a `BERT`.
        batch: ids, segments, real, next_labels and targets, as `SentencePairs` gives them.
    Returns: the mean over all scored targets, a scalar in nats per hidden token.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1, task 1.
    Built in chapter 9.
    """
    ids, segments, real, _, targets = batch
    hidden = model.hidden(ids, segments, real)  # (B, T, C)
    return hidden_words(model, hidden, targets)


def next_sentence(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """The loss of telling whether the second text goes on from the first, alone.

    A pair counts as often as it has hidden words. So the parts of a split batch, weighed by their
    hidden words, add up to the whole.

    Args:
        model, batch: as for `masked_lm`; next_labels (B,), 0 where the second text goes on.
    Returns: the mean over all scored targets of their pairs' losses, a scalar in nats.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1, task 2.
    Built in chapter 9.
    """
    ids, segments, real, next_labels, targets = batch
    return pair_loss(model, model.hidden(ids, segments, real), next_labels, targets)


def masked_lm_and_next_sentence(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """BERT's loss, the sum of `masked_lm` and `next_sentence`.

    Source: Devlin et al. 2018, arXiv:1810.04805, appendix A.2.
    Built in chapter 9.
    """
    ids, segments, real, next_labels, targets = batch
    hidden = model.hidden(ids, segments, real)  # (B, T, C)
    pairs = pair_loss(model, hidden, next_labels, targets)
    return hidden_words(model, hidden, targets) + pairs


def hidden_words(model: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """The mean loss at the scored targets (B, T), from hidden vectors (B, T, C).

    Logits are made for these places only: over a vocabulary they are most of the work.

    Built in chapter 9.
    """
    chosen = targets != IGNORE  # (B, T)
    return F.cross_entropy(model.unembed(hidden[chosen]).float(), targets[chosen])


def pair_loss(model: nn.Module, hidden: Tensor, next_labels: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of the pairs' labels (B,), each as often as its row has scored targets (B, T).

    Built in chapter 9.
    """
    logits = model.next_sentence(hidden).float()  # (B, 2)
    losses = F.cross_entropy(logits, next_labels, reduction="none")  # (B,)
    counts = (targets != IGNORE).sum(dim=1)  # (B,)
    return (losses * counts).sum() / counts.sum()


def classification(
    model: nn.Module, batch: tuple[Tensor, ...], weights: Tensor | None = None
) -> Tensor:
    """The loss of choosing one of K: a class for a row or for a token, a token for a span's end.

    Args:
        model: (ids, segments, real) -> logits (B, ..., K); -inf where nothing can be chosen.
        batch: ids, segments, real and targets (B, ...), or IGNORE where nothing is to be chosen.
        weights: (K,), what each class's targets count; with a mean of 1 over the targets, the
            loss stays as large as without. None: all the same.
    Returns: the mean over all scored targets of their losses times their weights, in nats.

    Example: a model whose logits are all 0 has a loss of log(K).

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4; weights: King and Zeng 2001, "Logistic
    regression in rare events data", section 4.2.
    Built in chapter 10.
    """
    *inputs, targets = batch
    logits = model(*inputs).flatten(0, -2).float()  # (N, K)
    targets = targets.flatten()
    losses = F.cross_entropy(logits, targets, weights, ignore_index=IGNORE, reduction="sum")
    return losses / torch.count_nonzero(targets != IGNORE)


def scored(batch: tuple[Tensor, ...]) -> Tensor:
    """How many targets of a batch are scored, as an integer tensor on the batch's device.

    Example: targets [[5, 7, IGNORE]] count 2.

    Built in chapter 7.
    """
    return torch.count_nonzero(batch[-1] != IGNORE)
