"""Checks of the exercises of chapter 12, Distillation."""

import torch

from minillm.checks import exercise, expect, require

STUDENT = torch.tensor([[0.2, -1.0, 0.5], [1.0, 0.3, 0.0], [-0.4, 0.1, 2.0], [0.0, 0.6, -0.3]])
TEACHER = torch.tensor([[2.0, 0.5, -1.0], [0.3, 3.0, 0.1], [-1.0, 0.2, 1.5], [1.0, 0.9, 0.4]])


def _sums_to_one(rows):
    return torch.allclose(rows.sum(dim=-1), torch.ones(()), atol=1e-3)


@exercise("12.1")
def soften(attempt):
    """The softmax of logits over a temperature."""
    rows = TEACHER[:2]
    for logits, T in ((rows, 2.0), (rows[0], 4.0), (rows, 1.0)):
        right = (logits / T).softmax(dim=-1)
        known = [
            (logits / T, "these are divided logits: the softmax is missing"),
            ((logits / T).log_softmax(dim=-1), "these are log-probabilities"),
            ((logits * T).softmax(dim=-1), "the logits are divided by the temperature"),
            ((logits / T).softmax(dim=0), "rows should sum to 1, not columns: softmax over dim=-1"),
            ((logits / T**2).softmax(dim=-1), "divide by T, not by T²: the square is the loss's"),
            (logits.softmax(dim=-1) / T, "divide the logits, before the softmax"),
            (logits.softmax(dim=-1), "the temperature is not used"),
            (lambda got: not _sums_to_one(got), "each row should sum to 1: divide by its sum"),
        ]
        got = attempt(logits.clone(), T)
        expect(got, right, f"soften(logits of shape {tuple(logits.shape)}, {T})", known)


def _kl(p, q):
    """KL(p || q) for each row of probabilities."""
    return torch.xlogy(p, p / q).sum(dim=-1)


def _probs(logits, T):
    return (logits / T).softmax(dim=-1)


def _columns(logits, T):
    return (logits / T).softmax(dim=0)


@exercise("12.2")
def distillation_loss(attempt):
    """T² times the mean divergence of rows, from teacher to student."""
    for T in (2.0, 3.0, 1.0):
        p, q = _probs(TEACHER, T), _probs(STUDENT, T)
        each = _kl(p, q)
        right = T**2 * each.mean()
        crossed = -(p * q.log()).sum(dim=-1).mean()
        known = [
            (each.mean(), "the T² is missing"),
            (T * each.mean(), "that is T times, not T² times the divergence"),
            (T**2 * _kl(q, p).mean(), "the other way round: KL(teacher || student) weighs by p"),
            (T**2 * each.sum(), "take the mean over rows, not their sum"),
            (T**2 * each.sum() / p.numel(), "divide by the rows, not by rows times classes"),
            (T**2 * crossed, "that is the cross-entropy: the teacher's entropy isn't taken away"),
            (crossed, "that is the cross-entropy, without T²"),
            (T**2 * _kl(_probs(TEACHER, 1), q).mean(), "soften the teacher's logits too"),
            (T**2 * _kl(p, _probs(STUDENT, 1)).mean(), "soften the student's logits too"),
            (-right, "the sign: a divergence is never negative"),
            (T**2 * (p * p / q).sum(dim=-1).mean(), "the logarithm of p / q is missing"),
            (
                T**2 * _kl(_columns(TEACHER, T), _columns(STUDENT, T)).mean(),
                "rows should sum to 1, not columns: softmax over dim=-1",
            ),
            (lambda got: got.ndim == 1, "these are the rows' divergences: take their mean"),
        ]
        got = attempt(STUDENT.clone(), TEACHER.clone(), T)
        expect(got, right, f"distillation_loss(student, teacher, {T})", known)
    leaf = STUDENT.clone().requires_grad_()
    loss = attempt(leaf, TEACHER.clone(), 2.0)
    require(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "gave a loss without a gradient: stay with tensors, no .item() and no no_grad",
    )


