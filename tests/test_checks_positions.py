"""Chapter 5's exercise checks: the mistakes that learners make, each with its diagnosis."""

import math

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import positions as check
from minillm.model.positions import Rotary, sinusoidal_table


def distances(T):
    return torch.arange(T)[:, None] - torch.arange(T)


def future_zero(numbers, T):
    d = distances(T)
    return numbers[d.clamp(0, len(numbers) - 1)].masked_fill(d < 0, 0.0)


def no_mask(numbers, T):
    return numbers[distances(T).clamp(0, len(numbers) - 1)]


def key_minus_query(numbers, T):
    d = -distances(T)
    return numbers[d.clamp(0, len(numbers) - 1)].masked_fill(d < 0, -math.inf)


def far_hidden(numbers, T):
    d = distances(T)
    bias = numbers[d.clamp(0, len(numbers) - 1)]
    return bias.masked_fill((d < 0) | (d >= len(numbers)), -math.inf)


def no_clamp(numbers, T):
    d = distances(T)
    return numbers[d].masked_fill(d < 0, -math.inf)


def anew(numbers, T):
    d = distances(T)
    return numbers[d % len(numbers)].masked_fill(d < 0, -math.inf)


def right_bias(numbers, T):
    return numbers[distances(T).clamp(0, len(numbers) - 1)].masked_fill(distances(T) < 0, -math.inf)


def counted_from_one(numbers, T):
    d = distances(T)
    return numbers[(d - 1).clamp(0, len(numbers) - 1)].masked_fill(d < 0, -math.inf)


def past_hidden(numbers, T):
    d = distances(T)
    return numbers[d.clamp(0, len(numbers) - 1)].masked_fill(d > 0, -math.inf)


def itself_hidden(numbers, T):
    return right_bias(numbers, T).masked_fill(distances(T) == 0, -math.inf)


def angles_of(T, D):
    return torch.arange(T)[:, None] * 10_000 ** (-torch.arange(0, D, 2) / D)


def as_llama(x):
    return Rotary(len(x), x.shape[1])(x)


def backwards(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], angles_of(*x.shape)
    turned = (a * angles.cos() + b * angles.sin(), b * angles.cos() - a * angles.sin())
    return torch.stack(turned, dim=-1).flatten(1)


def left_apart(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], angles_of(*x.shape)
    turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
    return torch.cat(turned, dim=1)


def one_speed(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], torch.arange(len(x))[:, None]
    turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
    return torch.stack(turned, dim=-1).flatten(1)


def one_after_the_other(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], angles_of(*x.shape)
    a = a * angles.cos() - b * angles.sin()
    b = b * angles.cos() + a * angles.sin()
    return torch.stack((a, b), dim=-1).flatten(1)


def both_plus(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], angles_of(*x.shape)
    turned = (a * angles.cos() + b * angles.sin(), b * angles.cos() + a * angles.sin())
    return torch.stack(turned, dim=-1).flatten(1)


def places_changed(x):
    a, b, angles = x[:, 0::2], x[:, 1::2], angles_of(*x.shape)
    turned = (b * angles.cos() + a * angles.sin(), a * angles.cos() - b * angles.sin())
    return torch.stack(turned, dim=-1).flatten(1)


def pairs_of_halves(x):
    (a, b), angles = x.chunk(2, dim=1), angles_of(*x.shape)
    turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
    return torch.stack(turned, dim=-1).flatten(1)


def in_place(x):
    a, b, angles = x[:, 0::2].clone(), x[:, 1::2].clone(), angles_of(*x.shape)
    x[:, 0::2] = a * angles.cos() - b * angles.sin()
    x[:, 1::2] = b * angles.cos() + a * angles.sin()
    return x


def at_places(x, places):
    D = x.shape[1]
    angles = places[:, None] * 10_000 ** (-torch.arange(0, D, 2) / D)
    a, b = x.chunk(2, dim=1)
    turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
    return torch.cat(turned, dim=1)


def not_squeezed(x, trained):
    return at_places(x, torch.arange(len(x)))


def always_squeezed(x, trained):
    return at_places(x, torch.arange(len(x)) * trained / len(x))


