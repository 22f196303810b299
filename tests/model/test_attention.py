"""Attention: rows of weights, masks, the fast path beside the explicit one, the cache."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from minillm.model.attention import (
    MultiHeadAttention,
    attention,
    attention_maps,
    attention_weights,
    causal_mask,
    fast_attention,
)
from minillm.model.cache import KeyValueCache
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.positions import Rotary, alibi_bias

quick = settings(max_examples=40, deadline=None)


@st.composite
def problems(draw):
    """q, k, v, a mask of any broadcastable shape (or None), a bias (or None)."""
    B, H, D = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 17))
    T_query, T_key = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    q, k, v = (torch.randn(B, H, T, D, generator=g) for T in (T_query, T_key, T_key))
    mask = bias = None
    if draw(st.booleans()):
        shape = [size if draw(st.booleans()) else 1 for size in (B, H, T_query, T_key)]
        mask = torch.rand(shape, generator=g) < draw(st.sampled_from((0.2, 0.6, 1.0)))
    if draw(st.booleans()):
        bias = torch.randn(H, T_query, T_key, generator=g)
    return q, k, v, mask, bias


@quick
@given(problems())
def test_weights_sum_to_one_and_avoid_what_is_masked(problem):
    q, k, _, mask, bias = problem
    weights = attention_weights(q, k, mask, bias)
    assert (weights >= 0).all()
    if mask is None:
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    else:
        mask = mask.expand(weights.shape)
        assert (weights[~mask] == 0).all()
        assert_close(weights.sum(-1), mask.any(-1).float())  # nothing allowed: nothing read


@quick
@given(problems())
def test_fast_attention_equals_the_formula_with_its_gradients(problem):
    *tensors, mask, bias = problem
    grads, outputs = [], []
    for function in (attention, fast_attention):
        leaves = [t.clone().requires_grad_() for t in tensors]
        outputs.append(function(*leaves, mask, bias))
        outputs[-1].square().sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    assert_close(*outputs, atol=1e-5, rtol=1e-5)
    assert_close(*grads, atol=1e-4, rtol=1e-4)


def test_a_hand_worked_case():
    # Scores of 0 and 1 after the division by sqrt(4): weights 1 / (1 + e) and e / (1 + e).
    q, k = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]])
    e = torch.e
    assert_close(attention_weights(q, k), torch.tensor([[1 / (1 + e), e / (1 + e)]]))


def test_causal_mask_lets_the_last_queries_see_all_before_them():
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(1, 3).int().tolist() == [[1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@st.composite
def layers(draw):
    """A MultiHeadAttention of any kind that self-attention allows, and an input for it."""
    group, n_kv_heads = draw(st.sampled_from((1, 2, 3))), draw(st.integers(1, 3))
    n_heads, d_head = group * n_kv_heads, draw(st.sampled_from((2, 4, 10)))
    torch.manual_seed(draw(st.integers(0, 1000)))
    layer = MultiHeadAttention(
        n_heads * d_head,
        n_heads,
        n_kv_heads=n_kv_heads,
        causal=draw(st.booleans()),
        bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        rotary=Rotary(12, d_head) if draw(st.booleans()) else None,
        alibi=draw(st.booleans()),
    )
    B, T = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    mask = torch.rand(B, 1, 1, T) < 0.7 if draw(st.booleans()) else None
    return layer, torch.randn(B, T, n_heads * d_head), mask


@quick
@given(layers())
def test_the_layer_equals_the_formula_on_its_own_projections(drawn):
    layer, x, mask = drawn
    q, k, v = layer.project(x)
    allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    if layer.causal:
        allowed = allowed.tril()
    if mask is not None:
        allowed = allowed & mask
    bias = alibi_bias(q.shape[1], x.shape[1], x.shape[1]) if layer.alibi else None
    heads = attention(q, k, v, allowed, bias)
    expected = layer.out(torch.cat(heads.unbind(1), dim=-1))
    assert_close(layer(x, mask=mask), expected, atol=1e-5, rtol=1e-5)
    assert_close(layer.weights(x, mask=mask) @ v, heads, atol=1e-5, rtol=1e-5)


@quick
@given(layers(), st.data())
def test_the_cache_changes_nothing_however_the_text_is_cut(drawn, data):
    layer, x, _ = drawn
    layer.causal = True
    T = x.shape[1]
    cuts = sorted(data.draw(st.sets(st.integers(1, T - 1), max_size=4))) if T > 1 else []
    cache = KeyValueCache(T)
    pieces = [layer(piece, cache=cache) for piece in x.tensor_split(cuts, dim=1)]
    assert_close(torch.cat(pieces, dim=1), layer(x), atol=1e-5, rtol=1e-5)
    assert cache.length == T


def test_the_layer_equals_torch_also_across_two_sequences():
    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    real = torch.arange(7) < torch.tensor([[7], [4]])  # the second memory is shorter
    expected, weights = theirs(x, memory, memory, ~real, average_attn_weights=False)
    mask = real[:, None, None, :]
    assert_close(ours(x, memory, mask), expected, atol=1e-5, rtol=1e-5)
    assert_close(ours.weights(x, memory, mask), weights)
    assert_close(ours(x), theirs(x, x, x)[0], atol=1e-5, rtol=1e-5)


def test_shared_key_value_heads_equal_full_ones_with_copies():
    torch.manual_seed(0)
    shared = MultiHeadAttention(16, 4, n_kv_heads=2, causal=True)
    full = MultiHeadAttention(16, 4, causal=True)
    full.out = shared.out
    with torch.no_grad():
        for mine, theirs in zip(full.qkv.parameters(), shared.qkv.parameters(), strict=True):
            q, k, v = theirs.split((16, 8, 8))
            k, v = (y.unflatten(0, (2, 4)).repeat_interleave(2, 0).flatten(0, 1) for y in (k, v))
            mine.copy_(torch.cat((q, k, v)))
    x = torch.randn(2, 6, 16)
    assert_close(shared(x), full(x))


def test_dropout_only_in_training():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(8, 2, dropout=0.5), torch.randn(1, 6, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_attention_maps_are_what_each_layer_read():
    torch.manual_seed(0)
    model = nn.Sequential(MultiHeadAttention(8, 2), MultiHeadAttention(8, 4, causal=True))
    x = torch.randn(2, 5, 8)
    maps = attention_maps(model, x)
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "0": (2, 2, 5, 5),
        "1": (2, 4, 5, 5),
    }
    assert_close(maps["1"], model[1].weights(model[0](x)))
    assert not model[0]._forward_pre_hooks and not maps["0"].requires_grad


def test_attention_maps_of_a_gpt_see_no_future_and_no_padding():
    model = GPT(GPTConfig(9, d_model=8, n_heads=2, n_layers=3))
    ids, real = torch.arange(5)[None], torch.tensor([[False, True, True, True, True]])
    maps = attention_maps(model, ids, real, model.new_cache())
    assert list(maps) == [f"blocks.{i}.attention" for i in range(3)]
    for weights in maps.values():
        seen = causal_mask(5, 5) & real
        assert_close(weights.sum(-1), real.float().expand(1, 2, 5))
        assert (weights[:, :, ~seen] == 0).all() and (weights[:, :, seen] > 0).all()


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match=r"d_model \(130\) must be divisible by n_heads \(4\)"):
        MultiHeadAttention(130, 4)
    with pytest.raises(ValueError, match=r"n_heads \(4\) must be divisible by n_kv_heads \(3\)"):
        MultiHeadAttention(128, 4, n_kv_heads=3)
