"""Labelled examples: texts as rows of ids with what is to be learned, and batches of them.

A row is what pretraining has taught a body to read: [CLS] text [SEP] text [SEP] for a BERT; for a
GPT the token that ends a document, after which another begins, and the texts one after the other.

But: what is labelled, and how a prediction is read, is in `tasks.py`. A text that is too long for
the body loses its end.
"""

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import regex
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from minillm.text.tokenizers.wordpiece import CHINESE, UNWANTED
from minillm.train.batches import drawn_once
from minillm.train.device import move
from minillm.train.objectives import IGNORE
from minillm.train.pairs import alike_together

ONE_CHINESE = CHINESE.pattern
WORD = regex.compile(rf"{ONE_CHINESE}|(?:(?!{ONE_CHINESE})[^\s!-/:-@\[-`{{-~\p{{P}}])+|\S")


class Example(NamedTuple):
    """A row and its target: a class, a class for each token, or a span's first and last token.

    Built in chapter 10.
    """

    ids: list[int]
    segments: list[int]  # 0 for the first text and its marks, 1 for the second
    target: int | list[int]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words and signs of a text begin and end, in characters, cut as WordPiece does.

    Encoded one by one they give the ids of the whole text, so that a label of characters finds its
    tokens, and a token its characters.

    >>> word_spans("Don't!")
    [(0, 3), (3, 4), (4, 5), (5, 6)]

    Built in chapter 10.
    """
    # What the tokenizer removes doesn't part words, though some of it is white space.
    return [match.span() for match in WORD.finditer(UNWANTED.sub("\0", text))]


def encode_words(text: str, tokenizer) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """A text's ids, and the words they are pieces of.

    Returns: the ids (T,); for each the number of its word (T,); the words' places in the text.

    Built in chapter 10.
    """
    spans = word_spans(text)
    pieces = [tokenizer.encode_plain(text[start:end]) for start, end in spans]
    words = [number for number, some in enumerate(pieces) for _ in some]
    return [i for some in pieces for i in some], words, spans


def join(
    tokenizer, context_length: int, first: list[int], second: list[int] | None = None
) -> tuple[list[int], list[int]]:
    """Ids and segments of a row, with the marks that the tokenizer's model was pretrained with.

    Args:
        tokenizer: with [CLS] and [SEP] for a BERT, with <|endoftext|> for a GPT.
        context_length: how many tokens a row has at most; the longer text loses its end.
        first, second: the ids of one text, or of two.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.
    Built in chapter 10.
    """
    marks = tokenizer.special_tokens
    is_bert = "[CLS]" in marks
    texts = [first] if second is None else [first, second]
    over = sum(map(len, texts)) + 1 + is_bert * len(texts) - context_length
    lengths = [len(text) for text in texts]
    for _ in range(over):
        lengths[lengths.index(max(lengths))] -= 1
    texts = [text[: max(n, 0)] for text, n in zip(texts, lengths, strict=True)]
    if not is_bert:
        ids = [marks["<|endoftext|>"], *itertools.chain(*texts)]
        return ids, [0] * len(ids)
    ids, segments = [marks["[CLS]"]], [0]
    for segment, text in enumerate(texts):
        ids += [*text, marks["[SEP]"]]
        segments += [segment] * (len(text) + 1)
    return ids, segments


def collate(examples: Sequence[Example]) -> tuple[Tensor, ...]:
    """Examples as a batch, filled on the right.

    Returns: ids (B, T), segments (B, T), real (B, T) booleans, and targets: (B,) for classes,
        (B, 2) for spans, (B, T) for a class a token, IGNORE on the padding. T is the longest row's.

    Built in chapter 10.
    """
    ids, segments, targets = ([torch.tensor(e[part]) for e in examples] for part in range(3))
    real = [torch.ones_like(row, dtype=torch.bool) for row in ids]
    if targets[0].ndim:
        targets = pad_sequence(targets, batch_first=True, padding_value=IGNORE)
    else:
        targets = torch.stack(targets)
    return *(pad_sequence(rows, batch_first=True) for rows in (ids, segments, real)), targets


class Examples:
    """An endless shuffled stream of examples, each seen once an epoch, as the loop reads it.

    Args:
        examples: what to learn from, or to evaluate on.
        seed: of the order, in which examples of like length stand side by side.
    Raises: ValueError if there are none.

    Built in chapter 10.
    """

    def __init__(self, examples: Sequence[Example], seed: int = 0):
        if not examples:
            raise ValueError("examples must hold at least one")
        self.examples, self.seed = examples, seed
        self.lengths = np.array([len(example.ids) for example in examples])
        self._orders: dict[int, np.ndarray] = {}

    def order(self, epoch: int) -> np.ndarray:
        """The numbers of the examples in the order of an epoch, (n,)."""
        return alike_together(self.lengths, np.random.default_rng([self.seed, epoch]))

    def batch(self, start: int, size: int) -> tuple[Tensor, ...]:
        """Examples number start ... start + size - 1 of the stream, as `collate` gives them."""
        first, skip = divmod(start, len(self.examples))
        last = (start + size - 1) // len(self.examples)
        epochs = [drawn_once(self._orders, epoch, self.order) for epoch in range(first, last + 1)]
        order = np.concatenate(epochs)
        return collate([self.examples[i] for i in order[skip : skip + size]])

    def in_order(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """Every example once, in the order given, in batches of `size`."""
        for start in range(0, len(self.examples), size):
            yield collate(self.examples[start : start + size])

    def fingerprint(self) -> str:
        """A checksum of the examples and of their order, to tell two streams apart."""
        crc = zlib.crc32(repr(self.examples).encode())
        return f"{len(self.examples)}-{crc:08x}-{self.seed}"


@torch.no_grad()
def predict(model: nn.Module, examples: Sequence[Example], batch_size: int = 32) -> list[Tensor]:
    """What a model with a head says of each example: logits (K,), (T, K) or (2, T), on the CPU.

    T is the example's own length, as padding is cut off. Examples of like length are read together.
    The model is left in the mode it was in.

    Built in chapter 10.
    """
    device, training = next(model.parameters()).device, model.training
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    found = [torch.empty(0)] * len(examples)
    model.eval()
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        *inputs, _ = move(collate([examples[i] for i in numbers]), device)
        logits = model(*inputs).float().cpu()
        for i, one in zip(numbers, logits, strict=True):
            if model.token_dim:
                one = one.narrow(model.token_dim - 1, 0, len(examples[i].ids))
            found[i] = one
    model.train(training)
    return found
