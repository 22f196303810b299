"""BERT's examples: pairs of texts, of which the second goes on from the first or not, with holes.

Like the windows of `batches.py`, example number i is a pure function of the texts, the seed and i:
which story, where it is cut, what follows, which words are hidden. Numbers never run out; each
epoch cuts and hides anew.

But: documents come cut into sentences; nothing here finds where a sentence ends.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minillm.train.objectives import IGNORE

HIDDEN_SHARE = 0.15  # of the words in a row
FATES = (0.8, 0.1, 0.1)  # of a hidden word: [MASK] in its place, a random token, the word itself
NEXT, OTHER, SAME = "next", "other", "same"


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
    Raises: ValueError if no document has enough sentences, or for a kind that doesn't exist.

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
        for kind in negatives:
            if kind not in (OTHER, SAME):
                raise ValueError(f"negatives: {kind!r} must be {OTHER} or {SAME}")
        self.kinds = (NEXT, *negatives)
        self.n_sentences, self.share, self.fates = n_sentences, share, fates
        # Before the second text stands a sentence at least, and in "same" another is left out.
        needed = n_sentences + 1 + (SAME in negatives)
        self.documents = [
            [np.array(tokenizer.encode(sentence), dtype=np.int64) for sentence in document]
            for document in documents
            if len(document) >= needed
        ]
        if len(self.documents) < 1 + (OTHER in negatives):
            found = len(self.documents)
            raise ValueError(f"documents: {found} have {needed} sentences or more, too few")
        special = (tokenizer.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
        self.cls, self.sep, self.mask, self.pad = special
        self.vocab_size, self.context_length, self.seed = len(tokenizer), context_length, seed
        self._epoch, self._order = -1, np.arange(0)

    def batch(self, start: int, size: int) -> tuple[Tensor, ...]:
        """Examples number start ... start + size - 1.

        Returns: ids (B, T), segments (B, T), real (B, T) booleans, next_labels (B,), 0 for "next"
        and 1 for the others, and targets (B, T). T is the longest row's, at most context_length.

        Built in chapter 9.
        """
        rows = [self._row(i) for i in range(start, start + size)]
        T = max(len(ids) for ids, _, _, _ in rows)
        fill = [self.pad, 0, IGNORE]
        ids, segments, targets = (np.full((size, T), value) for value in fill)  # (B, T)
        real, labels = np.zeros((size, T), dtype=bool), np.zeros(size, dtype=np.int64)
        for b, (row, n_first, label, target) in enumerate(rows):
            ids[b, : len(row)], targets[b, : len(row)] = row, target
            segments[b, n_first : len(row)], real[b, : len(row)], labels[b] = 1, True, label
        return tuple(map(torch.from_numpy, (ids, segments, real, labels, targets)))

    def in_order(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """One example of each document, the same at each call, in batches.

        Built in chapter 9.
        """
        n = len(self.documents)
        for start in range(0, n, size):
            yield self.batch(start, min(size, n - start))

    def pair(self, number: int) -> tuple[list[np.ndarray], list[np.ndarray], int]:
        """The two texts of an example, each a list of sentences as ids, and the label.

        Built in chapter 9.
        """
        return self._pair(number, self._dice(number))

    def fingerprint(self) -> str:
        """A checksum of the texts and of how they are read, to tell two streams apart.

        Built in chapter 9.
        """
        crc = 0
        for document in self.documents:
            crc = zlib.crc32(np.concatenate(document), crc)
        how = f"{self.context_length}-{self.n_sentences}-{self.share}-{self.fates}-{self.seed}"
        return f"{len(self.documents)}-{crc:08x}-{'-'.join(self.kinds)}-{how}"

    def _dice(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])

    def _document(self, number: int) -> int:
        """The document of an example: in order in the first epoch, shuffled in later ones."""
        epoch, place = divmod(number, len(self.documents))
        if epoch == 0:
            return place
        if epoch != self._epoch:
            dice = np.random.default_rng([self.seed, epoch, 1])
            self._epoch, self._order = epoch, dice.permutation(len(self.documents))
        return int(self._order[place])

    def _pair(
        self, number: int, dice: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray], int]:
        i, m = self._document(number), self.n_sentences
        document = self.documents[i]
        kind = self.kinds[dice.integers(len(self.kinds))]
        cut = int(dice.integers(1, len(document) - m + (SAME not in self.kinds)))
        source, begin = document, cut
        if kind == SAME:
            begin = int(dice.integers(cut + 1, len(document) - m + 1))
        elif kind == OTHER:
            source = self.documents[i - int(dice.integers(1, len(self.documents)))]
            begin = int(dice.integers(1, len(source) - m + 1))
        return document[:cut], source[begin : begin + m], int(kind != NEXT)

    def _row(self, number: int) -> tuple[np.ndarray, int, int, np.ndarray]:
        """Ids (T,), how many belong to the first text, the label, targets (T,)."""
        dice = self._dice(number)
        first, second, label = self._pair(number, dice)
        second = np.concatenate(second)[: self.context_length - 4]
        first = np.concatenate(first)[-(self.context_length - 3 - len(second)) :]
        ids = np.concatenate(([self.cls], first, [self.sep], second, [self.sep]))
        words = np.ones(len(ids), dtype=bool)
        words[[0, len(first) + 1, -1]] = False
        inputs, targets = hide(ids, words, self.mask, self.vocab_size, dice, self.share, self.fates)
        return inputs, len(first) + 2, label, targets
