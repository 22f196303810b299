"""A language model of a few hundred weights, and a run of it, for tests of training.

It has one of everything that training treats in its own way: an embedding, matrices in a stack,
a norm, biases, dropout, an untied head.
"""

import numpy as np
from torch import nn

from minillm.train.batches import TokenWindows
from minillm.train.config import TrainConfig

V, C, T = 11, 8, 6


class TinyModel(nn.Module):
    """ids (B, T) -> logits (B, T, V); each position sees only itself."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.tokens = nn.Embedding(V, C)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(C), nn.Linear(C, 2 * C), nn.ReLU(), nn.Linear(2 * C, C))
            for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(C, V)

    def forward(self, ids):
        x = self.tokens(ids)
        for block in self.blocks:
            x = x + self.dropout(block(x))
        return self.head(x)


def text(n: int = 400) -> np.ndarray:
    """(n,) ids in which the next is mostly the last one plus 1."""
    generator = np.random.default_rng(5)
    return (np.arange(n) + (generator.random(n) < 0.2)).astype(np.int64) % V


def windows(n: int = 400, seed: int = 0) -> TokenWindows:
    return TokenWindows(text(n), T, seed)


def config(**changes) -> TrainConfig:
    settings = {"steps": 30, "batch_size": 4, "lr": 0.01, "warmup_steps": 3, "device": "cpu"}
    return TrainConfig(**(settings | changes))
