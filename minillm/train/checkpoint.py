"""Checkpoints: a run on disk, as safetensors and JSON, never half written.

A run's folder holds one checkpoint, named by its step:

    DIR/step-000600/config.json          what the model is: its class and config; notes of the run
                    model.safetensors    its weights
                    tokenizer.json       its tokenizer, if it has one
                    state.json           where training stands: step, data, history, random states
                    state.safetensors    what the optimizer remembers, torch's random states

A new checkpoint is written under a temporary name, flushed to the disk and renamed; only then is
the one before removed. So whenever the power goes, one whole checkpoint is there.

But: nothing is pickled, so only configs that JSON can hold; and nothing is sharded.
"""

import dataclasses
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.text import tokenizers

FORMAT = "minillm checkpoint 1"
NAME = re.compile(r"step-(\d+)(?:-(\d+))?")  # the second number: saved again at the same step
MODELS = {
    "GPT": (GPT, GPTConfig),
    "BERT": (BERT, BertConfig),
}  # what `load_model` can build, with its config


@dataclass(frozen=True)
class Checkpoint:
    """What `load` found: where, the model's class and config, notes, and the state of training.

    `state` and `tensors` are None where only a model was saved. Weights are read by `load_weights`.

    Built in chapter 7.
    """

    path: Path
    model: str
    config: dict[str, Any] | None
    notes: dict[str, Any]
    state: dict[str, Any] | None
    tensors: dict[str, Tensor] | None


