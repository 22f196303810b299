"""Checks of the exercises of chapter 7, GPT: learning to predict."""

import torch

from minillm.checks import difference, exercise, expect, require


@exercise("7.1")
def next_token_batch(attempt):
    """Inputs and targets of windows cut from one row of ids."""
    ids = torch.tensor([40, 3, 17, 8, 25, 31, 6, 12, 9, 28, 14, 2, 19, 22, 5, 33])
    for starts, T in [([0, 5, 2], 4), ([7], 3), ([8, 1], 3)]:
        got = attempt(ids.clone(), list(starts), T)
        pair = isinstance(got, tuple | list) and len(got) == 2
        require(pair, "should return two tensors, the inputs and the targets")
        inputs, targets = (
            torch.stack([ids[s + shift : s + shift + T] for s in starts]) for shift in (0, 1)
        )
        what = f"next_token_batch(ids, {starts}, T={T})"
        longer = torch.stack([ids[s : s + T + 1] for s in starts])
        flat = torch.stack([ids[s] for s in starts])
        following = torch.stack([ids[s + T : s + 2 * T] for s in starts])
        known = [
            (longer, "T + 1 columns: the inputs are all but the last of them"),
            (inputs[:, :-1], "one column short: cut T + 1 tokens before you split them"),
            (inputs.T, "a row for each start, please: this has a column for each"),
            (inputs.flatten(), "the windows stand in one row: stack them"),
            (flat, "these are the first tokens alone"),
        ]
        swapped = not difference(got[1], inputs)
        begin = "a window begins at its start, not one token after"
        known = [
            (targets, "these are the targets: return the inputs first" if swapped else begin),
            *known,
            (lambda got: isinstance(got, list | tuple), "stack the windows into one tensor"),
            (lambda got: getattr(got, "ndim", 2) == 1, "the windows stand in one row: stack them"),
        ]
        expect(got[0], inputs, f"{what}: the inputs", known)
        known = [
            (inputs, "the targets are the inputs: a model would learn to repeat what it reads"),
            (inputs.roll(-1, dims=1), "the last target came round from the window's own beginning"),
            (inputs.roll(1, dims=1), "shifted the wrong way: a target comes after its input"),
            (inputs[:, 1:], "one column short: the last input has a target too"),
            (targets[:, -1], "every position has a target, not the last one alone"),
            (longer, "T + 1 columns: the targets are all but the first of them"),
            (following, "that is the window after this one: shift by one token, not by T"),
        ]
        expect(got[1], targets, f"{what}: the targets", known)


@exercise("7.2")
def clip(attempt):
    """All gradients scaled by one factor, so that together they are no longer than max_norm."""
    long = [torch.tensor([[3.0, 0.0], [0.0, -4.0]]), torch.tensor([12.0, 0.0, 0.0])]  # 13 long
    short = [torch.tensor([0.3, -0.4]), torch.tensor([[0.0]])]
    for gradients, max_norm in [(long, 1.0), (long, 6.5), (short, 1.0), (short, 0.25)]:
        got = attempt([g.clone() for g in gradients], max_norm)
        require(isinstance(got, tuple | list), "should return a list of tensors")
        total = torch.cat([g.flatten() for g in gradients]).norm()
        right = [g * min(1.0, (max_norm / total).item()) for g in gradients]
        what = f"gradients {total:.4g} long together, max_norm={max_norm}: clip"
        each = [g * min(1.0, (max_norm / (g.norm() + 1e-9)).item()) for g in gradients]
        squares, n = total**2, sum(g.numel() for g in gradients)
        known = [
            (each, "each tensor was clipped on its own: one factor for all keeps the direction"),
            (
                [g.clamp(-max_norm, max_norm) for g in gradients],
                "the single numbers were cut off: scale all of them by one factor",
            ),
            (
                [g * (max_norm / total) for g in gradients],
                "they were short enough already: return them as they are",
            ),
            (
                [g * min(1.0, (max_norm / squares).item()) for g in gradients],
                "divided by the square of the length: the root is missing",
            ),
            (
                [g * (max_norm / squares) for g in gradients],
                "divided by the square of the length: the root is missing",
            ),
            (
                [g / total if total > max_norm else g for g in gradients],
                "that makes them 1 long: multiply by max_norm",
            ),
            ([g / total for g in gradients], "that makes them 1 long: multiply by max_norm"),
            (
                [g * min(1.0, max_norm / sum(g.norm() for g in gradients)) for g in gradients],
                "lengths of tensors do not add up: add their squares, then take the root",
            ),
            (
                [g * min(1.0, max_norm / sum(g.abs().sum() for g in gradients)) for g in gradients],
                "the length is the root of the sum of squares, not the sum of absolute values",
            ),
            (
                [g * min(1.0, (max_norm / total * n**0.5).item()) for g in gradients],
                "the length is the root of the sum of squares, not of their mean",
            ),
            (gradients, "they are as long as they were"),
        ]
        expect(list(got), right, what, known)


