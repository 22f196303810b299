"""The Transformer: the block that every model of the book stacks, the encoder, the decoder, both.

`Block` serves all: bidirectional as in BERT, causal as in GPT, with cross-attention as in a
decoder that translates; its norms before or after its layers. But: GPT with its positions, its
start and its cache is in minillm.model.gpt; training and decoding are elsewhere.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from minillm.model.attention import MultiHeadAttention, check_heads
from minillm.model.layers import (
    ACTIVATIONS,
    NORMS,
    check_choice,
    make_feed_forward,
    make_last_norm,
    make_norm,
)
from minillm.model.positions import SinusoidalPositions


def check_sizes(config, *names):
    """Raises a ValueError for the first of these fields that is below 1; None may stand in each.

    Built in chapter 6.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} ({value}) must be at least 1")


def check_length(n_tokens, context_length):
    """Raises a ValueError for more tokens than a model has positions.

    Built in chapter 6.
    """
    if n_tokens > context_length:
        raise ValueError(f"ids: {n_tokens} tokens are more than context_length ({context_length})")


def check_positions(config, choices):
    """Raises a ValueError if `positions` is none of the choices, or its heads cannot be turned.

    Built in chapter 6.
    """
    check_choice(config, "positions", choices)
    d_head = config.d_model // config.n_heads
    if config.positions == "rotary" and d_head % 2:
        raise ValueError(f"d_model / n_heads ({d_head}) must be even for rotary positions")


def check_block(config):
    """Raises a ValueError for the first field with which no `Block` can be made.

    Built in chapter 6.
    """
    check_sizes(config, "d_model", "n_heads", "n_layers", "d_ff")
    check_heads(config.d_model, config.n_heads, config.n_heads)
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout ({config.dropout}) must be at least 0 and below 1")
    if not config.norm_eps > 0:
        raise ValueError(f"norm_eps ({config.norm_eps}) must be above 0")
    check_choice(config, "norm", NORMS)
    check_choice(config, "activation", ACTIVATIONS)


@dataclass(frozen=True)
class TransformerConfig:
    """Everything that fixes the shape of an encoder, a decoder, or both together.

    >>> TransformerConfig(source_vocab_size=340, target_vocab_size=430).d_model
    64

    Raises:
        ValueError: for sizes that do not fit together, or a name that does not exist.

    Source: Vaswani et al. 2017, arXiv:1706.03762, table 3.
    Built in chapter 6.
    """

    source_vocab_size: int  # the tokenizer of what is read decides
    target_vocab_size: int  # the tokenizer of what is written decides
    context_length: int = 64  # longer than any sentence of the village, on either side
    d_model: int = 64  # wide enough for a few hundred words; the paper's has 512
    n_heads: int = 4  # 16 wide each; the paper's 8 are 64 wide
    n_layers: int = 2  # on each side; the paper's has 6
    d_ff: int | None = None  # None: 4 * d_model, for swiglu 8/3 * d_model (as many numbers)
    dropout: float = 0.0  # small models on plenty of text do not overfit; the paper's has 0.1
    norm: str = "layernorm"  # layernorm | rmsnorm
    norm_gain: bool = True  # a trained scale for each column, as in the paper
    norm_eps: float = 1e-5  # torch's usual; it only counts for vectors smaller than about 0.01
    norm_first: bool = True  # the paper's norms came after; before, depth needs no warm-up
    activation: str = "gelu"  # gelu | gelu_tanh | relu2 | swiglu; the paper's was ReLU
    bias: bool = True  # as in the paper

    def __post_init__(self):
        check_sizes(self, "source_vocab_size", "target_vocab_size", "context_length")
        check_block(self)


def make_attention(config, **options):
    """The attention layer that the config asks for; options as for `MultiHeadAttention`.

    Built in chapter 6.
    """
    sizes = (config.d_model, config.n_heads)
    return MultiHeadAttention(*sizes, bias=config.bias, dropout=config.dropout, **options)


