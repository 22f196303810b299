"""Checks of the exercises of chapter 4, Multi-head attention."""

import torch

from minillm.checks import exercise, expect
from minillm.model.attention import attention


@exercise("4.1")
def merge_heads(attempt):
    """Heads side by side again, tokens first."""
    for sizes in [(1, 2, 3, 2), (2, 3, 4, 5), (2, 1, 4, 3)]:
        B, H, T, D = sizes
        # The tens say which token, the units which column of the width, the hundreds which head.
        y = 100 * torch.arange(H)[:, None, None] + 10 * torch.arange(T)[:, None] + torch.arange(D)
        y = (y + 1000 * torch.arange(B)[:, None, None, None]).float()
        tokens_first = y.transpose(1, 2)
        mixed = (
            "the shape is right, but one token's row holds numbers of others: tokens before heads, "
        )
        known = [
            (y.reshape(B, T, H * D), mixed + "then join"),
            (y.transpose(2, 3).reshape(B, T, H * D), mixed + "transpose dimensions 1 and 2"),
            (tokens_first, "the tokens are first; now join heads and width into one dimension"),
            (
                tokens_first.transpose(2, 3).flatten(2),
                "the heads' columns are interleaved; all of head 0 comes first, then head 1",
            ),
            (tokens_first.flip(2).flatten(2), "the heads are in reverse; head 0 comes first"),
            (y.flatten(2), "tokens and width were joined; bring the tokens before the heads first"),
            (y.flatten(1, 2), "heads and tokens were joined; heads and width are to be"),
            (tokens_first.flatten(1, 2), "tokens and heads were joined; heads and width are to be"),
            (
                y.transpose(1, 3).flatten(2),
                "heads and width changed places; tokens and heads are to, dimensions 1 and 2",
            ),
            (y.sum(1), "the heads were added; lay them side by side"),
            (y.mean(1), "the heads were averaged; lay them side by side"),
        ]
        expect(attempt(y.clone()), tokens_first.flatten(2), known=known)


