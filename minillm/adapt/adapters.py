"""Adapters: taken out of a model, put in the place of another, saved and loaded on their own.

An adapter is a handful of small tensors; with another one in its place, the model does another
task. Files and names are those of PEFT, which reads our adapters as we read PEFT's.

But: one adapter at a time; several are several dictionaries of tensors.
"""

import dataclasses
import json
import os
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from minillm.adapt.lora import LoRAConfig, add_lora, lora_layers, targets
from minillm.train.checkpoint import read_tensors

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

# Settings of later PEFTs that would do so too; not written, as older ones don't know them.
LATER = dict.fromkeys(("alora_invocation_tokens", "kasa_config", "use_bdlora"))


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
        not LoRA, or for another model. The model is then as it was.

    Built in chapter 11.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS)
    if lora_layers(model):
        put_adapter(model, tensors)
    else:
        _add_adapter(model, config, tensors)
    for layer in lora_layers(model).values():
        layer.scaling = config.lora_alpha / config.r
    model.lora_config = config
    return model


def _add_adapter(model: nn.Module, config: LoRAConfig, tensors: dict[str, Tensor]) -> None:
    """Gives a model without adapters one with these tensors, or leaves it as it is."""
    plain = targets(model, config)
    trained = [(p, p.requires_grad) for p in model.parameters()]
    add_lora(model, config)
    try:
        put_adapter(model, tensors)
    except ValueError:
        for name, layer in plain.items():
            model.set_submodule(name, layer)
        for p, was in trained:
            p.requires_grad_(was)
        del model.lora_config
        raise


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
    for name, plain in (PLAIN | LATER).items():
        if given.get(name, plain) not in (plain, None):
            raise ValueError(f"{file}: {name} ({given[name]!r}) isn't supported, only {plain!r}")
    targets, saved = found["target_modules"], found["modules_to_save"] or ()
    for name, some in (("target_modules", targets), ("modules_to_save", saved)):
        if not isinstance(some, list | tuple) or not all(isinstance(one, str) for one in some):
            raise ValueError(f"{file}: {name} ({some!r}) must be a list of names")
    return LoRAConfig(found["r"], found["lora_alpha"], tuple(sorted(targets)), tuple(saved))
