"""BERT's examples: pairs of texts, of which the second goes on from the first or not, with holes.

Like the windows of `batches.py`, example number i is a pure function of the texts, the seed and i:
which story, where it is cut, what follows, which words are hidden. Numbers never run out; each
epoch cuts and hides anew.

But: documents come cut into sentences; nothing here finds where a sentence ends.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minillm.train.batches import drawn_once
from minillm.train.objectives import IGNORE

HIDDEN_SHARE = 0.15  # of the words in a row
FATES = (0.8, 0.1, 0.1)  # of a hidden word: [MASK] in its place, a random token, the word itself
NEXT, OTHER, SAME = "next", "other", "same"
SPECIAL = ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
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


def draw_cuts(
    counts: np.ndarray, n_sentences: int, rng: np.random.Generator, same: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Where each document is cut, and where a text that does not come next begins.

    Args:
        counts: (n,) how many sentences each document has.
        n_sentences: how many the second text has.
        rng: decides.
        same: whether there must be room for a second text from further on.
    Returns: (n,) how many sentences the first text has, at least one; (n,) the first sentence of
        the text from further on, after at least one that is left out (n_sentences before the end at
        the latest).

    Built in chapter 9.
    """
    latest = counts - n_sentences  # where a second text can begin
    cuts = rng.integers(1, latest + (not same))
    return cuts, rng.integers(np.minimum(cuts + 1, latest), latest + 1)


