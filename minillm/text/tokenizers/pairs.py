"""Words as lists of symbols, and the pair counts that BPE and WordPiece training share.

Both trainers start from the distinct words of a corpus with their counts, and grow a vocabulary by
replacing one pair of neighbouring symbols at a time. `PairCounts` keeps the counts right after each
replacement by looking only at the words that hold the pair.

But: which pair to merge is not decided here; see `bpe.learn_merges` and `wordpiece.learn_pieces`.
"""

from collections import Counter, defaultdict
from itertools import pairwise

Pair = tuple[int, int]


def merge_symbols(word: list, pair: tuple, new) -> list:
    """Replace every occurrence of a pair of neighbours in a word, from left to right.

    word: symbols, of any type. pair: the two neighbours to replace. new: the symbol that replaces
    them. Returns a new list.

    >>> merge_symbols(["l", "o", "o", "l", "o"], ("l", "o"), "lo")
    ['lo', 'o', 'lo']

    Built in chapter 2.
    """
    merged, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and word[i] == pair[0] and word[i + 1] == pair[1]:
            merged.append(new)
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


def count_changes(word: list[int], pair: Pair, new: int) -> list[tuple[Pair, int]]:
    """List how the counts of the neighbouring pairs change when a pair of a word is merged.

    word: symbols. pair: the neighbours that become `new`. Returns (pair, +1 or -1) for each pair
    that ends or begins to exist beside a merge. The merged pair itself is left out.

    >>> count_changes([7, 1, 2, 8], (1, 2), 3)      # 7 1 2 8 becomes 7 3 8
    [((7, 1), -1), ((7, 3), 1), ((2, 8), -1), ((3, 8), 1)]

    Built in chapter 2.
    """
    (a, b), changes, left, i = pair, [], None, 0
    while i < len(word) - 1:
        if word[i] != a or word[i + 1] != b:
            left, i = word[i], i + 1
            continue
        if left is not None:
            changes += [((left, a), -1), ((left, new), 1)]
        if i + 2 < len(word):
            changes += [((b, word[i + 2]), -1), ((new, word[i + 2]), 1)]
        left, i = new, i + 2
    return changes


class PairCounts:
    """The pairs of neighbouring symbols in a list of words, counted, and kept counted.

    word_counts: how often each distinct word occurs. index: the number of each symbol. A word is
    any sequence of symbols: a string of characters, or a tuple of pieces.

    counts: pair → occurrences in the corpus. symbols: symbol → occurrences. where: pair → the
    numbers of the words that hold it (or once did).

    Built in chapter 2.
    """

    def __init__(self, word_counts: dict, index: dict):
        self.words = [[index[symbol] for symbol in word] for word in word_counts]
        self.repeats = list(word_counts.values())
        self.counts, self.symbols, self.where = Counter(), Counter(), defaultdict(set)
        for i, (word, n) in enumerate(zip(self.words, self.repeats, strict=True)):
            for symbol in word:
                self.symbols[symbol] += n
            for pair in pairwise(word):
                self.counts[pair] += n
                self.where[pair].add(i)

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace `pair` by the symbol `new` everywhere; returns the pairs that became more."""
        grown, n_merged = set(), 0
        for i in self.where.pop(pair):
            word, n = self.words[i], self.repeats[i]
            for changed, sign in count_changes(word, pair, new):
                self.counts[changed] += sign * n
                if sign > 0:
                    self.where[changed].add(i)
                    grown.add(changed)
            self.words[i] = merge_symbols(word, pair, new)
            n_merged += n * (len(word) - len(self.words[i]))
        del self.counts[pair]
        for symbol, change in ((pair[0], -n_merged), (pair[1], -n_merged), (new, n_merged)):
            self.symbols[symbol] += change
        return grown
