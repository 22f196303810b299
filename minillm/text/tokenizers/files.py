"""Tokenizers in files: Hugging Face's tokenizer.json, and GPT-2's and BERT's older formats.

`write` makes a tokenizer.json that `tokenizers` and `transformers` load; `read` takes theirs, or a
folder with vocab.json and merges.txt (GPT-2), or a vocab.txt (BERT), and returns the arguments of
the tokenizer's class. Where a file asks for what our tokenizers don't do, `read` says so.

But: a post-processor, truncation and padding are passed over: `encode` neither adds special tokens
around a text nor cuts it.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

END_OF_TEXT = "<|endoftext|>"
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

# The steps of each kind of tokenizer as tokenizer.json describes them.
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BPE_MODEL = {
    "type": "BPE",
    "dropout": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "ignore_merges": False,
}
BERT_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
WORDPIECE_MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
STEPS = {
    # BPE without merges and without cutting into words takes characters one by one.
    "char": {
        "normalizer": None,
        "pre_tokenizer": None,
        "decoder": {"type": "Fuse"},
        "model": BPE_MODEL,
    },
    "bpe": {"normalizer": None, "pre_tokenizer": BYTES, "decoder": BYTES, "model": BPE_MODEL},
    "wordpiece": {
        "normalizer": BERT_NORMALIZER,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": WORDPIECE_MODEL,
    },
}
ADDED_TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
# What may differ from the above: what changes neither ids nor text, and what is read by itself.
FREE = {
    "pre_tokenizer.trim_offsets",
    "decoder.add_prefix_space",
    "decoder.trim_offsets",
    "decoder.use_regex",
    "normalizer.lowercase",
    "normalizer.strip_accents",
}


def describe(kind: str, vocab: dict[str, int], special_tokens: Iterable[str], settings: dict):
    """Return the contents of a tokenizer.json.

    kind: char, bpe or wordpiece. settings: merges for bpe, lowercase for wordpiece.
    """
    steps = {part: step and dict(step) for part, step in STEPS[kind].items()}
    model = steps.pop("model") | {"vocab": vocab}
    if model["type"] == "BPE":
        model["merges"] = settings.get("merges", [])
    if kind == "wordpiece":
        steps["normalizer"]["lowercase"] = settings["lowercase"]
    added = [
        {"id": vocab[token], "content": token, **ADDED_TOKEN, "special": True}
        | {"lstrip": token in settings.get("lstrip", ())}
        for token in special_tokens
    ]
    header = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added}
    return header | steps | {"post_processor": None, "model": model}


def write(folder: str | Path, kind: str, vocab: dict, special_tokens: Iterable, settings: dict):
    """Write folder/tokenizer.json: whole or not at all, under a temporary name first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(describe(kind, vocab, special_tokens, settings), ensure_ascii=False, indent=1)
    temporary = folder / f".tokenizer.json.{os.getpid()}"
    try:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
        os.replace(temporary, folder / "tokenizer.json")
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[str, dict]:
    """Read a tokenizer's kind and the arguments of its class from a folder or a file.

    Raises FileNotFoundError where there is no tokenizer, ValueError for contents that are broken
    or not supported.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        names = ("tokenizer.json", "vocab.json", "vocab.txt")
        found = [path / name for name in names if (path / name).exists()]
        if not found:
            wanted = "tokenizer.json, no vocab.json with merges.txt, and no vocab.txt"
            raise FileNotFoundError(f"{path} holds no {wanted}")
        path = found[0]
    if path.name == "vocab.json":
        return "bpe", read_gpt2(path, path.with_name("merges.txt"))
    if path.suffix == ".txt":
        return "wordpiece", read_vocab_txt(path)
    try:
        return read_tokenizer_json(path)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a whole tokenizer.json: {error!r}") from None


def read_text(path: Path) -> str:
    """Read a text file; ValueError names it where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None


