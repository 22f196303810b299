"""Chapter 2's exercise checks: the mistakes that learners make, each with its diagnosis."""

from collections import Counter, defaultdict
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from exercisecheck import assert_diagnosed, solutions

from minillm.checks import exercises
from minillm.checks import tokens as check

NAMES = list(exercises(check).values())
SOLUTIONS = solutions("02_tokens")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", [None, 3, "pieces", [], {}, object()])
def test_nothing_that_is_returned_makes_a_check_raise(name, junk, capsys):
    assert not getattr(check, name)(lambda *_: junk)
    assert capsys.readouterr().out.startswith("✗")


def upside_down(nats, n_tokens, n_characters):
    return nats * n_characters / n_tokens


def whole_text(nats, n_tokens, n_characters):
    return nats * n_tokens


def mean_again(nats, n_tokens, n_characters):
    return nats / n_characters


def per_token(nats, n_tokens, n_characters):
    return nats


def each_word_once(word_counts):
    return Counter(pair for word in word_counts for pair in pairwise(word)).most_common(1)[0][0]


def with_its_count(word_counts):
    pairs = Counter()
    for word, n in word_counts.items():
        for pair in pairwise(word):
            pairs[pair] += n
    return pairs.most_common(1)[0]


def joined_symbols(word_counts):
    return "".join(SOLUTIONS["best_pair"](word_counts))


def over_borders(word_counts):
    symbols = [symbol for word, n in word_counts.items() for symbol in word * n]
    return Counter(pairwise(symbols)).most_common(1)[0][0]


def once_a_word(word_counts):
    pairs = Counter()
    for word, n in word_counts.items():
        for pair in set(pairwise(word)):
            pairs[pair] += n
    return max(pairs, key=pairs.get)


def replaced_counts(word_counts):
    pairs = {pair: n for word, n in word_counts.items() for pair in pairwise(word)}
    return max(pairs, key=pairs.get)


def not_neighbours(word_counts):
    pairs = Counter()
    for word, n in word_counts.items():
        for pair in combinations(word, 2):
            pairs[pair] += n
    return max(pairs, key=pairs.get)


def of_letters(word_counts):
    joined = Counter()
    for word, n in word_counts.items():
        joined["".join(word)] += n
    return SOLUTIONS["best_pair"]({tuple(word): n for word, n in joined.items()})


def without_order(word_counts):
    pairs = Counter()
    for word, n in word_counts.items():
        for pair in pairwise(word):
            pairs[tuple(sorted(pair))] += n
    return max(pairs, key=pairs.get)


def greedy(word, vocab):
    pieces = []
    while word:
        end = next((e for e in range(len(word), 0, -1) if word[:e] in vocab), None)
        if end is None:
            return ["[UNK]"]
        pieces, word = [*pieces, word[:end]], word[end:]
    return pieces


def letters(word, vocab):
    return list(word)


def from_the_end(word, vocab):
    return SOLUTIONS["fewest_pieces"](word, vocab)[::-1]


def greedy_at_the_end(word, vocab):
    pieces = []
    while word:
        start = next((s for s in range(len(word)) if word[s:] in vocab), None)
        if start is None:
            return ["[UNK]"]
        pieces, word = [word[start:], *pieces], word[:start]
    return pieces


def a_cut_where_there_is_one(word, vocab):
    pieces = SOLUTIONS["fewest_pieces"](word, vocab)
    return None if pieces == ["[UNK]"] else pieces


def nothing_if_unknown(word, vocab):
    pieces = SOLUTIONS["fewest_pieces"](word, vocab)
    return [] if pieces == ["[UNK]"] else pieces


def how_many(word, vocab):
    return len(SOLUTIONS["fewest_pieces"](word, vocab))


def all_bands(signatures, n_bands):
    bands = np.split(signatures, n_bands, axis=1)
    pairs = combinations(range(len(signatures)), 2)
    return {(i, j) for i, j in pairs if all((band[i] == band[j]).all() for band in bands)}


def any_number(signatures, n_bands):
    pairs = combinations(range(len(signatures)), 2)
    return {(i, j) for i, j in pairs if (signatures[i] == signatures[j]).any()}


def one_table(signatures, n_bands):
    texts, found = defaultdict(list), set()
    for band in np.split(signatures, n_bands, axis=1):
        for i, numbers in enumerate(band):
            texts[tuple(numbers)].append(i)
    for same in texts.values():
        found.update((i, j) for i, j in combinations(sorted(set(same)), 2))
    return found


def both_ways(signatures, n_bands):
    found = SOLUTIONS["candidate_pairs"](signatures, n_bands)
    return found | {(j, i) for i, j in found}