@exercise("12.3")
def layer_pairs(attempt):
    """Which block of the student learns from which of the teacher, evenly spread."""
    for n, m in ((2, 4), (3, 12), (6, 12), (4, 4), (1, 4)):
        step = m // n
        right = [(i, (i + 1) * step - 1) for i in range(n)]
        known = [
            ([(i, i * step) for i in range(n)], "the student's last block must meet the last one"),
            ([(i + 1, (i + 1) * step) for i in range(n)], "blocks are counted from 0"),
            ([(i, (i + 1) * step) for i in range(n)], "the teacher's blocks are counted from 0"),
            ([(t, s) for s, t in right], "a pair is (student's block, teacher's block)"),
            ([(i, i) for i in range(n)], "these are the teacher's first blocks: spread them out"),
            ([(i, m - n + i) for i in range(n)], "these are its last blocks: spread them out"),
            ([t for _, t in right], "these are the teacher's blocks alone: give pairs"),
            (
                [(i, i * (m - 1) // max(1, n - 1)) for i in range(n)],
                "from first to last: each block should meet the last of the m / n it stands for",
            ),
        ]
        got = attempt(n, m)
        got = [tuple(x) if isinstance(x, list) else x for x in got] if got is not None else got
        numbers = [x for pair in got or () if isinstance(pair, tuple) for x in pair]
        require(
            all(isinstance(x, int) for x in numbers),
            f"gave {got}: blocks are counted in integers, divide by //",
        )
        expect(got, right, f"layer_pairs({n}, {m})", known)


@exercise("12.4")
def committee_loss(attempt):
    """Several teachers: their mean probabilities are the soft label."""
    teachers = torch.stack([TEACHER, TEACHER.flip(1), 2 * TEACHER.roll(1, dims=1)])  # (M, N, K)
    for T, some in ((2.0, teachers), (1.0, teachers), (3.0, teachers[:1])):
        each, q = _probs(some, T), _probs(STUDENT, T)
        p = each.mean(dim=0)
        right = T**2 * _kl(p, q).mean()
        cold = _probs(_probs(some, 1).mean(dim=0).log(), T)
        known = [
            (
                T**2 * _kl(_probs(some.mean(dim=0), T), q).mean(),
                "average probabilities, not logits",
            ),
            (
                T**2 * _kl(each, q).mean(),
                "that is the mean of the divergences: average the probabilities first",
            ),
            (
                T**2 * _kl(each, q).mean(dim=-1).sum(),
                "average over teachers, don't add them up",
            ),
            (_kl(p, q).mean(), "the T² is missing"),
            (T**2 * _kl(q, p).mean(), "the other way round: KL(committee || student)"),
            (T**2 * _kl(cold, q).mean(), "soften each teacher, then average"),
            (
                T**2 * _kl(each.sum(dim=0), q).mean(),
                "these are the teachers' probabilities added up: take their mean",
            ),
            (
                T**2 * -(p * q.log()).sum(dim=-1).mean(),
                "that is the cross-entropy: the committee's entropy isn't taken away",
            ),
            (T**2 * _kl(p, _probs(STUDENT, 1)).mean(), "soften the student's logits too"),
            (
                T**2 * _kl((some / T).softmax(dim=0).mean(dim=0), q).mean(),
                "softmax over classes, dim=-1: this one is over the teachers",
            ),
            (T**2 * _kl(_probs(some, 1).mean(dim=0), q).mean(), "soften the teachers' logits too"),
            (T**2 * _kl(p, q).sum(), "take the mean over rows, not their sum"),
            (right / p.shape[-1], "divide by the rows, not by rows times classes"),
        ]
        what = f"committee_loss(student, {len(some)} teachers, {T})"
        expect(attempt(STUDENT.clone(), some.clone(), T), right, what, known)