def read_json(path: Path) -> dict:
    """Read a JSON object; ValueError names the file where it is none."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} can't be read as JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, not a {type(data).__name__}")
    return data


def read_gpt2(vocab_path: Path, merges_path: Path) -> dict:
    """Read vocab.json (token → id) and merges.txt (a version line, then a merge a line).

    The files don't say which tokens are special: GPT-2 has one, RoBERTa five others.
    """
    vocab = read_json(vocab_path)
    lines = read_text(merges_path).split("\n")
    merges = [line for line in lines if line and not line.startswith("#version")]
    special = ROBERTA_TOKENS if "<mask>" in vocab else (END_OF_TEXT,)
    return {
        "vocab": vocab,
        "special_tokens": [token for token in special if token in vocab],
        "merges": [split_merge(merge, merges_path) for merge in merges],
    }


def read_vocab_txt(path: Path) -> dict:
    """Read BERT's vocab.txt: a token a line, its id the number of the line.

    Whether to lower-case stands in tokenizer_config.json beside it; without that file, a
    vocabulary with capital letters is taken for a cased one.
    """
    tokens = read_text(path).removesuffix("\n").split("\n")
    config_path = path.with_name("tokenizer_config.json")
    config = read_json(config_path) if config_path.exists() else {}
    capitals = any(token != token.lower() for token in set(tokens) - set(BERT_TOKENS))
    return {
        "vocab": {token: i for i, token in enumerate(tokens)},
        "special_tokens": [token for token in BERT_TOKENS if token in tokens],
        "lowercase": config.get("do_lower_case", not capitals),
    }


def read_tokenizer_json(path: Path) -> tuple[str, dict]:
    """Read a tokenizer.json; returns the kind of tokenizer and the arguments of its class."""
    data = read_json(path)
    model = data.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise ValueError(f"{path} is not a tokenizer.json: it has no model with a vocab")
    kind = find_kind(data, path)
    check_steps(data, kind, path)
    vocab = {**model["vocab"]}
    arguments = {"vocab": vocab, "special_tokens": read_added(data, kind, vocab, path)}
    if kind == "bpe":
        added = data.get("added_tokens", [])
        arguments["lstrip"] = [token["content"] for token in added if token.get("lstrip")]
        arguments["merges"] = [split_merge(merge, path) for merge in model["merges"]]
    if kind == "wordpiece":
        arguments["lowercase"] = lowercase = data["normalizer"]["lowercase"]
        accents = data["normalizer"].get("strip_accents")
        if accents not in (None, lowercase):
            raise unsupported(path, "normalizer.strip_accents", accents, lowercase)
    return kind, arguments


def unsupported(path: Path, what: str, given, wanted) -> ValueError:
    """Return the error that names a setting of a file, what is supported, and what is not."""
    return ValueError(f"{path}: {what} = {given!r} is not supported; {wanted!r} is")


def find_kind(data: dict, path: Path) -> str:
    """Tell char, bpe and wordpiece apart; older files don't name the type of their model."""
    model = data["model"]
    guess = "BPE" if "merges" in model else "WordPiece"
    if (kind := model.get("type", guess)) not in ("BPE", "WordPiece"):
        raise unsupported(path, "model.type", kind, ("BPE", "WordPiece"))
    if kind == "WordPiece":
        return "wordpiece"
    return "bpe" if model["merges"] or data.get("pre_tokenizer") else "char"


def check_steps(data: dict, kind: str, path: Path) -> None:
    """Raise ValueError where a step of a tokenizer.json is not what our tokenizer does."""
    for part, step in STEPS[kind].items():
        given = data.get(part)
        if step is None or given is None:
            if given is not step:
                raise unsupported(path, part, given and given.get("type"), step and step["type"])
            continue
        for key, wanted in step.items():
            value = given.get(key, wanted)
            off = not value and not wanted  # null, "", 0 and false all turn a setting off
            if value != wanted and not off and f"{part}.{key}" not in FREE:
                raise unsupported(path, f"{part}.{key}", value, wanted)


def read_added(data: dict, kind: str, vocab: dict[str, int], path: Path) -> list[str]:
    """Return the special tokens of a tokenizer.json, and add those to `vocab` that it lacks."""
    wanted = ADDED_TOKEN | {"special": True}
    if kind != "char":
        del wanted["lstrip"]  # BPE does it; to WordPiece white space is nothing anyway
    if not data.get("normalizer"):
        del wanted["normalized"]  # nothing to normalise, so either value will do
    for token in data.get("added_tokens", []):
        for key, value in wanted.items():
            if token.get(key, value) != value:
                what = f"added token {token['content']!r}: {key}"
                raise unsupported(path, what, token[key], value)
        if vocab.setdefault(token["content"], token["id"]) != token["id"]:
            raise ValueError(f"{path}: added token {token['content']!r} has two ids")
    return [token["content"] for token in data.get("added_tokens", [])]


def split_merge(merge: str | list, path: Path) -> tuple[str, str]:
    """Return the two tokens of a merge, written as "a b" or as ["a", "b"]."""
    pair = tuple(merge.split(" ") if isinstance(merge, str) else merge)
    if len(pair) != 2:
        raise ValueError(f"{path}: a merge must be two tokens, not {merge!r}")
    return pair
