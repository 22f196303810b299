"""Checks of the exercises of chapter 11, LoRA."""

import torch

from minillm.checks import exercise, expect, require


@exercise("11.1")
def count_trained(attempt):
    """r numbers for each input and each output of a matrix."""
    for shapes, r in [([(384, 128), (120, 96)], 4), ([(512, 128)], 2), ([(3, 3)] * 5, 1), ([], 8)]:
        wide = sum(a * b for a, b in shapes)
        halves = {"A": sum(r * d_in for _, d_in in shapes), "B": sum(r * d for d, _ in shapes)}
        known = [
            (wide, "these are the frozen numbers, of the matrices themselves"),
            (wide + sum(halves.values()), "the matrices themselves are frozen; leave them out"),
            (halves["A"], "B is missing: a column of d_out numbers for each direction"),
            (halves["B"], "A is missing: a row of d_in numbers for each direction"),
            (sum(a + b for a, b in shapes), "there are r directions, not one"),
            (
                sum(r * a * b for a, b in shapes),
                "A has r rows of d_in, B r columns of d_out: a sum",
            ),
            (
                sum(r * r * (a + b) for a, b in shapes),
                "A is r by d_in and B d_out by r: r comes once",
            ),
            (
                r * sum(shapes[0]) if shapes else None,
                "that is the first matrix alone; add up all of them",
            ),
        ]
        expect(attempt(list(shapes), r), sum(halves.values()), known=known)


@exercise("11.2")
def merged_weight(attempt):
    """W + lora_alpha / r B A."""
    generator = torch.Generator().manual_seed(0)
    for (d_out, d_in), r, alpha in [((3, 5), 2, 6), ((4, 4), 1, 2), ((4, 4), 4, 10.0)]:
        W, A, B = (
            torch.randn(shape, generator=generator)
            for shape in ((d_out, d_in), (r, d_in), (d_out, r))
        )
        BA = B @ A
        known = [
            (W + BA, "the update isn't scaled: lora_alpha / r"),
            (W + alpha * BA, "the update is scaled by lora_alpha alone; divide by the rank"),
            (W + BA / r, "the update is divided by the rank, but not multiplied by lora_alpha"),
            (W + r / alpha * BA, "the scale is upside down: lora_alpha over r"),
            (W - alpha / r * BA, "the update is added, not taken away; this is unmerging"),
            (alpha / r * BA, "that is the update alone; W is missing"),
            (alpha / r * (W + BA), "W is scaled too; only the update is"),
            (W + alpha / d_in * BA, "the rank is the number of A's rows, not of its columns"),
            (W + alpha / d_out * BA, "the rank is the number of B's columns, not of its rows"),
            (W + alpha / r**0.5 * BA, "divide by the rank itself, not by its root"),
            (W + alpha // r * BA, "// cuts the scale down to a whole number; divide with /"),
            (
                lambda got, like=(W + alpha / r * BA).T: torch.allclose(got, like),
                "it is transposed",
            ),
        ]
        if d_out == d_in:
            if r == d_in:
                known.append((W + alpha / r * A @ B, "A reads first, so it stands right: B @ A"))
            known.append((W + alpha / r * BA.T, "the update is transposed"))
        what = f"merged_weight(W, A, B, lora_alpha={alpha}) with r = {r}"
        expect(attempt(W.clone(), A.clone(), B.clone(), alpha), W + alpha / r * BA, what, known)


@exercise("11.3")
def rank_for(attempt):
    """The first r at which the squared singular values reach the share."""
    for values, shares in [([4.0, 2.0, 2.0, 1.0], (0.3, 0.5, 0.7, 0.9, 1.0)), ([3.0] * 3, (0.5,))]:
        update = _with_values(values)
        for share in shares:
            right = _rank([v**2 for v in values], share)
            known = [
                (right - 1, "one too few: that is the index, which counts from 0"),
                (_rank(values, share), "the values must be squared before they are added up"),
                (_rank([v**2 for v in reversed(values)], share), "take the largest values first"),
                (right + 1, "one too many: the share is reached before"),
                (len(values) + 1, "the share counts as reached where it is met exactly"),
            ]
            what = f"rank_for(a matrix with the values {values}, share={share})"
            got = attempt(update.clone(), share)
            got = got.item() if isinstance(got, torch.Tensor) and got.ndim == 0 else got
            expect(got, right, what, known)


def _with_values(values):
    """A matrix (6, 5) with these singular values, and zeros."""
    generator = torch.Generator().manual_seed(1)
    U, V = (
        torch.linalg.qr(torch.randn(n, len(values), generator=generator, dtype=torch.float64))[0]
        for n in (6, 5)
    )
    return (U * torch.tensor(values, dtype=torch.float64)) @ V.T


def _rank(sizes, share):
    held = 0.0
    for r, size in enumerate(sizes, start=1):
        held += size / sum(sizes)
        if held >= share - 1e-6:
            return r
    return len(sizes)


@exercise("11.4")
def extract(attempt):
    """The closest update of rank r, as A and B, its scale divided out."""
    generator = torch.Generator().manual_seed(2)
    before = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    after = before + _with_values([4.0, 2.0, 1.0, 0.5])
    U, S, V = torch.linalg.svd(after - before, full_matrices=False)
    for r, alpha in ((1, 3), (2, 8.0), (3, 3)):
        scale = alpha / r
        best = U[:, :r] * S[:r] @ V[:r]
        got = attempt(before.clone(), after.clone(), r, alpha)
        require(isinstance(got, tuple | list) and len(got) == 2, "should give two tensors, A and B")
        A, B = got
        require(all(isinstance(x, torch.Tensor) for x in got), "should give two tensors, A and B")
        if (tuple(A.shape), tuple(B.shape)) == ((6, r), (r, 5)):
            require(False, "gave B before A: return A (r, d_in), then B (d_out, r)")
        expect(tuple(A.shape), (r, 5), "the shape of A")
        expect(tuple(B.shape), (6, r), "the shape of B")
        last = U[:, -r:] * S[-r:] @ V[-r:]
        of_after, of_before = (_closest(x, r) for x in (after, before))
        known = [
            (scale * best, "it is right but for the scale: divide by lora_alpha / r"),
            (scale**2 * best, "the scale is multiplied in; divide by lora_alpha / r"),
            (-best, "the update is after - before, not before - after"),
            (best / scale, "A and B are both divided by lora_alpha / r; once is enough"),
            (best / r, "lora_alpha is divided out, but the update isn't multiplied by r"),
            (U[:, :r] * S[:r] @ V[:, :r].T, "svd gives V transposed: keep its first r rows"),
            (last, "these are the smallest directions; svd gives the largest first"),
            (scale * (U[:, :r] @ V[:r]), "the singular values are missing"),
            (U[:, :r] @ V[:r], "the singular values are missing"),
            (
                U[:, :r] * S[:r] ** 2 @ V[:r],
                "the singular values are in A and in B: once is enough",
            ),
            (
                scale * (U[:, :r] * S[:r] ** 2 @ V[:r]),
                "the singular values are in A and in B: once is enough",
            ),
            (of_after, "that is W_after itself; take W_before away first"),
            (scale * of_after, "that is W_after itself; take W_before away first"),
            (of_before, "that is W_before; the update is the difference"),
        ]
        what = f"lora_alpha / r times B @ A, for r = {r} and lora_alpha = {alpha},"
        expect(scale * B.detach() @ A.detach(), best, what, known)


def _closest(matrix, r):
    U, S, V = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :r] * S[:r] @ V[:r]
