"""Checkpoints: whole or not there, and clear about what is wrong with them."""

import json
import os
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from tiny_model import TinyModel, config, windows
from torch import nn

from minillm.model.gpt import GPT, GPTConfig
from minillm.train import checkpoint
from minillm.train.loop import train
from minillm.train.objectives import causal_lm

SIZES = {"vocab_size": 9, "context_length": 8, "d_model": 8, "n_heads": 2, "n_layers": 1}


def trained(folder, steps=4):
    torch.manual_seed(0)
    model = TinyModel()
    train(model, causal_lm, windows(), config(steps=steps), folder=folder, progress=False)
    return model


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"positions": "rotary"}])
def test_a_gpt_comes_back_as_it_was(tmp_path, changes):
    model = GPT(GPTConfig(**SIZES, **changes))
    checkpoint.save(tmp_path, model, notes={"why": "a test"})
    loaded, tokenizer = checkpoint.load_model(tmp_path)
    assert loaded.config == model.config
    assert tokenizer is None
    assert not loaded.training
    ids = torch.arange(8)[None]
    assert torch.equal(loaded(ids), model.eval()(ids))
    if not changes:
        assert loaded.n_parameters() == model.n_parameters()
    assert checkpoint.load(tmp_path).notes == {"why": "a test"}


def test_only_json_and_safetensors(tmp_path):
    trained(tmp_path)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".safetensors"}
    assert len(files) == 4
    for p in files:
        if p.suffix == ".json":
            json.loads(p.read_text(encoding="utf-8"))


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.tokens.weight

    model, other = Tied(), Tied()
    checkpoint.save(tmp_path, model)
    assert list(checkpoint.weights(model)) == ["tokens.weight"]
    checkpoint.load_weights(other, checkpoint.latest(tmp_path))
    assert torch.equal(other.head.weight, model.tokens.weight)
    assert other.head.weight is other.tokens.weight


def test_a_new_checkpoint_takes_the_place_of_the_old_and_of_nothing_else(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "step-by-step").mkdir()
    for step in (5, 10, 10):
        checkpoint.save(tmp_path, TinyModel(), step=step)
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == ["metrics.json", "step-000010-1", "step-by-step"]
    assert checkpoint.latest(tmp_path).name == "step-000010-1"


def test_latest_of_two_is_the_later_one(tmp_path):  # a run killed before it removed the old one
    for name in ("step-000900", "step-001000", "step-001000-1", "step-000999-7"):
        (tmp_path / name).mkdir()
    assert checkpoint.latest(tmp_path).name == "step-001000-1"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("full")])
@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch, error, fails_at):
    model, calls, write = trained(tmp_path, steps=4), [0], checkpoint.save_file

    def failing(tensors, path):
        calls[0] += 1
        if calls[0] == fails_at:
            path.write_bytes(b"half")
            raise error
        write(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", failing)
    with pytest.raises(OSError, match=r"No space|full"):
        checkpoint.save(tmp_path, TinyModel(), step=9, state={"step": 9}, tensors={})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000004"]
    again = TinyModel()
    checkpoint.load_weights(again, checkpoint.load(tmp_path).path)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), atol=0, rtol=0)


def test_everything_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    events, flush = [], os.fsync
    rename = type(tmp_path).rename
    monkeypatch.setattr(os, "fsync", lambda handle: events.append("flush") or flush(handle))
    monkeypatch.setattr(
        type(tmp_path), "rename", lambda s, t: events.append("rename") or rename(s, t)
    )
    checkpoint.save(tmp_path, TinyModel(), state={}, tensors={})
    at = events.index("rename")
    assert events[:at].count("flush") >= 4
    if os.name != "nt":
        assert "flush" in events[at:]


FILES = ["config.json", "model.safetensors", "state.json", "state.safetensors"]


def read_all(folder):
    found = checkpoint.load(folder)
    checkpoint.load_weights(TinyModel(), found.path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    trained(tmp_path)
    (checkpoint.latest(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError) as info:
        read_all(tmp_path)
    assert name in str(info.value)
    assert "missing" in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0, 5, -1])
def test_a_truncated_file_is_named(tmp_path, name, keep):
    trained(tmp_path)
    file = checkpoint.latest(tmp_path) / name
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="truncated") as info:
        read_all(tmp_path)
    assert name in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"\xff\x00 no text", b"[1, 2]", b'{"model_type": "bert"}'])
def test_a_foreign_file_is_named(tmp_path, name, content):
    trained(tmp_path)
    (checkpoint.latest(tmp_path) / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as info:
        read_all(tmp_path)
    assert "\n" not in str(info.value)


def test_a_folder_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no minillm checkpoint"):
        checkpoint.load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        checkpoint.load(tmp_path / "file")


def test_another_models_weights_are_refused(tmp_path):
    trained(tmp_path)
    path = checkpoint.latest(tmp_path)
    wider = TinyModel()
    wider.head = nn.Linear(8, 12)
    with pytest.raises(ValueError, match=r"'head.weight' is \(11, 8\), not \(12, 8\)"):
        checkpoint.load_weights(wider, path)
    deeper = TinyModel()
    deeper.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"which lacks 'extra.bias'"):
        checkpoint.load_weights(deeper, path)
    with pytest.raises(ValueError, match=r"a 'TinyModel'; known: \['GPT', 'BERT'\]"):
        checkpoint.load_model(tmp_path)


def test_a_model_without_a_run_cannot_be_resumed(tmp_path):
    checkpoint.save(tmp_path, TinyModel())
    with pytest.raises(ValueError, match="no run to resume"):
        train(TinyModel(), causal_lm, windows(), config(), folder=tmp_path, resume=True)


def test_foreign_training_state_is_refused(tmp_path):
    trained(tmp_path)
    file = checkpoint.latest(tmp_path) / "state.safetensors"
    settings, kw = config(steps=4), {"folder": tmp_path, "resume": True, "progress": False}
    for name, message in [("lm_head", "holds no run"), ("optimizer/h/exp_avg", "another model")]:
        save_file({name: torch.zeros(2)}, file)
        with pytest.raises(ValueError, match=message):
            train(TinyModel(), causal_lm, windows(), settings, **kw)


def test_a_checkpoint_can_be_moved(tmp_path):
    model = trained(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = TinyModel()
    checkpoint.load_weights(moved, checkpoint.load(tmp_path / "there").path)
    torch.testing.assert_close(moved.state_dict(), model.state_dict(), atol=0, rtol=0)
