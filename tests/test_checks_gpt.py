"""Chapter 7's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
from exercisecheck import assert_diagnosed

from minillm.checks import gpt as check


def rows(ids, starts, T):
    return torch.stack([ids[start : start + T + 1] for start in starts])


def not_shifted(ids, starts, T):
    inputs = rows(ids, starts, T)[:, :-1]
    return inputs, inputs


def not_split(ids, starts, T):
    return rows(ids, starts, T), rows(ids, starts, T)


def cut_too_short(ids, starts, T):
    short = rows(ids, starts, T)[:, :-1]
    return short[:, :-1], short[:, 1:]


def targets_first(ids, starts, T):
    return rows(ids, starts, T)[:, 1:], rows(ids, starts, T)[:, :-1]


def rolled(ids, starts, T):
    inputs = rows(ids, starts, T)[:, :-1]
    return inputs, inputs.roll(-1, dims=1)


def shifted_back(ids, starts, T):
    inputs = rows(ids, starts, T)[:, :-1]
    return inputs, inputs.roll(1, dims=1)


def last_target_only(ids, starts, T):
    return rows(ids, starts, T)[:, :-1], rows(ids, starts, T)[:, -1]


def next_window(ids, starts, T):
    return rows(ids, starts, T)[:, :-1], rows(ids, [start + T for start in starts], T)[:, :-1]


def one_late(ids, starts, T):
    return next_ones(ids, [start + 1 for start in starts], T)


def in_lists(ids, starts, T):
    return [list(pair) for pair in next_ones(ids, starts, T)]


def next_ones(ids, starts, T):
    return rows(ids, starts, T)[:, :-1], rows(ids, starts, T)[:, 1:]


def in_columns(ids, starts, T):
    return rows(ids, starts, T)[:, :-1].T, rows(ids, starts, T)[:, 1:].T


def one_row(ids, starts, T):
    return rows(ids, starts, T)[:, :-1].flatten(), rows(ids, starts, T)[:, 1:].flatten()


def one_tensor(ids, starts, T):
    return rows(ids, starts, T)


def each_alone(gradients, max_norm):
    return [g * min(1.0, (max_norm / g.norm()).item()) for g in gradients]


def by_value(gradients, max_norm):
    return [g.clamp(-max_norm, max_norm) for g in gradients]


def always(gradients, max_norm):
    total = sum(g.square().sum() for g in gradients).sqrt()
    return [g * max_norm / total for g in gradients]


def no_root(gradients, max_norm):
    total = sum(g.square().sum() for g in gradients)
    return [g * min(1.0, (max_norm / total).item()) for g in gradients]


def sum_of_lengths(gradients, max_norm):
    total = sum(g.norm() for g in gradients)
    return [g * min(1.0, (max_norm / total).item()) for g in gradients]


def absolute_values(gradients, max_norm):
    total = sum(g.abs().sum() for g in gradients)
    return [g * min(1.0, (max_norm / total).item()) for g in gradients]


def root_of_the_mean(gradients, max_norm):
    length = torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()
    return [g * min(1.0, (max_norm / length).item()) for g in gradients]


def to_length_one(gradients, max_norm):
    total = sum(g.square().sum() for g in gradients).sqrt()
    return [g / total if total > max_norm else g for g in gradients]


def in_place(gradients, max_norm):
    for g in gradients:
        g.mul_(max_norm / 13)
    return gradients


def untouched(gradients, max_norm):
    return gradients


def from_zero(step, steps, warmup, decay, peak):
    return peak * min(1.0, step / warmup, (steps - step) / decay)


def to_zero_early(step, steps, warmup, decay, peak):
    return peak * min(1.0, (step + 1) / warmup, (steps - 1 - step) / decay)


def fraction(step, steps, warmup, decay, peak):
    return min(1.0, (step + 1) / warmup, (steps - step) / decay)


def no_fall(step, steps, warmup, decay, peak):
    return peak * min(1.0, (step + 1) / warmup)


def no_warmup(step, steps, warmup, decay, peak):
    return peak * min(1.0, (steps - step) / decay)


def above_the_peak(step, steps, warmup, decay, peak):
    return peak * min((step + 1) / warmup, (steps - step) / decay)


def the_largest(step, steps, warmup, decay, peak):
    return peak * max(1.0, (step + 1) / warmup, (steps - step) / decay)


def rises_at_the_end(step, steps, warmup, decay, peak):
    done = (step - (steps - decay)) / decay
    return peak * min(1.0, (step + 1) / warmup, done if done > 0 else 1.0)


def falls_at_once(step, steps, warmup, decay, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / (steps - warmup)


def falls_from_decay(step, steps, warmup, decay, peak):
    return peak * min(1.0, (step + 1) / warmup, (steps - step) / (steps - decay))


def mixture(gradient, m, beta):
    return beta * m + (1 - beta) * gradient


def no_sign(p, gradient, m, lr, beta1, beta2, decay):
    return p * (1 - lr * decay) - lr * mixture(gradient, m, beta1), mixture(gradient, m, beta2)


def m_first_moved(p, gradient, m, lr, beta1, beta2, decay):
    m = mixture(gradient, m, beta2)
    return p * (1 - lr * decay) - lr * mixture(gradient, m, beta1).sign(), m


def one_beta(p, gradient, m, lr, beta1, beta2, decay):
    m = mixture(gradient, m, beta1)
    return p * (1 - lr * decay) - lr * m.sign(), m


def betas_swapped(p, gradient, m, lr, beta1, beta2, decay):
    step = mixture(gradient, m, beta2).sign()
    return p * (1 - lr * decay) - lr * step, mixture(gradient, m, beta2)


def decay_in_the_sign(p, gradient, m, lr, beta1, beta2, decay):
    step = (mixture(gradient, m, beta1) + decay * p).sign()
    return p - lr * step, mixture(gradient, m, beta2)


def decay_without_rate(p, gradient, m, lr, beta1, beta2, decay):
    step = mixture(gradient, m, beta1).sign()
    return p * (1 - decay) - lr * step, mixture(gradient, m, beta2)


def decay_after_the_step(p, gradient, m, lr, beta1, beta2, decay):
    p = p - lr * mixture(gradient, m, beta1).sign()
    return p * (1 - lr * decay), mixture(gradient, m, beta2)


def no_decay(p, gradient, m, lr, beta1, beta2, decay):
    return p - lr * mixture(gradient, m, beta1).sign(), mixture(gradient, m, beta2)


def uphill(p, gradient, m, lr, beta1, beta2, decay):
    step = mixture(gradient, m, beta1).sign()
    return p * (1 - lr * decay) + lr * step, mixture(gradient, m, beta2)


def no_rate(p, gradient, m, lr, beta1, beta2, decay):
    return p * (1 - lr * decay) - mixture(gradient, m, beta1).sign(), mixture(gradient, m, beta2)


def m_from_c(p, gradient, m, lr, beta1, beta2, decay):
    c = mixture(gradient, m, beta1)
    return p * (1 - lr * decay) - lr * c.sign(), mixture(gradient, c, beta2)


def m_kept(p, gradient, m, lr, beta1, beta2, decay):
    return p * (1 - lr * decay) - lr * mixture(gradient, m, beta1).sign(), m


def m_of_signs(p, gradient, m, lr, beta1, beta2, decay):
    step = mixture(gradient, m, beta1).sign()
    return p * (1 - lr * decay) - lr * step, mixture(gradient, m, beta2).sign()


def gradient_alone(p, gradient, m, lr, beta1, beta2, decay):
    return p * (1 - lr * decay) - lr * gradient.sign(), mixture(gradient, m, beta2)


def m_returned_first(p, gradient, m, lr, beta1, beta2, decay):
    step = mixture(gradient, m, beta1).sign()
    return mixture(gradient, m, beta2), p * (1 - lr * decay) - lr * step


def p_alone(p, gradient, m, lr, beta1, beta2, decay):
    return p * (1 - lr * decay) - lr * mixture(gradient, m, beta1).sign()


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("next_token_batch", not_shifted, "learn to repeat"),
        ("next_token_batch", not_split, "T + 1 columns"),
        ("next_token_batch", cut_too_short, "cut T + 1 tokens"),
        ("next_token_batch", targets_first, "return the inputs first"),
        ("next_token_batch", rolled, "came round"),
        ("next_token_batch", shifted_back, "the wrong way"),
        ("next_token_batch", last_target_only, "every position has a target"),
        ("next_token_batch", next_window, "not by T"),
        ("next_token_batch", one_late, "not one token after"),
        ("next_token_batch", in_lists, "into one tensor"),
        ("next_token_batch", in_columns, "a row for each start"),
        ("next_token_batch", one_row, "stack them"),
        ("next_token_batch", one_tensor, "two tensors"),
        ("clip", each_alone, "one factor for all"),
        ("clip", by_value, "the single numbers were cut off"),
        ("clip", always, "short enough already"),
        ("clip", no_root, "the root is missing"),
        ("clip", sum_of_lengths, "add their squares"),
        ("clip", absolute_values, "absolute values"),
        ("clip", root_of_the_mean, "not of their mean"),
        ("clip", to_length_one, "multiply by max_norm"),
        ("clip", in_place, "changed its argument"),
        ("clip", untouched, "as long as they were"),
        ("late_fall", from_zero, "step 0 should already move"),
        ("late_fall", to_zero_early, "one step early"),
        ("late_fall", fraction, "a fraction of the peak"),
        ("late_fall", no_fall, "the fall at the end is missing"),
        ("late_fall", no_warmup, "the warm-up is missing"),
        ("late_fall", above_the_peak, "never above the peak"),
        ("late_fall", the_largest, "the smallest of the three"),
        ("late_fall", rises_at_the_end, "that rises"),
        ("late_fall", falls_at_once, "over the last `decay` steps"),
        ("late_fall", falls_from_decay, "how many steps the fall takes"),
        ("lion", no_sign, "the sign is missing"),
        ("lion", m_first_moved, "made of the old m"),
        ("lion", one_beta, "m moves with beta2"),
        ("lion", betas_swapped, "c is mixed with beta1"),
        ("lion", decay_in_the_sign, "through the sign"),
        ("lion", decay_without_rate, "multiplied by lr"),
        ("lion", decay_after_the_step, "before the step"),
        ("lion", no_decay, "the weight decay is missing"),
        ("lion", uphill, "that climbs"),
        ("lion", no_rate, "lr is missing"),
        ("lion", m_from_c, "not from c"),
        ("lion", m_kept, "m did not move"),
        ("lion", m_of_signs, "no sign there"),
        ("lion", gradient_alone, "mix m in"),
        ("lion", m_returned_first, "gave m first"),
        ("lion", p_alone, "two tensors"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)
