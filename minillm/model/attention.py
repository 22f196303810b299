"""Attention: how one position reads the others.

`attention` is the paper's formula, every step in sight. `fast_attention` gives the same numbers
through torch's fused kernel, and `MultiHeadAttention` builds on it. Masks are boolean, True = may
attend, and broadcast to (B, H, T_query, T_key). But: the key-value cache is in
minillm.model.cache, rotary positions and ALiBi are in minillm.model.positions.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from minillm.model.positions import alibi_bias


def causal_mask(T_query, T_key, device=None):
    """True where a key is not later than the query: nobody reads the future.

    The queries are the last T_query of the T_key positions. Returns (T_query, T_key) booleans.

    >>> causal_mask(2, 3).int().tolist()
    [[1, 1, 0], [1, 1, 1]]

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
    Built in chapter 3.
    """
    return torch.ones(T_query, T_key, dtype=torch.bool, device=device).tril(T_key - T_query)


def attention_weights(q, k, mask=None, bias=None):
    """How much each query reads of each key: rows that sum to one.

    Args:
        q: queries (..., T_query, D).
        k: keys (..., T_key, D).
        mask: boolean, True = may attend, broadcasts to (..., T_query, T_key).
        bias: numbers added to the scores, same shape, such as ALiBi's.

    Returns:
        (..., T_query, T_key). A query that may attend to nothing has a row of zeros.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    Built in chapter 3.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T_query, T_key)
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return scores.softmax(dim=-1)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)  # where all is masked, softmax gives 0 / 0


def attention(q, k, v, mask=None, bias=None):
    """Scaled dot-product attention: each query gets the weighted mean of the values.

    Args:
        q: queries (..., T_query, D).
        k: keys (..., T_key, D).
        v: values (..., T_key, D_value).
        mask: boolean, True = may attend, broadcasts to (..., T_query, T_key).
        bias: numbers added to the scores, same shape, such as ALiBi's.

    Returns:
        (..., T_query, D_value).

    >>> v = torch.tensor([[1.0], [3.0]])
    >>> attention(torch.zeros(1, 2), torch.zeros(2, 2), v).tolist()
    [[2.0]]

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    Built in chapter 3.
    """
    return attention_weights(q, k, mask, bias) @ v


def fast_attention(q, k, v, mask=None, bias=None, causal=False, dropout=0.0):
    """`attention` through torch's fused kernel, which never stores the (T_query, T_key) weights.

    Args:
        q, k, v, mask, bias: as for `attention`.
        causal: the kernel's own causal mask, for T_query = T_key and instead of `mask` and `bias`.
        dropout: share of the weights that is dropped.

    Returns:
        (..., T_query, D_value), equal to `attention` up to rounding.

    Source: Dao et al. 2022, FlashAttention, arXiv:2205.14135.
    Built in chapter 4.
    """
    if bias is not None:
        mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal)


def check_heads(d_model, n_heads, n_kv_heads):
    """Raises a ValueError if a width cannot be divided among that many heads.

    Built in chapter 4.
    """
    if d_model % n_heads:
        raise ValueError(f"d_model ({d_model}) must be divisible by n_heads ({n_heads})")
    if n_heads % n_kv_heads:
        raise ValueError(f"n_heads ({n_heads}) must be divisible by n_kv_heads ({n_kv_heads})")


# Of normalised queries and keys no score exceeds QK_SCALE * sqrt(D). At 1 a head of width 32 gives
# no more than three quarters of its weight to one of a hundred tokens if the others score 0; at 2
# it can copy a name.
QK_SCALE = 2.0


