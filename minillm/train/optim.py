"""How the weights move: AdamW, Muon, and the learning rate's warm-up and decay.

AdamW is torch's. Muon is ours: torch 2.13 has one too, whose steps ours takes (tested), but which
works in bfloat16 on every device. On a CPU without bfloat16 units, as most laptops have, it is
tens of times slower.

But: no sharding over several devices, and no closures.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from minillm.model.attention import MultiHeadAttention

if TYPE_CHECKING:
    from minillm.train.loop import TrainConfig

# The quintic of Jordan et al., X <- (a + b X X^T + c (X X^T)^2) X: so steep at 0 that five rounds
# lift small singular values to 0.7 or more, at the price of a ripple up to 1.2, which does no harm.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


ADAMW_STATE = {"exp_avg", "exp_avg_sq", "step"}  # what torch's AdamW remembers of a parameter


def lr_at(step: int, config: "TrainConfig", peak: float | None = None) -> float:
    """The learning rate of a step: a linear warm-up to the peak, then a fall, cosine or linear.

    Args:
        step: from 0 to config.steps - 1.
        config: its `steps`, `warmup_steps`, `decay` and `final_lr` (a fraction of the peak) count.
        peak: the highest rate; config.lr unless given.

    Example: with 100 steps, 10 of warm-up, peak 1 and final_lr 0: 0.1 at step 0, 1.0 at step 9,
    0.5 half-way between the peak and the end, close to 0 at step 99.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, for the cosine, here without
    restarts; Bergsma et al. 2025, arXiv:2502.15938, for the line.
    Built in chapter 7.
    """
    peak = config.lr if peak is None else peak
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    left = max(0.0, 1 - progress)
    if config.decay == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return peak * (config.final_lr + (1 - config.final_lr) * left)


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


def parameter_groups(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """Sorts a model's trainable parameters by how they should be moved.

    Returns: names and parameters under three keys:
        "hidden": weights of linear layers in blocks (anything in a ModuleList), for Muon;
        "output": weights of linear layers outside, such as an untied head;
        "other": biases, norms and embeddings, also one that is tied to the head.
    Weight decay belongs to the first two. It keeps a matrix, of which only products matter, from
    growing; a norm's gain or an embedding's row has a meaning of its own, and a rare word's row
    would shrink at each step that the word isn't in.

    Built in chapter 7.
    """
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    embedded = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    stacks = [name for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    groups: dict[str, dict[str, nn.Parameter]] = {"hidden": {}, "output": {}, "other": {}}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if id(p) not in linear or id(p) in embedded:
            groups["other"][name] = p
        elif any(name.startswith(stack + ".") for stack in stacks):
            groups["hidden"][name] = p
        else:
            groups["output"][name] = p
    return groups


def make_optimizers(model: nn.Module, config: "TrainConfig") -> list[torch.optim.Optimizer]:
    """AdamW for all of a model's parameters, or Muon for hidden matrices and AdamW for the rest.

    Each group of parameters has its highest rate under "peak".

    Built in chapter 7.
    """
    groups = parameter_groups(model)
    hidden, decayed = list(groups["hidden"].values()), list(groups["output"].values())
    optimizers: list[torch.optim.Optimizer] = []
    if config.optimizer == "muon" and hidden:
        stacked = [m for m in model.modules() if isinstance(m, MultiHeadAttention)]
        parts = {m.qkv.weight: [heads * m.d_head for heads in m.shares] for m in stacked}
        options = {"momentum": config.muon_momentum, "weight_decay": config.weight_decay}
        optimizers.append(
            Muon([{"params": hidden, "peak": config.muon_lr}], parts=parts, **options)
        )
    else:
        decayed += hidden
    sets = [(decayed, config.weight_decay), (list(groups["other"].values()), 0.0)]
    adamw = [{"params": p, "weight_decay": decay, "peak": config.lr} for p, decay in sets if p]
    if adamw:
        # fused: one pass over memory, four times faster than the loop on a CPU too.
        betas = (config.beta1, config.beta2)
        optimizers.append(torch.optim.AdamW(adamw, betas=betas, fused=True))
    return optimizers


def check_state(tensors: dict[str, Tensor], owners: dict[str, tuple]) -> None:
    """Raises a ValueError for optimizer state that is another model's, or not whole.

    Args:
        tensors: by "parameter/what".
        owners: parameter's name -> its optimizer and itself.

    Built in chapter 7.
    """
    kept: dict[str, set[str]] = {}  # what is remembered of each parameter
    for key in tensors:
        name, _, what = key.rpartition("/")
        if name not in owners:
            raise ValueError(f"optimizer state is of another model: {key!r} belongs to nothing")
        kept.setdefault(name, set()).add(what)
    for name, whats in kept.items():
        whole = {"momentum"} if isinstance(owners[name][0], Muon) else ADAMW_STATE
        if whats != whole:
            raise ValueError(f"optimizer state of {name} is {sorted(whats)}, not {sorted(whole)}")


class Optimizer:
    """All of a model's optimizers behind one: AdamW alone, or Muon with AdamW for the rest.

    Args:
        model: whose parameters that require a gradient are moved.
        config: `optimizer` ("adamw" or "muon"), the rates, the decay.

    Built in chapter 7.
    """

    def __init__(self, model: nn.Module, config: "TrainConfig"):
        self.config, self.optimizers = config, make_optimizers(model, config)
        self.names = {p: name for name, p in model.named_parameters() if p.requires_grad}

    def step(self, step: int) -> None:
        """Moves the weights once, at the learning rate of `step`."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step, self.config, group["peak"])
            optimizer.step()

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything the optimizers remember, as tensors by "parameter/what"."""
        states = [pair for optimizer in self.optimizers for pair in optimizer.state.items()]
        return {f"{self.names[p]}/{what}": x for p, state in states for what, x in state.items()}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `state_dict` gave.

        Raises: ValueError, before anything is changed, if it is another model's or not whole.
        """
        groups = [(o, group) for o in self.optimizers for group in o.param_groups]
        owners = {self.names[p]: (o, p) for o, group in groups for p in group["params"]}
        check_state(tensors, owners)
        for key, value in tensors.items():
            name, _, what = key.rpartition("/")
            optimizer, p = owners[name]
            optimizer.state[p][what] = value.to(p.device, copy=True)
