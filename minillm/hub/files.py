"""Folders of published weights: where a name is found, and what its files hold.

But: nothing is translated here; see `formats.py` for the names and `weights.py` for the tensors.
"""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minillm.text.tokenizers.files import read_json
from minillm.train.checkpoint import read_tensors

CONFIG = "config.json"
# In the order in which they are looked for.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER = ("tokenizer.json", "vocab.json", "vocab.txt")
SAFE = (CONFIG, *WEIGHTS[:2], "model-*.safetensors", *TOKENIZER, "merges.txt")
SAFE += ("tokenizer_config.json",)
PICKLED = (*WEIGHTS[2:], "pytorch_model-*.bin")
ON_THE_HUB = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")


def find(name: str | Path) -> Path:
    """Return the folder of published weights, which is downloaded if it isn't there.

    name: a folder; else a name under `$MINILLM_MODELS`, of which "org/name" may leave the first
    part out; else a name on the Hugging Face hub.
    Raises FileNotFoundError, in one line with both ways to get the weights.

    Used in lab 2.
    """
    if Path(name).is_dir():
        return Path(name)
    name = str(name)
    if not NAME.fullmatch(name):
        raise FileNotFoundError(f"{name}: no such folder")
    root, last = os.environ.get("MINILLM_MODELS", ""), name.rpartition("/")[2]
    for folder in [Path(root, name), Path(root, last)] if root else []:
        if folder.is_dir():
            return folder
    repo = ON_THE_HUB.get(name, name)
    try:
        return _download(repo)
    except Exception as error:  # no network, no such name, a proxy: the hub raises many kinds
        place = (
            f"$MINILLM_MODELS/{last}" if root else f"MODELS/{last} and set MINILLM_MODELS to MODELS"
        )
        files = f"put {CONFIG}, {WEIGHTS[0]} and the tokenizer's files into {place}"
        online = f"connect to the internet (hub: {repo}, {type(error).__name__})"
        raise FileNotFoundError(f"{name} is missing: {files} or {online}") from error


def _download(repo: str) -> Path:
    """The hub's folder: its safetensors, or its pickled weights if it has no others."""
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repo, allow_patterns=[*SAFE]))
    if not any((folder / file).exists() for file in WEIGHTS):
        folder = Path(snapshot_download(repo, allow_patterns=[*SAFE, *PICKLED]))
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.json says.

    Raises FileNotFoundError or ValueError, in one line that names the file.

    Used in lab 2.
    """
    file = folder / CONFIG
    if not file.exists():
        raise FileNotFoundError(f"{file}: missing; a folder of published weights has it")
    return read_json(file)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder by their names there, whatever number of files holds them.

    Raises FileNotFoundError or ValueError, in one line that names the file, if one is missing,
    damaged, or a pickle of more than tensors.

    Used in lab 2.
    """
    found = [folder / file for file in WEIGHTS if (folder / file).exists()]
    if not found:
        raise FileNotFoundError(f"{folder}: holds no {' and no '.join(WEIGHTS)}")
    files = found[:1]
    if files[0].suffix == ".json":
        names = read_json(files[0]).get("weight_map")
        if not isinstance(names, dict) or not all(_is_plain(name) for name in names.values()):
            raise ValueError(f"{files[0]}: no index of weights: weight_map must name files")
        files = [folder / name for name in sorted({*names.values()})]
    tensors: dict[str, Tensor] = {}
    for file in files:
        part = _read_pickle(file) if file.suffix == ".bin" else read_tensors(file)
        if twice := sorted(part.keys() & tensors.keys()):
            raise ValueError(f"{file}: holds {twice[0]!r}, which another file holds too")
        tensors |= part
    return tensors


def _is_plain(name: Any) -> bool:
    """Whether it is the name of a file of weights in the same folder."""
    return (
        isinstance(name, str)
        and Path(name).name == name
        and name.endswith((".safetensors", ".bin"))
    )


def _read_pickle(file: Path) -> dict[str, Tensor]:
    if not file.exists():
        raise FileNotFoundError(f"{file}: missing")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{file}: pickles more than tensors, and could run code: refused"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{file}: truncated or not torch's ({reason})") from None
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise ValueError(f"{file}: must hold tensors by name, and nothing else")
    return content
