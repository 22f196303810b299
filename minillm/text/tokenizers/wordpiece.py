"""WordPiece, BERT's tokenizer: clean words, cut into the longest pieces that the vocabulary has.

The text is cleaned, lower-cased where wanted, and cut at white space and punctuation. A word is
then eaten from the left: the longest piece in the vocabulary, then the longest that continues it,
written with ## in front. What can't be cut becomes [UNK].

But: cleaning loses case, accents, spaces and control characters, so decoding gives readable text
and not the text that was encoded; see `bpe.py` for a tokenizer that keeps everything.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from math import log

import regex

from minillm.text.tokenizers.base import (
    Tokenizer,
    WordCache,
    count_words,
    number_tokens,
    room_to_learn,
)
from minillm.text.tokenizers.files import BERT_TOKENS
from minillm.text.tokenizers.pairs import PairCounts

UNKNOWN = "[UNK]"
MAX_WORD = 100  # BERT makes a longer word [UNK] without looking at it

# Control, format and private-use characters, but not the white space among them; U+FFFD stands
# for bytes that were not UTF-8.
UNWANTED = regex.compile(r"(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\uFFFD]")
# The blocks of Chinese characters, as BERT's tokenizer in transformers lists them.
CHINESE = regex.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f]"
)
ACCENTS = regex.compile(r"\p{Mn}+")
# Every ASCII sign counts as punctuation, $ and ^ too, which Unicode calls symbols.
WORD_OR_SIGN = regex.compile(r"[^\s!-/:-@\[-`{-~\p{P}]+|[!-/:-@\[-`{-~\p{P}]")
BEFORE_STOP = regex.compile(r" (?=[.,!?])")  # decoded text reads "yes, sir", not "yes , sir"


def normalize(text: str, lowercase: bool = True) -> str:
    """Clean a text as BERT does.

    Removes control characters, puts spaces around Chinese characters, and with `lowercase` also
    strips accents and lower-cases.

    >>> normalize("Café\\u200b 中文")
    'cafe  中  文 '

    Source: Devlin et al. 2019, BERT, and its code (tokenization.py).
    Built in chapter 2.
    """
    text = CHINESE.sub(r" \g<0> ", UNWANTED.sub("", text))
    if lowercase:
        text = ACCENTS.sub("", unicodedata.normalize("NFD", text))
        text = text.replace("Σ", "σ").lower()  # letter by letter: no special σ at a word's end
    return text


def split_words(text: str, lowercase: bool = True) -> list[str]:
    """Normalise a text, and cut it into words and single punctuation marks.

    >>> split_words("Don't panic!")
    ['don', "'", 't', 'panic', '!']

    Built in chapter 2.
    """
    return WORD_OR_SIGN.findall(normalize(text, lowercase))


def to_pieces(word: str) -> tuple[str, ...]:
    """Write a word as its characters, all but the first marked as continuing it.

    >>> to_pieces("hug")
    ('h', '##u', '##g')

    Built in chapter 2.
    """
    return (word[0], *("##" + char for char in word[1:]))


def likelihood_gain(n_pair: int, n_left: int, n_right: int, n_all: int) -> float:
    """Return by how many nats a merge makes the text more likely, to first order.

    n_pair: occurrences of the pair; n_left, n_right: of its two pieces; n_all: of all pieces.
    Where pieces are drawn independently, each by its share of the text, every occurrence of the
    pair has probability n_left / n_all · n_right / n_all before the merge, n_pair / n_all after.

    >>> round(likelihood_gain(n_pair=20, n_left=36, n_right=20, n_all=119), 1)
    23.9

    Source: Schuster and Nakajima 2012, Japanese and Korean Voice Search, section 4.
    Built in chapter 2.
    """
    return n_pair * log(n_pair * n_all / (n_left * n_right))


def learn_pieces(
    word_counts: dict, alphabet: list[str], n_pieces: int, min_frequency=2, score=likelihood_gain
) -> list[str]:
    """Learn pieces of words: always the pair whose merge makes the text most likely.

    word_counts: how often each distinct word occurs, as a tuple of pieces of the alphabet.
    n_pieces: how many pieces to learn at most; pairs that occur less often than min_frequency
    aren't merged. score: (n_pair, n_left, n_right, n_all) → what to maximise; it must not rise
    when n_all falls. Of equal scores the pair that BPE would take is merged. Returns the pieces in
    the order learned.

    A merge makes its two pieces rarer, so the scores of all their pairs change, many for the
    better, and these pairs are pushed again. Elsewhere only n_all falls, and a score with it: that
    is checked when a pair comes up.

    >>> words = {to_pieces("hug"): 10, to_pieces("pug"): 5, to_pieces("hugs"): 5}
    >>> learn_pieces(words, ["h", "p", "##g", "##s", "##u"], 3)
    ['##ug', 'hug', 'pug']

    Built in chapter 2.
    """
    tokens = list(alphabet)
    pairs = PairCounts(word_counts, {token: i for i, token in enumerate(tokens)})
    n_all, partners, heap = sum(pairs.symbols.values()), defaultdict(set), []

    def rate(pair: tuple[int, int]) -> float:
        return score(pairs.counts[pair], pairs.symbols[pair[0]], pairs.symbols[pair[1]], n_all)

    def push(changed: Iterable[tuple[int, int]]) -> None:
        for pair in changed:
            if pairs.counts[pair] >= min_frequency:
                heappush(heap, (-rate(pair), pair))
                partners[pair[0]].add(pair)
                partners[pair[1]].add(pair)

    push(pairs.counts)
    while heap and len(tokens) < len(alphabet) + n_pieces:
        negative, pair = heappop(heap)
        if pairs.counts[pair] < min_frequency or rate(pair) < -negative:
            push([pair])
            continue
        left, right = pair
        tokens.append(tokens[left] + tokens[right].removeprefix("##"))
        grown = pairs.merge(pair, len(tokens) - 1)
        n_all -= pairs.symbols[len(tokens) - 1]
        push(grown | partners.pop(left) | partners.pop(right, set()))
    return tokens[len(alphabet) :]


def longest_pieces(word: str, vocab: Container[str]) -> list[str]:
    """Cut one word into pieces, each the longest that the vocabulary has.

    Returns [UNK] alone where that leads nowhere, and for a word of over 100 characters.

    >>> longest_pieces("hugs", {"h", "hug", "##g", "##s", "##u"})
    ['hug', '##s']

    Source: Devlin et al. 2019, BERT, and its code (tokenization.py).
    Built in chapter 2.
    """
    pieces, start = [], 0
    while start < len(word) <= MAX_WORD:
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return [UNKNOWN]
        pieces.append(mark + word[start:end])
        start = end
    return pieces or [UNKNOWN]


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer: cleaned words, cut greedily into the longest known pieces.

    vocab: token → id; a piece that continues a word begins with ##. special_tokens: those tokens
    of the vocabulary that stand for themselves in a text. lowercase: lower-case and strip accents.

    Raises ValueError where [UNK] isn't in the vocabulary.

    >>> tokenizer = WordPieceTokenizer.train(["hug hugs pug"] * 5, vocab_size=13)
    >>> [tokenizer.id_to_token(i) for i in tokenizer.encode("Pugs hug!")]
    ['pug', '##s', 'hug', '[UNK]']

    Source: Schuster and Nakajima 2012; Devlin et al. 2019.
    Built in chapter 2.
    """

    kind = "wordpiece"

    def __init__(self, vocab: dict[str, int], special_tokens: Sequence[str], lowercase: bool):
        super().__init__(vocab, special_tokens)
        if UNKNOWN not in vocab:
            raise ValueError(f"vocab must have {UNKNOWN}, the token of words that can't be cut")
        self.lowercase = lowercase
        self.settings = {"lowercase": lowercase}
        self.word_ids = WordCache(self.encode_word)

    @classmethod
    def train(cls, texts, vocab_size, min_frequency=2, lowercase=True, special_tokens=BERT_TOKENS):
        """Learn pieces until the vocabulary has `vocab_size` tokens, or no pair is left.

        texts: strings, one a document; special tokens in them are left out of the counts.
        vocab_size: special tokens, every character (as the start of a word, as its continuation,
        or both, as seen), and learned pieces. min_frequency: rarer pairs aren't merged. Returns
        the tokenizer; its ids are in that order.

        Raises ValueError where `vocab_size` is less than special tokens and the characters.
        """
        words = count_words(texts, special_tokens, partial(split_words, lowercase=lowercase))
        words = {to_pieces(word): count for word, count in words.items()}
        alphabet = sorted(set().union(*words), key=lambda piece: (len(piece), piece))
        room = room_to_learn(vocab_size, min_frequency, special_tokens, alphabet)
        learned = learn_pieces(words, alphabet, room, min_frequency)
        return cls(number_tokens(special_tokens, alphabet + learned), special_tokens, lowercase)

    def encode_word(self, word: str) -> list[int]:
        return [self.vocab[piece] for piece in longest_pieces(word, self.vocab)]

    def encode_plain(self, text: str) -> list[int]:
        words = split_words(text, self.lowercase)
        return list(chain.from_iterable(map(self.word_ids.__getitem__, words)))

    def join(self, tokens: list[str]) -> str:
        return BEFORE_STOP.sub("", " ".join(tokens).replace(" ##", ""))
