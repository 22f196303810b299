"""BERT's examples: pairs of texts, of which the second goes on from the first or not, with holes.

Like the windows of `batches.py`, example number i is a pure function of the texts, the seed and i:
which story, where it is cut, what follows, which words are hidden. Numbers never run out; each
epoch cuts and hides anew.

But: documents come cut into sentences; nothing here finds where a sentence ends.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from minillm.train.objectives import IGNORE

HIDDEN_SHARE = 0.15  # of the words in a row
FATES = (0.8, 0.1, 0.1)  # of a hidden word: [MASK] in its place, a random token, the word itself
NEXT, OTHER, SAME = "next", "other", "same"
SPECIAL = ("CLS", "SEP", "MASK", "PAD")
GROUP = 32  # examples of like length that stay together: a batch of them has little padding


def hide(
    ids: np.ndarray,
    words: np.ndarray,
    mask_id: int,
    vocab_size: int,
    rng: np.random.Generator,
    share: float = HIDDEN_SHARE,
    fates: Sequence[float] = FATES,
) -> tuple[np.ndarray, np.ndarray]:
    """Hides some words of a row, to be guessed.

    Args:
        ids: (T,) ids.
        words: (T,) booleans, False where nothing may be hidden, such as [CLS] and [SEP].
        mask_id: what [MASK] is.
        vocab_size: random tokens are drawn from 0 to vocab_size - 1.
        rng: decides.
        share: of the words; at least one is hidden.
        fates: of the hidden ones, the shares that become [MASK], become random, and stay.
    Returns: inputs (T,) and targets (T,): the id where a word was hidden, IGNORE elsewhere.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1 and appendix A.1.
    Built in chapter 9.
    """
    places = np.flatnonzero(words)
    n_hidden = max(1, round(share * len(places)))
    places = rng.permutation(places)[:n_hidden]
    inputs, targets = ids.copy(), np.full_like(ids, IGNORE)
    targets[places] = ids[places]
    masked, randomised = (n_hidden * np.cumsum(fates[:2]) + rng.random()).astype(int)
    inputs[places[:masked]] = mask_id
    inputs[places[masked:randomised]] = rng.integers(0, vocab_size, randomised - masked)
    return inputs, targets


class Cut(NamedTuple):
    """Which texts an example joins.

    The first `cut` sentences of `document`, and those from sentence `begin` of `source`; label 0
    if these come next, else 1.

    Built in chapter 9.
    """

    document: int
    cut: int
    source: int
    begin: int
    label: int


class SentencePairs:
    """Rows [CLS] first text [SEP] second text [SEP], with hidden words, for BERT.

    The first text is the beginning of a document, the second some sentences: the next ones
    ("next"), from another document ("other"), or from further on in the same one ("same").

    Args:
        documents: each a list of sentences, as strings.
        tokenizer: with the special tokens [CLS], [SEP], [MASK] and [PAD].
        context_length: the longest row, in tokens. Where a pair is longer, the first text loses
            tokens at its beginning.
        seed: of all that is drawn.
        negatives: what the second text is where it isn't the next one; each is as frequent as
            "next". Without any, the second text always goes on.
        n_sentences: how many sentences the second text has.
        share, fates: as for `hide`.
    Raises: ValueError if too few documents have enough sentences, or for an unknown negative.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1 and appendix A.2.
    Built in chapter 9.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[str]],
        tokenizer: Any,
        context_length: int,
        seed: int = 0,
        negatives: Sequence[str] = (OTHER,),
        n_sentences: int = 3,
        share: float = HIDDEN_SHARE,
        fates: Sequence[float] = FATES,
    ):
        if unknown := {*negatives} - {OTHER, SAME}:
            raise ValueError(f"negatives: {unknown.pop()!r} must be {OTHER} or {SAME}")
        self.kinds, self.n_sentences = (NEXT, *negatives), n_sentences
        self.share, self.fates, self.seed = share, fates, seed
        # Before the second text stands a sentence, and between the two of "same" another.
        needed = n_sentences + 1 + (SAME in negatives)
        documents = [document for document in documents if len(document) >= needed]
        if len(documents) < 1 + (OTHER in negatives):
            raise ValueError(
                f"documents: {len(documents)} have {needed} sentences or more, too few"
            )
        encoded = [tokenizer.encode(sentence) for document in documents for sentence in document]
        self.tokens = np.concatenate(encoded).astype(np.int32)  # all sentences, one after the other
        self.starts = np.cumsum([0, *map(len, encoded)])  # where each begins in `tokens`
        self.counts = np.array([*map(len, documents)])  # sentences of each document
        self.firsts = np.cumsum(self.counts) - self.counts  # each document's first sentence
        special = tokenizer.special_tokens
        self.cls, self.sep, self.mask, self.pad = (special[f"[{s}]"] for s in SPECIAL)
        self.vocab_size, self.context_length = len(tokenizer), context_length
        self._plans: dict[int, np.ndarray] = {}

    def batch(self, start: int, size: int) -> tuple[Tensor, ...]:
        """Examples number start ... start + size - 1.

        Returns: ids (B, T), segments (B, T), real (B, T) booleans, next_labels (B,), 0 for "next"
        and 1 for the others, and targets (B, T). T is the longest row's, at most context_length.

        Built in chapter 9.
        """
        rows = [self._row(i) for i in range(start, start + size)]
        T = max(len(ids) for ids, _, _, _ in rows)
        ids, segments, targets = (np.full((size, T), fill) for fill in (self.pad, 0, IGNORE))
        real, labels = np.zeros((size, T), dtype=bool), np.zeros(size, dtype=np.int64)
        for b, (row, target, n_first, label) in enumerate(rows):
            ids[b, : len(row)], targets[b, : len(row)] = row, target
            segments[b, n_first : len(row)], real[b, : len(row)], labels[b] = 1, True, label
        return tuple(map(torch.from_numpy, (ids, segments, real, labels, targets)))

    def in_order(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """One example of each document, the same at each call, in batches.

        Built in chapter 9.
        """
        n = len(self.counts)
        for start in range(0, n, size):
            yield self.batch(start, min(size, n - start))

    def fingerprint(self) -> str:
        """A checksum of the texts and of how they are read, to tell two streams apart.

        Built in chapter 9.
        """
        crc = zlib.crc32(self.starts, zlib.crc32(self.tokens))
        how = f"{self.context_length}-{self.n_sentences}-{self.share}-{self.fates}-{self.seed}"
        return f"{len(self.counts)}-{crc:08x}-{'-'.join(self.kinds)}-{how}"

    def cut(self, number: int) -> Cut:
        """Which texts example `number` joins.

        Built in chapter 9.
        """
        epoch, place = divmod(number, len(self.counts))
        if epoch not in self._plans:
            self._plans = {e: plan for e, plan in self._plans.items() if e == epoch - 1}
            self._plans[epoch] = self._plan(np.random.default_rng([self.seed, epoch]))
        return Cut(*self._plans[epoch][:, place].tolist())

    def _plan(self, rng: np.random.Generator) -> np.ndarray:
        """The cuts of an epoch, (5, n): each document once, rows of a length side by side."""
        n, m, counts = len(self.counts), self.n_sentences, self.counts
        kinds = np.array(self.kinds)[rng.integers(len(self.kinds), size=n)]
        cut = rng.integers(1, counts - m + (SAME not in self.kinds))
        source = (np.arange(n) + (kinds == OTHER) * rng.integers(1, max(n, 2), size=n)) % n
        least = np.select([kinds == SAME, kinds == OTHER], [cut + 1, 1], cut)
        begin = rng.integers(least, np.where(kinds == NEXT, cut, counts[source] - m) + 1)
        plan = np.stack([np.arange(n), cut, source, begin, kinds != NEXT])  # (5, n)
        lengths = sum(stop - start for start, stop in self._spans(*plan[:4]))
        order = rng.permutation(n)
        order = order[np.argsort(lengths[order], kind="stable")]
        groups = np.split(order, range(GROUP, n, GROUP))
        last = groups.pop()  # the only one that may be smaller
        return plan[:, np.concatenate([*(groups[i] for i in rng.permutation(len(groups))), last])]

    def _spans(self, document, cut, source, begin):
        """Where the first and the second text begin and end in `tokens`, for one or many cuts."""
        first, second = self.firsts[document], self.firsts[source] + begin
        ends = (first, first + cut), (second, second + self.n_sentences)
        return [(self.starts[start], self.starts[stop]) for start, stop in ends]

    def _row(self, number: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Ids (T,), targets (T,), how many belong to the first text, and the label."""
        *places, label = self.cut(number)
        first, second = (self.tokens[start:stop] for start, stop in self._spans(*places))
        second = second[: self.context_length - 4]
        first = first[-(self.context_length - 3 - len(second)) :]
        ids = np.concatenate(([self.cls], first, [self.sep], second, [self.sep]))
        words = np.ones(len(ids), dtype=bool)
        words[[0, len(first) + 1, -1]] = False
        rng = np.random.default_rng([self.seed, number, 1])
        ids, targets = hide(ids, words, self.mask, self.vocab_size, rng, self.share, self.fates)
        return ids, targets, len(first) + 2, label
