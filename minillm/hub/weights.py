"""Published weights as ours: configs and tensors, every one of them accounted for.

But: no files here, see `files.py`; and nothing on the way back, see `export.py`.
"""

import dataclasses
import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from minillm.hub.formats import ACTIVATIONS, DEFAULTS, FORMATS, Format

HAS = {  # the end of an architecture's name -> the heads that its checkpoint must hold
    "ForPreTraining": ("pooler", "pair", "words"),
    "ForMaskedLM": ("words",),
    "ForNextSentencePrediction": ("pooler", "pair"),
}


def find_format(given: dict[str, Any], source: str) -> Format:
    """Return the format of a config.json; ValueError for a model_type that we don't have."""
    kind = given.get("model_type")
    if "minillm" in str(given.get("format")):
        raise ValueError(f"{source}: minillm's own; minillm.train.checkpoint.load_model reads runs")
    if not isinstance(kind, str) or kind not in FORMATS:
        raise ValueError(f"{source}: model_type ({kind!r}) must be one of {', '.join(FORMATS)}")
    return FORMATS[kind]


def our_config(given: dict[str, Any], source: str) -> Any:
    """Return our config for the contents of a config.json.

    Of several dropouts it takes that of the residual stream.
    Raises ValueError, which names the field, for what our models can't do.
    """
    fmt = find_format(given, source)
    for name, plain in fmt.plain.items():
        if given.get(name, plain) != plain:
            raise ValueError(f"{source}: {name} ({given[name]!r}) isn't supported, only {plain!r}")
    given, fields = DEFAULTS | given, dict(fmt.fixed)
    types = {field.name: field.type for field in dataclasses.fields(fmt.config)}
    for ours, theirs in fmt.fields.items():
        if theirs not in given:
            raise ValueError(f"{source}: {theirs} is missing")
        kind = float | int if types[ours] is float else types[ours]  # JSON may have 0 for 0.0
        if not isinstance(given[theirs], kind):
            name = getattr(kind, "__name__", kind)
            raise ValueError(f"{source}: {theirs} ({given[theirs]!r}) must be of type {name}")
        fields[ours] = given[theirs]
    activation = fmt.fields["activation"]
    if fields["activation"] not in fmt.activations:
        known = ", ".join(fmt.activations)
        raise ValueError(f"{source}: {activation} ({given[activation]!r}) must be one of {known}")
    fields["activation"] = ACTIVATIONS[fields["activation"]]
    fields["context_length"] -= first_position(given, source)
    try:
        return fmt.config(**fields)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def first_position(given: dict[str, Any], source: str) -> int:
    """Return the row of a table of positions that belongs to the first token.

    RoBERTa counts from the row after its padding's.
    """
    if given["model_type"] != "roberta":
        return 0
    if not isinstance(pad := given.get("pad_token_id", 1), int):
        raise ValueError(f"{source}: pad_token_id ({pad!r}) must be a number: positions follow it")
    return pad + 1


def our_model(
    given: dict[str, Any], config: Any, stored: dict[str, Tensor], source: str
) -> nn.Module:
    """Return our model with published weights, in eval mode; heads without any start fresh.

    given: the contents of config.json; config: what `our_config` made of them. stored: the
    tensors by their names.
    Warns, in one line, of what starts fresh.
    Raises ValueError, which names the weights, if some are missing, left over or of another shape.
    """
    fmt = find_format(given, source)
    with torch.device("meta"):  # shapes alone: nothing is drawn that would be thrown away
        model = fmt.model(config)
    stored = tidy(stored, fmt, getattr(config, "tie_embeddings", True), source)
    parts = {ours: fmt.names(ours) for ours in model.state_dict()}
    fresh = _missing_heads(fmt, parts, stored, given.get("architectures"))
    wanted = {name for ours in parts if _module(ours) not in fresh for name in parts[ours]}
    _check_names(wanted, stored.keys(), source)
    state, offset = {}, first_position(given, source)
    for ours, like in model.state_dict().items():
        skipped = offset if ours == "embedding.positions.weight" else 0
        if _module(ours) in fresh:
            state[ours] = _draw(ours, like.shape)
        elif not parts[ours]:  # DistilBERT has no segments: nothing is added for them
            state[ours] = torch.zeros(like.shape)
        else:
            found = {name: stored.pop(name) for name in parts[ours]}
            state[ours] = _join(found, like.shape, fmt.turns(ours), skipped, source)
    model.load_state_dict(state, assign=True)
    if fresh:
        message = f"{source} has no {', '.join(fresh)}: these start fresh"
        warnings.warn(message, stacklevel=4)  # where hub.load or from_pretrained was called
    return model.eval()