def length_of_bands(signatures, n_bands):
    return SOLUTIONS["candidate_pairs"](signatures, signatures.shape[1] // n_bands)


def as_a_list(signatures, n_bands):
    return sorted(SOLUTIONS["candidate_pairs"](signatures, n_bands))


def every_nth(signatures, n_bands):
    columns = [c for band in range(n_bands) for c in range(band, signatures.shape[1], n_bands)]
    return SOLUTIONS["candidate_pairs"](signatures[:, columns], n_bands)


def as_sets(signatures, n_bands):
    return {frozenset(pair) for pair in SOLUTIONS["candidate_pairs"](signatures, n_bands)}


def one_band(signatures, n_bands):
    return SOLUTIONS["candidate_pairs"](np.split(signatures, n_bands, axis=1)[0], 1)


def whole_groups(signatures, n_bands):
    found = set()
    for band in np.split(signatures, n_bands, axis=1):
        texts = defaultdict(list)
        for i, numbers in enumerate(band):
            texts[tuple(numbers)].append(i)
        found |= {tuple(same) for same in texts.values() if len(same) > 1}
    return found


def cosines(rows, target):
    return torch.cosine_similarity(rows, target, dim=1)


def itself(rows, a, b, c):
    return cosines(rows, rows[b] - rows[a] + rows[c]).argmax().item()


def dot_product(rows, a, b, c):
    scores = rows @ (rows[b] - rows[a] + rows[c])
    scores[[a, b, c]] = -torch.inf
    return scores.argmax().item()


def wrong_sign(rows, a, b, c):
    scores = cosines(rows, rows[a] - rows[b] + rows[c])
    scores[[a, b, c]] = -2
    return scores.argmax().item()


def zero_for_the_three(rows, a, b, c):
    scores = cosines(rows, rows[b] - rows[a] + rows[c])
    scores[[a, b, c]] = 0
    return scores.argmax().item()


def of_differences(rows, a, b, c):
    scores = cosines(rows - rows[c], rows[b] - rows[a])
    scores[[a, b, c]] = -2
    return scores.argmax().item()


def without_their_rows(rows, a, b, c):
    others = [i for i in range(len(rows)) if i not in (a, b, c)]
    return cosines(rows[others], rows[b] - rows[a] + rows[c]).argmax().item()


def changes_the_table(rows, a, b, c):
    target = rows[b] - rows[a] + rows[c]
    rows[[a, b, c]] = 0
    return cosines(rows, target).argmax().item()


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("per_character", upside_down, "upside down"),
        ("per_character", whole_text, "share it among characters"),
        ("per_character", mean_again, "times n_tokens it is the sum"),
        ("per_character", per_token, "that is the loss per token"),
        ("best_pair", each_word_once, "count it as often as it occurs"),
        ("best_pair", with_its_count, "return the pair alone"),
        ("best_pair", joined_symbols, "return them as a tuple"),
        ("best_pair", over_borders, "from a word into the next"),
        ("best_pair", once_a_word, "counts twice"),
        ("best_pair", replaced_counts, "+=, not ="),
        ("best_pair", not_neighbours, "only neighbours"),
        ("best_pair", of_letters, "a symbol can have several letters"),
        ("best_pair", without_order, "keep the order"),
        ("fewest_pieces", greedy, "the longest piece first is not always best"),
        ("fewest_pieces", letters, "not in the vocabulary"),
        ("fewest_pieces", from_the_end, "from the end to the beginning"),
        ("fewest_pieces", nothing_if_unknown, "return ['[UNK]'] where there is no way"),
        ("fewest_pieces", greedy_at_the_end, "the longest piece at the end is not always best"),
        ("fewest_pieces", a_cut_where_there_is_one, "can't be cut, so return ['[UNK]']"),
        ("fewest_pieces", lambda *_: None, "is a return missing?"),
        ("fewest_pieces", how_many, "the number of pieces?"),
        ("candidate_pairs", all_bands, "one band is enough"),
        ("candidate_pairs", any_number, "not one of them"),
        ("candidate_pairs", one_table, "one table a band"),
        ("candidate_pairs", both_ways, "i < j"),
        ("candidate_pairs", length_of_bands, "how many bands there are"),
        ("candidate_pairs", as_a_list, "return a set of tuples"),
        ("candidate_pairs", as_sets, "return a set of tuples"),
        ("candidate_pairs", one_band, "the first band alone"),
        ("candidate_pairs", whole_groups, "three texts makes three pairs"),
        ("candidate_pairs", every_nth, "neighbouring numbers"),
        ("analogy", itself, "leave these three out"),
        ("analogy", dot_product, "take the cosine"),
        ("analogy", wrong_sign, "b - a + c"),
        ("analogy", zero_for_the_three, "leave these three out"),
        ("analogy", of_differences, "compares d - c with b - a"),
        ("analogy", without_their_rows, "among the other rows"),
        ("analogy", changes_the_table, "changed its argument"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)


def test_tuples_of_pieces_are_as_good_as_lists(capsys):
    assert check.fewest_pieces(lambda *args: tuple(SOLUTIONS["fewest_pieces"](*args)))
    assert check.best_pair(lambda words: list(SOLUTIONS["best_pair"](words)))