def stretched(x, trained):
    return at_places(x, torch.arange(len(x)) * max(1, len(x) / trained))


def whole_places(x, trained):
    return at_places(x, (torch.arange(len(x)) * min(1, trained / len(x))).floor())


def rounded(x, trained):
    return at_places(x, (torch.arange(len(x)) * min(1, trained / len(x))).round())


def to_the_last_place(x, trained):
    return at_places(x, torch.linspace(0, min(trained, len(x)) - 1, len(x)))


def by_one_less(x, trained):
    return at_places(x, torch.linspace(0, min(trained, len(x)), len(x)))


def smaller_numbers(x, trained):
    return at_places(x * min(1, trained / len(x)), torch.arange(len(x)))


def round_and_round(x, trained):
    return at_places(x, torch.arange(len(x)) % trained)


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("places_a_round", lambda i, d, base=10_000: base ** (2 * i / d), "one radian"),
        ("places_a_round", lambda i, d, base=10_000: base ** (-2 * i / d), "the hand's speed"),
        (
            "places_a_round",
            lambda i, d, base=10_000: 2 * math.pi * base ** (-2 * i / d),
            "later hands are slower",
        ),
        (
            "places_a_round",
            lambda i, d, base=10_000: 2 * math.pi * base ** (i / d),
            "the exponent is 2i",
        ),
        (
            "places_a_round",
            lambda i, d, base=10_000: 2 * math.pi * 10_000 ** (2 * i / d),
            "whatever `base` is",
        ),
        (
            "places_a_round",
            lambda i, d, base=10_000: math.ceil(2 * math.pi * base ** (2 * i / d)),
            "don't round",
        ),
        (
            "places_a_round",
            lambda i, d, base=10_000: 2 * math.pi * base ** (4 * i / d),
            "not 4i / d_model",
        ),
        ("distance_bias", future_zero, "-inf hides it"),
        ("distance_bias", no_mask, "the future is not hidden"),
        ("distance_bias", key_minus_query, "the other way round"),
        ("distance_bias", far_hidden, "share its last number"),
        ("distance_bias", anew, "began the list anew"),
        ("distance_bias", no_clamp, "IndexError"),
        ("distance_bias", counted_from_one, "gets number 1"),
        ("distance_bias", past_hidden, "the past is hidden"),
        ("distance_bias", itself_hidden, "a word reads itself too"),
        ("distance_bias", lambda numbers, T: right_bias(-numbers, T), "no minus"),
        (
            "distance_bias",
            lambda numbers, T: right_bias(numbers, T).masked_fill(distances(T) < 0, math.inf),
            "lets the future win",
        ),
        (
            "distance_bias",
            lambda numbers, T: right_bias(numbers, T).masked_fill(distances(T) < 0, -1e9),
            "all but hides",
        ),
        (
            "distance_bias",
            lambda numbers, T: right_bias(torch.arange(float(len(numbers))), T),
            "those are the ids",
        ),
        ("rotate_neighbours", lambda x: x, "nothing was turned"),
        ("rotate_neighbours", as_llama, "as Llama does"),
        ("rotate_neighbours", backwards, "the wrong way"),
        ("rotate_neighbours", left_apart, "two halves"),
        ("rotate_neighbours", one_speed, "at one speed"),
        ("rotate_neighbours", both_plus, "a plus in both lines"),
        ("rotate_neighbours", one_after_the_other, "from the turned first one"),
        ("rotate_neighbours", places_changed, "have changed places"),
        ("rotate_neighbours", lambda x: x + sinusoidal_table(*x.shape), "adds the clock"),
        ("rotate_neighbours", pairs_of_halves, "from the two halves"),
        ("rotate_neighbours", in_place, "work on a copy"),
        ("squeezed", not_squeezed, "were not squeezed"),
        ("squeezed", always_squeezed, "don't stretch it"),
        ("squeezed", stretched, "T / trained"),
        ("squeezed", whole_places, "don't round them"),
        ("squeezed", rounded, "don't round them"),
        ("squeezed", to_the_last_place, "a little past"),
        ("squeezed", by_one_less, "divides by T - 1"),
        ("squeezed", smaller_numbers, "not the places"),
        ("squeezed", round_and_round, "began anew"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