def check_tokenizer(tokenizer: Any, model: nn.Module, source: str) -> None:
    """Raise ValueError for a tokenizer with more tokens than the model has vectors."""
    if len(tokenizer) > (size := model.config.vocab_size):
        raise ValueError(f"{source}: the tokenizer has {len(tokenizer)} tokens, the model {size}")


def tidy(stored: dict[str, Tensor], fmt: Format, tied: bool, source: str) -> dict[str, Tensor]:
    """Return weights under one name each: no prefix, no old names, no buffers, no copies.

    Raises ValueError where two names that must hold the same do not.
    """
    tidied: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        short = name.removeprefix(fmt.prefix)
        short = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", short)
        short = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", short)
        if re.fullmatch(fmt.buffers, short):
            continue
        if short in tidied:
            raise ValueError(f"{source}: holds {short!r} under two names")
        tidied[short] = tensor
    for copy, first in fmt.copies.items() if tied else ():
        if copy in tidied:
            tensor = tidied.pop(copy)
            if not torch.equal(tidied.setdefault(first, tensor), tensor):
                raise ValueError(f"{source}: {copy!r} must be the same as {first!r}, and is not")
    return tidied


def _missing_heads(fmt: Format, parts, stored, architectures) -> list[str]:
    """Our modules of those heads of which a checkpoint has nothing, and need not have."""
    names = architectures if isinstance(architectures, list) else []
    ends = [end for end in HAS for name in names if str(name).endswith(end)]
    promised = {head for end in ends for head in HAS[end]}
    fresh = []
    for head, modules in fmt.heads.items():
        theirs = {name for ours in parts if _module(ours) in modules for name in parts[ours]}
        if not theirs & stored.keys() and not (theirs and head in promised):
            fresh += modules
    return fresh


def _module(name: str) -> str:
    """The module that a weight belongs to; for one that belongs to none, its own name."""
    return name.rpartition(".")[0] or name


def _check_names(wanted, given, source: str) -> None:
    """Raises a ValueError that names what is missing and what is left over."""

    def said(names) -> str:
        first = ", ".join(map(repr, sorted(names)[:3]))
        return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    faults = [f"lacks {said(wanted - given)}"] if wanted - given else []
    faults += [f"has {said(given - wanted)}, which we don't"] if given - wanted else []
    if faults:
        raise ValueError(f"{source}: {'; '.join(faults)}")


def _draw(name: str, shape) -> Tensor:
    """A weight of a fresh head, as `init_weights` would draw it."""
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    return 0.02 * torch.randn(shape) if len(shape) == 2 else torch.zeros(shape)


def _join(found: dict[str, Tensor], shape, turned: bool, skipped: int, source: str) -> Tensor:
    """One weight of ours, one part below the other, float32 and in memory of its own."""
    rows, *rest = shape
    need = (rows // len(found) + skipped, *rest)[:: -1 if turned else 1]
    for name, tensor in found.items():
        if tensor.shape != need:
            raise ValueError(f"{source}: {name!r} is {tuple(tensor.shape)}, not {need}")
        if not tensor.is_floating_point():
            raise ValueError(f"{source}: {name!r} holds {tensor.dtype}, not floating point numbers")
    parts = [(t.T if turned else t)[skipped:] for t in found.values()]
    return torch.cat(parts).to(torch.float32).contiguous()