def save(
    folder: str | Path,
    model: nn.Module,
    tokenizer: Any = None,
    *,
    step: int = 0,
    notes: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> Path:
    """Writes a checkpoint into a folder, in place of the one that was there.

    Args:
        folder: made if need be; what else is in it stays.
        model: its weights, class name and `config` (a dataclass, if it has one) are kept.
        tokenizer: anything with `save(folder)`.
        step: how many steps the model was trained.
        notes: remarks on how the run came about, for JSON.
        state, tensors: what training needs to go on, for JSON and for safetensors.
    Returns: the folder step-... that was written.
    Raises: OSError if it can't be written; then the checkpoint before is still there.

    Built in chapter 7.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, again = folder / f"step-{step:06d}", 0
    while target.exists():
        again += 1
        target = folder / f"step-{step:06d}-{again}"
    draft = folder / f".{target.name}.tmp"
    shutil.rmtree(draft, ignore_errors=True)  # left by a run that was killed while it wrote
    config = getattr(model, "config", None)
    about = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": dataclasses.asdict(config) if dataclasses.is_dataclass(config) else None,
        "notes": notes or {},
    }
    try:
        draft.mkdir()
        (draft / "config.json").write_text(json.dumps(about, indent=2), "utf-8")
        save_file(weights(model), draft / "model.safetensors")
        if tokenizer is not None:
            tokenizer.save(draft)
        if state is not None:
            (draft / "state.json").write_text(json.dumps({"format": FORMAT, **state}), "utf-8")
            save_file(tensors or {}, draft / "state.safetensors")
        for path in [*draft.iterdir(), draft]:
            _flush(path)
        draft.rename(target)
        _flush(folder)
    except SafetensorError as error:  # a full disk, as the library tells it
        raise OSError(f"{draft}: can't write: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for old in folder.iterdir():
        if old != target and NAME.fullmatch(old.name.removeprefix(".").removesuffix(".tmp")):
            shutil.rmtree(old, ignore_errors=True)  # it harms nobody: the newest counts
    return target


def latest(folder: str | Path) -> Path:
    """The newest checkpoint in a run's folder.

    Raises: FileNotFoundError or ValueError, in one line, if there is none.

    Built in chapter 7.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise ValueError(f"{folder}: is a file; a run's folder is wanted")
    names = [match for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    if not names:
        raise FileNotFoundError(f"{folder}: holds no minillm checkpoint (no step-... folder)")
    return folder / max(names, key=lambda name: (int(name[1]), int(name[2] or 0)))[0]


def load(folder: str | Path) -> Checkpoint:
    """Reads a run's newest checkpoint, all but the weights.

    Raises: FileNotFoundError or ValueError, in one line that names the file, if one is missing,
        truncated or something else.

    Built in chapter 7.
    """
    path = latest(folder)
    about = _read_json(path / "config.json")
    state = tensors = None
    if (path / "state.json").exists() or (path / "state.safetensors").exists():
        state = _read_json(path / "state.json")
        tensors = read_tensors(path / "state.safetensors")
    return Checkpoint(path, about["model"], about["config"], about["notes"], state, tensors)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copies the weights in `path`/model.safetensors into a model of the same class and sizes.

    Raises: FileNotFoundError or ValueError, in one line, if they are missing or another model's.

    Built in chapter 7.
    """
    file = Path(path) / "model.safetensors"
    put_weights(model, read_tensors(file), str(file))


def put_weights(model: nn.Module, stored: dict[str, Tensor], source: str) -> None:
    """Copies weights by name, as `weights` gives them, into a model; `source` is for the error.

    Raises: ValueError, in one line, if they are another model's.

    Built in chapter 7.
    """
    wanted = _distinct(model)
    for name in sorted(stored.keys() ^ wanted.keys()):
        which = "has" if name in stored else "lacks"
        raise ValueError(f"{source}: holds another model, which {which} {name!r}")
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape:
            given, need = tuple(stored[name].shape), tuple(tensor.shape)
            raise ValueError(f"{source}: holds another model: {name!r} is {given}, not {need}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def load_model(folder: str | Path) -> tuple[nn.Module, Any]:
    """A trained model, ready for use, and its tokenizer (None if it was saved without one).

    Returns: the model on the CPU, in eval mode; the tokenizer.
    Raises: FileNotFoundError or ValueError, in one line, if a file is missing, damaged or foreign.

    Built in chapter 7.
    """
    found = load(folder)
    if found.model not in MODELS:
        raise ValueError(f"{found.path / 'config.json'}: a {found.model!r}; known: {[*MODELS]}")
    model_class, config_class = MODELS[found.model]
    try:
        model = model_class(config_class(**found.config))
    except TypeError as error:
        raise ValueError(f"{found.path / 'config.json'}: not of this version: {error}") from error
    load_weights(model, found.path)
    has_tokenizer = (found.path / "tokenizer.json").exists()
    return model.eval(), tokenizers.load(found.path) if has_tokenizer else None


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights and buffers by name, a tied one once, copied to the CPU.

    Built in chapter 7.
    """
    return {name: t.detach().to("cpu", copy=True) for name, t in _distinct(model).items()}


def _distinct(model: nn.Module) -> dict[str, Tensor]:
    """The state dict without second names of tied tensors."""
    first: dict[tuple, str] = {}
    tensors = model.state_dict()
    for name, t in tensors.items():
        first.setdefault((t.data_ptr(), t.shape, t.stride()), name)
    return {name: tensors[name] for name in first.values()}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: missing") from None
    except ValueError as error:  # also UnicodeDecodeError
        raise ValueError(f"{file}: truncated or not JSON ({error})") from error
    given = content.get("format") if isinstance(content, dict) else None
    if given != FORMAT:
        raise ValueError(f"{file}: not a part of a {FORMAT!r}; its format is {given!r}")
    return content


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors in a file, by name.

    Raises: FileNotFoundError if it isn't there; ValueError if it is damaged.

    Built in chapter 7.
    """
    try:
        return load_file(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: missing") from None
    except SafetensorError as error:
        raise ValueError(f"{file}: truncated or not safetensors ({error})") from error


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk and not only in memory."""
    if path.is_dir() and os.name == "nt":  # Windows can't open a folder
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    os.fsync(handle)
    os.close(handle)
