"""Checks of the exercises of chapter 6, The Transformer."""

import torch
import torch.nn.functional as F
from torch import nn

from minillm.checks import exercise, expect, require
from minillm.model.layers import LayerNorm
from minillm.model.transformer import Block, TransformerConfig


@exercise("6.1")
def pre_norm_stack(attempt):
    """Layers added to the stream, each reading a normalised copy; one norm at the end."""
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.0, -1.0, 4.0, 1.0]])

    def norm(x):
        return F.layer_norm(x, x.shape[-1:])

    turn = torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    for layers in ([torch.sin, lambda x: x @ turn, lambda x: 3 * x**2], [lambda x: 2 * x + 1], []):
        known = [(_stack(x, layers, norm, **kind), why) for kind, why in _STACK_MISTAKES]
        what = f"pre_norm_stack(x, a list of {len(layers)} layers, norm)"
        expect(attempt(x.clone(), list(layers), norm), _stack(x, layers, norm), what, known)


def _stack(
    x, layers, norm, add=True, before=True, answer=False, after=False, last=True, on_stream=False,
    count=None,
):  # fmt: skip
    for layer in layers[:count]:
        x = norm(x) if on_stream else x
        y = layer(norm(x) if before else x)
        y = norm(y) if answer else y
        x = x + y if add else y
        x = norm(x) if after else x
    return norm(x) if last else x


_ON_ANSWER = "the norm stands on what each layer answers; it should stand on what the layer reads"
_STACK_MISTAKES = [
    ({"last": False}, "the norm at the end of the stack is missing"),
    ({"add": False}, "each layer's answer is added to x; here it replaces x"),
    ({"add": False, "last": False}, "each layer's answer is added to x; here it replaces x"),
    ({"before": False}, "the layers read x as it is; each should read norm(x)"),
    ({"before": False, "last": False}, "there is no norm at all; each layer should read norm(x)"),
    (
        {"before": False, "after": True, "last": False},
        "that is post-norm: the norm stands on the stream after each sum",
    ),
    (
        {"before": False, "after": True},
        "that is post-norm: the norm stands on the stream after each sum",
    ),
    ({"before": False, "answer": True}, _ON_ANSWER),
    ({"before": False, "answer": True, "last": False}, _ON_ANSWER),
    ({"count": 1}, "only the first layer ran: return after the loop, not inside it"),
    ({"count": 1, "last": False}, "only the first layer ran: return after the loop, not inside it"),
    (
        {"on_stream": True},
        "the stream itself was normalised: write x + layer(norm(x)), not norm(x) + ...",
    ),
    (
        {"on_stream": True, "last": False},
        "the stream itself was normalised: write x + layer(norm(x)), not norm(x) + ...",
    ),
]


@exercise("6.2")
def count_parameters(attempt):
    """Parameters of one block, by arithmetic."""
    for C, d_ff, cross in [(64, 200, True), (64, 200, False), (10, 44, True), (512, 2048, False)]:
        config = TransformerConfig(1, 1, d_model=C, n_heads=2, d_ff=d_ff)
        with torch.device("meta"):
            right = sum(p.numel() for p in Block(config, cross=cross).parameters())
        n = 2 if cross else 1
        known = [
            (
                n * 4 * C * C + 2 * C * d_ff,
                "these are the matrices alone: biases and norms are missing",
            ),
            (right - n * 4 * C - d_ff - C, "the biases of the matrices are missing"),
            (right - n * 4 * C, "the biases of attention's matrices are missing"),
            (right - d_ff - C, "the biases of the feed-forward layer are missing"),
            (right - d_ff, "the bias of the widening matrix is missing"),
            (right - C, "one bias of C numbers is missing"),
            (right - (n + 1) * 2 * C, "the norms are missing"),
            (right - (n + 1) * C, "a layer norm has a gain and a bias, 2C numbers"),
            (right + 2 * C * (4 * C - d_ff), "the width inside is d_ff, not 4 * d_model"),
            (right + (2 * C + 1) * (4 * C - d_ff), "the width inside is d_ff, not 4 * d_model"),
            (12 * C * C, "that is the rule of thumb: count with d_ff, the biases and the norms"),
            (right + 2 * C, "a block has one norm for each of its layers, not one more"),
            (right - n * (C * C + C), "attention has four matrices: the output's is missing"),
            (right - d_ff * C - C, "the narrowing matrix of the feed-forward layer is missing"),
        ]
        if cross:
            attention = 4 * (C * C + C)
            known += [
                (right - attention - 2 * C, "cross=True adds an attention and its norm"),
                (right - 2 * C, "the cross-attention has a norm of its own"),
                (right - attention, "with cross=True there are two attentions"),
            ]
        expect(attempt(C, d_ff, cross=cross), right, known=known)


