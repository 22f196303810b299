"""Batches: an array of token ids, seen as an endless shuffled stream of windows.

Window number i of the stream is a pure function of the tokens, the seed and i. Nothing is drawn
and forgotten, so a run goes on after a stop by asking for the next number, and a batch split into
parts holds the same windows as the whole. The array is never copied: it may be a memory-mapped
file larger than memory.

But: windows run across the ends of documents; what keeps those apart is the objective's mask.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from minillm.train.objectives import IGNORE


def check_tokens(tokens: np.ndarray, context_length: int) -> np.ndarray:
    """Returns tokens of which windows can be cut; a ValueError says why they can't.

    Built in chapter 7.
    """
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        shape, dtype = tokens.shape, tokens.dtype
        raise ValueError(f"tokens must be integers in one dimension, not {dtype} of {shape}")
    if len(tokens) < context_length + 1:
        raise ValueError(
            f"{len(tokens):,} tokens are too few for context_length ({context_length}); "
            "give a longer text or a shorter context"
        )
    return tokens


def epoch_starts(seed: int, epoch: int, n_tokens: int, n_windows: int, T: int) -> np.ndarray:
    """Where the windows of one epoch start, (n_windows,): cuts T apart, in a shuffled order.

    All start 0 to T - 1 tokens later than they could, by a number drawn anew in each epoch.

    Built in chapter 7.
    """
    generator = np.random.default_rng([seed, epoch])
    spare = n_tokens - 1 - n_windows * T
    offset = generator.integers(0, min(spare, T - 1) + 1)
    return offset + generator.permutation(n_windows) * T


def from_beginnings(starts: np.ndarray, ends: np.ndarray, T: int) -> np.ndarray:
    """Moves each start back to where its document begins, if that is within one window.

    Args:
        starts: positions of tokens.
        ends: positions of the tokens that end documents, rising; the next one begins there too.

    Example: with an end at 5 and T = 4, starts 5, 7 and 9 become 5, 5 and 9.

    Built in chapter 7.
    """
    if not len(ends):
        return starts
    before = ends[np.maximum(np.searchsorted(ends, starts, side="right") - 1, 0)]
    near = (before <= starts) & (starts - before < T)
    return np.where(near, before, starts)


def cover(n_tokens: int, ends: np.ndarray, T: int) -> Iterator[tuple[int, int]]:
    """Yields (start, skip) of windows that score each token once: not the first `skip` of each.

    Built in chapter 7.
    """
    last = n_tokens - 1
    start = done = 0  # tokens 1 ... done are scored
    while done < last:
        yield start, done - start
        done = min(start + T, last)
        begins = int(from_beginnings(np.array([done]), ends, T)[0])
        # If its document began no later than this window, it is longer than one: no step back.
        start = begins if begins > start else done


def cut(
    tokens: np.ndarray, starts: Sequence[int], skips: Sequence[int], T: int
) -> tuple[Tensor, Tensor]:
    """Cuts windows: inputs (B, T) and targets (B, T), int64, targets one token further on.

    Args:
        starts: of each window, the position of its first token.
        skips: of each window, how many targets are IGNORE; so is what lies past the last token.

    Built in chapter 7.
    """
    rows = np.zeros((len(starts), T + 1), dtype=np.int64)  # (B, T + 1)
    scored = np.zeros((len(starts), T), dtype=bool)  # (B, T)
    for b, (start, skip) in enumerate(zip(starts, skips, strict=True)):
        window = tokens[start : start + T + 1]
        rows[b, : len(window)] = window
        scored[b, skip : len(window) - 1] = True
    inputs, targets = rows[:, :-1], np.where(scored, rows[:, 1:], IGNORE)
    return torch.from_numpy(inputs.copy()), torch.from_numpy(targets)


def drawn_once(kept: dict[int, Any], epoch: int, draw: Callable[[int], Any]) -> Any:
    """What `draw(epoch)` gives, drawn only once: `kept` holds the last two epochs.

    Args:
        kept: a stream's own, empty at first.
        epoch, draw: the order of an epoch, or whatever else it has, is the same at each call.

    Built in chapter 7.
    """
    if epoch not in kept:
        for old in kept.keys() - {epoch - 1}:  # a batch may straddle two epochs
            del kept[old]
        kept[epoch] = draw(epoch)
    return kept[epoch]


class TokenWindows:
    """Windows of `context_length` tokens from one array, for training and for evaluation.

    In training, an epoch cuts the array into windows that don't overlap and goes through them in
    a shuffled order, so that no token is seen twice before all were seen once (windows at random
    places would miss a third of the text in an epoch and see another third twice or more). Each
    epoch starts its cuts elsewhere, so that a word that fell on a cut gets its context next time.

    Args:
        tokens: (n,) ids; a numpy array (memory-mapped or not), a torch tensor on the CPU, a list.
        context_length: T, in tokens.
        seed: of the order; two streams with the same seed are the same.
        boundary: the id that ends a document. A window then begins where a document does, if one
            begins less than a window before its cut: what is read is read from its beginning.
    Raises: ValueError if there are fewer than context_length + 1 tokens, or they aren't integers.

    Example: with tokens 0 1 2 ... 99 and T = 4, `batch(0, 2)` is a pair of tensors (2, 4), say
    [[41, 42, 43, 44], [9, 10, 11, 12]] and the targets [[42, 43, 44, 45], [10, 11, 12, 13]].

    Built in chapter 7.
    """

    def __init__(
        self, tokens: ArrayLike, context_length: int, seed: int = 0, boundary: int | None = None
    ):
        self.tokens = check_tokens(np.asarray(tokens), context_length)
        self.context_length, self.seed = context_length, seed
        marks = self.tokens == boundary if boundary is not None else np.zeros(1, dtype=bool)
        self.ends = np.flatnonzero(marks)  # where documents end, and the next ones begin
        # The same number of windows in each epoch, wherever its cuts start.
        self.n_windows = max(1, (len(self.tokens) - context_length) // context_length)
        self._epochs: dict[int, np.ndarray] = {}

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Windows number start ... start + size - 1 of the stream.

        Returns: inputs (size, T) and targets (size, T), int64; targets are one token further on.

        Built in chapter 7.
        """
        starts = [self._start(number) for number in range(start, start + size)]
        return cut(self.tokens, starts, [0] * size, self.context_length)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every token but the first as a target, exactly once, in batches of `size` windows.

        What an earlier window has scored already, and the padding of the last window, is IGNORE.

        Built in chapter 7.
        """
        windows = list(cover(len(self.tokens), self.ends, self.context_length))
        for i in range(0, len(windows), size):
            yield cut(self.tokens, *zip(*windows[i : i + size], strict=True), self.context_length)

    def fingerprint(self) -> str:
        """A checksum of the tokens and of how they are read, to tell two streams apart.

        Built in chapter 7.
        """
        crc = zlib.crc32(np.ascontiguousarray(self.tokens))
        return f"{len(self.tokens)}-{crc:08x}-{self.context_length}-{len(self.ends)}-{self.seed}"

    def _start(self, number: int) -> int:
        """Where window `number` of the stream starts in the array."""
        epoch, k = divmod(number, self.n_windows)
        return int(drawn_once(self._epochs, epoch, self._starts)[k])

    def _starts(self, epoch: int) -> np.ndarray:
        """Where the windows of an epoch start, in its order."""
        T, n = self.context_length, len(self.tokens)
        starts = epoch_starts(self.seed, epoch, n, self.n_windows, T)
        return from_beginnings(starts, self.ends, T)
