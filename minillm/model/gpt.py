"""GPT, whole: the configuration, the block, the model.

The defaults are GPT-2's architecture at a size for a laptop, with the exact GELU in place of its
approximation; `GPTConfig.modern` is today's. But: no loss here (minillm.train.objectives), no
sampling (minillm.generate).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from minillm.model.attention import MultiHeadAttention, check_heads
from minillm.model.cache import KeyValueCache
from minillm.model.layers import FeedForward, LayerNorm, RMSNorm, SwiGLU, gelu, gelu_tanh, relu2
from minillm.model.positions import LearnedPositions, Rotary, SinusoidalPositions

CHOICES = {
    "positions": ("learned", "sinusoidal", "rotary", "alibi"),
    "norm": ("layernorm", "rmsnorm"),
    "activation": ("gelu", "gelu_tanh", "relu2", "swiglu"),
}


def check_config(config):
    """Raises a ValueError that names the first field of a `GPTConfig` that cannot be.

    Built in chapter 7.
    """
    for name in ("vocab_size", "context_length", "d_model", "n_heads", "n_layers"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} ({getattr(config, name)}) must be at least 1")
    for name in ("n_kv_heads", "d_ff"):
        if getattr(config, name) is not None and getattr(config, name) < 1:
            raise ValueError(f"{name} ({getattr(config, name)}) must be at least 1, or None")
    check_heads(config.d_model, config.n_heads, config.n_kv_heads or config.n_heads)
    if config.positions == "rotary" and config.d_head % 2:
        raise ValueError(f"d_model / n_heads ({config.d_head}) must be even for rotary positions")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout ({config.dropout}) must be at least 0 and below 1")
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            given = getattr(config, name)
            raise ValueError(f"{name} ({given!r}) must be one of {', '.join(choices)}")


@dataclass(frozen=True)
class GPTConfig:
    """Everything that fixes a GPT's shape.

    >>> GPTConfig(vocab_size=65).d_model
    128

    Raises:
        ValueError: for sizes that do not fit together, or a name that does not exist.

    Source: Radford et al. 2019, GPT-2, section 2.3.
    Built in chapter 7.
    """

    vocab_size: int  # the tokenizer decides
    context_length: int = 64  # a few sentences; cost per token grows with it
    d_model: int = 128  # wide enough for a few hundred words, quick on two cores
    n_heads: int = 4  # 32 wide each; GPT-2's are 64 wide
    n_layers: int = 4  # copying a name needs two; the rest is for grammar
    n_kv_heads: int | None = None  # None: as many as n_heads; fewer make the cache smaller
    d_ff: int | None = None  # None: 4 * d_model, for swiglu 8/3 of it (the same parameters)
    dropout: float = 0.0  # small models on plenty of text do not overfit; 0.1 for small texts
    positions: str = "learned"  # learned | sinusoidal | rotary | alibi
    norm: str = "layernorm"  # layernorm | rmsnorm
    norm_gain: bool = True  # the next matrix can learn the gain just as well, but GPT-2 has it
    activation: str = "gelu"  # gelu | gelu_tanh | relu2 | swiglu
    bias: bool = True  # GPT-2 has them in every layer; most models since have none
    qk_norm: bool = False  # normalised queries and keys keep the scores small at high rates
    tie_embeddings: bool = True  # one matrix reads and writes tokens: fewer parameters
    zero_init: bool = False  # output projections start at zero, so that each block starts as x = x

    def __post_init__(self):
        check_config(self)

    @property
    def d_head(self):
        """Width of one head."""
        return self.d_model // self.n_heads

    @classmethod
    def modern(cls, vocab_size, **changes):
        """Today's small GPT: rotary, RMSNorm without gain, QK norm, squared ReLU, no biases."""
        recipe = {
            "positions": "rotary",
            "norm": "rmsnorm",
            "norm_gain": False,
            "activation": "relu2",
            "bias": False,
            "qk_norm": True,
            "zero_init": True,
        }
        return cls(vocab_size, **(recipe | changes))


def make_norm(config):
    """The norm that the config asks for, a fresh one at each call.

    Built in chapter 7.
    """
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, gain=config.norm_gain)
    return LayerNorm(config.d_model, gain=config.norm_gain, bias=config.bias)


