"""Chapter 1's exercise checks: the mistakes that learners make, each with its diagnosis."""

import math
from itertools import pairwise

import pytest
from exercisecheck import assert_diagnosed

from minillm.checks import language_models as check


def mean_of_inverses(probs):
    return sum(1 / p for p in probs) / len(probs)


def loss_only(probs):
    return -sum(map(math.log, probs)) / len(probs)


def no_mean(probs):
    return math.exp(-sum(map(math.log, probs)))


def base_two_and_e(probs):
    return math.exp(-sum(map(math.log2, probs)) / len(probs))


def share_of_all_pairs(tokens, before, after):
    pairs = list(pairwise(tokens))
    return pairs.count((before, after)) / len(pairs)


def share_of_every_place(tokens, before, after):
    pairs = list(pairwise(tokens))
    return pairs.count((before, after)) / max(1, tokens.count(before))


def no_row(tokens, before, after):
    followers = [b for a, b in pairwise(tokens) if a == before]
    return followers.count(after) / len(followers)


def prod_first(probs):
    return math.prod(probs) ** (-1 / len(probs))


def unigram(tokens, before, after):
    return tokens.count(after) / len(tokens)


def distinct_pairs(tokens, before, after):
    followers = {b for a, b in pairwise(tokens) if a == before}
    return (after in followers) / max(1, len(followers))


def no_sum(distribution, u):
    for word, p in distribution.items():
        if u < p:
            return word


def falls_through(distribution, u):
    total = 0.0
    for word, p in distribution.items():
        total += p
        if u < total:
            return word


def highest_score(counts, context, token, alpha=0.4):
    def share(context):
        row = counts.get(context, {})
        return row.get(token, 0) / max(1, sum(row.values()))

    return max(alpha**i * share(context[i:]) for i in range(len(context) + 1))


def last_word_dropped(counts, context, token, alpha=0.4):
    row = counts.get(context, {})
    if token in row:
        return row[token] / sum(row.values())
    return alpha * last_word_dropped(counts, context[:-1], token, alpha) if context else 0.0


def likeliest(distribution, u):
    return max(distribution, key=distribution.get)


def right_end_included(distribution, u):
    total = 0.0
    for word, p in distribution.items():
        total += p
        if u <= total:
            return word


def index_of_word(distribution, u):
    total = 0.0
    for i, p in enumerate(distribution.values()):
        total += p
        if u < total:
            return i


def no_alpha(counts, context, token, alpha=0.4):
    row = counts.get(context, {})
    if token in row:
        return row[token] / sum(row.values())
    return no_alpha(counts, context[1:], token) if context else 0.0


def alpha_forgotten(counts, context, token, alpha=0.4):
    row = counts.get(context, {})
    if token in row:
        return row[token] / sum(row.values())
    return alpha * alpha_forgotten(counts, context[1:], token) if context else 0.0


def gives_up(counts, context, token, alpha=0.4):
    row = counts.get(context, {})
    return row[token] / sum(row.values()) if token in row else 0.0


def no_missing_row(counts, context, token, alpha=0.4):
    row = counts[context]
    if token in row:
        return row[token] / sum(row.values())
    return alpha * no_missing_row(counts, context[1:], token, alpha) if context else 0.0


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("perplexity_of", mean_of_inverses, "the mean of 1/p"),
        ("perplexity_of", loss_only, "that is the loss in nats"),
        ("perplexity_of", no_mean, "not divided by the number of tokens"),
        ("perplexity_of", base_two_and_e, "base 2"),
        ("perplexity_of", prod_first, "ZeroDivisionError"),
        ("bigram_prob", unigram, "the share among all tokens"),
        ("bigram_prob", distinct_pairs, "a set forgets that"),
        ("bigram_prob", share_of_all_pairs, "divided by all pairs"),
        ("bigram_prob", share_of_every_place, "nothing follows"),
        ("bigram_prob", no_row, "ZeroDivisionError"),
        ("draw", likeliest, "the likeliest word"),
        ("draw", right_end_included, "begins at 0.125"),
        ("draw", no_sum, "the sum of the probabilities so far"),
        ("draw", falls_through, "falls short of 1 by a rounding"),
        ("draw", index_of_word, "that is the index"),
        ("backoff", no_alpha, "factor alpha"),
        ("backoff", alpha_forgotten, "hand alpha on"),
        ("backoff", highest_score, "not the highest score"),
        ("backoff", last_word_dropped, "the farthest away"),
        ("backoff", gives_up, "shorter context"),
        ("backoff", no_missing_row, "KeyError"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
