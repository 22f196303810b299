"""What stands around attention in a Transformer block: norms and feed-forward layers.

Each norm and activation is one line of arithmetic, written in its docstring; the modules call
torch's own kernels for it, which read the tensor once. At the end, the choice among them by name.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) over the last dimension, times a gain, plus a bias.

    Args:
        d_model: size of the last dimension.
        gain, bias: whether to train a scale and a shift, which start at one and zero.
        eps: keeps the division finite where all values are equal.

    Source: Ba et al. 2016, arXiv:1607.06450, section 3.
    Built in chapter 6.
    """

    def __init__(self, d_model, gain=True, bias=True, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model)) if gain else None
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None
        self.d_model, self.eps = d_model, eps

    def forward(self, x):
        return F.layer_norm(x, (self.d_model,), self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the last dimension, times a gain: no mean is taken away.

    Args:
        d_model: size of the last dimension.
        gain: whether to train a scale, which starts at one.
        eps: keeps the division finite where all values are zero.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467, section 3.
    Built in chapter 6.
    """

    def __init__(self, d_model, gain=True, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model)) if gain else None
        self.d_model, self.eps = d_model, eps

    def forward(self, x):
        return F.rms_norm(x, (self.d_model,), self.weight, self.eps)


def gelu(x):
    """x times the probability that a standard normal is below x, elementwise.

    0.5 x (1 + erf(x / sqrt(2))). BERT's activation; GPT-2's differs from it by less than 0.0005.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2.
    Built in chapter 6.
    """
    return F.gelu(x)


def gelu_tanh(x):
    """`gelu` as GPT-2 approximates it; what its published weights were trained with.

    0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), elementwise. In 2019 that was quicker than
    erf; on a CPU torch's erf is now the quicker one.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2.
    Built in chapter 6.
    """
    return F.gelu(x, approximate="tanh")


def relu2(x):
    """max(x, 0) squared, elementwise: the activation an automatic search preferred.

    Source: So et al. 2021, Primer, arXiv:2109.08668, section 3.
    Built in chapter 6.
    """
    return x * F.relu(x)  # on a CPU twice as fast as F.relu(x) ** 2


class FeedForward(nn.Module):
    """Each position on its own: widen, bend, narrow again. (..., d_model) in and out.

    Args:
        d_model: width outside.
        d_ff: width inside; None means 4 * d_model, as in the paper.
        activation: an elementwise function, such as `gelu` or `relu2`.
        bias: whether the two matrices have biases.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.3.
    Built in chapter 6.
    """

    def __init__(self, d_model, d_ff=None, activation=gelu, bias=True):
        super().__init__()
        d_ff = d_ff or 4 * d_model
        self.activation = activation
        self.up = nn.Linear(d_model, d_ff, bias)
        self.down = nn.Linear(d_ff, d_model, bias)

    def forward(self, x):
        return self.down(self.activation(self.up(x)))


class SwiGLU(nn.Module):
    """A feed-forward layer whose inner values are multiplied by gates, silu(x) = x sigmoid(x).

    Args:
        d_model: width outside.
        d_ff: width inside; None means two thirds of 4 * d_model, rounded up to a multiple of 8, so
            that three matrices have the parameters of FeedForward's two.
        bias: whether the three matrices have biases.

    Source: Shazeer 2020, arXiv:2002.05202, section 2.
    Built in chapter 6.
    """

    def __init__(self, d_model, d_ff=None, bias=True):
        super().__init__()
        d_ff = d_ff or 8 * math.ceil(d_model / 3)
        self.gate = nn.Linear(d_model, d_ff, bias)
        self.up = nn.Linear(d_model, d_ff, bias)
        self.down = nn.Linear(d_ff, d_model, bias)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


NORMS = ("layernorm", "rmsnorm")
BENDS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu2": relu2}
ACTIVATIONS = (*BENDS, "swiglu")


def check_choice(config, name, choices):
    """Raises a ValueError if the field `name` of a config is none of the choices.

    Built in chapter 6.
    """
    given = getattr(config, name)
    if given not in choices:
        raise ValueError(f"{name} ({given!r}) must be one of {', '.join(choices)}")


def make_norm(config):
    """The norm that the config asks for, a fresh one at each call.

    Built in chapter 6.
    """
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, gain=config.norm_gain, eps=config.norm_eps)
    return LayerNorm(config.d_model, config.norm_gain, config.bias, config.norm_eps)


def make_last_norm(config):
    """What ends a stack of blocks: a norm, or nothing if the last block ends with one itself.

    Built in chapter 6.
    """
    return make_norm(config) if config.norm_first else nn.Identity()


def make_feed_forward(config):
    """The feed-forward layer that the config asks for.

    Built in chapter 6.
    """
    if config.activation == "swiglu":
        return SwiGLU(config.d_model, config.d_ff, config.bias)
    return FeedForward(config.d_model, config.d_ff, BENDS[config.activation], config.bias)
