"""Chapter 8's exercise checks: the mistakes that learners make, each with its diagnosis."""

import math

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import generation as check


def normal(probs):
    return probs / probs.sum(dim=-1, keepdim=True)


def not_normalised(probs, min_p):
    return probs * (probs >= min_p * probs.amax(-1, keepdim=True))


def absolute(probs, min_p):
    return normal(probs * (probs >= min(min_p, probs.max().item())))


def strictly_above(probs, min_p):
    best = probs.amax(-1, keepdim=True)
    return normal(probs * ((probs > min_p * best) | (probs == best)))


def the_tail(probs, min_p):
    return normal(probs * (probs < min_p * probs.amax(-1, keepdim=True)))


def over_everything(probs, min_p):
    kept = not_normalised(probs, min_p)
    return kept / kept.sum()


def best_of_all(probs, min_p):
    return normal(probs * (probs >= min_p * probs.max()))


def softmaxed(probs, min_p):
    return not_normalised(probs, min_p).softmax(-1)


def taken_out(probs, min_p):
    return normal(probs[probs >= min_p * probs.max()])


def min_p_in_place(probs, min_p):
    probs[probs < min_p * probs.amax(-1, keepdim=True)] = 0
    return normal(probs)


def step(q, k, v, keys, values, scale=None):
    keys, values = torch.cat((keys, k[None])), torch.cat((values, v[None]))
    scale = scale or 1 / math.sqrt(len(q))
    return (keys @ q * scale).softmax(-1) @ values, keys, values


def no_scale(*args):
    return step(*args, scale=1.0)


def divided_by_width(q, *rest):
    return step(q, *rest, scale=1 / len(q))


def root_of_tokens(q, k, v, keys, values):
    return step(q, k, v, keys, values, scale=1 / math.sqrt(len(keys) + 1))


def scaled_weights(*args):
    y, keys, values = step(*args, scale=1.0)
    return y / math.sqrt(len(args[0])), keys, values


def weights_only(q, k, v, keys, values):
    _, keys, values = step(q, k, v, keys, values)
    return (keys @ q / math.sqrt(len(q))).softmax(-1), keys, values


def read_before_append(q, k, v, keys, values):
    y = (keys @ q / math.sqrt(len(q))).softmax(-1) @ values
    return y, torch.cat((keys, k[None])), torch.cat((values, v[None]))


def new_first(q, k, v, keys, values):
    y, _, _ = step(q, k, v, keys, values)
    return y, torch.cat((k[None], keys)), torch.cat((v[None], values))


def old_cache(q, k, v, keys, values):
    return step(q, k, v, keys, values)[0], keys, values


def only_the_answer(*args):
    return step(*args)[0]


def as_a_row(*args):
    y, keys, values = step(*args)
    return y[None], keys, values


def right_banned(ids, n):
    start = ids[len(ids) - n + 1 :]
    return {ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == start}


def all_seen(ids, n):
    return set(ids)


def one_longer(ids, n):
    return right_banned(ids, n + 1)


def one_shorter(ids, n):
    return right_banned(ids, max(1, n - 1))


def minus_zero(ids, n):
    start = ids[-(n - 1) :]
    return {ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == start}


def first_place_only(ids, n):
    start = ids[len(ids) - n + 1 :]
    for i in range(len(ids) - n + 1):
        if ids[i : i + n - 1] == start:
            return {ids[i + n - 1]}
    return set()


def stops_early(ids, n):
    start = ids[len(ids) - n + 1 :]
    return {ids[i + n - 1] for i in range(len(ids) - n) if ids[i : i + n - 1] == start}


def banned_list(ids, n):
    return sorted(right_banned(ids, n))


def banned_pops(ids, n):
    result = right_banned(ids, n)
    ids.append(0)
    return result


def right_look_up(ids, n, k, places=None):
    for i in reversed(range(len(ids) - n)) if places is None else places:
        if ids[i : i + n] == ids[len(ids) - n :]:
            return ids[i + n : i + n + k]
    return []


def first_place(ids, n, k):
    return right_look_up(ids, n, k, range(len(ids) - n))


def end_itself(ids, n, k):
    return right_look_up(ids, n, k, reversed(range(len(ids) - n + 1)))


def no_limit(ids, n, k):
    return right_look_up(ids, n, len(ids))


def only_one(ids, n, k):
    return right_look_up(ids, n, 1)


def not_at_the_start(ids, n, k):
    return right_look_up(ids, n, k, range(len(ids) - n - 1, 0, -1))


def last_id_only(ids, n, k):
    return right_look_up(ids, 1, k)


def with_the_key(ids, n, k):
    for i in reversed(range(len(ids) - n)):
        if ids[i : i + n] == ids[len(ids) - n :]:
            return ids[i : i + k]
    return []


def no_overlap(ids, n, k):
    return right_look_up(ids, n, k, reversed(range(len(ids) - 2 * n + 1)))


def none_at_the_end(ids, n, k):
    return right_look_up(ids, n, k) or None


def always_something(ids, n, k):
    return right_look_up(ids, n, k) or ids[-k:]


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("min_p_filter", not_normalised, "must sum to one again"),
        ("min_p_filter", absolute, "a share of the largest probability"),
        ("min_p_filter", strictly_above, "exactly at the line stays"),
        ("min_p_filter", the_tail, "keeps the tail"),
        ("min_p_filter", over_everything, "each row must sum to one"),
        ("min_p_filter", best_of_all, "the largest of each row"),
        ("min_p_filter", softmaxed, "no softmax"),
        ("min_p_filter", taken_out, "leave it in its place"),
        ("min_p_filter", min_p_in_place, "changed its argument"),
        ("cached_step", no_scale, "the scale is missing"),
        ("cached_step", divided_by_width, "not by D"),
        ("cached_step", root_of_tokens, "not of the number of tokens"),
        ("cached_step", scaled_weights, "before the softmax"),
        ("cached_step", weights_only, "these are the weights"),
        ("cached_step", read_before_append, "append before you read"),
        ("cached_step", new_first, "comes last, not first"),
        ("cached_step", old_cache, "return the new ones too"),
        ("cached_step", only_the_answer, "three tensors"),
        ("cached_step", as_a_row, "a vector"),
        ("banned", all_seen, "only what followed"),
        ("banned", one_longer, "compares n ids"),
        ("banned", one_shorter, "compares n - 2 ids"),
        ("banned", minus_zero, "ids[-0:] is the whole"),
        ("banned", first_place_only, "take all of them"),
        ("banned", stops_early, "one place early"),
        ("banned", banned_list, "expected a set"),
        ("banned", banned_pops, "changed its argument"),
        ("look_up_draft", first_place, "take the latest"),
        ("look_up_draft", end_itself, "leave out the end"),
        ("look_up_draft", no_limit, "at most k"),
        ("look_up_draft", only_one, "only one id"),
        ("look_up_draft", not_at_the_start, "at place 0"),
        ("look_up_draft", last_id_only, "of all 2 ids"),
        ("look_up_draft", with_the_key, "go on behind them"),
        ("look_up_draft", no_overlap, "may overlap"),
        ("look_up_draft", none_at_the_end, "gave None"),
        ("look_up_draft", always_something, "propose nothing"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
