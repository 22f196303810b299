"""Positions: published values, parity with transformers, what depends on distance alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minillm.model.positions import (
    LearnedPositions,
    Rotary,
    SinusoidalPositions,
    alibi_bias,
    alibi_slopes,
    look_up,
    sinusoidal_table,
)


def test_sinusoidal_table_is_the_papers_formula():
    table = sinusoidal_table(50, 10)
    for t, i in ((0, 0), (1, 0), (7, 2), (49, 4)):
        angle = t / 10_000 ** (2 * i / 10)
        assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    assert sinusoidal_table(3, 5).shape == (3, 5)  # an odd width loses its last cosine


def test_sinusoidal_dot_products_depend_on_distance_alone():
    table = sinusoidal_table(30, 16)
    products = table @ table.T
    for distance in (0, 1, 7):
        diagonal = products.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_looked_up_positions_have_one_vector_each():
    positions = torch.tensor([[0, 0, 1], [0, 1, 2]])
    for layer in (LearnedPositions(4, 6), SinusoidalPositions(4, 6)):
        x = layer(positions)
        assert x.shape == (2, 3, 6)
        assert torch.equal(x[0, 2], x[1, 1]) and not torch.equal(x[0, 2], x[1, 2])
        assert torch.equal(layer(slice(1, 4)), layer(torch.tensor([1, 2, 3])))
    assert not SinusoidalPositions(4, 6).state_dict()


@pytest.mark.parametrize("layer", [LearnedPositions(8, 6), SinusoidalPositions(8, 6), Rotary(8, 6)])
@pytest.mark.parametrize("start", [1, 7, 8, 20])  # at 7 one row is left, and it would broadcast
def test_no_layer_goes_past_its_last_position(layer, start):
    def positions(T):
        if isinstance(layer, Rotary):
            return layer(torch.ones(1, 2, T, 6), start)
        return layer(slice(start, start + T))

    with pytest.raises(ValueError, match=rf"^positions {start} to {start + 7} asked .* are 8, "):
        positions(8)
    if start < 8:
        assert positions(8 - start).shape[-2:] == (8 - start, 6)  # as far as the table goes


def test_a_slice_without_ends_is_looked_up_too():
    table = torch.arange(8)[:, None]
    assert torch.equal(look_up(table, slice(None)), table)
    with pytest.raises(ValueError, match=r"^positions 0 to 8 asked"):
        look_up(table, slice(9))


@pytest.mark.parametrize("d_head", [2, 8, 32])
def test_rotary_equals_llama(d_head):
    from transformers import LlamaConfig
    from transformers.models.llama import modeling_llama

    config = LlamaConfig(hidden_size=4 * d_head, num_attention_heads=4, head_dim=d_head)
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 4, 11, d_head).unbind()
    for start in (0, 5):
        positions = torch.arange(start, start + 11)[None]
        cos, sin = modeling_llama.LlamaRotaryEmbedding(config)(q, positions)
        expected = modeling_llama.apply_rotary_pos_emb(q, k, cos, sin)
        rotary = Rotary(16, d_head)
        assert_close((rotary(q, start), rotary(k, start)), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 23), st.sampled_from((2, 6, 16)))
def test_rotary_dot_products_depend_on_distance_alone(i, j, shift, D):
    q, k = torch.randn(2, 1, D, generator=torch.Generator().manual_seed(i), dtype=torch.double)
    rotary = Rotary(64, D).double()
    near = rotary(q, i) @ rotary(k, j).T
    far = rotary(q, i + shift) @ rotary(k, j + shift).T
    assert_close(near, far, atol=1e-5, rtol=1e-5)
    assert_close(rotary(q, i).norm(), q.norm(), atol=1e-5, rtol=1e-5)  # turned, not stretched


def test_rotary_needs_pairs():
    with pytest.raises(ValueError, match=r"d_head \(5\) must be even"):
        Rotary(8, 5)


def test_alibi_slopes_are_the_papers():
    assert_close(alibi_slopes(8), torch.tensor([2.0**-i for i in range(1, 9)]))
    assert_close(alibi_slopes(16), torch.tensor([2 ** (-i / 2) for i in range(1, 17)]))
    # The authors' code: the slopes of 8 heads, then every other one of 16.
    expected = [2.0**-i for i in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert_close(alibi_slopes(12), torch.tensor(expected))


@pytest.mark.parametrize("n_heads", [1, 2, 3, 4, 6, 8, 12, 20])
def test_alibi_equals_bloom(n_heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 7), n_heads, torch.float)  # (H, 1, T_key)
    ours = alibi_bias(n_heads, 7, 7)
    # BLOOM adds slope * key position; per query that differs from ours by a constant.
    difference = theirs - ours
    assert_close(difference, difference[..., :1].expand_as(difference))


def test_alibi_bias_falls_with_distance_and_is_zero_on_itself():
    bias = alibi_bias(4, 5, 5)
    assert (bias.diagonal(dim1=1, dim2=2) == 0).all()
    assert_close(bias[:, 4, 1], -3 * alibi_slopes(4))
    assert torch.equal(alibi_bias(4, 2, 5), bias[:, 3:])  # the queries are the last ones
