"""Published weights, in and out: folders as transformers writes and reads them.

    from minillm import hub

    model, tokenizer = hub.load("all-MiniLM-L6-v2")
    model.save_pretrained("my-minilm", tokenizer)

A name stands for a folder, for one under `$MINILLM_MODELS`, or for one on the Hugging Face hub.
GPT-2 of all sizes becomes our `GPT`; BERT, MiniLM, DistilBERT and RoBERTa become our `BERT`. Every
weight is accounted for: what is missing or left over is an error that names it.

Files are in `files.py`, names in `formats.py`, tensors in `weights.py`, the way out in `export.py`.
But: no other kinds of models, no quantized weights, and nothing is unpickled but tensors.
"""

from pathlib import Path
from typing import Any

from torch import nn

from minillm.hub.export import save
from minillm.hub.files import CONFIG, TOKENIZER, find, read_config, read_weights
from minillm.hub.weights import check_tokenizer, find_format, our_config, our_model
from minillm.text import tokenizers

__all__ = ["find", "load", "load_model", "save"]


def load(name: str | Path) -> tuple[nn.Module, Any]:
    """Return a published model and its tokenizer.

    name: a folder, or a name; see `find`.

    Returns:
        The model, a `GPT` or a `BERT`, in eval mode on the CPU; its tokenizer, None if the folder
        has none.

    Raises:
        FileNotFoundError: there is no such folder or name, or a file is missing.
        ValueError: in one line that says what is wrong with a file, or what we don't have.

    Used in lab 2.
    """
    folder = find(name)
    model = load_model(folder)
    if not any((folder / file).exists() for file in TOKENIZER):
        return model, None
    tokenizer = tokenizers.load(folder)
    check_tokenizer(tokenizer, model, str(folder))
    return model, tokenizer


def load_model(name: str | Path, kind: type | None = None) -> nn.Module:
    """Return a published model alone; `kind` is the class that is wanted, None for whichever it is.

    Raises what `load` does, and ValueError if the weights are of another kind.

    Used in lab 2.
    """
    folder = find(name)
    given = read_config(folder)
    file = str(folder / CONFIG)
    model = find_format(given, file).model
    if kind not in (None, model):
        fits = f"{model.__name__}.from_pretrained loads it, not {kind.__name__}'s"
        raise ValueError(f"{file}: a {given['model_type']}; {fits}")
    config = our_config(given, file)
    return our_model(given, config, read_weights(folder), str(folder))
