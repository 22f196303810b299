"""Heads: a layer or two on a pretrained body, one kind for each kind of task.

A body is a `BERT` or a `GPT`. Whatever the task, a model is called with ids, segments and real, and
the last dimension of its logits is what is chosen from: K classes of a row, K classes of each
token, or T tokens where a span may start or end. So one objective, `classification`, trains all.

But: no labels here (`examples.py`), and no answers in words (`tasks.py`).
"""

from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import nn

from minillm.model.bert import BERT


def read(body, ids, segments=None, real=None):
    """What a body makes of each token, (B, T, C).

    Args:
        body: a `BERT` or a `GPT`.
        ids: (B, T).
        segments: (B, T), 0 or 1, which a GPT doesn't have and doesn't see; None for one text.
        real: (B, T), False on the padding right of short rows; None for none.

    Built in chapter 10.
    """
    if isinstance(body, BERT):
        return body.hidden(ids, segments, real)
    return body.hidden(ids, real)


def summary(body, x, real=None):
    """One vector for each row, (B, C), from what `read` gave: from a token that has read the row.

    A BERT's is its first token, through the layer that pretraining put there. In a GPT only the
    last token has read all the others.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4.1; Radford et al. 2018, "Improving
    Language Understanding by Generative Pre-Training", section 3.2.
    Built in chapter 10.
    """
    if isinstance(body, BERT):
        return body.pool(x)
    last = x.shape[1] - 1 if real is None else real.sum(dim=1) - 1  # (B,)
    return x[torch.arange(len(x), device=x.device), last]


class Head(nn.Module):
    """A body with a linear layer above it, which starts small, so that all answers start alike.

    Args:
        body: a `BERT` or a `GPT`; it is trained along unless it is frozen.
        n_outputs: how many numbers the layer gives for a vector.
        dropout: of the vectors that the layer reads; BERT's 0.1, as labels are few.

    `token_dim` is the dimension of a model's logits that counts tokens, if there is one.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4 and appendix A.3.
    Built in chapter 10.
    """

    token_dim = None

    def __init__(self, body, n_outputs, dropout=0.1):
        super().__init__()
        self.body, self.dropout = body, dropout
        self.head = nn.Linear(body.config.d_model, n_outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def scores(self, x):
        """Vectors (..., C) to numbers (..., n_outputs)."""
        return self.head(F.dropout(x, self.dropout, self.training))

    def n_parameters(self):
        """How many numbers there are to train; a frozen one doesn't count."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class SequenceClassifier(Head):
    """Chooses one of K classes for a row. Called as `read`; returns logits (B, K).

    Args: as for `Head`; n_outputs is K.

    Source: Devlin et al. 2018, arXiv:1810.04805, figure 4 (a) and (b).
    Built in chapter 10.
    """

    def forward(self, ids, segments=None, real=None):
        x = read(self.body, ids, segments, real)  # (B, T, C)
        return self.scores(summary(self.body, x, real))


class TokenClassifier(Head):
    """Chooses one of K classes for each token. Called as `read`; returns logits (B, T, K).

    Args: as for `Head`; n_outputs is K.

    Source: Devlin et al. 2018, arXiv:1810.04805, figure 4 (d).
    Built in chapter 10.
    """

    token_dim = 1

    def forward(self, ids, segments=None, real=None):
        return self.scores(read(self.body, ids, segments, real))


class SpanClassifier(Head):
    """Chooses the token where a span starts, and the one where it ends.

    Called as `read`; returns logits (B, 2, T), the start's and the end's. A token of the first text
    can't be chosen if there is a second one: that is where the answers are.

    Args: as for `Head`, without n_outputs.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 4.2 and figure 4 (c).
    Built in chapter 10.
    """

    token_dim = 2

    def __init__(self, body, dropout=0.1):
        super().__init__(body, 2, dropout)

    def forward(self, ids, segments=None, real=None):
        logits = self.scores(read(self.body, ids, segments, real)).transpose(1, 2)  # (B, 2, T)
        shut = torch.zeros_like(ids, dtype=torch.bool)  # (B, T)
        if real is not None:
            shut = shut | ~real
        if segments is not None:
            shut = shut | ((segments == 0) & segments.any(dim=1, keepdim=True))
        return logits.masked_fill(shut[:, None], -torch.inf)


def train_only(model: nn.Module, *patterns: str) -> list[str]:
    """Freezes a model, except for the parameters whose names fit a pattern.

    Args:
        patterns: as for file names: "head.*", "body.encoder.blocks.3.*", "*" for all.
    Returns: the names of the parameters that are trained.
    Raises: ValueError for a pattern that fits no name.

    Built in chapter 10.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"patterns: {pattern!r} fits no parameter, such as {names[-1]!r}")
    for name, p in model.named_parameters():
        p.requires_grad_(any(fnmatchcase(name, pattern) for pattern in patterns))
    return [name for name, p in model.named_parameters() if p.requires_grad]