@exercise("4.2")
def tokens_that_fit(attempt):
    """Bytes over the bytes of one token, rounded down."""
    for n_bytes, n_layers, n_kv_heads, d_head in [
        (2**30, 32, 8, 128),
        (10**9, 80, 8, 128),
        (5 * 10**8, 32, 1, 64),
        (1000, 2, 2, 64),
    ]:
        token = 4 * n_layers * n_kv_heads * d_head
        known = [
            (n_bytes // (token // 2), "half of a token: keys and values, and two bytes a number"),
            (n_bytes // (token // 4), "a number takes two bytes, and there are keys and values"),
            (n_bytes // (token * 8), "two bytes a number, not sixteen: that counts bits"),
            (n_bytes // (token // n_layers), "each layer keeps keys and values of its own"),
            (n_bytes // (token // n_kv_heads), "each key head keeps keys of its own"),
            (n_bytes // (token // d_head), "a key is d_head numbers, not one"),
            (
                n_bytes // (token * 2),
                "twice a token: keys, values and two bytes make a factor of 4",
            ),
            (
                n_bytes // 2 * n_layers * n_kv_heads * d_head * 2,
                "// and * go from left to right; put the cost of a token in parentheses",
            ),
            (token, "that is what one token costs; how many of them fit into n_bytes?"),
            (-(-n_bytes // token), "rounded up; the last of these tokens doesn't fit"),
            (n_bytes / token, "part of a token doesn't fit; // drops the rest"),
        ]
        fits = n_bytes // token
        got = attempt(n_bytes, n_layers, n_kv_heads, d_head)
        expect(got, fits, known=[pair for pair in known if pair[0] != fits])


@exercise("4.3")
def look_back(attempt):
    """The mean distance between the position that reads and the one that is read, by head."""
    own = torch.eye(3)
    first = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 0]])
    before = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0.5, 0.5]])
    g = torch.Generator().manual_seed(0)
    drawn = torch.rand(2, 2, 5, 5, generator=g).tril()
    for weights in (torch.stack((own, first, before))[None], drawn / drawn.sum(-1, keepdim=True)):
        T = weights.shape[-1]
        t = torch.arange(T)
        distance = t[:, None] - t  # (T, T)
        each = (weights * distance).sum(-1)  # (B, H, T)
        read = weights * t
        known = [
            (-each.mean((0, 2)), "the sign: distance is the reader's position minus the other's"),
            (each, "one number for each position; take the mean over positions and texts"),
            (each.mean(2), "one row for each text; take the mean over texts too"),
            (each.mean(0), "one number for each position; take the mean over positions too"),
            (each.mean(), "one number for all heads; each head has its own"),
            (each.mean((1, 2)), "one number for each text; each head has its own"),
            (
                each[..., 1:].mean((0, 2)),
                "position 0 was left out; it looks back 0, and counts in the mean",
            ),
            (each.mean((0, 2)) + 1, "one too far; a position that reads itself looks back 0"),
            (each.sum((0, 2)), "summed over positions and texts; take the mean"),
            (each.sum(2).mean(0), "summed over positions; take the mean"),
            (each.mean(2).sum(0), "summed over texts; take the mean"),
            (
                (weights * distance).mean((0, 2, 3)),
                "a mean over keys as well: the weights sum to one, so sum over the keys",
            ),
            (
                read.sum(-1).mean((0, 2)),
                "that is the position that is read, not how far back it is",
            ),
            (
                (t - weights.argmax(-1)).float().mean((0, 2)),
                "the distance of the largest weight alone; every weight counts",
            ),
            (
                (weights * distance).sum(-2).mean((0, 2)),
                "summed over the queries; a row of weights, the last dimension, sums to one",
            ),
            (
                distance.abs().float().mean().expand(weights.shape[1]),
                "the weights play no part; multiply each distance by its weight",
            ),
        ]
        right = each.mean((0, 2))
        known = [(wrong, why) for wrong, why in known if not _same(wrong, right)]
        expect(attempt(weights.clone()), right, known=known)


@exercise("4.4")
def grouped_attention(attempt):
    """Each query head reads with the key head of its group."""
    g = torch.Generator().manual_seed(0)
    for H, G in [(4, 2), (6, 2), (3, 1), (2, 2)]:
        q = torch.randn(2, H, 5, 4, generator=g)
        k, v = torch.randn(2, 2, G, 5, 4, generator=g)
        group = H // G
        grouped = attention(q, *(y.repeat_interleave(group, dim=1) for y in (k, v)))
        tiled = attention(q, *(y.repeat(1, group, 1, 1) for y in (k, v)))
        first = attention(q, k[:, :1], v[:, :1])
        mean = attention(q, k.mean(1, keepdim=True), v.mean(1, keepdim=True))
        turned = grouped.unflatten(1, (G, group)).transpose(1, 2).flatten(1, 2)
        swapped = attention(q, *(y.repeat_interleave(group, dim=1) for y in (v, k)))
        unscaled = attention(2 * q, *(y.repeat_interleave(group, dim=1) for y in (k, v)))  # D is 4
        order = tiled.unflatten(1, (group, G)).transpose(1, 2).flatten(1, 2)
        known = [
            (grouped.unflatten(1, (G, group)), "join the groups and the heads in them again"),
            (grouped.transpose(1, 2).flatten(2), "keep the heads apart: (B, H, T, D) is asked for"),
            (tiled, "query head h reads key head h // (H / G), not h % G"),
            (
                tiled.unflatten(1, (group, G)),
                "neighbouring heads are a group: (G, H / G), in order",
            ),
            (order, "the heads come out in another order than they went in"),
            (turned, "the heads come out in another order; flatten needs no transpose before it"),
            (swapped, "keys and values have changed places"),
            (unscaled, "the scores are not divided by the root of D; let `attention` do it"),
            (first, "all heads read key head 0; each group has its own"),
            (mean, "the key heads were averaged; each group has its own"),
        ]
        what = f"grouped_attention(q, k, v) with {H} query heads and {G} key heads"
        known = [(wrong, why) for wrong, why in known if not _same(wrong, grouped)]
        expect(attempt(q.clone(), k.clone(), v.clone()), grouped, what=what, known=known)


@exercise("4.5")
def pool_heads(attempt):
    """The mean of each group's key heads, and of its value heads; the queries as they are."""
    g = torch.Generator().manual_seed(0)
    for C, H, G in [(8, 4, 2), (12, 6, 2), (12, 3, 1), (8, 2, 2)]:
        weight = torch.randn(3 * C, C, generator=g)
        D, group = C // H, H // G
        parts = weight.chunk(3)
        q, (k, v) = parts[0], (y.unflatten(0, (G, group, D)) for y in parts[1:])
        apart = [y.unflatten(0, (group, G, D)).mean(0).flatten(0, 1) for y in parts[1:]]
        inside = [y.unflatten(0, (G, D, group)).mean(2).flatten(0, 1) for y in parts[1:]]
        pooled = [y.mean(1).flatten(0, 1) for y in (q.unflatten(0, (G, group, D)), k, v)]
        right = torch.cat((q, *pooled[1:]))
        known = [
            (
                torch.cat((q, *apart)),
                f"heads 0 and {G} were pooled; neighbouring heads are a group",
            ),
            (torch.cat((q, *inside)), "rows of one head were pooled; the mean is over heads"),
            (
                torch.cat((q, *(y.sum(1).flatten(0, 1) for y in (k, v)))),
                "the heads of a group were added; take their mean",
            ),
            (
                torch.cat((q, *(y[:, 0].flatten(0, 1) for y in (k, v)))),
                "the first head of each group was kept; take the mean of all",
            ),
            (torch.cat(pooled), "the queries were pooled too; each head keeps its own"),
            (
                torch.cat((q, pooled[1], parts[2])),
                "the values were left as they are; pool them too",
            ),
            (torch.cat((q, pooled[2], pooled[1])), "values before keys: keys come second"),
            (torch.cat(pooled[1:]), "the queries are missing; they stay as they are"),
            (torch.cat((q, pooled[1])), "the values are missing; pool them too"),
            (
                torch.cat((q, *(y[: G * D] for y in parts[1:]))),
                f"the first {G} heads were kept; each new head is the mean of a group",
            ),
            (
                torch.cat([y.unflatten(0, (-1, D)) for y in (q, *pooled[1:])]),
                "heads and rows are apart; join them again with flatten(0, 1)",
            ),
            (
                torch.cat((q, *(y.repeat_interleave(group, 0) for y in pooled[1:]))),
                "each pooled head was kept once for each query head; once for each group is asked",
            ),
        ]
        what = f"pool_heads(a weight of shape {tuple(weight.shape)}, {H}, {G})"
        known = [(wrong, why) for wrong, why in known if not _same(wrong, right)]
        expect(attempt(weight.clone(), H, G), right, what=what, known=known)


def _same(a, b):
    return a.shape == b.shape and torch.allclose(a, b)
