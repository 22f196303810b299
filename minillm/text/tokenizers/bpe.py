"""Byte-level byte-pair encoding, GPT-2's tokenizer: words into bytes, bytes into learned pieces.

The text is cut into words by GPT-2's rule, each word is written as its UTF-8 bytes, and the pairs
of neighbours that were most frequent in training are merged, in the order in which they were
learned. Any Unicode text can be encoded, and decoding gives back the same text.

But: no normalisation of the text, and no dropout of merges; see `wordpiece.py` for BERT's way.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from math import inf

import regex

from minillm.text.tokenizers.base import (
    Tokenizer,
    WordCache,
    count_words,
    number_tokens,
    room_to_learn,
)
from minillm.text.tokenizers.files import END_OF_TEXT
from minillm.text.tokenizers.pairs import PairCounts, merge_symbols

# A word takes the space before it along; English endings such as 's stand alone; letters, digits
# and other signs don't mix; of a run of white space the last one is left for the next word.
GPT2_WORDS = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def byte_alphabet() -> dict[int, str]:
    """Give each of the 256 bytes a printable character, as GPT-2 does.

    Returns byte → character. Bytes that Latin-1 prints visibly stand for themselves; the other 68
    take the characters from 256 on, in order, so that a vocabulary file has no invisible entries.

    >>> byte_alphabet()[ord("a")], byte_alphabet()[ord(" ")]
    ('a', 'Ġ')

    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.2,
    and its code.
    Built in chapter 2.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {
        byte: chr(256 + i) for i, byte in enumerate(hidden)
    }


BYTE_TO_CHAR = byte_alphabet()
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}
ALPHABET = sorted(CHAR_TO_BYTE)


def to_alphabet(word: str) -> str:
    """Write the UTF-8 bytes of a word in GPT-2's printable alphabet.

    >>> to_alphabet(" né")
    'ĠnÃ©'

    Built in chapter 2.
    """
    return "".join(BYTE_TO_CHAR[byte] for byte in word.encode("utf-8"))


def to_bytes(token: str, special_tokens: Sequence[str] = ()) -> bytes:
    """Return the bytes that a token stands for; a special token stands for its own text.

    >>> to_bytes("ĠnÃ©")
    b' n\\xc3\\xa9'

    Built in chapter 2.
    """
    if token in special_tokens:
        return token.encode("utf-8")
    return bytes(CHAR_TO_BYTE[char] for char in token)


def check_merges(vocab: dict[str, int], merges: Sequence) -> None:
    """Raise ValueError unless all bytes, and all parts and results of merges, are in `vocab`."""
    needed = chain(ALPHABET, *merges, map("".join, merges))
    missing = next((token for token in needed if token not in vocab), None)
    if missing is not None:
        raise ValueError(f"vocab lacks {missing!r}, which byte-level BPE with these merges needs")


def learn_merges(
    word_counts: dict[str, int], alphabet: Sequence[str], n_merges: int, min_frequency: int = 2
) -> list[tuple[str, str]]:
    """Learn which pairs of neighbours to merge: always the most frequent one.

    word_counts: how often each distinct word occurs, in characters of the alphabet. n_merges: how
    many merges to learn at most; min_frequency: stop when no pair occurs this often. Returns the
    merges in the order learned.

    Of two pairs equally frequent, the one whose left token came first into the vocabulary is
    merged, then the one whose right token did: the alphabet in its order, then merges in theirs.

    The heap holds counts as they were when they were pushed. A count can only have fallen since,
    so a pair is checked when it comes up, and pushed back if it has.

    >>> learn_merges({"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}, "bghnpsu", 3)
    [('u', 'g'), ('u', 'n'), ('h', 'ug')]

    Source: Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units,
    section 3.2.
    Built in chapter 2.
    """
    tokens, merges = list(alphabet), []
    pairs = PairCounts(word_counts, {token: i for i, token in enumerate(tokens)})
    heap = [(-count, pair) for pair, count in pairs.counts.items()]
    heapify(heap)
    while heap and len(merges) < n_merges:
        negative, pair = heappop(heap)
        count = pairs.counts[pair]
        if count < min_frequency:
            continue
        if count < -negative:
            heappush(heap, (-count, pair))
            continue
        left, right = tokens[pair[0]], tokens[pair[1]]
        merges.append((left, right))
        tokens.append(left + right)
        for grown in pairs.merge(pair, len(tokens) - 1):
            heappush(heap, (-pairs.counts[grown], grown))
    return merges


