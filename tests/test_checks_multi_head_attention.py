"""Chapter 4's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import multi_head_attention as check
from minillm.model.attention import attention


def joined_at_once(y):
    B, H, T, D = y.shape
    return y.reshape(B, T, H * D)


def not_joined(y):
    return y.transpose(1, 2)


def interleaved(y):
    return y.permute(0, 2, 3, 1).flatten(2)


def viewed(y):
    B, H, T, D = y.shape
    return y.transpose(1, 2).view(B, T, H * D)


def added(y):
    return y.sum(1)


def tokens_and_heads(y):
    return y.transpose(1, 2).flatten(1, 2)


def wrong_places(y):
    return y.transpose(1, 3).flatten(2)


def no_parentheses(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes // 2 * n_layers * n_kv_heads * d_head * 2


def four_bytes(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes // (2 * n_layers * n_kv_heads * d_head * 4)


def keys_alone(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes // (2 * n_layers * n_kv_heads * d_head)


def numbers_not_bytes(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes // (n_layers * n_kv_heads * d_head)


def one_layer(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes // (4 * n_kv_heads * d_head)


def with_a_fraction(n_bytes, n_layers, n_kv_heads, d_head):
    return n_bytes / (4 * n_layers * n_kv_heads * d_head)


def rounded_up(n_bytes, n_layers, n_kv_heads, d_head):
    return -(-n_bytes // (4 * n_layers * n_kv_heads * d_head))


def cost_of_one(n_bytes, n_layers, n_kv_heads, d_head):
    return 4 * n_layers * n_kv_heads * d_head


def distances(weights):
    t = torch.arange(weights.shape[-1])
    return t[:, None] - t


def forward_distance(weights):
    return -(weights * distances(weights)).sum(-1).mean((0, 2))


def mean_over_keys(weights):
    return (weights * distances(weights)).mean((0, 2, 3))


def position_read(weights):
    return (weights * torch.arange(weights.shape[-1])).sum(-1).mean((0, 2))


def largest_weight(weights):
    t = torch.arange(weights.shape[-1])
    return (t - weights.argmax(-1)).float().mean((0, 2))


def one_for_all_heads(weights):
    return (weights * distances(weights)).sum(-1).mean()


def by_position(weights):
    return (weights * distances(weights)).sum(-1)


def by_text(weights):
    return (weights * distances(weights)).sum(-1).mean(2)


def sum_over_positions(weights):
    return (weights * distances(weights)).sum((0, 2, 3))


def for_each_text(weights):
    return (weights * distances(weights)).sum(-1).mean((1, 2))


def without_the_first(weights):
    return (weights * distances(weights)).sum(-1)[..., 1:].mean((0, 2))


def one_too_far(weights):
    return (weights * (distances(weights) + 1)).sum(-1).mean((0, 2))


def sum_over_texts(weights):
    return (weights * distances(weights)).sum((0, 2, 3)) / weights.shape[-1]


def tiled(q, k, v):
    n = q.shape[1] // k.shape[1]
    return attention(q, k.repeat(1, n, 1, 1), v.repeat(1, n, 1, 1))


def groups_apart(q, k, v):
    return attention(q.unflatten(1, (k.shape[1], -1)), k.unsqueeze(2), v.unsqueeze(2))


def strided_groups(q, k, v):
    q = q.unflatten(1, (-1, k.shape[1]))
    return attention(q, k.unsqueeze(1), v.unsqueeze(1)).flatten(1, 2)


def reordered(q, k, v):
    q = q.unflatten(1, (-1, k.shape[1])).transpose(1, 2)
    return attention(q, k.unsqueeze(2), v.unsqueeze(2)).flatten(1, 2)


def turned(q, k, v):
    return groups_apart(q, k, v).transpose(1, 2).flatten(1, 2)


def swapped(q, k, v):
    return groups_apart(q, v, k).flatten(1, 2)


def unscaled(q, k, v):
    q, k, v = q.unflatten(1, (k.shape[1], -1)), k.unsqueeze(2), v.unsqueeze(2)
    return ((q @ k.transpose(-2, -1)).softmax(-1) @ v).flatten(1, 2)


def first_key_head(q, k, v):
    return attention(q, k[:, :1], v[:, :1])


def plain(q, k, v):
    return attention(q, k, v)


def pooled_with(weight, n_heads, n_kv_heads, shape, pool):
    q, k, v = weight.chunk(3)
    return torch.cat((q, *(pool(y.unflatten(0, shape)).flatten(0, 1) for y in (k, v))))


def strided_pool(weight, n_heads, n_kv_heads):
    shape = (-1, n_kv_heads, weight.shape[1] // n_heads)
    return pooled_with(weight, n_heads, n_kv_heads, shape, lambda y: y.mean(0))


def pooled_inside(weight, n_heads, n_kv_heads):
    shape = (n_kv_heads, weight.shape[1] // n_heads, -1)
    return pooled_with(weight, n_heads, n_kv_heads, shape, lambda y: y.mean(2))


def summed(weight, n_heads, n_kv_heads):
    shape = (n_kv_heads, -1, weight.shape[1] // n_heads)
    return pooled_with(weight, n_heads, n_kv_heads, shape, lambda y: y.sum(1))


def first_of_each(weight, n_heads, n_kv_heads):
    shape = (n_kv_heads, -1, weight.shape[1] // n_heads)
    return pooled_with(weight, n_heads, n_kv_heads, shape, lambda y: y[:, 0])


def queries_too(weight, n_heads, n_kv_heads):
    d_head = weight.shape[1] // n_heads
    return weight.unflatten(0, (3 * n_kv_heads, -1, d_head)).mean(1).flatten(0, 1)


def values_left(weight, n_heads, n_kv_heads):
    q, k, v = weight.chunk(3)
    shape = (n_kv_heads, -1, weight.shape[1] // n_heads)
    return torch.cat((q, k.unflatten(0, shape).mean(1).flatten(0, 1), v))


def keys_without_values(weight, n_heads, n_kv_heads):
    return values_left(weight, n_heads, n_kv_heads)[: -len(weight) // 3]


def first_heads(weight, n_heads, n_kv_heads):
    q, k, v = weight.chunk(3)
    n_rows = n_kv_heads * weight.shape[1] // n_heads
    return torch.cat((q, k[:n_rows], v[:n_rows]))


def rows_apart(weight, n_heads, n_kv_heads):
    d_head = weight.shape[1] // n_heads
    q, k, v = (y.unflatten(0, (-1, d_head)) for y in weight.chunk(3))
    return torch.cat((q, *(y.unflatten(0, (n_kv_heads, -1)).mean(1) for y in (k, v))))


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("merge_heads", joined_at_once, "tokens before heads, then join"),
        ("merge_heads", not_joined, "now join heads and width"),
        ("merge_heads", interleaved, "interleaved"),
        ("merge_heads", viewed, "RuntimeError"),
        ("merge_heads", added, "lay them side by side"),
        ("merge_heads", tokens_and_heads, "tokens and heads were joined"),
        ("merge_heads", wrong_places, "heads and width changed places"),
        ("tokens_that_fit", keys_alone, "keys and values, and two bytes"),
        ("tokens_that_fit", numbers_not_bytes, "a number takes two bytes"),
        ("tokens_that_fit", one_layer, "each layer keeps"),
        ("tokens_that_fit", with_a_fraction, "// drops the rest"),
        ("tokens_that_fit", rounded_up, "rounded up"),
        ("tokens_that_fit", cost_of_one, "what one token costs"),
        ("tokens_that_fit", no_parentheses, "parentheses"),
        ("tokens_that_fit", four_bytes, "twice a token"),
        ("look_back", forward_distance, "the sign"),
        ("look_back", mean_over_keys, "so sum over the keys"),
        ("look_back", position_read, "the position that is read"),
        ("look_back", largest_weight, "the largest weight alone"),
        ("look_back", one_for_all_heads, "each head has its own"),
        ("look_back", by_position, "one number for each position"),
        ("look_back", by_text, "one row for each text"),
        ("look_back", sum_over_positions, "take the mean"),
        ("look_back", for_each_text, "one number for each text"),
        ("look_back", without_the_first, "position 0 was left out"),
        ("look_back", one_too_far, "one too far"),
        ("look_back", sum_over_texts, "summed over texts"),
        ("grouped_attention", tiled, "h // (H / G)"),
        ("grouped_attention", groups_apart, "join the groups"),
        ("grouped_attention", strided_groups, "h // (H / G)"),
        ("grouped_attention", reordered, "another order"),
        ("grouped_attention", first_key_head, "all heads read key head 0"),
        ("grouped_attention", plain, "RuntimeError"),
        ("grouped_attention", turned, "no transpose"),
        ("grouped_attention", swapped, "changed places"),
        ("grouped_attention", unscaled, "root of D"),
        ("pool_heads", strided_pool, "neighbouring heads are a group"),
        ("pool_heads", pooled_inside, "rows of one head"),
        ("pool_heads", summed, "take their mean"),
        ("pool_heads", first_of_each, "take the mean of all"),
        ("pool_heads", queries_too, "the queries were pooled too"),
        ("pool_heads", values_left, "pool them too"),
        ("pool_heads", keys_without_values, "the values are missing"),
        ("pool_heads", first_heads, "heads were kept"),
        ("pool_heads", rows_apart, "join them again"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
