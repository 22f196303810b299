"""Checks of the exercises of chapter 5, Positions."""

import math

import torch

from minillm.checks import exercise, expect, require
from minillm.model.positions import Rotary, sinusoidal_table


@exercise("5.1")
def places_a_round(attempt):
    """A full circle, divided by the hand's speed."""
    for i, d_model, base in [(4, 64, 10_000), (3, 8, 10_000), (5, 128, 500_000), (0, 8, 10_000)]:
        speed = base ** (-2 * i / d_model)
        places = 2 * math.pi / speed
        known = [
            (
                lambda got, places=places: got in (int(places), int(places) + 1),
                "hands don't wait for a whole place: don't round",
            ),
            (1 / speed, "that is how long a hand needs for one radian; a round has 2π"),
            (math.pi / speed, "that is half a round; a whole one has 2π radians"),
            (360 / speed, "a round has 2π radians, not 360"),
            (speed, "that is the hand's speed, radians a place; how long is a whole round?"),
            (2 * math.pi * speed, "divide the circle by the speed; later hands are slower"),
            (speed / (2 * math.pi), "those are rounds a place; the other way round is asked for"),
            (2 * math.pi * base ** (i / d_model), "the exponent is 2i / d_model, not i / d_model"),
            (
                2 * math.pi * base ** (4 * i / d_model),
                "the exponent is 2i / d_model, not 4i / d_model",
            ),
            (2 * math.pi * base ** (2 * (i + 1) / d_model), "hands are counted from 0"),
            (2 * math.pi * 10_000 ** (2 * i / d_model), "the base was 10,000, whatever `base` is"),
        ]
        expect(attempt(i, d_model, base=base), places, known=known)


@exercise("5.2")
def distance_bias(attempt):
    """Numbers by distance, the last one for all that is further; nothing from the future."""
    cases = [([0.5, 0.25, -1.0], 5), ([0.5, 0.25, -1.0, 3.0], 2), ([2.0], 3)]
    for numbers, T in cases:
        numbers = torch.tensor(numbers)
        distance = torch.arange(T)[:, None] - torch.arange(T)  # (T, T): query minus key
        future, last = distance < 0, len(numbers) - 1
        right = numbers[distance.clamp(0, last)].masked_fill(future, -math.inf)
        backwards = (last - distance).clamp(0, last)
        ids = distance.clamp(0, last)
        known = [
            (right.masked_fill(future, 0.0), "the future has 0; -inf hides it"),
            (numbers[distance.clamp(0, last)], "the future is not hidden: -inf there"),
            (numbers[distance.abs().clamp(max=last)], "the future is not hidden: -inf there"),
            (right.T, "rows are queries, columns are keys; yours are the other way round"),
            (
                right.masked_fill(distance > last, -math.inf),
                "keys further back than the list is long share its last number",
            ),
            (
                right.masked_fill(distance > last, 0.0),
                "keys further back than the list is long share its last number",
            ),
            (
                numbers[backwards].masked_fill(future, -math.inf),
                "the list begins with distance 0, a word and itself",
            ),
            (
                numbers[(distance - 1).clamp(0, last)].masked_fill(future, -math.inf),
                "a word and itself are at distance 0, so it is the word before that gets number 1",
            ),
            (
                numbers[ids].masked_fill(distance > 0, -math.inf),
                "the past is hidden; hide the future, where the key stands after the query",
            ),
            (right.masked_fill(distance == 0, -math.inf), "a word reads itself too: distance 0"),
            ((-numbers)[ids].masked_fill(future, -math.inf), "no minus: the numbers are the bias"),
            (right.masked_fill(future, math.inf), "+inf lets the future win; -inf hides it"),
            (
                lambda got, right=right, future=future: (
                    torch.equal(got[~future], right[~future]) and (got[future] < -1e3).all()
                ),
                "that all but hides the future; -inf hides it for good",
            ),
            (
                ids.float().masked_fill(future, -math.inf),
                "those are the ids; look the numbers up with them",
            ),
            (
                numbers[(distance % len(numbers))].masked_fill(future, -math.inf),
                "far keys began the list anew; they share its last number",
            ),
        ]
        expect(attempt(numbers.clone(), T), right, known=known)


@exercise("5.3")
def rotate_neighbours(attempt):
    """Neighbours turned, each pair at its own speed."""
    ones = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).repeat(3, 1)
    for x in (ones, _numbers(5, 6), _numbers(12, 2)):
        known = [(wrong(x), why) for wrong, why in _NEIGHBOUR_MISTAKES]
        expect(attempt(x.clone()), _neighbours(x), known=known)
    lengths = attempt(_numbers(5, 6)).norm(dim=-1)
    require(
        torch.allclose(lengths, _numbers(5, 6).norm(dim=-1), atol=1e-4),
        "changed the length of a row; turning does not",
    )


@exercise("5.4")
def squeezed(attempt):
    """Places brought closer together until the text fits into what was trained."""
    for T, D, trained in [(6, 4, 8), (8, 4, 8), (8, 4, 2), (10, 6, 4)]:
        x = _numbers(T, D)
        places = torch.arange(T) * min(1.0, trained / T)
        t = torch.arange(T)
        known = [(_halves(x, wrong(t, T, trained)), why) for wrong, why in _PLACES_MISTAKES]
        known += [
            (_neighbours(x, places), "the places are right; pair i with i + D / 2, not neighbours"),
            (
                _halves(x * min(1.0, trained / T), t),
                "the numbers were made smaller, not the places",
            ),
            (_halves(x, places, sign=-1), "turned the wrong way: the minus stands before b sin"),
        ]
        expect(attempt(x.clone(), trained), _halves(x, places), known=known)


