"""Chapter 6's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import transformer as check


def no_last_norm(x, layers, norm):
    for layer in layers:
        x = x + layer(norm(x))
    return x


def replaced(x, layers, norm):
    for layer in layers:
        x = layer(norm(x))
    return norm(x)


def post_norm(x, layers, norm):
    for layer in layers:
        x = norm(x + layer(x))
    return x


def normed_stream(x, layers, norm):
    for layer in layers:
        x = norm(x)
        x = x + layer(x)
    return norm(x)


def no_norm(x, layers, norm):
    for layer in layers:
        x = x + layer(x)
    return x


def normed_answers(x, layers, norm):
    for layer in layers:
        x = x + norm(layer(x))
    return norm(x)


def returned_in_the_loop(x, layers, norm):
    for layer in layers:
        x = x + layer(norm(x))
        return norm(x)


def in_place(x, layers, norm):
    for layer in layers:
        x += layer(norm(x))
    return norm(x)


def matrices_only(C, d_ff, cross=False):
    return (2 if cross else 1) * 4 * C * C + 2 * C * d_ff


def no_linear_biases(C, d_ff, cross=False):
    n = 2 if cross else 1
    return n * 4 * C * C + 2 * C * d_ff + (n + 1) * 2 * C


def no_norms(C, d_ff, cross=False):
    return (2 if cross else 1) * 4 * (C * C + C) + 2 * C * d_ff + d_ff + C


def gains_only(C, d_ff, cross=False):
    return no_norms(C, d_ff, cross) + (3 if cross else 2) * C


def last_norm_too(C, d_ff, cross=False):
    return no_norms(C, d_ff, cross) + (4 if cross else 3) * 2 * C


def three_matrices(C, d_ff, cross=False):
    return last_norm_too(C, d_ff, cross) - 2 * C - (2 if cross else 1) * (C * C + C)


def cross_ignored(C, d_ff, cross=False):
    return no_norms(C, d_ff) + 4 * C


def cross_without_norm(C, d_ff, cross=False):
    return no_norms(C, d_ff, cross) + 4 * C


def no_attention_biases(C, d_ff, cross=False):
    return last_norm_too(C, d_ff, cross) - 2 * C - (2 if cross else 1) * 4 * C


def no_feed_forward_biases(C, d_ff, cross=False):
    return last_norm_too(C, d_ff, cross) - 2 * C - d_ff - C


def four_times_as_wide(C, d_ff, cross=False):
    return last_norm_too(C, 4 * C, cross) - 2 * C


def rule_of_thumb(C, d_ff, cross=False):
    return 12 * C * C


def with_start(next_scores, start, end, max_new_tokens):
    return [start, *plain_greedy(next_scores, start, end, max_new_tokens)]


def with_end(next_scores, start, end, max_new_tokens):
    ids = plain_greedy(next_scores, start, end, max_new_tokens)
    return [*ids, end]


def plain_greedy(next_scores, start, end, max_new_tokens):
    ids = [start]
    while len(ids) <= max_new_tokens:
        scores = next_scores(list(ids))
        best = scores.index(max(scores))
        if best == end:
            break
        ids.append(best)
    return ids[1:]


def last_id_only(next_scores, start, end, max_new_tokens):
    ids, last = [], start
    for _ in range(max_new_tokens):
        scores = next_scores([last])
        last = scores.index(max(scores))
        if last == end:
            break
        ids.append(last)
    return ids


def without_start(next_scores, start, end, max_new_tokens):
    scores = next_scores([])
    return [scores.index(max(scores))]


def never_ends(next_scores, start, end, max_new_tokens):
    ids = [start]
    for _ in range(max_new_tokens):
        scores = next_scores(list(ids))
        ids.append(scores.index(max(scores)))
    return ids[1:]


def no_limit(next_scores, start, end, max_new_tokens):
    return plain_greedy(next_scores, start, end, 10**9)


def one_too_few(next_scores, start, end, max_new_tokens):
    return plain_greedy(next_scores, start, end, max_new_tokens - 1)


def last_one_cut(next_scores, start, end, max_new_tokens):
    ids = [start]
    while ids[-1] != end and len(ids) <= max_new_tokens:
        scores = next_scores(list(ids))
        ids.append(scores.index(max(scores)))
    return ids[1:-1]


def the_score(next_scores, start, end, max_new_tokens):
    return [max(next_scores([start])) for _ in range(max_new_tokens)]


def tensors(next_scores, start, end, max_new_tokens):
    ids = [start]
    for _ in range(max_new_tokens):
        best = torch.tensor(next_scores(list(ids))).argmax()
        if best == end:
            break
        ids.append(best)
    return ids[1:]


def least_likely(next_scores, start, end, max_new_tokens):
    return plain_greedy(lambda ids: [-s for s in next_scores(ids)], start, end, max_new_tokens)


def as_tensor(next_scores, start, end, max_new_tokens):
    return plain_greedy(lambda ids: next_scores(torch.tensor(ids)), start, end, max_new_tokens)


def rows_scaled(gain, shift, W, b):
    return W * gain[:, None], b + W @ shift


def shift_lost(gain, shift, W, b):
    return W * gain, b


def shift_scaled(gain, shift, W, b):
    return W * gain, b + (W * gain) @ shift


def bias_lost(gain, shift, W, b):
    return W * gain, W @ shift


def shift_not_through(gain, shift, W, b):
    return W * gain, b + shift


def shift_from_the_left(gain, shift, W, b):
    return W * gain, b + shift @ W


def divided(gain, shift, W, b):
    return W / gain, b + W @ shift


def transposed(gain, shift, W, b):
    return (W * gain).T, b + W @ shift


def bias_first(gain, shift, W, b):
    return b + W @ shift, W * gain


def weight_only(gain, shift, W, b):
    return W * gain


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("pre_norm_stack", no_last_norm, "the norm at the end"),
        ("pre_norm_stack", replaced, "here it replaces x"),
        ("pre_norm_stack", post_norm, "that is post-norm"),
        ("pre_norm_stack", normed_stream, "the stream itself was normalised"),
        ("pre_norm_stack", no_norm, "no norm at all"),
        ("pre_norm_stack", normed_answers, "on what each layer answers"),
        ("pre_norm_stack", returned_in_the_loop, "after the loop"),
        ("pre_norm_stack", in_place, "changed its argument"),
        ("count_parameters", matrices_only, "the matrices alone"),
        ("count_parameters", no_linear_biases, "the biases of the matrices"),
        ("count_parameters", no_norms, "the norms are missing"),
        ("count_parameters", no_attention_biases, "the biases of attention's matrices"),
        ("count_parameters", no_feed_forward_biases, "the biases of the feed-forward layer"),
        ("count_parameters", four_times_as_wide, "is d_ff, not 4"),
        ("count_parameters", rule_of_thumb, "the rule of thumb"),
        ("count_parameters", gains_only, "a gain and a bias"),
        ("count_parameters", last_norm_too, "not one more"),
        ("count_parameters", three_matrices, "the output's is missing"),
        ("count_parameters", cross_ignored, "cross=True adds"),
        ("count_parameters", cross_without_norm, "a norm of its own"),
        ("greedy", with_start, "the start is no part"),
        ("greedy", with_end, "the end is no part"),
        ("greedy", last_id_only, "begin with start"),
        ("greedy", without_start, "begin with start"),
        ("greedy", never_ends, "does not stop at the end"),
        ("greedy", no_limit, "stop after max_new_tokens"),
        ("greedy", one_too_few, "one too few"),
        ("greedy", last_one_cut, "an end that never came"),
        ("greedy", the_score, "these are the scores"),
        ("greedy", tensors, "take .item()"),
        ("greedy", least_likely, "take the largest"),
        ("greedy", as_tensor, "with Tensor"),
        ("fold_norm", rows_scaled, "columns of W, not rows"),
        ("fold_norm", shift_lost, "the norm's bias got lost"),
        ("fold_norm", shift_scaled, "by the old W"),
        ("fold_norm", bias_lost, "the layer's own bias"),
        ("fold_norm", shift_not_through, "goes through the matrix too"),
        ("fold_norm", shift_from_the_left, "it should be W @ shift"),
        ("fold_norm", divided, "don't divide"),
        ("fold_norm", transposed, "not transposed"),
        ("fold_norm", bias_first, "the weight, then the bias"),
        ("fold_norm", weight_only, "two tensors"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
