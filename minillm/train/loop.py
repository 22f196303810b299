"""The training loop: one for every objective.

    for each step: read a batch, compute the objective, follow its gradient

`train` adds what a real run needs: parts of a batch where memory is short, clipping, evaluation,
early stopping, checkpoints to go on from, and a stop by Ctrl-C that loses nothing.

But: one device only. What is lowered is in `objectives.py`, how the weights move in `optim.py`,
the settings in `config.py`, what a checkpoint holds in `run.py`.
"""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from minillm.train import checkpoint
from minillm.train.config import TrainConfig
from minillm.train.device import autocast, choose_device, move
from minillm.train.objectives import scored
from minillm.train.run import History, Run

Batch = tuple[Tensor, ...]
Objective = Callable[[nn.Module, Batch], Tensor]
READ_EVERY = 10  # steps between looks at the losses: each look makes a GPU wait


class Data(Protocol):
    """What the loop reads: an endless stream of examples, each known by its number.

    Built in chapter 7.
    """

    def batch(self, start: int, size: int) -> Batch:
        """Examples number start ... start + size - 1: the same ones whenever asked."""

    def in_order(self, size: int) -> Iterator[Batch]:
        """Every example exactly once, in batches of `size` examples; the last may be smaller."""

    def fingerprint(self) -> str:
        """Tells two streams apart, so that a run isn't continued on other data."""


def train(
    model: nn.Module,
    objective: Objective,
    data: Data,
    config: TrainConfig,
    *,
    val_data: Data | None = None,
    folder: str | Path | None = None,
    tokenizer: Any = None,
    notes: dict[str, Any] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Trains a model in place, from the random states that config.seed gives torch and Python.

    Args:
        model: any module that the objective can call; it moves to the config's device.
        objective: (model, batch) -> mean loss over the batch's scored targets, a scalar.
        data: what to learn from, such as `TokenWindows`.
        config: how long, how fast, how often; see TrainConfig.
        val_data: evaluated every `eval_every` steps and at the end.
        folder: where checkpoints go; without it nothing is written.
        tokenizer, notes: kept in the checkpoints.
        resume: go on with the run in `folder`. It ends with the same weights, bit for bit, as one
            that was never stopped (on the same kind of machine).
        progress: a bar on stderr with loss and tokens per second.
    Returns: the history. Ctrl-C finishes the step in hand, saves and returns too, with
        `stopped == "interrupted"`; a second Ctrl-C interrupts at once.
    Raises: ValueError if the folder holds a run and `resume` isn't set, or if the run to resume had
        another config or other data; FloatingPointError if the loss is no longer finite.

    Built in chapter 7.
    """
    _check_asked(config, val_data, folder, resume)
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    run = Run(model.to(device), config, data.fingerprint())
    if resume:
        run.restore(checkpoint.load(folder))
    start, history = run.step, run.history
    called = torch.compile(model) if config.compile else model
    amp = autocast(config.precision, device)
    began = time.perf_counter() - history.seconds
    bar = tqdm(total=config.steps, initial=run.step, disable=not progress, unit="step")
    with bar, _ctrl_c() as asked:
        model.train()
        while not history.stopped:
            update(run, called, objective, data, amp)
            if run.step == config.steps:
                history.stopped = "finished"
            if val_data is not None and (history.stopped or _due(run.step, config.eval_every)):
                run.note_evaluation(evaluate(model, objective, val_data, config.eval_batch_size))
            if asked.is_set() and not history.stopped:
                history.stopped = "interrupted"
            history.seconds = time.perf_counter() - began
            going_on = folder is not None and not history.stopped
            if going_on and _due(run.step, config.checkpoint_every):
                run.save(folder, tokenizer, notes)
            bar.set_postfix(_shown(history), refresh=False)
            bar.update()
    if history.stopped != "interrupted":
        run.keep_best()
    if folder is not None and run.step > start:
        run.save(folder, tokenizer, notes)
    model.eval()
    return history


def update(
    run: Run,
    model: nn.Module,
    objective: Objective,
    data: Data,
    amp: contextlib.AbstractContextManager | None = None,
) -> None:
    """One step of a run: reads the next batch, follows its gradient, and notes what it was.

    Args:
        run: its weights, its optimizer and its count of steps move on by one step.
        model: the run's, or a compiled copy of it.
        objective, data: as for `train`.
        amp: as for `backward`.
    Raises: FloatingPointError if a loss was not finite; it looks at every tenth step.

    Built in chapter 7.
    """
    config, history, began = run.config, run.history, time.perf_counter()
    batch = data.batch(run.step * config.batch_size, config.batch_size)
    run.unread.append(backward(model, objective, batch, config.accumulation, amp))
    if config.clip:
        nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.optimizer.step(run.step)
    run.optimizer.zero_grad()
    run.step += 1
    if run.step == config.steps or run.step % READ_EVERY == 0:
        run.read_losses()
    history.tokens += int(scored(batch))
    history.step_seconds += time.perf_counter() - began


def backward(
    model: nn.Module,
    objective: Objective,
    batch: Batch,
    parts: int = 1,
    amp: contextlib.AbstractContextManager | None = None,
) -> Tensor:
    """Adds the gradient of a batch's loss to the parameters, one part of the batch at a time.

    Args:
        batch: on any device; cut into `parts` equal parts along its first dimension.
        amp: the context of the forward pass, from `autocast`; float32 without it.
    Returns: the batch's loss, a scalar without a graph. Gradient and loss are those of the whole
        batch: each part counts by its share of the scored targets.

    Built in chapter 7.
    """
    device = next(model.parameters()).device
    total, count = torch.zeros((), device=device), int(scored(batch))
    for part in zip(*(t.chunk(parts) for t in batch), strict=True):
        share = int(scored(part)) / count
        if share == 0:  # a mean over no targets is 0 / 0
            continue
        with amp or contextlib.nullcontext():
            loss = objective(model, move(part, device)) * share
        loss.backward()
        total += loss.detach()
    return total


def evaluate(model: nn.Module, objective: Objective, data: Data, batch_size: int = 64) -> float:
    """The mean loss over all scored targets of `data`, each counted once, in float32.

    A batch with fewer targets counts for less, so the result doesn't depend on `batch_size`. The
    model is left in the mode it was in.

    Built in chapter 7.
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in data.in_order(batch_size):
            n = int(scored(batch))
            total += float(objective(model, move(batch, device))) * n
            count += n
    model.train(training)
    return total / count


def _check_asked(config: TrainConfig, val_data: Any, folder: Any, resume: bool) -> None:
    """Raises a ValueError for arguments of `train` that do not fit together."""
    if config.patience and val_data is None:
        raise ValueError(f"patience ({config.patience}) needs val_data to watch")
    if folder is not None and not resume and any(Path(folder).glob("step-*")):
        raise ValueError(f"{folder}: holds a run already; resume it or choose another folder")
    if resume and folder is None:
        raise ValueError("resume needs the folder of the run to go on with")


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _shown(history: History) -> dict[str, str]:
    """What the progress bar shows beside itself."""
    shown = {"loss": f"{history.losses[-1]:.3f}"} if history.losses else {}
    if history.val_losses:
        shown["val"] = f"{history.val_losses[-1]:.3f}"
    return shown | {"tokens/s": f"{history.tokens_per_second:,.0f}"}


@contextlib.contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a flag to be read between steps; the second works as ever."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # Ctrl-C doesn't come here
        yield asked
        return

    def note(signum: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