class Block(nn.Module):
    """One layer of a Transformer: read the others, then think alone, each added to what was there.

    Args:
        config: gives d_model, n_heads, d_ff, dropout, norm, norm_gain, norm_eps, norm_first,
            activation and bias; a `TransformerConfig` or any other config with these fields.
        cross: whether to read a second sequence too, between the two.
        attention: options for the self-attention, as for `MultiHeadAttention`: causal, rotary ...

    Called with x (B, T, C); a mask that broadcasts to (B, H, T, T_key) and this layer's
    `KeyValueCache`, both of which may be None; if `cross`, also with `memory` (B, T_memory, C) and
    its mask, which broadcasts to (B, H, T, T_memory). Returns (B, T, C).

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1, for norms after the layers;
    Radford et al. 2019, GPT-2, section 2.3, for norms before them.
    Built in chapter 6.
    """

    def __init__(self, config, cross=False, **attention):
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config, **attention)
        self.cross_attention = None
        if cross:
            self.cross_attention_norm = make_norm(config)
            self.cross_attention = make_attention(config)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = make_feed_forward(config)
        self.norm_first, self.dropout = config.norm_first, config.dropout

    def forward(self, x, mask=None, cache=None, memory=None, memory_mask=None):
        x = self.add(x, self.attention_norm, self.attention, None, mask, cache)
        if self.cross_attention is not None:
            x = self.add(x, self.cross_attention_norm, self.cross_attention, memory, memory_mask)
        return self.add(x, self.feed_forward_norm, self.feed_forward)  # (B, T, C)

    def add(self, x, norm, layer, *options):
        """x plus what the layer makes of it, normalised on the way in or on the way out."""
        if self.norm_first:
            return x + self.drop(layer(norm(x), *options))
        return norm(x + self.drop(layer(x, *options)))

    def drop(self, y):
        """Dropout in training. In use not even its call, which each single token would pay for."""
        return F.dropout(y, self.dropout) if self.training else y


class Encoder(nn.Module):
    """Reads a whole sequence at once, each position the ones before it and after it.

    Args:
        config: a `TransformerConfig`, or another with `n_layers` and the fields of a `Block`.
        attention: options for every self-attention, as for `Block`.

    Called with vectors x (B, T, C) and a mask that broadcasts to (B, H, T, T), which may be None;
    returns (B, T, C).

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1.
    Built in chapter 6.
    """

    def __init__(self, config, **attention):
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, **attention) for _ in range(config.n_layers))
        self.norm = make_last_norm(config)

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """Writes a sequence from left to right while it reads another, the memory.

    Args:
        config: as for `Encoder`.

    Called with vectors x (B, T, C), the memory (B, T_memory, C) and its mask, which broadcasts to
    (B, H, T, T_memory) and may be None; returns (B, T, C).

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1.
    Built in chapter 6.
    """

    def __init__(self, config):
        super().__init__()
        blocks = (Block(config, cross=True, causal=True) for _ in range(config.n_layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = make_last_norm(config)

    def forward(self, x, memory, memory_mask=None):
        for block in self.blocks:
            x = block(x, memory=memory, memory_mask=memory_mask)
        return self.norm(x)


class Embedding(nn.Module):
    """Ids (B, T) to vectors (B, T, C): the token's, plus the sines of its position.

    Raises:
        ValueError: if there are more tokens than `context_length`.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.4. The paper multiplies small token
    vectors by sqrt(d_model); these start that large.
    Built in chapter 6.
    """

    def __init__(self, vocab_size, config):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, config.d_model)  # starts as N(0, 1)
        self.positions = SinusoidalPositions(config.context_length, config.d_model)
        self.context_length, self.dropout = config.context_length, nn.Dropout(config.dropout)

    def forward(self, ids):
        T = ids.shape[1]
        check_length(T, self.context_length)
        return self.dropout(self.tokens(ids) + self.positions(slice(T)))  # (B, T, C)


def padding_mask(real):
    """Booleans (B, T), False on padding, as a mask that broadcasts to (B, H, T_query, T).

    None, for no padding, stays None.

    Built in chapter 6.
    """
    return None if real is None else real[:, None, None, :]


class EncoderDecoder(nn.Module):
    """The Transformer of 2017: reads one sequence, writes another.

    Args:
        config: a `TransformerConfig`.

    Called with the ids of what is read, source (B, T_source), of what is written so far, target
    (B, T), and `real`, booleans (B, T_source), False on the source's padding, or None. Returns
    logits (B, T, V) of the target's next token. The target's padding stands on the right, where no
    real token sees it.

    >>> model = EncoderDecoder(TransformerConfig(source_vocab_size=9, target_vocab_size=7))
    >>> model(torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])).shape
    torch.Size([1, 2, 7])

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.
    Built in chapter 6.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.source = Embedding(config.source_vocab_size, config)
        self.target = Embedding(config.target_vocab_size, config)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.head = nn.Linear(config.d_model, config.target_vocab_size, bias=False)

    def encode(self, source, real=None):
        """Ids (B, T_source) to the memory (B, T_source, C) that the decoder reads."""
        return self.encoder(self.source(source), padding_mask(real))

    def decode(self, target, memory, real=None):
        """Logits (B, T, V) of what comes after each token of target (B, T)."""
        return self.head(self.decoder(self.target(target), memory, padding_mask(real)))

    def forward(self, source, target, real=None):
        return self.decode(target, self.encode(source, real), real)
