"""Norms and feed-forward layers beside torch's own and the papers' formulas."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from minillm.model.layers import (
    ACTIVATIONS,
    NORMS,
    FeedForward,
    LayerNorm,
    RMSNorm,
    SwiGLU,
    check_choice,
    gelu,
    gelu_tanh,
    make_feed_forward,
    make_last_norm,
    make_norm,
    relu2,
)

x = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_equals_torch_and_its_formula(bias):
    ours, theirs = LayerNorm(12, bias=bias), nn.LayerNorm(12, bias=bias)
    torch.manual_seed(0)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        nn.init.normal_(mine)
        other.data.copy_(mine.data)
    assert_close(ours(x), theirs(x))
    y = LayerNorm(12, gain=False, bias=False)(x)
    variance = x.var(-1, unbiased=False, keepdim=True)
    assert_close(y, (x - x.mean(-1, keepdim=True)) / (variance + 1e-5).sqrt())


def test_rms_norm_equals_torch_and_its_formula():
    norm = RMSNorm(12)
    nn.init.normal_(norm.weight)
    assert_close(norm(x), F.rms_norm(x, (12,), norm.weight, 1e-5))
    plain = RMSNorm(12, gain=False)
    assert not list(plain.parameters())
    assert_close(plain(x), x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    assert_close(plain(7 * x), plain(x), atol=1e-4, rtol=1e-4)  # the scale of the input is gone


def test_activations_are_their_formulas():
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    assert_close(gelu_tanh(x), 0.5 * x * (1 + inner.tanh()), atol=1e-6, rtol=1e-5)
    normal = torch.distributions.Normal(0.0, 1.0)
    assert_close(gelu(x), x * normal.cdf(x), atol=1e-6, rtol=1e-5)
    far = torch.linspace(-8, 8, 4001)
    assert 0.0004 < (gelu(far) - gelu_tanh(far)).abs().max() < 0.0005
    assert_close(relu2(x), torch.where(x > 0, x * x, 0.0))


@pytest.mark.parametrize("activation", [gelu, gelu_tanh, relu2])
def test_feed_forward_is_two_matrices_and_a_bend(activation):
    layer = FeedForward(12, activation=activation)
    assert layer.up.out_features == 48 and FeedForward(12, 7).up.out_features == 7
    h = activation(x @ layer.up.weight.T + layer.up.bias)
    assert_close(layer(x), h @ layer.down.weight.T + layer.down.bias)


def test_swiglu_is_its_formula_with_the_parameters_of_feed_forward():
    layer = SwiGLU(12, bias=False)
    gate, up = x @ layer.gate.weight.T, x @ layer.up.weight.T
    assert_close(layer(x), (gate * gate.sigmoid() * up) @ layer.down.weight.T)
    count = [
        sum(p.numel() for p in kind(192, bias=False).parameters()) for kind in (SwiGLU, FeedForward)
    ]
    assert count[0] == count[1]
    assert SwiGLU(128).up.out_features == 344  # 341.3 rounded up to a multiple of 8


@pytest.mark.parametrize("layer", [LayerNorm(12), RMSNorm(12), FeedForward(12), SwiGLU(12)])
def test_each_position_is_on_its_own(layer):
    changed = x.clone()
    changed[:, 2] += 1
    same = layer(x) == layer(changed)
    assert same[:, [0, 1, 3, 4]].all() and not same[:, 2].all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_config_gets_the_layers_that_it_names(norm, activation, bias):
    asked = SimpleNamespace(
        d_model=12, d_ff=20, norm=norm, norm_gain=bias, norm_eps=0.5, activation=activation,
        bias=bias,
    )  # fmt: skip
    made = make_norm(asked)
    assert made.eps == 0.5
    assert type(made) is {"layernorm": LayerNorm, "rmsnorm": RMSNorm}[norm]
    expected = 0 if not bias else 24 if norm == "layernorm" else 12
    assert sum(p.numel() for p in made.parameters()) == expected
    asked.norm_first = True
    assert type(make_last_norm(asked)) is type(made)
    asked.norm_first = False
    assert torch.equal(make_last_norm(asked)(x), x)

    layer = make_feed_forward(asked)
    assert layer.up.out_features == 20 and (layer.up.bias is not None) == bias
    if activation == "swiglu":
        assert type(layer) is SwiGLU
    else:
        named = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu2": relu2}[activation]
        assert_close(layer(x), layer.down(named(layer.up(x))))


def test_a_choice_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"norm \('batch'\) must be one of layernorm, rmsnorm"):
        check_choice(SimpleNamespace(norm="batch"), "norm", NORMS)
