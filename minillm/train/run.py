"""A run under way: what the loop changes, and what a checkpoint must hold of it.

But: the loop itself is in `loop.py`, the files in `checkpoint.py`.
"""

import dataclasses
import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.train import checkpoint
from minillm.train.config import TrainConfig
from minillm.train.optim import Optimizer


@dataclass
class History:
    """How a run went. Losses are in nats per token where the objective's are.

    losses: one a step. val_steps, val_losses: one an evaluation. val_loss: of the weights kept, the
    best ones where there is patience, else the last. tokens: targets learned from. seconds: the
    whole run, over all its resumptions; step_seconds: without evaluations and checkpoints.
    stopped: "finished", "early" or "interrupted".

    Built in chapter 7.
    """

    losses: list[float] = field(default_factory=list)
    val_steps: list[int] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    val_loss: float | None = None
    tokens: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    stopped: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Targets learned from per second of training steps."""
        return self.tokens / self.step_seconds if self.step_seconds else 0.0


class Run:
    """The state of a training run: weights, optimizer, position, history, random states.

    Args:
        model: on its device.
        config: of the run.
        data_name: tells the data apart from others; a run isn't continued on other data.

    Built in chapter 7.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, data_name: str):
        self.model, self.config, self.data_name = model, config, data_name
        self.device = next(model.parameters()).device
        self.optimizer = Optimizer(model, config)
        self.history = History()
        self.step = 0  # steps done; also the position in the data, as batches are known by number
        self.failures = 0  # evaluations in a row that were no better than the best
        self.unread: list[Tensor] = []  # losses still on the device
        self.best: dict[str, Tensor] = {}  # the best weights so far, where there is patience

    def read_losses(self) -> None:
        """Moves losses from the device to the history.

        Raises: FloatingPointError if one isn't finite.
        """
        for loss in self.unread:
            self.history.losses.append(float(loss))
            if not math.isfinite(self.history.losses[-1]):
                raise FloatingPointError(
                    f"the loss became {self.history.losses[-1]} at step "
                    f"{len(self.history.losses)}: try a lower lr or a longer warm-up"
                )
        self.unread = []

    def note_evaluation(self, loss: float) -> None:
        """Notes a validation loss, keeps the best weights, asks to stop when patience is out."""
        history, patience = self.history, self.config.patience
        better = not history.val_losses or loss < min(history.val_losses)
        history.val_steps.append(self.step)
        history.val_losses.append(loss)
        history.val_loss = min(history.val_losses) if patience else loss
        if patience:
            self.failures = 0 if better else self.failures + 1
            if better:
                self.best = checkpoint.weights(self.model)
            if self.failures == patience:
                history.stopped = "early"

    def keep_best(self) -> None:
        """At the end of a whole run, puts the best weights in place of the last."""
        if self.best:
            checkpoint.put_weights(self.model, self.best, "the best weights")
            self.best = {}

    def save(self, folder: str | Path, tokenizer: Any, notes: dict[str, Any] | None) -> None:
        """Writes a checkpoint that `restore` can go on from.

        Raises: OSError if it can't be written; FloatingPointError rather than save a broken run.
        """
        self.read_losses()
        state = {
            "step": self.step,
            "data": self.data_name,
            "config": dataclasses.asdict(self.config),
            "history": dataclasses.asdict(self.history),
            "failures": self.failures,
            "python_random": random.getstate(),
        }
        tensors = {f"optimizer/{k}": v for k, v in self.optimizer.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        if self.device.type != "cpu":
            tensors["random/device"] = torch.get_device_module(self.device).get_rng_state()
        tensors = {k: v.to("cpu", copy=True) for k, v in tensors.items()}
        checkpoint.save(
            folder, self.model, tokenizer, step=self.step, notes=notes, state=state, tensors=tensors
        )

    def restore(self, found: checkpoint.Checkpoint) -> None:
        """Goes back to where a checkpoint was written.

        Raises: ValueError, in one line, if it holds no training state, or that of another run.
        """
        state, tensors = found.state, found.tensors
        if state is None or tensors is None:
            raise ValueError(f"{found.path}: holds a model only, no run to resume")
        for name, value in dataclasses.asdict(self.config).items():
            if state["config"].get(name) != value:
                was = state["config"].get(name)
                raise ValueError(f"{found.path}: was trained with {name} {was!r}, not {value!r}")
        if state["data"] != self.data_name:
            raise ValueError(f"{found.path}: was trained on other data than is given now")
        checkpoint.load_weights(self.model, found.path)
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "best": {}, "random": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            if part not in parts:
                raise ValueError(f"{found.path / 'state.safetensors'}: holds no run, but {key!r}")
            parts[part][name] = tensor
        self.optimizer.load_state_dict(parts["optimizer"])
        self.best = parts["best"]
        self.step, self.failures = state["step"], state["failures"]
        self.history = History(**state["history"])
        if self.history.stopped == "interrupted":
            self.history.stopped = ""
        version, numbers, gauss = state["python_random"]
        random.setstate((version, tuple(numbers), gauss))
        torch.set_rng_state(parts["random"]["cpu"])
        if self.device.type != "cpu" and "device" in parts["random"]:
            torch.get_device_module(self.device).set_rng_state(parts["random"]["device"])
