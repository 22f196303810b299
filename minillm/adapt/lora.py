"""LoRA: a frozen matrix and a small trained product beside it, put into a model and merged.

A model is changed in place: some of its linear layers become `LoRALinear`, everything else stays,
also the names of its weights.

But: how an adapter is taken out, put in and saved is in `adapters.py`. There is no dropout in an
adapter, and none of LoRA's successors.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.adapt.heads import train_only


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get an adapter, and how large it is.

    Raises: ValueError for a rank or an alpha that makes no sense, or no target.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.
    Built in chapter 11.
    """

    r: int = 4  # the rank, how many directions are read and written; the paper's 4 is enough here
    lora_alpha: float = 8.0  # the update is scaled by lora_alpha / r; so lr fits all ranks
    target_modules: tuple[str, ...] = ("qkv", "out")  # last parts of the names of linear layers
    modules_to_save: tuple[str, ...] = ("head",)  # trained whole and kept with the adapter

    def __post_init__(self):
        if not (isinstance(self.r, int) and self.r >= 1):
            raise ValueError(f"r ({self.r}) must be an integer of at least 1")
        if not (isinstance(self.lora_alpha, int | float) and 0 < self.lora_alpha < math.inf):
            raise ValueError(f"lora_alpha ({self.lora_alpha}) must be a number above 0")
        if isinstance(self.target_modules, str) or not self.target_modules:
            raise ValueError(
                f"target_modules ({self.target_modules!r}) must be a tuple of one name or more"
            )


def check_rank(layer: nn.Linear, r: int) -> None:
    """Raises a ValueError for a rank above that of any matrix of the layer's shape.

    Built in chapter 11.
    """
    if r > min(layer.in_features, layer.out_features):
        shape = f"{layer.out_features} x {layer.in_features}"
        raise ValueError(f"r ({r}) must be at most the smaller side of a {shape} matrix")


class LoRALinear(nn.Linear):
    """A linear layer y = x Wᵀ + b with an update of low rank: + (lora_alpha / r) x Aᵀ Bᵀ.

    A starts at random and B at zero, so that the layer starts as it was. A and B are trained, W
    and b are not.

    Args:
        base: the linear layer; its weight and bias are used, not copied.
        r: the rank, columns of B and rows of A.
        lora_alpha: scales the update, together with r.

    Called with x (..., d_in); returns (..., d_out).

    Raises: ValueError if r is more than the smaller side of the matrix.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
    Built in chapter 11.
    """

    def __init__(self, base: nn.Linear, r: int, lora_alpha: float):
        nn.Module.__init__(self)
        check_rank(base, r)
        self.in_features, self.out_features = base.in_features, base.out_features
        base.requires_grad_(False)
        self.weight, self.bias = base.weight, base.bias
        self.lora_A = nn.Parameter(self.weight.new_empty(r, self.in_features))
        self.lora_B = nn.Parameter(self.weight.new_zeros(self.out_features, r))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scaling, self.merged = lora_alpha / r, False

    def update(self) -> Tensor:
        """What the adapter adds to the weight, (d_out, d_in)."""
        return self.scaling * self.lora_B @ self.lora_A

    def forward(self, x):
        y = super().forward(x)  # (..., d_out)
        if self.merged:
            return y
        low = x.flatten(0, -2) @ self.lora_A.T  # (N, r)
        return torch.addmm(y.flatten(0, -2), low, self.lora_B.T, alpha=self.scaling).view(y.shape)

    @torch.no_grad()
    def merge(self):
        """Adds the update to the weight: one product instead of three, the same outputs."""
        if not self.merged:
            self.weight += self.update()
            self.merged = True

    @torch.no_grad()
    def unmerge(self):
        """Takes the update out again; the weight is as before but for rounding."""
        if self.merged:
            self.weight -= self.update()
            self.merged = False


def targets(model: nn.Module, config: LoRAConfig) -> dict[str, nn.Linear]:
    """The linear layers that a config means, by name.

    Raises: ValueError if a target fits no linear layer.

    Built in chapter 11.
    """
    linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    found = {}
    for target in config.target_modules:
        fitting = {n: m for n, m in linear.items() if n == target or n.endswith("." + target)}
        if not fitting:
            last = sorted({name.rpartition(".")[2] for name in linear})
            raise ValueError(f"target_modules: {target!r} fits no layer; there are {last}")
        found |= fitting
    saved = tuple(f"{name}." for name in config.modules_to_save)
    return {name: m for name, m in found.items() if not f"{name}.".startswith(saved)}


def add_lora(model: nn.Module, config: LoRAConfig) -> nn.Module:
    """Puts adapters into a model, in place, and freezes all but these and the modules to save.

    Returns: the model.
    Raises: ValueError if it has adapters already, or a name of the config fits nothing in it.

    Built in chapter 11.
    """
    if lora_layers(model):
        raise ValueError("the model has adapters already; put_adapter puts another in its place")
    found = targets(model, config)
    for name, layer in found.items():
        check_rank(layer, config.r)
        if "cross_attention.qkv" in name:  # it uses the rows of its weight apart
            raise ValueError(f"target_modules: {name} can't have an adapter")
    train_only(model, *(f"{name}.*" for name in config.modules_to_save))
    for name, layer in found.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, LoRALinear(layer, config.r, config.lora_alpha))
    model.lora_config = config
    return model


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """A model's layers with an adapter, by name.

    Built in chapter 11.
    """
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


def merge(model: nn.Module) -> None:
    """Adds all adapters to their weights: the model then costs what it cost without.

    Built in chapter 11.
    """
    for layer in lora_layers(model).values():
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Takes all adapters out of their weights again.

    Built in chapter 11.
    """
    for layer in lora_layers(model).values():
        layer.unmerge()
