"""Folders of weights: found by name, read from one file or several, broken ones named."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from theirs import change, save
from torch.testing import assert_close

from minillm import hub
from minillm.model.bert import BERT
from minillm.model.gpt import GPT


def test_shards_and_pickles_hold_what_one_file_holds(tmp_path):
    theirs = save("GPT2LMHeadModel", tmp_path / "one")
    expected = hub.load_model(tmp_path / "one").state_dict()
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="2KB")
    assert len([*(tmp_path / "shards").glob("model-*.safetensors")]) > 2
    config = (tmp_path / "one/config.json").read_text("utf-8")
    for name in ("pickle", "pickles"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config, "utf-8")
    tensors, parts = theirs.state_dict(), {}
    torch.save(tensors, tmp_path / "pickle/pytorch_model.bin")
    for i, names in enumerate((sorted(tensors)[:9], sorted(tensors)[9:])):
        torch.save({n: tensors[n] for n in names}, tmp_path / f"pickles/pytorch_model-{i}.bin")
        parts |= dict.fromkeys(names, f"pytorch_model-{i}.bin")
    index = tmp_path / "pickles/pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": parts}), "utf-8")
    for name in ("shards", "pickle", "pickles"):
        assert_close(hub.load_model(tmp_path / name).state_dict(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_the_bits_become_float32(dtype, tmp_path):
    save("BertForPreTraining", tmp_path)
    full = hub.load_model(tmp_path).state_dict()
    change(tmp_path, lambda t: t.update({name: x.to(dtype) for name, x in t.items()}))
    for name, p in hub.load_model(tmp_path).state_dict().items():
        assert p.dtype == torch.float32
        assert_close(p, full[name].to(dtype).float(), atol=0, rtol=0)


class Evil:
    def __reduce__(self):
        return (print, ("this code must not run",))


@pytest.mark.parametrize(
    ("break_it", "kind", "said"),
    [
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "config.json: missing; a "),
        (lambda f: (f / "config.json").write_text("{"), ValueError, "config.json can't be read as"),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "holds no model."),
        (lambda f: (f / "model.safetensors").write_bytes(b"abc"), ValueError, "not safetensors"),
        (lambda f: bin_of(f).write_bytes(pickle.dumps(Evil(), 2)), ValueError, "pickles more"),
        (lambda f: torch.save({"a": Evil()}, bin_of(f)), ValueError, "pickles more than tens"),
        (lambda f: bin_of(f).write_bytes(b""), ValueError, "bin: truncated or not torch's"),
        (lambda f: torch.save({"a": 1}, bin_of(f)), ValueError, "must hold tensors by name"),
        (lambda f: index_of(f, {"a": "gone.safetensors"}), FileNotFoundError, "gone.*missing"),
        (lambda f: index_of(f, {"a": "../b.safetensors"}), ValueError, "must name files"),
        (lambda f: index_of(f, None), ValueError, "must name files"),
        (lambda f: index_of(f, {"a": "x.safetensors", "b": "y.safetensors"}), ValueError,
         "y.safetensors: holds .*, which another file holds too"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_in_one_line(break_it, kind, said, tmp_path, capfd):
    save("GPT2Model", tmp_path)
    break_it(tmp_path)
    with pytest.raises(kind, match=said) as error:
        hub.load(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    assert "must not run" not in capfd.readouterr().out


def bin_of(folder):
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def index_of(folder, names):
    """An index instead of the one file, which stands there twice under other names."""
    tensors = (folder / "model.safetensors").read_bytes()
    for name in ("x.safetensors", "y.safetensors"):
        (folder / name).write_bytes(tensors)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def test_the_wrong_class_is_told_the_right_one(tmp_path):
    save("GPT2Model", tmp_path / "gpt2")
    save("BertModel", tmp_path / "bert")
    with pytest.raises(ValueError, match=r"a gpt2; GPT.from_pretrained loads it, not BERT's"):
        BERT.from_pretrained(tmp_path / "gpt2")
    with pytest.raises(ValueError, match=r"a bert; BERT.from_pretrained loads it, not GPT's"):
        GPT.from_pretrained(str(tmp_path / "bert"))


def test_a_name_is_looked_for_in_folders_first(tmp_path, monkeypatch):
    for name in ("here", "models/gpt2", "models/org/gpt2", "models/other"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINILLM_MODELS", str(tmp_path / "models"))
    assert hub.find("here") == Path("here")
    assert hub.find(tmp_path / "here") == tmp_path / "here"
    assert hub.find("gpt2") == tmp_path / "models/gpt2"
    assert hub.find("org/gpt2") == tmp_path / "models/org/gpt2"
    assert hub.find("org/other") == tmp_path / "models/other"
    monkeypatch.delenv("MINILLM_MODELS")
    with pytest.raises(FileNotFoundError, match=r"MODELS/gpt2 and set MINILLM_MODELS to MODELS or"):
        hub.find("gpt2")


@pytest.mark.parametrize("pickled", [False, True])
def test_then_on_the_hub_with_pickles_only_where_there_is_nothing_else(
    pickled, tmp_path, monkeypatch
):
    calls = []

    def download(repo, allow_patterns):
        calls.append((repo, allow_patterns))
        (tmp_path / "config.json").touch()
        if not pickled:
            (tmp_path / "model.safetensors").touch()
        elif "pytorch_model.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setenv("MINILLM_MODELS", str(tmp_path / "none"))
    assert hub.find("all-MiniLM-L6-v2") == tmp_path
    assert [repo for repo, _ in calls] == ["sentence-transformers/all-MiniLM-L6-v2"] * (1 + pickled)
    assert not any(".bin" in pattern for pattern in calls[0][1])
    for file in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "merges.txt"):
        assert file in calls[0][1]


@pytest.mark.parametrize("name", ["gpt2", "org/gpt2"])
def test_a_missing_model_is_one_line_with_both_ways_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_MODELS", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        hub.load(name)
    said = str(error.value)
    assert said.startswith(f"{name} is missing: put config.json, model.safetensors and")
    assert f"into $MINILLM_MODELS/gpt2 or connect to the internet (hub: {name}, " in said
    assert "\n" not in said and str(tmp_path) not in said


@pytest.mark.parametrize("name", ["no/such/folder", "/no", "./no", "~/no", "a b"])
def test_what_can_be_no_name_is_a_missing_folder(name):
    with pytest.raises(FileNotFoundError, match=f"^{name}: no such folder$"):
        hub.find(name)
