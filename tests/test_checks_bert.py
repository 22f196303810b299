"""Chapter 9's exercise checks: the mistakes that learners make, each with its diagnosis."""

import math

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import bert as check


def right_row(a, b, cls, sep):
    return [cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1)


def no_last_sep(a, b, cls, sep):
    ids, segments = right_row(a, b, cls, sep)
    return ids[:-1], segments[:-1]


def no_middle_sep(a, b, cls, sep):
    return [cls, *a, *b, sep], [0] * (len(a) + 1) + [1] * (len(b) + 1)


def no_cls(a, b, cls, sep):
    ids, segments = right_row(a, b, cls, sep)
    return ids[1:], segments[1:]


def two_cls(a, b, cls, sep):
    return [cls, *a, sep, cls, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 2)


def second_first(a, b, cls, sep):
    return right_row(b, a, cls, sep)


def sep_to_the_second(a, b, cls, sep):
    return right_row(a, b, cls, sep)[0], [0] * (len(a) + 1) + [1] * (len(b) + 2)


def ones_and_zeros(a, b, cls, sep):
    ids, segments = right_row(a, b, cls, sep)
    return ids, [1 - s for s in segments]


def ones_and_twos(a, b, cls, sep):
    ids, segments = right_row(a, b, cls, sep)
    return ids, [1 + s for s in segments]


def words_only(a, b, cls, sep):
    return right_row(a, b, cls, sep)[0], [0] * len(a) + [1] * len(b)


def last_sep_zero(a, b, cls, sep):
    return right_row(a, b, cls, sep)[0], [0] * (len(a) + 2) + [1] * len(b) + [0]


def last_sep_without(a, b, cls, sep):
    ids, segments = right_row(a, b, cls, sep)
    return ids, segments[:-1]


def all_zero(a, b, cls, sep):
    ids, _ = right_row(a, b, cls, sep)
    return ids, [0] * len(ids)


def ids_only(a, b, cls, sep):
    return right_row(a, b, cls, sep)[0]


def fates(ids, chosen, die, noise, mask_id, low=0.8, high=0.9):
    masked, replaced = chosen & (die < low), chosen & (die >= low) & (die < high)
    return torch.where(masked, mask_id, torch.where(replaced, noise, ids))


def targets_of(ids, chosen):
    return torch.where(chosen, ids, -100)


def not_chosen_too(ids, chosen, die, noise, mask_id):
    return fates(ids, torch.ones_like(chosen), die, noise, mask_id), targets_of(ids, chosen)


def mask_alone(ids, chosen, die, noise, mask_id):
    return ids.masked_fill(chosen, mask_id), targets_of(ids, chosen)


def noise_to_the_end(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id, 0.8, 1.0), targets_of(ids, chosen)


def no_noise(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id, 0.8, 0.8), targets_of(ids, chosen)


def closed_limits(ids, chosen, die, noise, mask_id):
    masked = chosen & (die <= 0.8)
    replaced = chosen & (die > 0.8) & (die <= 0.9)
    inputs = torch.where(masked, mask_id, torch.where(replaced, noise, ids))
    return inputs, targets_of(ids, chosen)


def noise_over_mask(ids, chosen, die, noise, mask_id):
    inputs = torch.where(chosen & (die < 0.8), mask_id, ids)
    return torch.where(chosen & (die < 0.9), noise, inputs), targets_of(ids, chosen)


def float_targets(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id), torch.where(chosen, ids, -100.0)


def float_inputs(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id).float(), targets_of(ids, chosen)


def unchanged(ids, chosen, die, noise, mask_id):
    return ids, targets_of(ids, chosen)


def targets_first(ids, chosen, die, noise, mask_id):
    return targets_of(ids, chosen), fates(ids, chosen, die, noise, mask_id)


def in_place(ids, chosen, die, noise, mask_id):
    targets = targets_of(ids, chosen)
    ids[chosen & (die < 0.8)] = mask_id
    return ids, targets


def changed_targets(ids, chosen, die, noise, mask_id):
    inputs = fates(ids, chosen, die, noise, mask_id)
    return inputs, torch.where(inputs != ids, ids, -100)


def masked_targets(ids, chosen, die, noise, mask_id):
    inputs = fates(ids, chosen, die, noise, mask_id)
    return inputs, torch.where(inputs == mask_id, ids, -100)


