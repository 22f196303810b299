"""Published weights as ours and back: configs and tensors, every one of them accounted for.

But: no files here; see `files.py` for reading and `export.py` for writing.
"""

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
    """Return the format of a config.json.

    Raises ValueError for a model_type that we don't have.

    Used in lab 2.
    """
    kind = given.get("model_type")
    if kind not in FORMATS:
        if "format" in given:
            kind = f"{kind}; a run of minillm's is read by minillm.train.checkpoint.load_model"
        raise ValueError(f"{source}: model_type ({kind}) must be one of {', '.join(FORMATS)}")
    return FORMATS[kind]


def our_config(given: dict[str, Any], source: str) -> Any:
    """Return our config for a config.json, whose contents are given.

    Of several dropouts it is that of the residual stream.
    Raises ValueError, which names the field, for what our models can't do.

    Used in lab 2.
    """
    fmt = find_format(given, source)
    for name, plain in fmt.plain.items():
        if given.get(name, plain) != plain:
            raise ValueError(f"{source}: {name} ({given[name]!r}) isn't supported, only {plain!r}")
    given, fields = DEFAULTS | given, dict(fmt.fixed)
    for ours, theirs in fmt.fields.items():
        if theirs not in given:
            raise ValueError(f"{source}: {theirs} is missing")
        fields[ours] = given[theirs]
    activation = fmt.fields["activation"]
    if fields["activation"] not in fmt.activations:
        known = ", ".join(fmt.activations)
        raise ValueError(f"{source}: {activation} ({given[activation]!r}) must be one of {known}")
    fields["activation"] = ACTIVATIONS[fields["activation"]]
    try:
        fields["context_length"] -= first_position(given)
        return fmt.config(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from None


def first_position(given: dict[str, Any]) -> int:
    """Return the row of a table of positions that belongs to the first token.

    RoBERTa counts from the row after its padding's.

    Used in lab 2.
    """
    return (DEFAULTS | given)["pad_token_id"] + 1 if given["model_type"] == "roberta" else 0


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


def our_model(given: dict[str, Any], stored: dict[str, Tensor], source: str) -> nn.Module:
    """Return our model with published weights, in eval mode; heads without any start fresh.

    given: the contents of config.json. stored: the tensors by their names, emptied on the way.
    Warns, in one line, of what starts fresh.
    Raises ValueError, which names the weights, if some are missing, left over or of another shape.

    Used in lab 2.
    """
    fmt, config = find_format(given, source), our_config(given, source)
    with torch.device("meta"):  # shapes alone: nothing is drawn that would be thrown away
        model = fmt.model(config)
    wanted = {name: fmt.names(name) for name in model.state_dict()}
    stored = tidy(stored, fmt, getattr(config, "tie_embeddings", True), source)
    fresh = _missing_heads(fmt, wanted, stored, given.get("architectures"))
    needed = {part for ours, parts in wanted.items() if ours not in fresh for part in parts}
    _check_names(needed, stored.keys(), source)
    state, offset = {}, first_position(given)
    for ours, like in model.state_dict().items():
        if ours in fresh:
            state[ours] = _draw(ours, like.shape)
        elif not wanted[ours]:  # DistilBERT has no segments: nothing is added for them
            state[ours] = torch.zeros(like.shape)
        else:
            skipped = offset if ours == "embedding.positions.weight" else 0
            parts = [(name, stored.pop(name)) for name in wanted[ours]]
            state[ours] = _join(parts, like.shape, fmt.turned and is_matrix(ours), skipped, source)
    model.load_state_dict(state, assign=True)
    if fresh:
        modules = dict.fromkeys(
            name.removesuffix(".weight").removesuffix(".bias") for name in fresh
        )
        warnings.warn(f"{source} has no {', '.join(modules)}: fresh ones", stacklevel=2)
    return model.eval()


def _missing_heads(fmt, wanted, stored, architectures) -> list[str]:
    """Our weights of those heads of which a checkpoint has nothing, and need not have."""
    promised = {
        head
        for architecture in architectures or ()
        for end, heads in HAS.items()
        if architecture.endswith(end)
        for head in heads
    }
    fresh = []
    for head, modules in fmt.heads.items():
        ours = [n for n in wanted if n in modules or n.rpartition(".")[0] in modules]
        theirs = {part for name in ours for part in wanted[name]}
        if not theirs & stored.keys() and (head not in promised or not theirs):
            fresh += ours
    return fresh


def _check_names(needed, given, source: str) -> None:
    def said(names) -> str:
        first = ", ".join(map(repr, sorted(names)[:3]))
        return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    faults = []
    if missing := needed - given:
        faults.append(f"lacks {said(missing)}")
    if left := given - needed:
        faults.append(f"has {said(left)}, for which there is no place")
    if faults:
        raise ValueError(f"{source}: {'; '.join(faults)}")


def is_matrix(name: str) -> bool:
    """Whether GPT-2 has this weight of ours in a Conv1D, which holds it transposed."""
    return "blocks." in name and "norm" not in name and name.endswith("weight")


def _draw(name: str, shape) -> Tensor:
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    return torch.randn(shape) * 0.02 if len(shape) == 2 else torch.zeros(shape)


def _join(parts, shape, turned: bool, skipped: int, source: str) -> Tensor:
    """One weight of ours from its parts, float32 and in memory of its own."""
    rows, *rest = shape
    need = (rows // len(parts) + skipped, *rest)
    for name, tensor in parts:
        expected = need[::-1] if turned else need
        if tensor.shape != expected:
            raise ValueError(f"{source}: {name!r} is {tuple(tensor.shape)}, not {expected}")
        if not tensor.is_floating_point():
            raise ValueError(f"{source}: {name!r} holds {tensor.dtype}, not floating point numbers")
    tensors = [(t.T if turned else t)[skipped:] for _, t in parts]
    return torch.cat(tensors).to(torch.float32).contiguous()