def _numbers(T, D):
    """The same numbers every time, no two rows alike."""
    return torch.randn(T, D, generator=torch.Generator().manual_seed(T * 100 + D))


def _angles(places, D, speed=2.0):
    """Place times frequency, (T, D / 2)."""
    return places[:, None] * 10_000 ** (-speed * torch.arange(D // 2) / D)


def _turned(a, b, places, sign=1, speed=2.0):
    """Pairs (a, b), (T, D / 2) each, turned by place times frequency."""
    angles = _angles(places, 2 * a.shape[1], speed)
    cos, sin = angles.cos(), sign * angles.sin()
    return a * cos - b * sin, b * cos + a * sin


def _halves(x, places, **options):
    a, b = x.chunk(2, dim=1)
    return torch.cat(_turned(a, b, places, **options), dim=1)


def _neighbours(x, places=None, **options):
    places = torch.arange(len(x)) if places is None else places
    pair = _turned(x[:, 0::2], x[:, 1::2], places, **options)
    return torch.stack(pair, dim=-1).flatten(1)


def _one_after_the_other(x):
    """Turned in place: the second number of a pair reads the first when it has been turned."""
    angles = _angles(torch.arange(len(x)), x.shape[1])
    a = x[:, 0::2] * angles.cos() - x[:, 1::2] * angles.sin()
    return torch.stack((a, x[:, 1::2] * angles.cos() + a * angles.sin()), dim=-1).flatten(1)


def _both_plus(x):
    """A turn with the sign of its first sine lost."""
    a, b, angles = x[:, 0::2], x[:, 1::2], _angles(torch.arange(len(x)), x.shape[1])
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((a * cos + b * sin, b * cos + a * sin), dim=-1).flatten(1)


def _halves_side_by_side(x):
    """The columns 0, D / 2, 1, D / 2 + 1 and so on."""
    return torch.arange(x.shape[1]).view(2, -1).T.flatten()


_NEIGHBOUR_MISTAKES = [
    (lambda x: x, "nothing was turned"),
    (
        lambda x: Rotary(len(x), x.shape[1])(x),
        "that pairs i with i + D / 2, as Llama does; pair neighbours, 2i and 2i + 1",
    ),
    (lambda x: _neighbours(x, sign=-1), "turned the wrong way: the minus stands before b sin"),
    (
        lambda x: torch.cat(_turned(x[:, 0::2], x[:, 1::2], torch.arange(len(x))), dim=1),
        "the right numbers, left apart in two halves; put each pair side by side again",
    ),
    (_both_plus, "a plus in both lines; the first number of a pair is a cos - b sin"),
    (
        _one_after_the_other,
        "the second number was made from the turned first one; keep the first as it was",
    ),
    (
        lambda x: _neighbours(x).view(len(x), -1, 2).flip(-1).flatten(1),
        "the right numbers, but the two of each pair have changed places",
    ),
    (
        lambda x: x + sinusoidal_table(*x.shape),
        "that adds the clock to x; turn the pairs of x by its angles",
    ),
    (
        lambda x: _neighbours(x[:, _halves_side_by_side(x)]),
        "that takes its pairs from the two halves; the pairs are neighbours, 2i and 2i + 1",
    ),
    (lambda x: _neighbours(x, torch.arange(len(x)) + 1), "the first row is at place 0, not 1"),
    (
        lambda x: _neighbours(x, speed=0.0),
        "all pairs were turned at one speed; pair i has frequency 10000^(-2i / D)",
    ),
    (
        lambda x: _neighbours(x, speed=1.0),
        "the frequency of pair i is 10000^(-2i / D), not 10000^(-i / D)",
    ),
    (
        lambda x: _neighbours(x, speed=4.0),
        "the frequency of pair i is 10000^(-2i / D); yours skips every other one",
    ),
]

_PLACES_MISTAKES = [
    (lambda t, T, fit: 0 * t, "nothing was turned"),
    (lambda t, T, fit: t, "the places were not squeezed: word t stands at t * trained / T"),
    (lambda t, T, fit: t * fit / T, "a text that fits keeps its places: don't stretch it"),
    (lambda t, T, fit: t * T / fit, "stretched, not squeezed: it is trained / T, not T / trained"),
    (lambda t, T, fit: (t * fit / T).floor(), "places need not be whole: don't round them"),
    (
        lambda t, T, fit: (t * min(1, fit / T)).round(),
        "places need not be whole: don't round them",
    ),
    (
        lambda t, T, fit: t * min(1, (fit - 1) / (T - 1)),
        "the last word stands at (T - 1) * trained / T, a little past place trained - 1",
    ),
    (
        lambda t, T, fit: t * min(fit, T) / (T - 1),
        "that divides by T - 1; word t stands at t * trained / T",
    ),
    (lambda t, T, fit: t % fit, "the clock began anew; squeeze all places evenly"),
    (lambda t, T, fit: t.clamp(max=fit - 1), "the last words share a place; squeeze all evenly"),
]