class Block(nn.Module):
    """One layer of GPT: read the others, then think alone, each added to what was there.

    Args:
        config: a `GPTConfig`.
        rotary: the `Rotary` that all blocks share, or None.

    Called with x (B, T, C), a mask that broadcasts to (B, H, T, T_key) and this layer's
    `KeyValueCache`, both of which may be None; returns (B, T, C).

    Source: Radford et al. 2019, GPT-2, section 2.3: the norm stands before each layer.
    Built in chapter 7.
    """

    def __init__(self, config, rotary=None):
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = MultiHeadAttention(
            config.d_model,
            config.n_heads,
            n_kv_heads=config.n_kv_heads,
            causal=True,
            bias=config.bias,
            dropout=config.dropout,
            qk_norm=config.qk_norm,
            rotary=rotary,
            alibi=config.positions == "alibi",
        )
        self.feed_forward_norm = make_norm(config)
        if config.activation == "swiglu":
            self.feed_forward = SwiGLU(config.d_model, config.d_ff, config.bias)
        else:
            bend = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu2": relu2}[config.activation]
            self.feed_forward = FeedForward(config.d_model, config.d_ff, bend, config.bias)
        self.dropout = config.dropout

    def forward(self, x, mask=None, cache=None):
        x = x + self.drop(self.attention(self.attention_norm(x), mask=mask, cache=cache))
        return x + self.drop(self.feed_forward(self.feed_forward_norm(x)))  # (B, T, C)

    def drop(self, y):
        return F.dropout(y, self.dropout) if self.training else y


@torch.no_grad()
def init_weights(model):
    """GPT-2's start: N(0, 0.02); what is added to the residual stream starts smaller, or at zero.

    Source: Radford et al. 2019, GPT-2, section 2.3; zero: Zhang et al. 2019, Fixup,
    arXiv:1901.09321.
    Built in chapter 7.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
    scale = 0.0 if model.config.zero_init else 1 / math.sqrt(2 * len(model.blocks))
    for block in model.blocks:
        block.attention.out.weight.mul_(scale)
        block.feed_forward.down.weight.mul_(scale)


class GPT(nn.Module):
    """A language model: for each token, logits of the token after it.

    Args:
        config: a `GPTConfig`.

    Called with ids (B, T) of integers; returns logits (B, T, V). Two more arguments serve
    generation: `real`, booleans (B, T_key), False on the padding left of short rows, and `cache`,
    from `new_cache()`, which holds the tokens read before these.

    Raises:
        ValueError: if there are more tokens than `config.context_length`.

    >>> GPT(GPTConfig(vocab_size=65))(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 65])

    Source: Radford et al. 2019, GPT-2.
    Built in chapter 7.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        rotary = None
        self.positions = None
        if config.positions == "learned":
            self.positions = LearnedPositions(config.context_length, config.d_model)
        elif config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(config.context_length, config.d_model)
        elif config.positions == "rotary":
            rotary = Rotary(config.context_length, config.d_head)
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(Block(config, rotary) for _ in range(config.n_layers))
        self.norm = make_norm(config)
        self.head = None
        if not config.tie_embeddings:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        init_weights(self)

    def hidden(self, ids, real=None, cache=None):
        """The last layer's output (B, T, C), before the head; arguments as for the model."""
        start = 0 if cache is None else cache[0].length
        end = start + ids.shape[1]
        if end > self.config.context_length:
            raise ValueError(
                f"ids: {end} tokens are more than context_length ({self.config.context_length})"
            )
        x = self.tokens(ids)  # (B, T, C)
        if self.config.positions == "sinusoidal":
            x = x * math.sqrt(self.config.d_model)  # or the sines, as large as 1, drown the tokens
        if self.positions is not None and real is None:
            x = x + self.positions(slice(start, end))
        elif self.positions is not None:  # a row's first real token stands at position 0
            x = x + self.positions((real.cumsum(dim=1) - 1).clamp(min=0)[:, start:])
        if self.training:
            x = F.dropout(x, self.config.dropout)
        mask = None if real is None else real[:, None, None, :]  # (B, 1, 1, T_key)
        for block, layer_cache in zip(self.blocks, cache or [None] * len(self.blocks), strict=True):
            x = block(x, mask, layer_cache)
        return self.norm(x)

    def unembed(self, x):
        """Hidden vectors (..., C) to logits (..., V)."""
        return F.linear(x, self.tokens.weight if self.head is None else self.head.weight)

    def forward(self, ids, real=None, cache=None):
        return self.unembed(self.hidden(ids, real, cache))

    def new_cache(self):
        """An empty cache, one `KeyValueCache` a layer, with room for the whole context."""
        return [KeyValueCache(self.config.context_length) for _ in self.blocks]

    def n_parameters(self):
        """How many numbers are trained; a tied matrix counts once."""
        return sum(p.numel() for p in self.parameters())
