"""The random GPT-2 that lab 3 is tested on: GPT-2's architecture, the same one every time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minillm import hub
from minillm.text.tokenizers import BPETokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from random_gpt2 import random_gpt2  # noqa: E402

DATA = os.environ.get("MINILLM_DATA", "")


def run(folder, **environ):
    command = [sys.executable, "scripts/random_gpt2.py", str(folder)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def test_it_has_gpt2s_architecture_and_is_the_same_every_time():
    tokenizer = BPETokenizer.train(["Anna took the lamp."], 260)
    model = random_gpt2(tokenizer)
    ids = torch.tensor([tokenizer.encode("Anna took the lamp.")])
    assert torch.equal(model(ids), random_gpt2(tokenizer)(ids))
    assert not torch.equal(model(ids), random_gpt2(tokenizer, seed=1)(ids))
    assert model.config.activation == "gelu_tanh" and model.config.positions == "learned"
    assert model.config.vocab_size == len(tokenizer) and model.n_parameters() < 5_000_000


def test_without_data_it_says_what_is_missing(tmp_path):
    done = run(tmp_path / "gpt2", MINILLM_DATA="")
    assert done.returncode == 1 and not (tmp_path / "gpt2").exists()
    assert done.stderr.count("\n") == 1 and "MINILLM_DATA" in done.stderr


@pytest.mark.skipif(not DATA, reason="MINILLM_DATA is not set")
def test_the_hub_loads_it_with_the_real_vocabulary(tmp_path, monkeypatch):
    done = run(tmp_path / "gpt2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    monkeypatch.setenv("MINILLM_MODELS", str(tmp_path))
    model, tokenizer = hub.load("gpt2")
    assert len(tokenizer) == model.config.vocab_size == 50_257
    assert tokenizer.encode("Hello world") == [15496, 995]  # as in OpenAI's encoder
    ids = torch.tensor([tokenizer.encode("Alice was beginning to get very tired")])
    assert torch.equal(model(ids), random_gpt2(tokenizer)(ids))
