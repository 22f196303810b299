"""The way out: a folder that transformers' Auto classes load, the tokenizer included.

    AutoModelForCausalLM, AutoModelForPreTraining, AutoTokenizer .from_pretrained(folder)

But: only models of GPT-2's and of BERT's architecture; transformers has no name for the others.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from minillm.hub.files import CONFIG, WEIGHTS
from minillm.hub.formats import ACTIVATIONS, FORMATS, Format
from minillm.hub.weights import check_tokenizer
from minillm.text.tokenizers import END_OF_TEXT
from minillm.text.tokenizers.files import read_json
from minillm.train.checkpoint import weights

FILES = {CONFIG, WEIGHTS[0], "tokenizer.json", "tokenizer_config.json"}
MARK = {"format": "pt", "written_by": "minillm"}  # transformers asks for the first
ARCHITECTURE = {"gpt2": "GPT2LMHeadModel", "bert": "BertForPreTraining"}
PLAIN = {
    "positions": "learned",
    "norm": "layernorm",
    "norm_gain": True,
    "bias": True,
    "qk_norm": False,
}
# Our fields in which the two architectures leave no choice.
ONLY = {"gpt2": PLAIN | {"norm_first": True}, "bert": PLAIN | {"norm_first": False}}
# The special tokens that a BERT and a RoBERTa put before a text, between two, and after.
AROUND = (("[CLS]", ("[SEP]",), "[SEP]"), ("<s>", ("</s>", "</s>"), "</s>"))
ROLES = {
    "unk_token": ("[UNK]", "<unk>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": (END_OF_TEXT,),
    "eos_token": (END_OF_TEXT,),
}


def save(model: nn.Module, folder: str | Path, tokenizer: Any = None) -> Path:
    """Write a model, and its tokenizer, for transformers; whole or not at all.

    model: a `GPT` of GPT-2's architecture or a `BERT` of BERT's; adapters must be merged.
    folder: made if need be; one that an earlier call wrote is replaced.
    Returns the folder.
    Raises ValueError for a model that transformers has no name for, FileExistsError for a folder
    with anything else in it, OSError if it can't be written.

    Used in lab 3.
    """
    kind = next((kind for kind in ARCHITECTURE if isinstance(model, FORMATS[kind].model)), None)
    if kind is None:
        raise ValueError(f"a {type(model).__name__} can't be exported; its body can")
    check(model, kind)
    if tokenizer is not None:
        check_tokenizer(tokenizer, model, "save_pretrained")
    target = Path(os.path.realpath(folder))
    if target == Path.cwd():
        raise ValueError(f"{folder}: is the folder one is in; name another")
    if not _replaceable(target):
        raise FileExistsError(f"{folder}: holds something else; name another folder, or empty it")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (target.with_name(f".{target.name}.{end}") for end in ("tmp", "old"))
    _clear(target, draft, old)  # after a run that was killed while it wrote
    try:
        draft.mkdir()
        _write_json(draft / CONFIG, their_config(model, kind, tokenizer))
        save_file(their_weights(model, FORMATS[kind]), draft / WEIGHTS[0], metadata=MARK)
        if tokenizer is not None:
            write_tokenizer(draft, model, kind, tokenizer)
        if target.exists():
            target.rename(old)
        draft.rename(target)
    except SafetensorError as error:  # a full disk, as the library tells it
        raise OSError(f"{draft}: can't write: {error}") from error
    finally:
        _clear(target, draft, old)
    return Path(folder)


def _clear(target: Path, draft: Path, old: Path) -> None:
    """Leaves the folder alone: the new one if it is there, else the one before."""
    if old.exists() and not target.exists():
        old.rename(target)
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)


def check(model: nn.Module, kind: str) -> None:
    """Raise ValueError for a model for which transformers has no name."""
    if any(not getattr(module, "merged", True) for module in model.modules()):
        raise ValueError("the model has adapters apart; minillm.adapt.lora.merge(model) first")
    config, only = model.config, {name: (plain,) for name, plain in ONLY[kind].items()}
    only["activation"] = (*dict.fromkeys(ACTIVATIONS.values()),)
    if kind == "gpt2":
        only["n_kv_heads"] = (None, config.n_heads)
    for name, choices in only.items():
        if (given := getattr(config, name)) not in choices:
            known = " or ".join(map(repr, choices))
            where = f"has no place in {ARCHITECTURE[kind]}'s format"
            raise ValueError(f"{name} ({given!r}) {where}, only {known}")


def their_config(model: nn.Module, kind: str, tokenizer: Any) -> dict[str, Any]:
    """Return the contents of config.json."""
    special = {} if tokenizer is None else tokenizer.special_tokens
    config = {"architectures": [ARCHITECTURE[kind]], "model_type": kind, "dtype": "float32"}
    config |= {f: getattr(model.config, ours) for ours, f in FORMATS[kind].fields.items()}
    activation = FORMATS[kind].fields["activation"]
    config[activation] = next(f for f, ours in ACTIVATIONS.items() if ours == config[activation])
    if kind == "gpt2":
        config |= {"embd_pdrop": model.config.dropout, "attn_pdrop": model.config.dropout}
        end = special.get(END_OF_TEXT)  # null where there is none: theirs is 50256
        return config | {"bos_token_id": end, "eos_token_id": end}
    config["intermediate_size"] = model.config.d_ff or 4 * model.config.d_model
    config["attention_probs_dropout_prob"] = model.config.dropout
    pads = [special[token] for token in ROLES["pad_token"] if token in special]
    return config | {"pad_token_id": pads[0] if pads else None}


def their_weights(model: nn.Module, fmt: Format) -> dict[str, Tensor]:
    """Return a model's weights by transformers' names."""
    theirs = {}
    for ours, tensor in weights(model).items():
        if ours.endswith(("lora_A", "lora_B")):  # merged: the weight has them
            continue
        names = fmt.names(ours)
        for name, part in zip(names, tensor.float().chunk(len(names)), strict=True):
            part = part.T if fmt.turns(ours) else part
            above = name.startswith(("cls.", "lm_head."))
            theirs[name if above else fmt.prefix + name] = part.contiguous()
    return theirs


def write_tokenizer(folder: Path, model: nn.Module, kind: str, tokenizer: Any) -> None:
    """Write tokenizer.json, with the tokens that a BERT has around a text, and its config."""
    tokenizer.save(folder)
    special = tokenizer.special_tokens
    roles = {role: token for role, tokens in ROLES.items() for token in tokens if token in special}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **roles,
    }
    marks = next((m for m in AROUND if {m[0], m[2]} <= special.keys()), None)
    if kind == "bert" and marks:
        config["model_input_names"].insert(1, "token_type_ids")
        described = read_json(folder / "tokenizer.json")
        segment = min(1, model.config.n_segments - 1)  # of the second text
        described["post_processor"] = around(*marks, special, segment)
        _write_json(folder / "tokenizer.json", described)
    _write_json(folder / "tokenizer_config.json", config)


def around(first: str, between: tuple, last: str, ids: dict[str, int], segment: int) -> dict:
    """Return the step of tokenizer.json that puts tokens around one text, or two.

    ids: of the tokens. segment: of the second text and what follows it.
    """

    def token(name: str, type_id: int) -> dict:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict:
        return {"Sequence": {"id": name, "type_id": type_id}}

    one = [token(first, 0), text("A", 0)]
    two = [*(token(name, 0) for name in between), text("B", segment), token(last, segment)]
    return {
        "type": "TemplateProcessing",
        "single": [*one, token(last, 0)],
        "pair": one + two,
        "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (first, last)},
    }


def _replaceable(folder: Path) -> bool:
    """Whether nothing is there, or only what an earlier call wrote."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    if not (names := {path.name for path in folder.iterdir()}):
        return True
    if WEIGHTS[0] not in names or names - FILES:
        return False
    try:
        with safe_open(folder / WEIGHTS[0], "pt") as file:
            return file.metadata() == MARK
    except SafetensorError:
        return False


def _write_json(file: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    file.write_text(text, encoding="utf-8", newline="\n")