class Heads(nn.Module):
    """Queries, keys and values for several heads, all from one matrix product.

    Args:
        d_model: width of the input, C.
        n_heads: number of query heads, H; each is d_model / n_heads wide.
        n_kv_heads: number of key and value heads, each shared by a group of query heads; None
            means one for each query head.
        bias: whether the projection has biases.
        qk_norm: whether keys are normalised to root mean square 1 and queries to `QK_SCALE`.
        rotary: a `Rotary` that turns queries and keys, or None.

    Raises:
        ValueError: if the heads do not divide evenly.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2; shared key and value heads:
    Ainslie et al. 2023, arXiv:2305.13245; QK norm: Henry et al. 2020, arXiv:2010.04245.
    Built in chapter 4.
    """

    def __init__(self, d_model, n_heads, n_kv_heads=None, bias=True, qk_norm=False, rotary=None):
        super().__init__()
        n_kv_heads = n_kv_heads or n_heads
        check_heads(d_model, n_heads, n_kv_heads)
        self.d_head, self.group = d_model // n_heads, n_heads // n_kv_heads
        self.shares = (n_heads, n_kv_heads, n_kv_heads)  # of the projection's heads: q, k, v
        self.qk_norm, self.rotary = qk_norm, rotary
        self.qkv = nn.Linear(d_model, sum(self.shares) * self.d_head, bias)  # one product for all

    def split(self, y):
        """(B, T, heads * D) to (B, heads, T, D)."""
        return y.unflatten(2, (-1, self.d_head)).transpose(1, 2)

    def project(self, x, memory=None, cache=None):
        """x (B, T_query, C) asks, memory (B, T_key, C) answers, None meaning x itself.

        Returns queries (B, H, T_query, D), keys and values (B, H, T_key, D).
        """
        if memory is None:
            q, k, v = self.split(self.qkv(x)).split(self.shares, dim=1)
        else:  # the first rows of the matrix make queries, the others keys and values
            n, W, b = self.shares[0] * self.d_head, self.qkv.weight, self.qkv.bias
            q = self.split(F.linear(x, W[:n], None if b is None else b[:n]))
            y = self.split(F.linear(memory, W[n:], None if b is None else b[n:]))
            k, v = y.chunk(2, dim=1)
        if self.qk_norm:
            q, k = QK_SCALE * F.rms_norm(q, (self.d_head,)), F.rms_norm(k, (self.d_head,))
        if self.rotary is not None:
            start = 0 if cache is None else cache.length
            q, k = self.rotary(q, start), self.rotary(k, start)
        if cache is not None:
            k, v = cache.append(k, v)
        if self.group > 1:
            k, v = (y.repeat_interleave(self.group, dim=1) for y in (k, v))
        return q, k, v


class MultiHeadAttention(Heads):
    """Several attentions side by side, each on its own projection of the input.

    Args:
        d_model, n_heads, n_kv_heads, bias, qk_norm, rotary: as for `Heads`.
        causal: whether a token may attend to itself and earlier ones only.
        dropout: share of the weights dropped in training.
        alibi: whether scores fall with distance, as in ALiBi.

    Called with x (B, T_query, C); returns (B, T_query, C). `memory` (B, T_key, C) is what is read
    instead of x; `mask` broadcasts to (B, H, T_query, T_key); `cache` is a `KeyValueCache`.

    Raises:
        ValueError: if the heads do not divide evenly.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    Built in chapter 4.
    """

    def __init__(self, d_model, n_heads, *, n_kv_heads=None, causal=False, bias=True, dropout=0.0,
                 qk_norm=False, rotary=None, alibi=False):  # fmt: skip
        super().__init__(d_model, n_heads, n_kv_heads, bias, qk_norm, rotary)
        self.causal, self.dropout, self.alibi = causal, dropout, alibi
        self.out = nn.Linear(d_model, d_model, bias)

    def limits(self, q, k, mask=None):
        """What `attention` needs beside q, k and v: the whole boolean mask, and ALiBi's bias."""
        H, T_query, T_key = q.shape[1], q.shape[2], k.shape[2]
        if self.causal and T_query > 1:  # a single query is the last token, and sees them all
            past = causal_mask(T_query, T_key, q.device)
            mask = past if mask is None else mask & past
        return mask, alibi_bias(H, T_query, T_key, q.device) if self.alibi else None

    def forward(self, x, memory=None, mask=None, cache=None):
        q, k, v = self.project(x, memory, cache)
        bias, causal = None, self.causal and q.shape[2] > 1  # a single query sees all there is
        if mask is not None or self.alibi or (causal and q.shape != k.shape):
            mask, bias, causal = *self.limits(q, k, mask), False
        y = fast_attention(q, k, v, mask, bias, causal, self.dropout if self.training else 0.0)
        return self.out(y.transpose(1, 2).flatten(2))  # (B, T_query, C)

    def weights(self, x, memory=None, mask=None):
        """The weights (B, H, T_query, T_key) that `forward` reads with, by `attention_weights`."""
        q, k, _ = self.project(x, memory)
        return attention_weights(q, k, *self.limits(q, k, mask))


def attention_maps(model, *inputs):
    """Runs model(*inputs) and records what each attention layer in it read, for drawing.

    Returns a dictionary from the layer's name in the model to its weights
    (B, H, T_query, T_key), in the order in which the layers ran.

    Built in chapter 4.
    """
    maps, hooks = {}, []

    def record(name, layer, inputs, options):
        options = {key: value for key, value in options.items() if key != "cache"}
        maps[name] = layer.weights(*inputs[:3], **options)  # x, memory and mask

    for name, layer in model.named_modules():
        if isinstance(layer, MultiHeadAttention):
            hook = functools.partial(record, name)
            hooks.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return maps
