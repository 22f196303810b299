"""Where a token stands: learned, sinusoidal, rotary and ALiBi positions.

Attention alone sees a set of tokens, not a sequence. Learned and sinusoidal positions are vectors
added to the token embeddings; rotary positions turn queries and keys; ALiBi lowers the scores of
distant keys. But: no scaling tricks for contexts longer than the one trained on.
"""

import math

import torch
from torch import nn


def look_up(table, positions):
    """The rows of a table (context_length, C) at `positions`, integers (..., T) or a slice.

    >>> look_up(torch.arange(8)[:, None], slice(5, 7)).tolist()
    [[5], [6]]

    Raises:
        ValueError: for a slice that ends past the table. Cut short in silence, it would leave too
            few rows, and a single one would be added to every token.

    Built in chapter 5.
    """
    if isinstance(positions, slice) and (positions.stop or 0) > len(table):
        asked = f"positions {positions.start or 0} to {positions.stop - 1}"
        raise ValueError(f"{asked} asked for, there are {len(table)}, counted from 0")
    return table[positions]  # (..., T, C)


class LearnedPositions(nn.Embedding):
    """One trained vector for each position, as in GPT-2 and BERT.

    Called with positions below `context_length`, integers (..., T) or a slice of T of them;
    returns (..., T, d_model).

    Raises:
        ValueError: for a slice that ends past `context_length`.

    Source: Gehring et al. 2017, arXiv:1705.03122, section 3.1; GPT-2 uses them unchanged.
    Built in chapter 5.
    """

    def __init__(self, context_length, d_model):
        super().__init__(context_length, d_model)

    def forward(self, positions):
        return look_up(self.weight, positions)  # (..., T, C)


def sinusoidal_table(context_length, d_model):
    """The sines and cosines of the first Transformer: a clock with d_model / 2 hands.

    Column 2i holds sin(t / 10000^(2i / d_model)), column 2i + 1 the cosine of the same angle.
    Returns a (context_length, d_model) tensor of floats.

    >>> sinusoidal_table(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    Built in chapter 5.
    """
    t = torch.arange(context_length)[:, None]  # (T, 1)
    frequency = 10_000 ** (-torch.arange(0, d_model, 2) / d_model)  # (C / 2,)
    angles = t * frequency  # (T, C / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :d_model]  # (T, C)


class SinusoidalPositions(nn.Module):
    """`sinusoidal_table` as a layer: takes, returns and raises what `LearnedPositions` does.

    Nothing in it is trained and nothing is saved with the model.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    Built in chapter 5.
    """

    def __init__(self, context_length, d_model):
        super().__init__()
        self.register_buffer("table", sinusoidal_table(context_length, d_model), persistent=False)

    def forward(self, positions):
        return look_up(self.table, positions)  # (..., T, C)


class Rotary(nn.Module):
    """Turns each query and key by an angle that grows with its position.

    Dimension i is paired with i + D / 2, and the pair is turned by t * 10000^(-2i / D) radians at
    position t. Two turned vectors have a dot product that depends on their distance alone.

    Called with x (B, H, T, D), D even, and `start`, the position of its first token; returns the
    same shape.

    Raises:
        ValueError: for an odd width, or tokens past `context_length`.

    Source: Su et al. 2021, arXiv:2104.09864, section 3.4; pairs as in Llama.
    Built in chapter 5.
    """

    def __init__(self, context_length, d_head):
        super().__init__()
        if d_head % 2:
            raise ValueError(f"rotary positions turn pairs: d_head ({d_head}) must be even")
        frequency = 10_000 ** (-torch.arange(0, d_head, 2) / d_head)  # (D / 2,)
        angles = torch.arange(context_length)[:, None] * frequency  # (T, D / 2)
        # (a, b) turned by an angle is (a cos - b sin, b cos + a sin): the minus sits in the table.
        cos = torch.cat((angles.cos(), angles.cos()), dim=-1)  # (T, D)
        sin = torch.cat((-angles.sin(), angles.sin()), dim=-1)  # (T, D)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x, start=0):
        T, D = x.shape[-2:]
        places = slice(start, start + T)
        cos, sin = look_up(self.cos, places), look_up(self.sin, places)  # (T, D) each
        swapped = x.roll(D // 2, dims=-1)  # (a, b) becomes (b, a)
        return x * cos + swapped * sin


def alibi_slopes(n_heads):
    """How steeply the scores of each head fall with distance, a (n_heads,) tensor.

    For a power of two: 2^(-8/n), 2^(-16/n), ... down to 2^-8. For other counts the paper takes the
    slopes of the next lower power of two, then every second one of the next higher.

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]

    Source: Press et al. 2021, arXiv:2108.12409, section 3, and the authors' code.
    Built in chapter 5.
    """
    power = 2 ** math.floor(math.log2(n_heads))
    slopes = 2 ** (-8 / power * torch.arange(1, power + 1))
    between = 2 ** (-4 / power * torch.arange(1, 2 * power, 2))
    return torch.cat((slopes, between))[:n_heads]


def alibi_bias(n_heads, T_query, T_key, device=None):
    """What ALiBi adds to the scores: minus slope times distance. No other positions are needed.

    The queries are the last T_query of the T_key positions. Returns (n_heads, T_query, T_key);
    keys later than the query, which a causal mask hides, get a positive number.

    >>> alibi_bias(1, 1, 3).tolist()
    [[[-0.0078125, -0.00390625, -0.0]]]

    Source: Press et al. 2021, arXiv:2108.12409, section 3.
    Built in chapter 5.
    """
    key = torch.arange(T_key, device=device)
    query = key[T_key - T_query :]
    distance = query[:, None] - key  # (T_query, T_key)
    return -alibi_slopes(n_heads).to(device)[:, None, None] * distance  # (H, T_query, T_key)
