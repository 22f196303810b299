"""Chapter 11's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import lora as check


def svd(before, after):
    return torch.linalg.svd(after - before, full_matrices=False)


def counted_rank(update, share, power=2, offset=1, tolerance=1e-6):
    values = torch.linalg.svdvals(update) ** power
    held = (values / values.sum()).cumsum(0)
    return int((held < share - tolerance).sum()) + offset


def smallest_first(update, share):
    values = torch.linalg.svdvals(update).flip(0) ** 2
    values = values[values > 1e-9]
    return int(((values / values.sum()).cumsum(0) < share - 1e-6).sum()) + 1


def no_scale(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:r], U[:, :r] * S[:r]


def scaled_up(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:r], U[:, :r] * S[:r] * lora_alpha / r


def backwards(before, after, r, lora_alpha):
    U, S, V = svd(after, before)
    return V[:r], U[:, :r] * S[:r] * r / lora_alpha


def smallest(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[-r:], U[:, -r:] * S[-r:] * r / lora_alpha


def no_values(before, after, r, lora_alpha):
    U, _, V = svd(before, after)
    return V[:r], U[:, :r] * r / lora_alpha


def values_twice(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return S[:r, None] * V[:r], U[:, :r] * S[:r] * r / lora_alpha


def of_after(before, after, r, lora_alpha):
    U, S, V = torch.linalg.svd(after, full_matrices=False)
    return V[:r], U[:, :r] * S[:r] * r / lora_alpha


def b_first(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return U[:, :r] * S[:r] * r / lora_alpha, V[:r]


def columns_of_v(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:, :r], U[:, :r] * S[:r] * r / lora_alpha


def columns_of_v_turned(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:, :r].T, U[:, :r] * S[:r] * r / lora_alpha


def scaled_in_both(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:r] * r / lora_alpha, U[:, :r] * S[:r] * r / lora_alpha


def without_r(before, after, r, lora_alpha):
    U, S, V = svd(before, after)
    return V[:r], U[:, :r] * S[:r] / lora_alpha


def the_update(before, after, r, lora_alpha):
    return after - before


def in_place(W, A, B, lora_alpha):
    W += lora_alpha / len(A) * B @ A
    return W


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("count_trained", lambda s, r: sum(a * b for a, b in s), "the frozen numbers"),
        ("count_trained", lambda s, r: sum(a * b + r * (a + b) for a, b in s), "leave them out"),
        ("count_trained", lambda s, r: sum(r * b for a, b in s), "B is missing"),
        ("count_trained", lambda s, r: sum(r * a for a, b in s), "A is missing"),
        ("count_trained", lambda s, r: sum(a + b for a, b in s), "r directions, not one"),
        ("count_trained", lambda s, r: sum(r * a * b for a, b in s), "a sum"),
        ("count_trained", lambda s, r: sum(r * r * (a + b) for a, b in s), "r comes once"),
        ("count_trained", lambda s, r: r * sum(s[0]), "the first matrix alone"),
        ("merged_weight", lambda W, A, B, a: W + B @ A, "isn't scaled"),
        ("merged_weight", lambda W, A, B, a: W + a * B @ A, "divide by the rank"),
        ("merged_weight", lambda W, A, B, a: W + B @ A / len(A), "not multiplied by lora_alpha"),
        ("merged_weight", lambda W, A, B, a: W + len(A) / a * B @ A, "upside down"),
        ("merged_weight", lambda W, A, B, a: W - a / len(A) * B @ A, "this is unmerging"),
        ("merged_weight", lambda W, A, B, a: a / len(A) * B @ A, "W is missing"),
        ("merged_weight", lambda W, A, B, a: a / len(A) * (W + B @ A), "only the update is"),
        ("merged_weight", lambda W, A, B, a: W + a / A.shape[1] * B @ A, "the number of A's rows"),
        ("merged_weight", lambda W, A, B, a: W + a / len(B) * B @ A, "the number of B's columns"),
        ("merged_weight", lambda W, A, B, a: W + a / len(A) ** 0.5 * B @ A, "not by its root"),
        ("merged_weight", lambda W, A, B, a: W + a // len(A) * B @ A, "a whole number"),
        ("merged_weight", lambda W, A, B, a: (W + a / len(A) * B @ A).T, "it is transposed"),
        ("merged_weight", in_place, "changed its argument"),
        ("merged_weight", lambda W, A, B, a: W + a / len(A) * A @ B, "raised RuntimeError"),
        ("rank_for", lambda u, s: counted_rank(u, s, power=1), "must be squared"),
        ("rank_for", lambda u, s: counted_rank(u, s, offset=0), "counts from 0"),
        ("rank_for", lambda u, s: counted_rank(u, s, offset=2), "one too many"),
        ("rank_for", smallest_first, "largest values first"),
        ("extract", no_scale, "but for the scale"),
        ("extract", scaled_up, "the scale is multiplied in"),
        ("extract", backwards, "after - before"),
        ("extract", smallest, "the smallest directions"),
        ("extract", no_values, "values are missing"),
        ("extract", values_twice, "once is enough"),
        ("extract", of_after, "take W_before away first"),
        ("extract", b_first, "gave B before A"),
        ("extract", columns_of_v, "the shape of A"),
        ("extract", columns_of_v_turned, "keep its first r rows"),
        ("extract", scaled_in_both, "are both divided"),
        ("extract", without_r, "isn't multiplied by r"),
        ("extract", the_update, "two tensors, A and B"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
