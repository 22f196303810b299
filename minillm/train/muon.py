"""Muon: momentum, made orthogonal, for the matrices inside a model.

torch 2.13 has a Muon too, whose steps ours takes (tested), but which works in bfloat16 on every
device. On a CPU without bfloat16 units, as most laptops have, it is tens of times slower.

But: matrices only; which parameters those are, and their learning rate, is decided in `optim.py`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

# The quintic of Jordan et al., X <- (a + b X X^T + c (X X^T)^2) X: so steep at 0 that five rounds
# lift small singular values to 0.7 or more, at the price of a ripple up to 1.2, which does no harm.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """Sets all singular values of each matrix to about 1, by Newton-Schulz iteration.

    Args:
        matrices: (N, rows, cols).
    Returns: (N, rows, cols), U S' V^T where the input is U S V^T; S' is from 0.7 to 1.2, less only
        where S is below about 1/500 of the matrix's norm.

    The rounds are done on the small square X X^T, and X is multiplied once at the end. That gives
    the same result in fewer operations when the matrices are much wider than high.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Built in chapter 7.
    """
    a, b, c = QUINTIC
    tall = matrices.size(-2) > matrices.size(-1)
    X = matrices.mT if tall else matrices
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # now no singular value is above 1
    gram = X @ X.mT  # (N, n, n), n the smaller side
    eye = torch.eye(gram.size(-1), dtype=X.dtype, device=X.device).expand_as(gram)
    product = None
    for i in range(ROUNDS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add(eye, alpha=a)
        product = factor if product is None else product @ factor
        if i < ROUNDS - 1:
            gram = factor @ gram @ factor  # of factor X, as factor is symmetric
    X = product @ X
    return X.mT if tall else X


def nesterov(params: list[Tensor], state: dict, momentum: float) -> list[Tensor]:
    """Takes each gradient into its running mean; returns the means, the newest counted once more.

    Args:
        params: with gradients.
        state: parameter -> what is remembered of it; the mean is kept under "momentum".
        momentum: how much of the old mean stays.

    Source: Nesterov 1983; here as in Sutskever et al. 2013, "On the importance of initialization
    and momentum in deep learning".
    Built in chapter 7.
    """
    for p in params:
        if not state[p]:
            state[p]["momentum"] = torch.zeros_like(p)
    grads, means = [p.grad for p in params], [state[p]["momentum"] for p in params]
    torch._foreach_lerp_(means, grads, 1 - momentum)
    return torch._foreach_lerp(grads, means, momentum)


def by_shape(
    params: list[Tensor], updates: list[Tensor], parts: dict[Tensor, list[int]]
) -> dict[torch.Size, list[tuple[Tensor, Tensor]]]:
    """Cuts stacked matrices apart; returns (matrix, update) pairs, those of one shape together.

    Args:
        params, updates: of the same shapes.
        parts: the heights of the matrices that a parameter stacks; one that isn't there is whole.

    Built in chapter 7.
    """
    shapes: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
    for p, update in zip(params, updates, strict=True):
        heights = parts.get(p, [len(p)])
        for pair in zip(p.split(heights), update.split(heights), strict=True):
            shapes.setdefault(pair[0].shape, []).append(pair)
    return shapes


class Muon(torch.optim.Optimizer):
    """Momentum, then the nearest orthogonal matrix: every direction of the update counts the same.

    Args:
        params: matrices only.
        lr: the size of a step; a tall matrix takes sqrt(rows / cols) times as much.
        momentum: of the running mean of the gradients; Nesterov's, so the newest counts extra.
        weight_decay: a step also multiplies the weights by 1 - lr * weight_decay.
        parts: the heights of the matrices that a parameter stacks, such as queries, keys and
            values; each is made orthogonal on its own. A parameter that isn't there is one matrix.
    Raises: ValueError if a parameter is no matrix.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Built in chapter 7.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        parts: dict[Tensor, list[int]] | None = None,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.parts = parts or {}
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"params must be matrices, got one of shape {tuple(p.shape)}")

    @torch.no_grad()
    def step(self) -> None:
        """Moves each matrix once; those of one shape go through the iteration together."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            updates = nesterov(params, self.state, group["momentum"])
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            for (rows, cols), pairs in by_shape(params, updates, self.parts).items():
                matrices, updates = zip(*pairs, strict=True)
                directions = orthogonalize(torch.stack(updates)).unbind()
                scale = max(1.0, rows / cols) ** 0.5
                torch._foreach_add_(matrices, directions, alpha=-group["lr"] * scale)
