"""The settings of a training run, each with its reason.

But: what a model looks like is the model's own config, and which text it reads is the recipe's.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """How to train. A field's comment is also its help on the command line.

    Raises: ValueError, in one line, for a number that makes no sense, also NaN.

    Example: TrainConfig(steps=2000, batch_size=12) is the plain recipe of a small GPT.

    Built in chapter 7.
    """

    steps: int = 1000  # updates of the weights; small models learn most in the first thousand
    batch_size: int = 32  # examples an update learns from; more is steadier and slower
    accumulation: int = 1  # parts a batch is cut into where memory is short; same result
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon moves block matrices, adamw the rest
    lr: float = 1e-3  # AdamW's highest learning rate; small models bear more than large ones
    muon_lr: float = 0.02  # Muon's highest; its updates are orthogonal, so one rate fits all widths
    muon_momentum: float = 0.9  # Muon's memory of gradients; 0.95 is usual for longer runs
    warmup_steps: int = 100  # steps until the highest rate; AdamW's averages are noise at first
    decay: Literal["cosine", "linear"] = "cosine"  # how the rate falls; linear suits short runs
    final_lr: float = 0.1  # the last rate, as a fraction of the highest
    layer_decay: float = 1.0  # a layer's rate over that of the next above; under 1 to fine-tune
    weight_decay: float = 0.1  # of matrices only; GPT-3's value
    beta1: float = 0.9  # AdamW's memory of gradients, the usual value
    beta2: float = 0.99  # of their squares; shorter than 0.999 because runs are short
    clip: float = 1.0  # largest norm of the gradient, against one bad batch; 0 is no limit
    eval_every: int = 0  # steps between evaluations; 0 is only at the end
    eval_batch_size: int = 64  # examples evaluated at a time; no gradients are kept, so more fit
    patience: int = 0  # evaluations without a better loss before stopping early; 0 is never
    checkpoint_every: int = 200  # steps between checkpoints; 0 is only at the end and on Ctrl-C
    seed: int = 0  # of the order of the data and of dropout
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"  # auto: the first of these that is there
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on CUDA that has it
    compile: bool = False  # torch.compile: faster steps, but a minute or more to start

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "eval_batch_size"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        for name in ("warmup_steps", "eval_every", "patience", "checkpoint_every", "seed"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("lr", "muon_lr"):
            self._check(name, 0 < getattr(self, name) < math.inf, "a number above 0")
        for name in ("weight_decay", "clip"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        self._check("layer_decay", 0 < self.layer_decay <= 1, "above 0 and at most 1")
        self._check("final_lr", 0 <= self.final_lr <= 1, "from 0 to 1")
        for name in ("beta1", "beta2", "muon_momentum"):
            self._check(name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        for field in dataclasses.fields(self):
            choices = getattr(field.type, "__args__", None)
            if choices is not None:
                self._check(field.name, getattr(self, field.name) in choices, f"one of {choices}")
        if self.patience and not self.eval_every:
            raise ValueError(f"patience ({self.patience}) needs an eval_every above 0")
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be divisible by "
                f"accumulation ({self.accumulation})"
            )

    def _check(self, name: str, right: bool, need: str) -> None:
        if not right:
            raise ValueError(f"{name} must be {need}, not {getattr(self, name)!r}")