def _is_scores(got):
    return any(isinstance(i, float) for i in got)


def _is_tensors(got):
    return any(isinstance(i, torch.Tensor) for i in got)


@exercise("6.3")
def greedy(attempt):
    """The likeliest next token, again and again, until the end."""
    START, END = 1, 2
    table = {(1,): 5, (1, 5): 3, (1, 5, 3): 5, (1, 5, 3, 5): 2}

    def scores_of(script):
        def next_scores(prefix):
            kind = type(prefix).__name__
            require(kind == "list", f"called next_scores with {kind}, not the list of ids so far")
            begun = prefix[:1] == [START]
            require(
                begun, f"called next_scores({prefix}): the ids so far begin with start, {START}"
            )
            require(len(prefix) < 50, "goes on for ever: stop after max_new_tokens")
            best = script(tuple(prefix))
            return [3.0 if i == best else -float(i) for i in range(7)]

        return next_scores

    right = [5, 3, 5]
    known = [
        ([START, *right], "the start is no part of the sentence"),
        ([START, *right, END], "start and end are no part of the sentence"),
        ([*right, END], "the end is no part of the sentence"),
        ([5], "after one token it stopped: go round until the end"),
        (lambda got: 6 in got, "that takes the smallest score; take the largest"),
        (_is_scores, "these are the scores; take the index of the largest"),
        (_is_tensors, "an id is an integer: take .item() of a tensor before you append it"),
        (lambda got: len(got) > 4, "it does not stop at the end"),
    ]
    what = "on a model that writes 5, 3, 5, end"
    expect(
        attempt(scores_of(lambda p: table.get(p, 4)), START, END, 10),
        right,
        what + ", greedy",
        known,
    )
    endless = attempt(scores_of(lambda p: 4), START, END, 6)
    known = [
        ([4] * 5, "one too few: neither the start nor an end that never came counts"),
        ([4] * 7, "one too many"),
    ]
    expect(endless, [4] * 6, "on a model that never ends, max_new_tokens=6, greedy", known)
    expect(
        attempt(scores_of(lambda p: END), START, END, 6),
        [],
        "on a model that ends at once, greedy",
        [([END], "the end is no part of the sentence")],
    )


@exercise("6.4")
def fold_norm(attempt):
    """Gain and bias of a norm moved into the matrix behind it."""
    torch.manual_seed(6)
    norm, linear = LayerNorm(4), nn.Linear(4, 4)
    for p in (*norm.parameters(), *linear.parameters()):
        nn.init.normal_(p)
    wide = nn.Linear(4, 6)
    x = torch.randn(5, 4)
    for layer in (linear, wide):
        gain, shift = norm.weight.detach(), norm.bias.detach()
        W, b = layer.weight.detach(), layer.bias.detach()
        got = attempt(gain, shift, W, b)
        require(
            isinstance(got, tuple | list) and len(got) == 2,
            "should return two tensors, the new weight and the new bias",
        )
        new_W, new_b = got
        n = len(W)
        square = n == W.shape[1]
        shapes = [getattr(tensor, "shape", None) for tensor in got]
        swapped = shapes == [b.shape, W.shape]
        require(not swapped, "gave the bias first: return the weight, then the bias")
        known = [
            (W, "the weight did not change: scale its columns by the gain"),
            (W / gain, "multiply by the gain, don't divide"),
        ]
        if square:
            known.append(
                (W * gain[:, None], "the gain scales what goes in: columns of W, not rows")
            )
        known.append(((W * gain).T, "nn.Linear keeps its weight as (out, in): not transposed"))
        expect(new_W, W * gain, "fold_norm(gain, shift, W, b): the weight", known)
        known = [
            (b, "the norm's bias got lost: W @ shift goes into the new bias"),
            (W @ shift, "the layer's own bias got lost"),
            (b + (W * gain) @ shift, "the shift comes after the gain: multiply it by the old W"),
            (b - W @ shift, "add W @ shift, don't subtract it"),
        ]
        if square:
            known += [
                (b + shift, "the shift goes through the matrix too: W @ shift"),
                (b + shift @ W, "shift @ W sums over the rows; it should be W @ shift"),
            ]
        expect(new_b, b + W @ shift, "fold_norm(gain, shift, W, b): the bias", known)
        plain = F.layer_norm(x, (4,))
        expect(F.linear(plain, new_W, new_b), layer(norm(x)).detach(), "the folded layer")