def alike_together(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order (n,) in which rows of like length stand side by side, in groups of GROUP.

    Built in chapter 9.
    """
    n = len(lengths)
    order = rng.permutation(n)
    order = order[np.argsort(lengths[order], kind="stable")]
    *groups, last = np.split(order, range(GROUP, n, GROUP))  # only the last may be smaller
    return np.concatenate([*(groups[i] for i in rng.permutation(len(groups))), last])


class TextPairs:
    """Which two texts each example joins.

    The first is the beginning of a document, the second some sentences: the next ones ("next"),
    those that come next in another document ("other"), or some from further on ("same"). Examples
    of one document follow each other in the stream, and so do the two that share a second text:

        first 1, second 1: next
        first 1, second 2: other
        first 2, second 2: next
        first 2, second 3: other ...

    So neither text alone says anything about the label. What a model could learn from one text is
    taken back by the next example, and what is left of the gradient is how the two fit.

    Args:
        documents: each a list of sentences, as strings.
        tokenizer: makes ids of them.
        seed: of all that is drawn.
        negatives: what the second text is where it isn't the next one; each is as frequent as
            "next". Without any, the second text always goes on.
        n_sentences: how many sentences the second text has.
    Raises: ValueError if too few documents have enough sentences, or for an unknown negative.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1, where pairs are drawn one by one.
    Built in chapter 9.
    """

    def __init__(self, documents, tokenizer, seed=0, negatives=(OTHER,), n_sentences=3):
        if unknown := {*negatives} - {OTHER, SAME}:
            raise ValueError(f"negatives: {unknown.pop()!r} must be {OTHER} or {SAME}")
        self.tokenizer, self.seed = tokenizer, seed
        self.kinds, self.n_sentences = (NEXT, *negatives), n_sentences
        # Before the second text stands a sentence, and between the two of "same" another.
        needed = n_sentences + 1 + (SAME in negatives)
        documents = [document for document in documents if len(document) >= needed]
        if len(documents) < 1 + (OTHER in negatives):
            enough = f"{len(documents)} have {needed} sentences or more"
            raise ValueError(f"documents: {enough}, too few")
        encoded = [tokenizer.encode(sentence) for document in documents for sentence in document]
        self.tokens = np.concatenate(encoded).astype(np.int32)  # all sentences, one after another
        self.starts = np.cumsum([0, *map(len, encoded)])  # where each begins in `tokens`
        self.counts = np.array([*map(len, documents)])  # sentences of each document
        self.firsts = np.cumsum(self.counts) - self.counts  # each document's first sentence
        self.n_examples = len(documents) * len(self.kinds)  # of an epoch
        self.plans: dict[int, tuple[np.ndarray, ...]] = {}  # of the last two epochs

    def spans(self, document, cut, source, begin):
        """Where the first and the second text begin and end in `tokens`, for one or many cuts."""
        first, second = self.firsts[document], self.firsts[source] + begin
        ends = (first, first + cut), (second, second + self.n_sentences)
        return [(self.starts[start], self.starts[stop]) for start, stop in ends]

    def plan(self, epoch: int) -> tuple[np.ndarray, ...]:
        """The order of an epoch's documents, and of each document what `draw_cuts` returns."""
        rng, n = np.random.default_rng([self.seed, epoch]), len(self.counts)
        cuts, later = draw_cuts(self.counts, self.n_sentences, rng, SAME in self.kinds)
        spans = self.spans(np.arange(n), cuts, np.arange(n), cuts)
        order = alike_together(sum(stop - start for start, stop in spans), rng)
        return order, cuts, later

    def cut(self, number: int) -> Cut:
        """Which texts example `number` joins: an epoch has each document once with each kind."""
        epoch, place = divmod(number, self.n_examples)
        order, cuts, later = drawn_once(self.plans, epoch, self.plan)
        i, kind = divmod(place, len(self.kinds))
        document = source = order[i]
        if self.kinds[kind] == OTHER:
            source = order[(i + 1) % len(order)]
        begin = (later if self.kinds[kind] == SAME else cuts)[source]
        return Cut(*map(int, (document, cuts[document], source, begin, kind > 0)))


class SentencePairs(TextPairs):
    """Rows [CLS] first text [SEP] second text [SEP], with hidden words, for BERT.

    Args:
        documents, tokenizer, seed, negatives, n_sentences: as for `TextPairs`; the tokenizer with
            the special tokens [CLS], [SEP], [MASK] and [PAD].
        context_length: the longest row, in tokens. Where a pair is longer, the first text loses
            tokens at its beginning.
        share, fates: as for `hide`.
    Raises: as `TextPairs`, and ValueError if the context_length is below 5.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1 and appendix A.2.
    Built in chapter 9.
    """

    def __init__(self, documents, tokenizer, context_length, seed=0, negatives=(OTHER,),
                 n_sentences=3, share=HIDDEN_SHARE, fates=FATES):  # fmt: skip
        super().__init__(documents, tokenizer, seed, negatives, n_sentences)
        if context_length < 5:
            raise ValueError(f"context_length ({context_length}) must be at least 5")
        self.context_length, self.share, self.fates = context_length, share, fates
        self.cls, self.sep, self.mask, self.pad = (tokenizer.special_tokens[s] for s in SPECIAL)

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Ids (T,), targets (T,), how many belong to the first text, and the label."""
        *places, label = self.cut(number)
        first, second = (self.tokens[start:stop] for start, stop in self.spans(*places))
        second = second[: self.context_length - 4]
        first = first[-(self.context_length - 3 - len(second)) :]
        ids = np.concatenate(([self.cls], first, [self.sep], second, [self.sep]))
        words = np.ones(len(ids), dtype=bool)
        words[[0, len(first) + 1, -1]] = False
        rng = np.random.default_rng([self.seed, number, 1])
        vocab_size = len(self.tokenizer)
        ids, targets = hide(ids, words, self.mask, vocab_size, rng, self.share, self.fates)
        return ids, targets, len(first) + 2, label

    def batch(self, start: int, size: int) -> tuple[Tensor, ...]:
        """Examples number start ... start + size - 1, as `pad_rows` returns them."""
        return pad_rows([self.row(i) for i in range(start, start + size)], self.pad)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """The examples of one epoch, the same at each call, in batches."""
        for start in range(0, self.n_examples, size):
            yield self.batch(start, min(size, self.n_examples - start))

    def fingerprint(self) -> str:
        """A checksum of the texts and of how they are read, to tell two streams apart."""
        crc = zlib.crc32(self.starts, zlib.crc32(self.tokens))
        how = (self.context_length, self.n_sentences, self.share, *self.fates, self.seed)
        return "-".join(map(str, (len(self.counts), f"{crc:08x}", *self.kinds, *how)))


def pad_rows(rows: Sequence[tuple], pad: int) -> tuple[Tensor, ...]:
    """Rows of `SentencePairs` as a batch, filled on the right.

    Returns: ids (B, T), segments (B, T), real (B, T) booleans, next_labels (B,), 0 for "next" and 1
        for the others, and targets (B, T); T is the longest row's.

    Built in chapter 9.
    """
    B, T = len(rows), max(len(ids) for ids, *_ in rows)
    ids, segments, targets = (np.full((B, T), fill) for fill in (pad, 0, IGNORE))
    real, labels = np.zeros((B, T), dtype=bool), np.zeros(B, dtype=np.int64)
    for b, (row, target, n_first, label) in enumerate(rows):
        ids[b, : len(row)], targets[b, : len(row)] = row, target
        segments[b, n_first : len(row)], real[b, : len(row)], labels[b] = 1, True, label
    return tuple(map(torch.from_numpy, (ids, segments, real, labels, targets)))