def all_targets(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id), ids


def targets_of_inputs(ids, chosen, die, noise, mask_id):
    inputs = fates(ids, chosen, die, noise, mask_id)
    return inputs, targets_of(inputs, chosen)


def targets_turned(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id), targets_of(ids, ~chosen)


def targets_zero(ids, chosen, die, noise, mask_id):
    return fates(ids, chosen, die, noise, mask_id), ids * chosen


def agreeing(chances, text, i):
    return {t: p for t, p in chances.items() if t[:i] + t[i + 1 :] == text[:i] + text[i + 1 :]}


def not_divided(chances, text, i):
    return {t[i]: p for t, p in agreeing(chances, text, i).items()}


def share_of_the_word(chances, text, i):
    shares = {}
    for t, p in chances.items():
        shares[t[i]] = shares.get(t[i], 0) + p
    return shares


def given_the_word(chances, text, i):
    some = {t[1 - i]: p for t, p in chances.items() if t[i] == text[i]}
    return {word: p / sum(some.values()) for word, p in some.items()}


def by_the_largest(chances, text, i):
    some = not_divided(chances, text, i)
    return {word: p / max(some.values()) for word, p in some.items()}


def texts_as_keys(chances, text, i):
    some = agreeing(chances, text, i)
    return {t: p / sum(some.values()) for t, p in some.items()}


def the_text_itself(chances, text, i):
    return {t[i]: 1.0 for t in chances if t == text}


def true_word_counted(chances, text, i):
    return {text[i]: sum(p for t, p in chances.items() if t[i] == text[i])}


def one_word_only(chances, text, i):
    best = max(agreeing(chances, text, i).items(), key=lambda item: item[1])
    return {best[0][i]: 1.0}


def gaps(log_probs, ids, mask_id, places):
    return [
        log_probs([mask_id if k == t else i for k, i in enumerate(ids)])[t][ids[t]] for t in places
    ]


def nothing_hidden(log_probs, ids, mask_id):
    rows = log_probs(list(ids))
    return sum(rows[t][ids[t]] for t in range(1, len(ids) - 1))


def all_hidden(log_probs, ids, mask_id):
    rows = log_probs([ids[0], *[mask_id] * (len(ids) - 2), ids[-1]])
    return sum(rows[t][ids[t]] for t in range(1, len(ids) - 1))


def never_taken_back(log_probs, ids, mask_id):
    total, row = 0.0, list(ids)
    for t in range(1, len(ids) - 1):
        row[t] = mask_id
        total += log_probs(list(row))[t][ids[t]]
    return total


def left_side_only(log_probs, ids, mask_id):
    return sum(log_probs([*ids[:t], mask_id])[t][ids[t]] for t in range(1, len(ids) - 1))


def left_side_and_sep(log_probs, ids, mask_id):
    rows = {t: [*ids[:t], mask_id, ids[-1]] for t in range(1, len(ids) - 1)}
    return sum(log_probs(row)[t][ids[t]] for t, row in rows.items())


def gap_deleted(log_probs, ids, mask_id):
    return sum(log_probs(ids[:t] + ids[t + 1 :])[t][ids[t]] for t in range(1, len(ids) - 1))


def special_too(log_probs, ids, mask_id):
    return sum(gaps(log_probs, ids, mask_id, range(len(ids))))


def first_lost(log_probs, ids, mask_id):
    return sum(gaps(log_probs, ids, mask_id, range(2, len(ids) - 1)))


def begins_at_cls(log_probs, ids, mask_id):
    return sum(gaps(log_probs, ids, mask_id, range(len(ids) - 1)))


def of_the_mask(log_probs, ids, mask_id):
    total = 0.0
    for t in range(1, len(ids) - 1):
        row = list(ids)
        row[t] = mask_id
        total += log_probs(row)[t][row[t]]
    return total


def mean(log_probs, ids, mask_id):
    terms = gaps(log_probs, ids, mask_id, range(1, len(ids) - 1))
    return sum(terms) / len(terms)


def negative(log_probs, ids, mask_id):
    return -sum(gaps(log_probs, ids, mask_id, range(1, len(ids) - 1)))


