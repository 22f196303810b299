"""A run killed without warning and resumed ends with the bytes of one never stopped."""

import multiprocessing
import os
import random
import signal

import pytest
import torch
from tiny_model import TinyModel, config, windows

from minillm.train import checkpoint
from minillm.train.loop import train
from minillm.train.objectives import causal_lm

STEPS = 40
# Children of a server that has imported everything start at once; Windows has no such thing.
CONTEXT = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
if os.name != "nt":
    CONTEXT.set_forkserver_preload(["minillm.train.loop", "torch._dynamo"])  # slow to import


def kill() -> None:
    """As when the power goes: no handler runs, nothing is flushed."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class Deadly:
    """A tokenizer during whose saving, the nth time, the process dies."""

    def __init__(self, nth: int):
        self.left = nth

    def save(self, folder) -> None:
        self.left -= 1
        if self.left == 0:
            (folder / "tokenizer.json").write_text("{")
            kill()


def run(folder, optimizer: str, resume: bool, dies_at: int = 0, tokenizer=None):
    torch.set_num_threads(1)
    torch.manual_seed(3)
    model, calls = TinyModel(dropout=0.2), [0]

    def objective(model, batch):
        calls[0] += 1
        if calls[0] == dies_at:
            kill()
        return causal_lm(model, batch) + random.random() * model.head.bias.sum()

    settings = config(
        steps=STEPS, optimizer=optimizer, checkpoint_every=3, eval_every=8, accumulation=2
    )
    history = train(
        model,
        objective,
        windows(150),
        settings,
        val_data=windows(60),
        folder=folder,
        tokenizer=tokenizer,
        resume=resume,
        progress=False,
    )
    return history, model


def in_a_process(*args) -> int | None:
    child = CONTEXT.Process(target=run, args=args)
    child.start()
    child.join()
    return child.exitcode


def saved_bytes(folder) -> bytes:
    return (checkpoint.latest(folder) / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_killed_five_times_at_random_steps(tmp_path, optimizer):
    whole, model = run(tmp_path / "whole", optimizer, False)
    folder = tmp_path / "killed"
    chance = random.Random(optimizer)
    for n in range(5):
        # Two calls of the objective a step; the first run gets as far as a checkpoint.
        dies_at = chance.randint(7, 20)
        assert in_a_process(folder, optimizer, n > 0, dies_at) not in (0, 1, None)
    history, resumed = run(folder, optimizer, True)
    assert saved_bytes(folder) == saved_bytes(tmp_path / "whole")
    assert history.losses == whole.losses
    assert history.val_losses == whole.val_losses
    assert history.tokens == whole.tokens
    for p, q in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(p, q)


def test_killed_while_it_saves(tmp_path):
    run(tmp_path / "whole", "adamw", False)
    folder = tmp_path / "killed"
    assert in_a_process(folder, "adamw", False, 0, Deadly(3)) not in (0, 1, None)
    assert checkpoint.latest(folder).name == "step-000006"
    assert any(p.name.endswith(".tmp") for p in folder.iterdir())
    run(folder, "adamw", True)
    assert saved_bytes(folder) == saved_bytes(tmp_path / "whole")
    assert [p.name for p in folder.iterdir()] == [f"step-{STEPS:06d}"]
