"""LoRA: a frozen matrix and a small trained product beside it, put in, merged, saved on its own.

A model is changed in place: some of its linear layers become `LoRALinear`, everything else stays,
also the names of its weights. An adapter is a handful of small tensors; with another one put in its
place, the model does another task.

File format and names are those of PEFT, which reads our adapters as we read PEFT's.

But: one adapter at a time, no dropout in it, and none of LoRA's successors.
"""

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minillm.adapt.heads import train_only

PREFIX = "base_model.model."  # PEFT's, before the names of a model's own modules
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PLAIN = {  # settings of PEFT's that would change what an adapter computes, off
    "bias": "none",
    "fan_in_fan_out": False,
    "lora_bias": False,
    "use_rslora": False,
    "use_dora": False,
    "use_qalora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "exclude_modules": None,
    "layers_to_transform": None,
    "layer_replication": None,
    "target_parameters": None,
    "trainable_token_indices": None,
}


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
        self.weight, self.bias = base.weight, base.bias
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
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
        raise ValueError("the model has adapters already; put another in place with put_adapter")
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


def _places(model: nn.Module) -> dict[str, Tensor]:
    """An adapter's tensors in the model itself, by PEFT's names."""
    parts = {}
    for name, layer in lora_layers(model).items():
        parts[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A.data
        parts[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B.data
    for name in model.lora_config.modules_to_save if parts else ():
        for key, tensor in model.get_submodule(name).state_dict().items():
            parts[f"{PREFIX}{name}.{key}"] = tensor
    return parts


def adapter(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's adapter: A and B of each layer, and the modules to save, on the CPU.

    Returns: tensors by PEFT's names.
    Raises: ValueError if the model has none.

    Built in chapter 11.
    """
    parts = _places(model)
    if not parts:
        raise ValueError("the model has no adapter; add_lora puts one in")
    return {name: tensor.to("cpu", copy=True) for name, tensor in parts.items()}


def put_adapter(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts another adapter in the place of a model's own, which is forgotten.

    Args:
        tensors: as `adapter` gives them, of the same layers and the same rank.
    Raises: ValueError, before anything is changed, if they aren't, or if the model's own adapter
        is merged into its weights.

    Built in chapter 11.
    """
    places = _places(model)
    if any(layer.merged for layer in lora_layers(model).values()):
        raise ValueError("the model's adapter is merged into its weights; unmerge it first")
    if wrong := sorted(places.keys() ^ tensors.keys()):
        whose = "the adapter lacks" if wrong[0] in places else "the model has no place for"
        raise ValueError(f"{whose} {wrong[0]} ({len(wrong)} such names)")
    for name, place in places.items():
        if place.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)} in the adapter, {tuple(place.shape)}"
            raise ValueError(f"{name} is {shapes} in the model")
    for name, place in places.items():
        place.copy_(tensors[name])


def save_adapter(model: nn.Module, folder: str | Path) -> Path:
    """Writes a model's adapter, and nothing else of it, into a folder that PEFT can read.

    Returns: the folder.
    Raises: ValueError if the model has no adapter; OSError if it can't be written.

    Built in chapter 11.
    """
    tensors, folder = adapter(model), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", **vars(model.lora_config), **PLAIN}
    drafts = [folder / f".{name}.tmp" for name in (WEIGHTS, CONFIG)]
    save_file(tensors, drafts[0], metadata={"format": "pt"})
    drafts[1].write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    for draft, name in zip(drafts, (WEIGHTS, CONFIG), strict=True):
        os.replace(draft, folder / name)
    return folder


def load_adapter(model: nn.Module, folder: str | Path) -> nn.Module:
    """Puts the adapter from a folder, ours or PEFT's, into a model, in the place of its own.

    Returns: the model.
    Raises: FileNotFoundError if no adapter is there; ValueError if it is damaged, of a kind that is
        not LoRA, or for another model.

    Built in chapter 11.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    try:
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder / WEIGHTS}: missing") from None
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: truncated or not safetensors ({error})") from None
    if not lora_layers(model):
        add_lora(model, config)
    put_adapter(model, tensors)
    for layer in lora_layers(model).values():
        layer.scaling = config.lora_alpha / config.r
    model.lora_config = config
    return model


def read_config(file: Path) -> LoRAConfig:
    """The config of an adapter in a file of PEFT's.

    Raises: as `load_adapter`.

    Built in chapter 11.
    """
    try:
        given = json.loads(file.read_text("utf-8"))
        if given["peft_type"] != "LORA":
            raise ValueError(f"{file}: peft_type ({given['peft_type']!r}) must be 'LORA'")
        found = {field.name: given[field.name] for field in dataclasses.fields(LoRAConfig)}
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: missing; an adapter's folder has it") from None
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: no config of an adapter ({error!r})") from None
    for name, plain in PLAIN.items():
        if given.get(name, plain) not in (plain, None):
            raise ValueError(f"{file}: {name} ({given[name]!r}) isn't supported, only {plain!r}")
    targets, saved = found["target_modules"], found["modules_to_save"] or ()
    if isinstance(targets, str):
        raise ValueError(f"{file}: target_modules ({targets!r}) must be a list of names")
    return LoRAConfig(found["r"], found["lora_alpha"], tuple(sorted(targets)), tuple(saved))