def probabilities(log_probs, ids, mask_id):
    return sum(map(math.exp, gaps(log_probs, ids, mask_id, range(1, len(ids) - 1))))


def product(log_probs, ids, mask_id):
    return math.exp(sum(gaps(log_probs, ids, mask_id, range(1, len(ids) - 1))))


def writes_into_ids(log_probs, ids, mask_id):
    total = 0.0
    for t in range(1, len(ids) - 1):
        word, ids[t] = ids[t], mask_id
        total += log_probs(ids)[t][word]
    return total


def with_tensor(log_probs, ids, mask_id):
    return log_probs(torch.tensor(ids))[0][0]


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("pair_row", no_last_sep, "needs its [SEP] too"),
        ("pair_row", no_middle_sep, "missing between the two texts"),
        ("pair_row", no_cls, "begins with [CLS]"),
        ("pair_row", two_cls, "one [CLS] a row"),
        ("pair_row", second_first, "the first text comes first"),
        ("pair_row", sep_to_the_second, "the first [SEP] belongs to the first"),
        ("pair_row", ones_and_zeros, "0 is the first text"),
        ("pair_row", ones_and_twos, "not 1 and 2"),
        ("pair_row", words_only, "the special tokens have segments"),
        ("pair_row", last_sep_zero, "the last [SEP] belongs"),
        ("pair_row", last_sep_without, "the last [SEP] has a segment"),
        ("pair_row", all_zero, "all are 0"),
        ("pair_row", ids_only, "should return two lists"),
        ("apply_fates", not_chosen_too, "not chosen were changed"),
        ("apply_fates", mask_alone, "read the die"),
        ("apply_fates", noise_to_the_end, "from 0.9 on the token stays"),
        ("apply_fates", no_noise, "becomes noise"),
        ("apply_fates", closed_limits, "at exactly 0.8"),
        ("apply_fates", noise_over_mask, "noise was written over [MASK]"),
        ("apply_fates", float_targets, "targets that are floats"),
        ("apply_fates", float_inputs, "inputs that are floats"),
        ("apply_fates", unchanged, "nothing was changed"),
        ("apply_fates", targets_first, "return the inputs first"),
        ("apply_fates", in_place, "changed its argument"),
        ("apply_fates", changed_targets, "that stay have to be guessed"),
        ("apply_fates", masked_targets, "not [MASK] alone"),
        ("apply_fates", all_targets, "the others are -100"),
        ("apply_fates", targets_of_inputs, "what stood there"),
        ("apply_fates", targets_turned, "the other way round"),
        ("apply_fates", targets_zero, "cross_entropy leaves out"),
        ("gap_distribution", not_divided, "divide by their sum"),
        ("gap_distribution", share_of_the_word, "keep only texts that agree"),
        ("gap_distribution", given_the_word, "given word i"),
        ("gap_distribution", by_the_largest, "not the largest"),
        ("gap_distribution", texts_as_keys, "words, not texts"),
        ("gap_distribution", the_text_itself, "only texts with the true word"),
        ("gap_distribution", true_word_counted, "only texts with the true word"),
        ("gap_distribution", one_word_only, "what stands at place i has no influence"),
        ("pseudo_logprob", nothing_hidden, "nothing was hidden"),
        ("pseudo_logprob", all_hidden, "hide one, with the others in sight"),
        ("pseudo_logprob", never_taken_back, "never taken back"),
        ("pseudo_logprob", left_side_only, "behind the gap were cut off"),
        ("pseudo_logprob", left_side_and_sep, "behind the gap were cut off"),
        ("pseudo_logprob", gap_deleted, "put the mask in its place"),
        ("pseudo_logprob", special_too, "neither hidden nor counted"),
        ("pseudo_logprob", first_lost, "the first word after [CLS]"),
        ("pseudo_logprob", begins_at_cls, "[CLS] is not counted"),
        ("pseudo_logprob", of_the_mask, "the word that was taken away"),
        ("pseudo_logprob", mean, "that is their mean"),
        ("pseudo_logprob", negative, "no minus sign"),
        ("pseudo_logprob", probabilities, "add the logarithms"),
        ("pseudo_logprob", product, "leave out exp"),
        ("pseudo_logprob", writes_into_ids, "changed its argument"),
        ("pseudo_logprob", with_tensor, "with Tensor"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
