"""Chapter 12's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
import torch.nn.functional as F
from exercisecheck import assert_diagnosed

from minillm.checks import distillation as check


def kl(student, teacher):
    p = teacher.softmax(dim=-1)
    return (p * (p.log() - student.log_softmax(dim=-1))).sum(dim=-1).mean()


def divided_only(logits, T):
    return logits / T


def multiplied(logits, T):
    return (logits * T).softmax(dim=-1)


def over_columns(logits, T):
    return (logits / T).softmax(dim=0)


def divided_after(logits, T):
    return logits.softmax(dim=-1) / T


def no_temperature(logits, T):
    return logits.softmax(dim=-1)


def logs(logits, T):
    return (logits / T).log_softmax(dim=-1)


def squared_temperature(logits, T):
    return (logits / T**2).softmax(dim=-1)


def not_normalised(logits, T):
    return (logits / T).exp()


def power_alone(logits, T):
    return logits.softmax(dim=-1) ** (1 / T)


def no_square(s, t, T):
    return kl(s / T, t / T)


def times_temperature(s, t, T):
    return T * kl(s / T, t / T)


def reversed_kl(s, t, T):
    return T**2 * kl(t / T, s / T)


def summed(s, t, T):
    return T**2 * len(s) * kl(s / T, t / T)


def over_all_numbers(s, t, T):
    log_p, log_q = (t / T).log_softmax(-1), (s / T).log_softmax(-1)
    return T**2 * F.kl_div(log_q, log_p, reduction="none", log_target=True).mean()


def crossed(s, t, T):
    return T**2 * F.cross_entropy(s / T, (t / T).softmax(dim=-1))


def student_only(s, t, T):
    return T**2 * kl(s / T, t)


def teacher_only(s, t, T):
    return T**2 * kl(s, t / T)


def negative(s, t, T):
    return -(T**2) * kl(s / T, t / T)


def detached(s, t, T):
    return torch.tensor((T**2 * kl(s / T, t / T)).item())


def rows_of_loss(s, t, T):
    p = (t / T).softmax(dim=-1)
    return T**2 * (p * (p.log() - (s / T).log_softmax(dim=-1))).sum(dim=-1)


def no_logarithm(s, t, T):
    p, q = (t / T).softmax(dim=-1), (s / T).softmax(dim=-1)
    return T**2 * (p * p / q).sum(dim=-1).mean()


def over_columns_of_both(s, t, T):
    log_p, log_q = (t / T).log_softmax(dim=0), (s / T).log_softmax(dim=0)
    return T**2 * (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()


def from_the_first(n, m):
    return [(i, i * (m // n)) for i in range(n)]


def from_one(n, m):
    return [(i, i * (m // n)) for i in range(1, n + 1)]


def teacher_from_one(n, m):
    return [(i, (i + 1) * (m // n)) for i in range(n)]


def teacher_first(n, m):
    return [((i + 1) * (m // n) - 1, i) for i in range(n)]


def the_first_ones(n, m):
    return [(i, i) for i in range(n)]


def the_last_ones(n, m):
    return [(i, m - n + i) for i in range(n)]


def no_pairs(n, m):
    return [(i + 1) * (m // n) - 1 for i in range(n)]


def first_to_last(n, m):
    return [(i, i * (m - 1) // max(1, n - 1)) for i in range(n)]


def in_fractions(n, m):
    return [(i, (i + 1) * m / n - 1) for i in range(n)]


def mean_logits(s, teachers, T):
    return T**2 * kl(s / T, teachers.mean(dim=0) / T)


def mean_of_losses(s, teachers, T):
    return T**2 * sum(kl(s / T, t / T) for t in teachers) / len(teachers)


def sum_of_losses(s, teachers, T):
    return T**2 * sum(kl(s / T, t / T) for t in teachers)


def of_mean(s, p, T):
    return (p * (p.log() - (s / T).log_softmax(dim=-1))).sum(dim=-1).mean()


def committee_without_square(s, teachers, T):
    return of_mean(s, (teachers / T).softmax(dim=-1).mean(dim=0), T)


def cold_teachers(s, teachers, T):
    return T**2 * of_mean(s, teachers.softmax(dim=-1).mean(dim=0), T)


def added_up(s, teachers, T):
    return T**2 * of_mean(s, (teachers / T).softmax(dim=-1).sum(dim=0), T)


def committee_crossed(s, teachers, T):
    return T**2 * F.cross_entropy(s / T, (teachers / T).softmax(dim=-1).mean(dim=0))


def cold_student(s, teachers, T):
    return T**2 * of_mean(T * s, (teachers / T).softmax(dim=-1).mean(dim=0), T)


def over_teachers(s, teachers, T):
    return T**2 * of_mean(s, (teachers / T).softmax(dim=0).mean(dim=0), T)


def softened_afterwards(s, teachers, T):
    p = teachers.softmax(dim=-1).mean(dim=0)
    return T**2 * of_mean(s, (p.log() / T).softmax(dim=-1), T)


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("soften", divided_only, "the softmax is missing"),
        ("soften", multiplied, "are divided by the temperature"),
        ("soften", over_columns, "not columns"),
        ("soften", divided_after, "before the softmax"),
        ("soften", no_temperature, "is not used"),
        ("soften", logs, "log-probabilities"),
        ("soften", squared_temperature, "not by T²"),
        ("soften", not_normalised, "each row should sum to 1"),
        ("soften", power_alone, "each row should sum to 1"),
        ("distillation_loss", no_square, "the T² is missing"),
        ("distillation_loss", times_temperature, "T times, not T² times"),
        ("distillation_loss", reversed_kl, "the other way round"),
        ("distillation_loss", summed, "mean over rows"),
        ("distillation_loss", over_all_numbers, "not by rows times classes"),
        ("distillation_loss", crossed, "that is the cross-entropy"),
        ("distillation_loss", student_only, "the teacher's logits too"),
        ("distillation_loss", teacher_only, "the student's logits too"),
        ("distillation_loss", negative, "never negative"),
        ("distillation_loss", detached, "without a gradient"),
        ("distillation_loss", rows_of_loss, "take their mean"),
        ("distillation_loss", no_logarithm, "the logarithm"),
        ("distillation_loss", over_columns_of_both, "not columns"),
        ("layer_pairs", from_the_first, "must meet the last one"),
        ("layer_pairs", from_one, "blocks are counted from 0"),
        ("layer_pairs", teacher_from_one, "the teacher's blocks are counted from 0"),
        ("layer_pairs", teacher_first, "a pair is (student's block"),
        ("layer_pairs", the_first_ones, "first blocks"),
        ("layer_pairs", the_last_ones, "last blocks"),
        ("layer_pairs", no_pairs, "give pairs"),
        ("layer_pairs", first_to_last, "from first to last"),
        ("layer_pairs", in_fractions, "in integers"),
        ("committee_loss", mean_logits, "average probabilities, not logits"),
        ("committee_loss", mean_of_losses, "the mean of the divergences"),
        ("committee_loss", sum_of_losses, "don't add them up"),
        ("committee_loss", committee_without_square, "the T² is missing"),
        ("committee_loss", cold_teachers, "soften the teachers' logits too"),
        ("committee_loss", added_up, "take their mean"),
        ("committee_loss", committee_crossed, "that is the cross-entropy"),
        ("committee_loss", cold_student, "the student's logits too"),
        ("committee_loss", over_teachers, "over the teachers"),
        ("committee_loss", softened_afterwards, "soften each teacher, then average"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
