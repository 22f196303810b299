"""How the weights move: which optimizer moves which, and at which learning rate.

AdamW is torch's, Muon is in `muon.py`.

But: no sharding over several devices, and no closures.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from minillm.model.attention import MultiHeadAttention
from minillm.train.muon import Muon

if TYPE_CHECKING:
    from minillm.train.loop import TrainConfig

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


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """By what each parameter's learning rate is multiplied: `decay` once for each layer above it.

    A layer is a block (a member of a ModuleList), what stands below all blocks, or what stands
    above them, which keeps the whole rate.

    Args:
        decay: config.layer_decay; 1 gives all parameters the same rate.

    Example: with 2 blocks and a decay of 0.5: the head 1, the blocks 0.25 and 0.5, in the order in
    which they run, the embeddings 0.125.

    Source: Howard and Ruder 2018, ULMFiT, arXiv:1801.06146, section 3.2.
    Built in chapter 10.
    """
    stacks = {name: len(m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    scales, above = {}, max(stacks.values(), default=-1) + 1  # of what stands below the blocks
    for name, _ in model.named_parameters():
        inside = [stack for stack in stacks if name.startswith(stack + ".")]
        if inside:
            number = int(name.removeprefix(inside[0] + ".").split(".")[0])
            scales[name] = decay ** (stacks[inside[0]] - number)
            above = 0  # a model's parameters come in the order in which it was put together
        else:
            scales[name] = decay**above
    return scales


def make_optimizers(model: nn.Module, config: "TrainConfig") -> list[torch.optim.Optimizer]:
    """AdamW for all of a model's parameters, or Muon for hidden matrices and AdamW for the rest.

    Each group of parameters has its highest rate under "peak".

    Built in chapter 7.
    """
    scales = layer_scales(model, config.layer_decay)

    def rated(params: dict[str, nn.Parameter], peak: float, decay: float) -> list[dict]:
        """Groups of one rate each."""
        by_scale: dict[float, list[nn.Parameter]] = {}
        for name, p in params.items():
            by_scale.setdefault(scales[name], []).append(p)
        return [
            {"params": group, "peak": peak * scale, "weight_decay": decay}
            for scale, group in by_scale.items()
        ]

    groups = parameter_groups(model)
    decayed = groups["output"]
    optimizers: list[torch.optim.Optimizer] = []
    if config.optimizer == "muon" and groups["hidden"]:
        stacked = [m for m in model.modules() if isinstance(m, MultiHeadAttention)]
        parts = {m.qkv.weight: [heads * m.d_head for heads in m.shares] for m in stacked}
        hidden = rated(groups["hidden"], config.muon_lr, config.weight_decay)
        optimizers.append(Muon(hidden, momentum=config.muon_momentum, parts=parts))
    else:
        decayed = decayed | groups["hidden"]
    adamw = rated(decayed, config.lr, config.weight_decay) + rated(groups["other"], config.lr, 0.0)
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
