"""Checks of chapter 2's exercises: nats per character, BPE's pair, cuts, bands, analogies.

Each asks `exercise` for one line of verdict, and names the usual mistakes.
But: no solutions here; they are in `solutions/02_tokens.ipynb`.
"""

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import torch

from minillm.checks import exercise, expect, require

UNKNOWN = ["[UNK]"]


@exercise("2.1")
def per_character(attempt):
    """The nats of the whole text, shared among its characters."""
    for nats, n_tokens, n_characters in [(1.5, 200, 800), (2.0, 3, 12), (0.5, 70, 35), (0.0, 5, 9)]:
        right = nats * n_tokens / n_characters
        known = [
            (nats * n_characters / n_tokens, "the quotient is upside down: tokens over characters"),
            (nats * n_tokens, "that is the surprisal of the whole text; share it among characters"),
            (nats / n_characters, "nats_per_token is a mean; times n_tokens it is the sum"),
            (nats / n_tokens, "nats_per_token is a mean already; divide the sum by characters"),
            (nats * n_characters, "each token costs nats_per_token, not each character"),
            (right / math.log(2), "that is in bits; the nats need no conversion"),
            (nats * math.log(2) * n_tokens / n_characters, "nats need no conversion"),
            (math.exp(right), "that is a perplexity; the loss itself is asked for"),
            (nats * n_tokens // n_characters, "// throws the fraction away; divide with /"),
            (nats, "that is the loss per token"),
            (n_tokens / n_characters, "that is tokens per character; where is the loss?"),
        ]
        expect(attempt(nats, n_tokens, n_characters), right, known=known)


@exercise("2.2")
def best_pair(attempt):
    """The pair that occurs most often, each word counted as often as it occurs."""
    for words in [
        {("l", "o", "w"): 5, ("o", "w", "l"): 2},
        {("n", "e", "w"): 3, ("n", "e", "s"): 3, ("w", "e", "s", "t"): 4, ("e", "w"): 2},
        {("th", "e"): 9, ("t", "a"): 8, ("a", "t", "e"): 4, ("t", "a", "t"): 3},
        {("b", "a"): 1, ("c", "a"): 1, ("d", "a", "c"): 1, ("z", "q"): 7},
        {("to", "m", "to", "to", "m"): 3, ("m", "to"): 2, ("x", "y"): 5},
        {("a", "b", "c"): 3, ("a", "d", "c"): 2, ("x", "y"): 4},
    ]:
        pairs, once, per_word = Counter(), Counter(), Counter()
        replaced, apart, letters, unordered = {}, Counter(), Counter(), Counter()
        for word, n in words.items():
            for pair in combinations(word, 2):
                apart[pair] += n
            for pair in pairwise("".join(word)):
                letters[pair] += n
            for pair in pairwise(word):
                pairs[pair] += n
                once[pair] += 1
                replaced[pair] = n
                unordered[tuple(sorted(pair))] += n
            for pair in set(pairwise(word)):
                per_word[pair] += n
        chain = [symbol for word, n in words.items() for symbol in word * n]
        right = _first(pairs)
        single = Counter(symbol for word, n in words.items() for symbol in word * n)
        quotient = {(a, b): n / (single[a] * single[b]) for (a, b), n in pairs.items()}
        known = [
            ("".join(right), "the two symbols joined; return them as a tuple"),
            ((right, pairs[right]), "the pair with its count; return the pair alone"),
            ([(right, pairs[right])], "most_common gives a list of (pair, count); take the pair"),
            (pairs[right], "that is its count; return the pair"),
            (_first(once), "each word was counted once; count it as often as it occurs"),
            (_first(per_word), "a pair that comes twice in a word counts twice"),
            (
                max(replaced, key=replaced.get),
                "counts of one pair in several words add up: +=, not =",
            ),
            (_first(apart), "only neighbours make a pair"),
            (_first(letters), "pairs are of symbols, and a symbol can have several letters"),
            (_first(Counter(pairwise(chain))), "pairs must not reach from a word into the next"),
            (_first(unordered), "(a, b) and (b, a) are two pairs; keep the order"),
            (min(pairs, key=pairs.get), "that is the rarest pair; the most frequent is asked for"),
            (max(quotient, key=quotient.get), "that is a quotient's choice; BPE takes the count"),
            (right[::-1], "the two symbols are the wrong way round"),
            (max(pairs), "the last of the alphabet; give max the counts as its key"),
            (lambda got: isinstance(got, Counter | dict), "all counts; return the largest's pair"),
        ]
        expect(attempt(dict(words)), right, known=known)


def _first(counts):
    return counts.most_common(1)[0][0]


@exercise("2.3")
def fewest_pieces(attempt):
    """A shortest way to write a word in pieces of the vocabulary."""
    mill = {"mill", "mills", "stone", "t", "o", "n", "e"}
    for word, vocab in [
        ("millstone", mill),
        ("abcd", {"a", "abc", "bcd", "ab"}),
        ("aaaaa", {"a", "aa", "aaaa"}),
        ("lamp", {"lamp", "la", "mp", "l", "a", "m", "p"}),
        ("abcdef", {"a", "bcdef", "abcde", "ab", "cd", "ef"}),
        ("rose", {"ro", "os", "se", "rose garden"}),
        ("rosy", {"ro", "os", "se"}),
        ("abcde", {"abc", "de", "cde", "a", "b"}),
        ("lamp", {"la", "mp", "amp"}),
        ("a", {"b"}),
        ("ab" * 12, {"ab", "a", "b", "ba", "abab"}),
    ]:
        right = _shortest(word, vocab)
        got = attempt(word, set(vocab))
        if got == right:
            continue
        if right == UNKNOWN:
            require(got is not None, f"gave None: {word!r} can't be cut, so return ['[UNK]']")
        require(got is not None, "gave None: is a return missing?")
        require(not isinstance(got, str), f"gave the string {got!r}, expected a list of pieces")
        require(not isinstance(got, int), f"gave {got!r}, the number of pieces? return the pieces")
        got = list(got)
        if right == UNKNOWN:
            if got == right:  # a tuple is as good
                continue
            require(got != [], "gave no pieces: return ['[UNK]'] where there is no way")
            require(got == UNKNOWN, f"gave {got}, expected ['[UNK]']: {word!r} can't be cut")
        if got == UNKNOWN:
            greedy = "does it give up where the longest piece leads nowhere?"
            require(False, f"gave ['[UNK]'], but there is a way, {right}: {greedy}")
        foreign = [piece for piece in got if piece not in vocab]
        require(not foreign, f"gave {got}, of which {foreign} is not in the vocabulary")
        joined = "".join(got)
        backwards = joined != word and "".join(reversed(got)) == word
        require(not backwards, f"gave {got}, the right pieces from the end to the beginning")
        require(joined == word, f"gave {got}, which joined is {joined!r}, not {word!r}")
        why = "a shorter cut exists"
        if got == _greedy(word, vocab):
            why = "the longest piece first is not always best"
        elif got == _greedy_from_the_end(word, vocab):
            why = "the longest piece at the end is not always best"
        require(len(got) <= len(right), f"gave {len(got)} pieces, {got}, where {right} do: {why}")


def _shortest(word, vocab):
    best = [[]] + [None] * len(word)
    for end in range(1, len(word) + 1):
        ways = [
            [*best[start], word[start:end]]
            for start in range(end)
            if best[start] is not None and word[start:end] in vocab
        ]
        best[end] = min(ways, key=len) if ways else None
    return best[-1] or UNKNOWN


def _greedy(word, vocab):
    pieces = []
    while word:
        ends = (end for end in range(len(word), 0, -1) if word[:end] in vocab)
        end = next(ends, None)
        if end is None:
            return UNKNOWN
        pieces.append(word[:end])
        word = word[end:]
    return pieces


def _greedy_from_the_end(word, vocab):
    backwards = _greedy(word[::-1], {piece[::-1] for piece in vocab})
    return [piece[::-1] for piece in reversed(backwards)]


@exercise("2.4")
def candidate_pairs(attempt):
    """Pairs of texts whose signatures agree in all numbers of one band."""
    small = np.array([[1, 2, 3, 4], [1, 2, 9, 9], [3, 4, 1, 2], [8, 2, 3, 4], [1, 7, 3, 9]])
    rng = np.random.default_rng(0)
    large = rng.integers(0, 4, (12, 12))
    large[7], large[9] = large[3], large[3]
    for signatures, n_bands in [(small, 2), (large, 3), (large, 4), (small, 4), (small, 1)]:
        right = _agreeing(signatures, n_bands, any)
        what = f"candidate_pairs of {len(signatures)} signatures of {signatures.shape[1]} numbers "
        what += f"with n_bands={n_bands}"
        got = attempt(signatures.copy(), n_bands)
        require(got is not None, "gave None: is a return missing?")
        known = [
            (_agreeing(signatures, n_bands, all), "one band is enough; they need not agree in all"),
            (
                _agreeing(signatures, signatures.shape[1], any),
                "a band agrees if all of its numbers do, not one of them",
            ),
            (_across(signatures, n_bands), "only the same band of both counts: one table a band"),
            (_agreeing(signatures, signatures.shape[1] // n_bands, any), _BAND_LENGTH),
            (
                _agreeing(signatures[:, : signatures.shape[1] // n_bands], 1, any),
                "that is the first band alone; any band will do",
            ),
            (
                lambda got: any(len(group) > 2 for group in got),
                "a key with three texts makes three pairs",
            ),
            (_strided(signatures, n_bands), "bands are neighbouring numbers, not every n-th one"),
            (
                lambda got: any(i == j for i, j in got),
                "a text is no candidate with itself: i < j",
            ),
            (
                lambda got, right=right: {(j, i) for i, j in right} <= {*got},
                "pairs must have i < j",
            ),
            (
                lambda got, right=right: {*got} < right,
                "some pairs are missing: are all texts of a key paired?",
            ),
        ]
        if not isinstance(got, set) or any(isinstance(pair, frozenset) for pair in got):
            known[:0] = [
                (lambda got, right=right: {tuple(sorted(pair)) for pair in got} == right, _A_SET)
            ]
        expect(got, right, what=what, known=known)


_A_SET = "return a set of tuples"
_BAND_LENGTH = "n_bands is how many bands there are, not how many numbers a band has"


def _bands(signatures, n_bands):
    return np.split(signatures, n_bands, axis=1)


def _agreeing(signatures, n_bands, enough):
    bands = _bands(signatures, n_bands)
    pairs = combinations(range(len(signatures)), 2)
    return {(i, j) for i, j in pairs if enough((band[i] == band[j]).all() for band in bands)}


def _across(signatures, n_bands):
    keys = [
        {tuple(band[i]) for band in _bands(signatures, n_bands)} for i in range(len(signatures))
    ]
    return {(i, j) for i, j in combinations(range(len(signatures)), 2) if keys[i] & keys[j]}


def _strided(signatures, n_bands):
    width = signatures.shape[1]
    order = [column for band in range(n_bands) for column in range(band, width, n_bands)]
    return _agreeing(signatures[:, order], n_bands, any)


@exercise("2.5")
def analogy(attempt):
    """The row with the highest cosine with b - a + c, the three left out."""
    generator = torch.Generator().manual_seed(5)
    for trial in range(9):
        rows = torch.randn(40, 4, generator=generator)
        rows *= torch.rand(40, 1, generator=generator) * 4 + 0.2  # of any lengths
        a, b, c = torch.randperm(40, generator=generator)[:3].tolist()
        target = rows[b] - rows[a] + rows[c]
        if trial == 8:  # all other cosines are below zero
            others = [i for i in range(40) if i not in (a, b, c)]
            rows[others] = 0.2 * rows[others] - target
        cosines = torch.nn.functional.cosine_similarity(rows, target, dim=1)
        right = _best(cosines, a, b, c)
        shifted = right - sum(i < right for i in (a, b, c))
        unit = torch.nn.functional.normalize(rows, dim=1)
        parallel = torch.nn.functional.cosine_similarity(rows - rows[c], rows[b] - rows[a], dim=-1)
        backwards = rows @ (rows[a] - rows[b] + rows[c]) / rows.norm(dim=1)
        known = [
            (
                lambda got, given=(a, b, c): got in given,
                "that is a, b or c itself: leave these three out",
            ),
            (shifted, "that is a place among the other rows; return the id in all of them"),
            (_best(backwards, a, b, c), "the sign: b - a + c"),
            (_best(parallel, a, b, c), "that compares d - c with b - a; compare d with b - a + c"),
            (_best(rows @ target, a, b, c), "a dot product prefers long rows; take the cosine"),
            (_best(unit @ (unit[b] - unit[a] + unit[c]), a, b, c), _ADD_FIRST),
            (_best(-(rows - target).norm(dim=1), a, b, c), "the nearest row is not the cosine's"),
            (_best(-cosines, a, b, c), "that is the lowest cosine"),
            (_best(cosines.abs(), a, b, c), "a cosine of -1 is the opposite, not the same"),
            (lambda got: isinstance(got, torch.Tensor) and got.ndim == 1, "return one id"),
            (lambda got: isinstance(got, float), "an id is asked for, not the cosine"),
        ]
        expect(attempt(rows.clone(), a, b, c), right, what=f"trial {trial}: analogy", known=known)


_ADD_FIRST = "the rows were scaled before b - a + c; scale for the cosine only"


def _best(scores, *left_out):
    scores = scores.clone()
    scores[list(left_out)] = -math.inf
    return int(scores.argmax())