def apply_merges(symbols: Iterable[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge the symbols of one word, the pair that was learned first before all others.

    symbols: the word in characters of the alphabet. ranks: pair → its place among the merges.

    >>> apply_merges("hugs", {("u", "g"): 0, ("h", "ug"): 1})
    ['hug', 's']

    Built in chapter 2.
    """
    word = list(symbols)
    while len(word) > 1:
        pair = min(pairwise(word), key=lambda pair: ranks.get(pair, inf))
        if pair not in ranks:
            break
        word = merge_symbols(word, pair, pair[0] + pair[1])
    return word


class BPETokenizer(Tokenizer):
    """Byte-level BPE, as in GPT-2: every text can be encoded, and decodes to itself.

    vocab: token → id, tokens in GPT-2's printable byte alphabet. special_tokens: those tokens of
    the vocabulary that stand for themselves in a text. merges: pairs of tokens, first learned
    first.

    Raises ValueError where a byte, or a part or result of a merge, is missing from the vocabulary.

    >>> tokenizer = BPETokenizer.train(["low lower lowest"], vocab_size=261)
    >>> [tokenizer.id_to_token(i) for i in tokenizer.encode("lower low")]
    ['low', 'e', 'r', 'Ġlow']

    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.2.
    Built in chapter 2.
    """

    kind = "bpe"

    def __init__(self, vocab: dict[str, int], special_tokens: Sequence[str], merges: Sequence):
        super().__init__(vocab, special_tokens)
        check_merges(vocab, merges)
        self.merges = [tuple(merge) for merge in merges]
        self.settings = {"merges": self.merges}
        self.ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self.word_ids = WordCache(self.encode_word)
        self.token_bytes = {token: to_bytes(token, special_tokens) for token in vocab}

    @classmethod
    def train(cls, texts, vocab_size: int, min_frequency=2, special_tokens=(END_OF_TEXT,)):
        """Learn merges until the vocabulary has `vocab_size` tokens, or no pair is left.

        texts: strings, one a document; special tokens in them are left out of the counts.
        vocab_size: special tokens, 256 bytes and merges. min_frequency: pairs that occur less
        often aren't merged. Returns the tokenizer; special tokens have the first ids, then bytes.

        Raises ValueError where `vocab_size` is less than special tokens and the bytes.
        """
        room = room_to_learn(vocab_size, min_frequency, special_tokens, ALPHABET)
        words = count_words(texts, special_tokens, GPT2_WORDS.findall)
        words = {to_alphabet(word): count for word, count in words.items()}
        merges = learn_merges(words, ALPHABET, room, min_frequency)
        vocab = number_tokens(special_tokens, [*ALPHABET, *map("".join, merges)])
        return cls(vocab, special_tokens, merges)

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids; white space before a token in `lstrip` belongs to that token."""
        for token in self.lstrip:
            text = regex.sub(rf"\s+(?={regex.escape(token)})", "", text)
        return super().encode(text)

    def encode_word(self, word: str) -> list[int]:
        return [self.vocab[token] for token in apply_merges(to_alphabet(word), self.ranks)]

    def encode_plain(self, text: str) -> list[int]:
        return list(chain.from_iterable(map(self.word_ids.__getitem__, GPT2_WORDS.findall(text))))

    def join(self, tokens: list[str]) -> str:
        return b"".join(self.token_bytes[token] for token in tokens).decode(errors="replace")
