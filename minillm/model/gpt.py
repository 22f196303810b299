"""GPT, whole: the configuration, the start, the model.

The defaults are GPT-2's architecture at a size for a laptop, with the exact GELU in place of its
approximation; `GPTConfig.modern` is today's. But: no loss here (minillm.train.objectives), no
sampling (minillm.generate).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from minillm.model.attention import check_heads
from minillm.model.cache import KeyValueCache
from minillm.model.layers import make_last_norm
from minillm.model.positions import LearnedPositions, Rotary, SinusoidalPositions
from minillm.model.transformer import (
    Block,
    check_block,
    check_length,
    check_positions,
    check_sizes,
    padding_mask,
)

POSITIONS = ("learned", "sinusoidal", "rotary", "alibi")
MODERN = {
    "positions": "rotary",
    "norm": "rmsnorm",
    "norm_gain": False,
    "activation": "relu2",
    "bias": False,
    "qk_norm": True,
    "zero_init": True,
}


def check_config(config):
    """Raises a ValueError for the first field with which no `GPT` can be made.

    Built in chapter 7.
    """
    check_sizes(config, "vocab_size", "context_length", "n_kv_heads")
    check_block(config)
    check_heads(config.d_model, config.n_heads, config.n_kv_heads or config.n_heads)
    check_positions(config, POSITIONS)


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
    d_ff: int | None = None  # None: 4 * d_model, for swiglu 8/3 * d_model (as many numbers)
    dropout: float = 0.0  # small models on plenty of text do not overfit; 0.1 for small texts
    positions: str = "learned"  # learned | sinusoidal | rotary | alibi
    norm: str = "layernorm"  # layernorm | rmsnorm
    norm_gain: bool = True  # the next matrix can learn the gain just as well, but GPT-2 has it
    norm_eps: float = 1e-5  # GPT-2's; some later models have 1e-6
    norm_first: bool = True  # what each layer reads is normalised; in the first GPT, what it leaves
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
        """Today's small GPT: rotary, RMSNorm without gain, squared ReLU, QK norm, no biases, ...

        All of it is in `MODERN`; `changes` are fields that differ.
        """
        return cls(vocab_size, **(MODERN | changes))


@torch.no_grad()
def init_weights(model, blocks, scale):
    """GPT-2's start: N(0, 0.02); what is added to the residual stream starts smaller, or at zero.

    Args:
        model: whose matrices are drawn, and whose biases become zero.
        blocks: its blocks, of which the matrices that write into the stream are scaled.
        scale: by this; by 0 if `model.config.zero_init`.

    Source: Radford et al. 2019, GPT-2, section 2.3; zero: Zhang et al. 2019, Fixup,
    arXiv:1901.09321.
    Built in chapter 7.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
    for block in blocks:
        for layer in (block.attention.out, block.feed_forward.down):
            layer.weight.mul_(0.0 if model.config.zero_init else scale)


class Embedded(nn.Module):
    """What stands below a GPT's blocks: a vector for each token, and for its position if any.

    Args:
        config: a `GPTConfig`.

    Raises:
        ValueError: if there are more tokens than `config.context_length`.

    Source: Radford et al. 2019, GPT-2, for learned positions.
    Built in chapter 7.
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.positions = config, None
        if config.positions == "learned":
            self.positions = LearnedPositions(config.context_length, config.d_model)
        elif config.positions == "sinusoidal":
            self.positions = SinusoidalPositions(config.context_length, config.d_model)
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)

    def embed(self, ids, real=None, start=0):
        """Ids (B, T), the first at position `start`, and `real` as for the model, to (B, T, C)."""
        end = start + ids.shape[1]
        check_length(end, self.config.context_length)
        x = self.tokens(ids)  # (B, T, C)
        if self.config.positions == "sinusoidal":
            x = x * math.sqrt(self.config.d_model)  # or the sines, as large as 1, drown the tokens
        if self.positions is not None and real is None:
            x = x + self.positions(slice(start, end))
        elif self.positions is not None:  # a row's first real token stands at position 0
            x = x + self.positions((real.cumsum(dim=1) - 1).clamp(min=0)[:, start:])
        return F.dropout(x, self.config.dropout) if self.training else x


class GPT(Embedded):
    """A language model: for each token, logits of the token after it.

    Args:
        config: a `GPTConfig`.

    Called with ids (B, T) of integers; returns logits (B, T, V). `mask` narrows what the causal
    rule lets a token read: booleans that broadcast to (B, H, T, T_key). Two more arguments serve
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
        super().__init__(config)
        options = {"causal": True, "n_kv_heads": config.n_kv_heads, "qk_norm": config.qk_norm}
        options["alibi"] = config.positions == "alibi"
        if config.positions == "rotary":
            options["rotary"] = Rotary(config.context_length, config.d_head)  # shared by all
        self.blocks = nn.ModuleList(Block(config, **options) for _ in range(config.n_layers))
        self.norm = make_last_norm(config)
        self.head = None
        if not config.tie_embeddings:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        init_weights(self, self.blocks, 1 / math.sqrt(2 * config.n_layers))

    def hidden(self, ids, real=None, cache=None, mask=None):
        """The last layer's output (B, T, C), before the head; arguments as for the model."""
        x = self.embed(ids, real, start=0 if cache is None else cache[0].length)
        if real is not None:
            mask = padding_mask(real) if mask is None else padding_mask(real) & mask
        for block, layer_cache in zip(self.blocks, cache or [None] * len(self.blocks), strict=True):
            x = block(x, mask, layer_cache)
        return self.norm(x)

    def unembed(self, x):
        """Hidden vectors (..., C) to logits (..., V)."""
        return F.linear(x, self.tokens.weight if self.head is None else self.head.weight)

    def forward(self, ids, real=None, cache=None, mask=None):
        return self.unembed(self.hidden(ids, real, cache, mask))

    def new_cache(self):
        """An empty cache, one `KeyValueCache` a layer, with room for the whole context."""
        return [KeyValueCache(self.config.context_length) for _ in self.blocks]

    def n_parameters(self):
        """How many numbers are trained; a tied matrix counts once."""
        return sum(p.numel() for p in self.parameters())

    @classmethod
    def from_pretrained(cls, name):
        """Published weights of GPT-2's kind, from a folder or by name; see `minillm.hub.find`."""
        from minillm import hub

        return hub.load_model(name, cls)

    def save_pretrained(self, folder, tokenizer=None):
        """Writes a folder for transformers' Auto classes, if it is GPT-2's architecture."""
        from minillm import hub

        return hub.save(self, folder, tokenizer)