@exercise("7.3")
def late_fall(attempt):
    """Up in a line, the peak, down in a line."""
    for steps, warmup, decay, peak in [(100, 10, 20, 0.5), (50, 5, 45, 2.0), (40, 1, 8, 1e-2)]:
        begin = steps - decay
        for step in (0, warmup - 1, warmup, steps // 2, steps - 1, begin, begin + 1):
            up, down = (step + 1) / warmup, (steps - step) / decay
            early, tardy = (steps - step - 1) / decay, (steps - step + 1) / decay
            whole = (steps - step) / (steps - warmup)
            at_decay = (steps - step) / (steps - decay)
            known = [
                (peak * min(1, step / warmup, down), "step 0 should already move: (step + 1)"),
                (
                    peak * min(1, up, early),
                    "that reaches zero one step early: steps - step are left",
                ),
                (peak * min(1, up, tardy), "that is one step late: steps - step are left"),
                (min(1, up, down), "that is a fraction of the peak"),
                (peak * min(1, up), "the fall at the end is missing"),
                (peak * min(1, down), "the warm-up is missing"),
                (peak * min(up, down), "never above the peak"),
                (peak * max(1, up, down), "take the smallest of the three, not the largest"),
                (peak * min(1, up, max(0, 1 - down) or 1), "that rises: count the steps left"),
                (peak * min(1, up, whole), "it should fall over the last `decay` steps only"),
                (peak * min(1, up, at_decay), "`decay` is how many steps the fall takes"),
            ]
            what = f"late_fall({step}, steps={steps}, warmup={warmup}, decay={decay}, peak={peak})"
            got = attempt(step, steps, warmup, decay, peak)
            expect(got, peak * min(1, up, down), what, known, tol=1e-4 * peak)


def _lion(
    p, gradient, m, lr, beta1, beta2, decay,
    mix=None, old=None, bend=torch.sign, way=-1, shrink=None,
):  # fmt: skip
    """The new p, with a mistake or without."""
    mix, old = beta1 if mix is None else mix, m if old is None else old
    c = mix * old + (1 - mix) * gradient
    return p * (1 - lr * decay if shrink is None else shrink) + way * lr * bend(c)


@exercise("7.4")
def lion(attempt):
    """One step of Lion, at two settings."""
    p = torch.tensor([1.0, -2.0, 0.5, 3.0, 2.0, -1.0, 4.0])
    gradient = torch.tensor([0.3, 0.2, -4.0, 0.5, 0.1, 1.0, 1.0])
    m = torch.tensor([-0.1, 0.4, 2.0, -0.02, -0.06, -0.1115, -0.7])
    for setting in [(0.1, 0.9, 0.99, 0.1), (0.02, 0.6, 0.8, 0.5)]:
        lr, beta1, beta2, decay = setting
        got = attempt(p.clone(), gradient.clone(), m.clone(), lr, beta1, beta2, decay)
        pair = isinstance(got, tuple | list) and len(got) == 2
        require(pair, "should return two tensors, the new p and the new m")
        moved, c = beta2 * m + (1 - beta2) * gradient, beta1 * m + (1 - beta1) * gradient
        right = _lion(p, gradient, m, *setting)
        swapped = not difference(got[0], moved) and not difference(got[1], right)
        require(not swapped, "gave m first: return the new p, then the new m")
        what = f"lion(p, gradient, m, lr={lr}, beta1={beta1}, beta2={beta2}, decay={decay})"
        known = [
            (m, "m did not move"),
            (c, "m moves with beta2; beta1 is for the mixture"),
            ((1 - beta2) * m + beta2 * gradient, "beta2 is the share of the old m that stays"),
            (beta2 * c + (1 - beta2) * gradient, "m moves from the old m, not from c"),
            (m + gradient, "m is a running mean: beta2 * m + (1 - beta2) * gradient"),
            (c.sign(), "m keeps its size: no sign there"),
            (moved.sign(), "m keeps its size: no sign there"),
        ]
        expect(got[1], moved, f"{what}: the new m", known)
        through = "the decay went through the sign: it multiplies p by 1 - lr * decay"
        known = [
            (_lion(p, gradient, m, *setting, bend=lambda c: c), "the sign is missing"),
            (_lion(p, gradient, m, *setting, way=-1 / lr), "the step is lr long: lr is missing"),
            (_lion(p, gradient, m, *setting, way=1), "that climbs: subtract the step"),
            (_lion(p, gradient, m, *setting, shrink=1), "the weight decay is missing"),
            (p - lr * (c + decay * p).sign(), through),
            (_lion(p, gradient + decay * p, m, *setting, shrink=1), through),
            (_lion(p, gradient, m, *setting, shrink=1 - decay), "the decay is multiplied by lr"),
            ((p - lr * c.sign()) * (1 - lr * decay), "decay the old p, before the step"),
            (_lion(p, gradient, m, *setting, old=moved), "c is made of the old m, not the new one"),
            (_lion(p, gradient, m, *setting, mix=beta2), "c is mixed with beta1; beta2 is for m"),
            (_lion(p, gradient, m, *setting, mix=0), "the gradient's sign alone: mix m in"),
            (_lion(p, gradient, m, *setting, mix=1), "the sign of m alone: mix the gradient in"),
            (_lion(p, gradient, m, *setting, mix=1 - beta1), "beta1 is the share of m"),
        ]
        expect(got[0], right, f"{what}: the new p", known)
