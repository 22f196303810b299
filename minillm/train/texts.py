"""Texts for a run: which one is read, what is held out of it, and as which tokens.

But: for language models only; a text is one row of tokens, without labels.
"""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from minillm.text import corpora, tokenizers, village
from minillm.train.batches import TokenWindows
from minillm.train.loop import Objective
from minillm.train.objectives import causal_lm

END = tokenizers.END_OF_TEXT
VALIDATION_SEED = 1_000_000  # of the village's validation stories; far from any seed of a run
VALIDATION_SHARE = 0.1  # of any other text: its last tenth


@dataclass(frozen=True)
class TextConfig:
    """Which text a run reads and how it is cut into tokens.

    Raises: ValueError, in one line, for a number that makes no sense.

    Built in chapter 7.
    """

    tokenizer: Literal["bpe", "char"] = "bpe"  # bpe: pieces of words; char: letters, fewer mistakes
    vocab_size: int = 1024  # tokens of bpe; the village's words fit in, so most words are one token
    stories: int = 20_000  # village only: to learn from; more than a short run can read
    val_stories: int = 1000  # village only: to evaluate on; the loss is exact to half a per cent

    def __post_init__(self) -> None:
        for name in ("vocab_size", "stories", "val_stories"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


class Text(NamedTuple):
    """A corpus as tokens. floor: the validation loss no model can beat, where it is known.

    Built in chapter 7.
    """

    tokenizer: Any
    train: np.ndarray
    val: np.ndarray
    floor: float | None


def prepare(corpus: str, config: TextConfig, seed: int = 0, tokenizer: Any = None) -> Text:
    """Reads a corpus and cuts it into tokens, for training and for validation.

    Args:
        corpus: "village", a set that `corpora` knows, a text file or a folder of them.
        config: the tokenizer to train, how many stories.
        seed: of the village's training stories; its validation stories are always the same.
        tokenizer: used as it is, instead of training one.
    Raises: FileNotFoundError or ValueError, in one line, if there is no such text, or none in it,
        or the tokenizer can't encode it.

    Built in chapter 7.
    """
    if corpus == "village":
        texts = [story.text for story in village.stories(config.stories, seed)]
        held_out = village.stories(config.val_stories, VALIDATION_SEED)
        val_texts = [story.text for story in held_out]
    else:
        texts, val_texts = split(read(corpus))
    if tokenizer is None and config.tokenizer == "char":
        tokenizer = tokenizers.CharTokenizer.train(texts + val_texts)  # no letter may be unknown
    elif tokenizer is None:
        tokenizer = tokenizers.BPETokenizer.train(texts, config.vocab_size)
    val, floor = encode(val_texts, tokenizer), None
    if corpus == "village":
        floor = -sum(story.logprob for story in held_out) / (len(val) - 1)
    return Text(tokenizer, encode(texts, tokenizer), val, floor)


def unseen(
    corpus: str, notes: dict[str, Any], tokenizer: Any
) -> tuple[np.ndarray, float | None, str]:
    """What to evaluate a trained model on: text that it hasn't seen.

    Args:
        corpus: as for `prepare`.
        notes: those of the model's checkpoint, which name the corpus it was trained on.
        tokenizer: the model's.
    Returns: ids; the floor where it is known; in words, which part of the corpus this is: for the
        model's own corpus what training held out, for any other the whole.
    Raises: as `prepare`.

    Built in chapter 7.
    """
    if corpus == "village":
        config = TextConfig(**notes.get("text", {}))
        text = prepare(corpus, dataclasses.replace(config, stories=1), tokenizer=tokenizer)
        return text.val, text.floor, "held out in training"
    if corpus == notes.get("corpus"):
        return encode(split(read(corpus))[1], tokenizer), None, "held out in training"
    return encode(read(corpus), tokenizer), None, "the whole text"


def windows(ids: np.ndarray, context_length: int, what: str, seed: int = 0) -> TokenWindows:
    """Windows of encoded documents; `what` they are is said if they are too few.

    Raises: ValueError, in one line, if there are too few tokens for one window.

    Built in chapter 7.
    """
    try:
        return TokenWindows(ids, context_length, seed, boundary=int(ids[0]))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def objective(ids: np.ndarray) -> Objective:
    """The loss on windows of encoded documents: of several documents, none reads another.

    Built in chapter 7.
    """
    several = np.count_nonzero(ids == ids[0]) > 2  # one end stands before the first
    return functools.partial(causal_lm, end=int(ids[0])) if several else causal_lm


def read(corpus: str) -> list[str]:
    """The documents of a corpus that isn't the village, those that hold anything.

    Raises: FileNotFoundError or ValueError, in one line, if there are none.

    Built in chapter 7.
    """
    texts = [text for text in corpora.texts(corpus) if text.strip()]
    if not texts:
        raise ValueError(f"{corpus}: holds no text")
    return texts


def split(texts: list[str], share: float = VALIDATION_SHARE) -> tuple[list[str], list[str]]:
    """Cuts off the last `share` of the characters, through the middle of a document if need be.

    Example: split(["abcde", "fghij"], 0.3) is (["abcde", "fg"], ["hij"]).

    Built in chapter 7.
    """
    left = sum(map(len, texts))
    left -= round(left * share)
    first, second = [], []
    for text in texts:
        first.append(text[:left])
        second.append(text[left:])
        left = max(0, left - len(text))
    return [text for text in first if text], [text for text in second if text]


def encode(texts: Iterable[str], tokenizer: Any) -> np.ndarray:
    """Documents as one array of ids, (n,), each followed by the end-of-text token.

    One more of these stands in front, so that the first word is predicted from it like any other.

    Built in chapter 7.
    """
    end = tokenizer.special_tokens[END]
    ids = [end]
    for text in texts:
        ids += tokenizer.encode(text)
        ids.append(end)
    return np.array(ids, dtype=np.uint16 if len(tokenizer) <= 2**16 else np.int32)
