"""What the three tokenizers share: a vocabulary, special tokens, checks, and a cache of words.

A tokenizer is a table of tokens and their ids with a rule for cutting text. The rules are in
`char.py`, `bpe.py` and `wordpiece.py`; the file format is in `files.py`.

But: a tokenizer here never adds [CLS] and the like by itself, never cuts and never pads. That
belongs to whoever makes batches.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from minillm.text.tokenizers import files


def check_text(text: str) -> None:
    """Raise ValueError unless `text` is a string that UTF-8 can hold."""
    if not isinstance(text, str):
        raise ValueError(f"text must be one string, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        where = f"{text[error.start]!a} at position {error.start}"
        raise ValueError(f"text has a lone surrogate, {where}; UTF-8 can't hold it") from None


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Cut a text before and after each special token in it; the longest one wins.

    >>> split_special("one<|endoftext|>two", ["<|endoftext|>"])
    ['one', '<|endoftext|>', 'two']

    Built in chapter 2.
    """
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)


def plain_pieces(texts: Iterable[str], special_tokens: Sequence[str]) -> Iterator[str]:
    """Yield the stretches of training texts that lie between special tokens.

    Raises ValueError for a single string in place of several, and where there is no text at all.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be several strings, not one string; write [text]")
    empty = True
    for text in texts:
        check_text(text)
        for piece in split_special(text, special_tokens):
            if piece and piece not in special_tokens:
                empty = False
                yield piece
    if empty:
        raise ValueError("texts must hold some text to learn from; none was given")


def count_words(texts: Iterable[str], special_tokens: Sequence[str], split: Callable) -> Counter:
    """Count the distinct words of training texts.

    split: text → list of words. Special tokens in the texts aren't words.

    Built in chapter 2.
    """
    counts = Counter()
    for piece in plain_pieces(texts, special_tokens):
        counts.update(split(piece))
    return counts


def check_special(special_tokens: Sequence[str]) -> None:
    """Raise ValueError unless special tokens are distinct strings, none of them empty."""
    given = [special_tokens] if isinstance(special_tokens, str) else list(special_tokens)
    if isinstance(special_tokens, str) or "" in given or len(set(given)) < len(given):
        raise ValueError(f"special_tokens must be several distinct strings, not {special_tokens!r}")


def check_vocab(vocab: dict[str, int], special_tokens: Sequence[str]) -> None:
    """Raise ValueError unless ids are 0, 1, 2, ... and the special tokens are in the vocabulary."""
    check_special(special_tokens)
    if set(vocab.values()) != set(range(len(vocab))):
        raise ValueError(f"vocab must have the ids 0 to {len(vocab) - 1}, each of them once")
    for token in special_tokens:
        if token not in vocab:
            raise ValueError(f"special_tokens has {token!r}, which is not in vocab")


def room_to_learn(
    vocab_size: int, min_frequency: int, special_tokens: Sequence[str], alphabet: Sequence[str]
) -> int:
    """Return how many tokens can be learned beside the special tokens and the alphabet.

    Raises ValueError where the vocabulary is too small for those two, or `min_frequency` is 0.
    """
    if min_frequency < 1:
        raise ValueError(f"min_frequency ({min_frequency}) must be at least 1")
    least = len(special_tokens) + len(alphabet)
    if vocab_size < least:
        parts = f"{len(special_tokens)} special tokens and an alphabet of {len(alphabet)}"
        raise ValueError(f"vocab_size ({vocab_size}) must be at least {least}: {parts}")
    return vocab_size - least


def number_tokens(special_tokens: Sequence[str], learned: Iterable[str]) -> dict[str, int]:
    """Give ids to the tokens of a new vocabulary: special tokens first, then the learned ones.

    Raises ValueError where a special token is among the learned ones too.
    """
    vocab = {token: i for i, token in enumerate(special_tokens)}
    for token in learned:
        if token in special_tokens:
            raise ValueError(f"special_tokens has {token!r}, which the text needs as a plain token")
        vocab[token] = len(vocab)
    return vocab


class WordCache(dict):
    """Remembers the ids of words: a word is encoded when it is first asked for.

    encode_word: word → ids. limit: how many words to keep; when it is full, all are forgotten, so
    that memory stays bounded on any text. Words of over 100 characters aren't kept.

    Built in chapter 2.
    """

    def __init__(self, encode_word: Callable[[str], list[int]], limit: int = 100_000):
        self.encode_word, self.limit = encode_word, limit

    def __missing__(self, word: str) -> list[int]:
        ids = self.encode_word(word)
        if len(self) >= self.limit:
            self.clear()
        if len(word) <= 100:
            self[word] = ids
        return ids


class Stored:
    """A tokenizer's way to its file and back; `kind` and `settings` say what to write.

    lstrip: special tokens that take the white space before them along, as RoBERTa's <mask> does.
    Our own have none; a file may.

    Built in chapter 2.
    """

    kind = ""
    settings: dict
    lstrip: Sequence[str] = ()

    def save(self, folder: str | Path) -> None:
        """Write folder/tokenizer.json, which `load`, tokenizers and transformers read."""
        settings = self.settings | {"lstrip": self.lstrip}
        files.write(folder, self.kind, self.vocab, self.special_tokens, settings)

    @classmethod
    def load(cls, path: str | Path):
        """Read a tokenizer of this class from a folder or file; see `tokenizers.load`."""
        kind, arguments = files.read(path)
        lstrip = arguments.pop("lstrip", ())
        fitting = [some for some in (cls, *cls.__subclasses__()) if some.kind == kind]
        if not fitting:
            raise ValueError(f"{path} holds a {kind} tokenizer; {cls.__name__} can't load it")
        try:
            tokenizer = fitting[0](**arguments)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        tokenizer.lstrip = lstrip
        return tokenizer


class Tokenizer(Stored):
    """A vocabulary, and the way from text to ids and back that all tokenizers share.

    vocab: token → id, the ids 0 to len(vocab) - 1. special_tokens: tokens of the vocabulary that
    stand for themselves wherever they occur in a text. A subclass says how plain text is cut
    (`encode_plain`) and how tokens become text again (`join`).

    Raises ValueError where ids have gaps, or a special token isn't in the vocabulary.

    Built in chapter 2.
    """

    def __init__(self, vocab: dict[str, int], special_tokens: Sequence[str]):
        check_vocab(vocab, special_tokens)
        self.vocab = dict(vocab)
        self.tokens = {i: token for token, i in vocab.items()}
        self.special_tokens = {token: vocab[token] for token in special_tokens}

    def __len__(self) -> int:
        return len(self.vocab)

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids; a special token in it becomes its one id."""
        check_text(text)
        ids = []
        for piece in split_special(text, self.special_tokens):
            special = self.special_tokens.get(piece)
            ids += self.encode_plain(piece) if special is None else [special]
        return ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Turn ids (a list, or a 1-D array or tensor) into text; ValueError for an unknown id."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        tokens = [self.id_to_token(i) for i in ids]
        hidden = self.special_tokens if skip_special_tokens else ()
        return self.join([token for token in tokens if token not in hidden])

    def id_to_token(self, id: int) -> str:
        """Return the token of an id; ValueError where there is none."""
        if id not in self.tokens:
            raise ValueError(f"id {id!r} is not in the vocabulary; ids are 0 to {len(self) - 1}")
        return self.tokens[id]
