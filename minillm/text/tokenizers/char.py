"""The simplest tokenizer: one token a character.

But: it knows the characters it was trained on and no others; `bpe.py` has no such limit.
"""

from collections.abc import Iterable, Sequence

from minillm.text.tokenizers.base import (
    Tokenizer,
    number_tokens,
    plain_pieces,
    split_special,
)
from minillm.text.tokenizers.files import END_OF_TEXT


def find_unknown(text: str, vocab: dict[str, int], special_tokens: Iterable[str]) -> int:
    """Return the position of the first character of a text that has no token of its own."""
    position = 0
    for piece in split_special(text, special_tokens):
        if piece in special_tokens:
            position += len(piece)
            continue
        for char in piece:
            if char not in vocab:
                return position
            position += 1
    return position


class CharTokenizer(Tokenizer):
    """One token a character, sorted by code point, after the special tokens.

    vocab: token → id. special_tokens: those tokens of the vocabulary that stand for themselves in
    a text. `encode` raises ValueError for a character that isn't in the vocabulary.

    >>> tokenizer = CharTokenizer.train(["a bee"])
    >>> tokenizer.encode("bee<|endoftext|>")
    [3, 4, 4, 0]

    Built in chapter 2.
    """

    kind = "char"

    def __init__(self, vocab: dict[str, int], special_tokens: Sequence[str]):
        super().__init__(vocab, special_tokens)
        self.settings = {}

    @classmethod
    def train(cls, texts: Iterable[str], special_tokens: Sequence[str] = (END_OF_TEXT,)):
        """Collect the characters of texts (strings, one a document); returns the tokenizer."""
        chars = set().union(*plain_pieces(texts, special_tokens))
        return cls(number_tokens(special_tokens, sorted(chars)), special_tokens)

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids; ValueError names a character that has none."""
        try:
            return super().encode(text)
        except KeyError:
            position = find_unknown(text, self.vocab, self.special_tokens)
            given = f"{text[position]!r} at position {position}"
            raise ValueError(f"text has {given}, a character not in the vocabulary") from None

    def encode_plain(self, text: str) -> list[int]:
        return list(map(self.vocab.__getitem__, text))

    def join(self, tokens: list[str]) -> str:
        return "".join(tokens)
