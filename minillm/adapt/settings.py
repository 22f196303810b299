"""Settings of fine-tuning that work for real pretrained weights, and what follows from what.

But: a small model that was pretrained at high rates, as the village's are, wants them here too.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from minillm.adapt.lora import LoRAConfig
from minillm.train.config import TrainConfig
from minillm.train.recipes import Configs

RATES = {  # the highest learning rate of a method
    "full": 5e-5,  # BERT's choice of 2e-5 to 5e-5: more, and what pretraining has learned is lost
    "lora": 5e-4,  # ten times as high: adapters start at nothing and have nothing to lose
    "head": 1e-3,  # AdamW's usual rate: a new layer alone, which must come far in few steps
}
WARMUP = 0.1  # of the steps, as in BERT: the new head's first gradients are noise


@dataclass(frozen=True)
class AdaptConfig:
    """What is trained, for how long, and what is held out.

    Raises: ValueError, in one line, for a number that makes no sense.
    """

    method: Literal["full", "lora", "head"] = "full"  # all weights, adapters, or the head alone
    epochs: float = 3.0  # how often each row is read; with more, few labels are learned by heart
    val_share: float = 0.1  # of the rows, held out to watch and to report on; unless --val is given

    def __post_init__(self) -> None:
        if self.method not in RATES:
            raise ValueError(f"method ({self.method!r}) must be one of {', '.join(RATES)}")
        if not 0 < self.epochs < math.inf:
            raise ValueError(f"epochs ({self.epochs}) must be a number above 0")
        if not 0 < self.val_share < 1:
            raise ValueError(f"val_share ({self.val_share}) must be above 0 and below 1")


@dataclass(frozen=True)
class FineTuning(Configs):
    """All settings of a run. Start from `plan`, which knows what follows from what."""

    adapt: AdaptConfig
    train: TrainConfig
    lora: LoRAConfig


DEFAULTS = FineTuning(
    AdaptConfig(),
    TrainConfig(
        lr=RATES["full"],
        decay="linear",  # as BERT
        final_lr=0.0,  # as BERT; a short run ends on its best weights
        weight_decay=0.01,  # BERT's; little, as the weights are good already
        beta2=0.999,  # BERT's; the averages may be long, since the gradients are small
        patience=3,  # the best weights are kept; three evaluations without gain end the run
        eval_every=1,  # `plan` makes an epoch of it
    ),
    LoRAConfig(
        r=8,  # PEFT's usual rank; real tasks are richer than the village's
        lora_alpha=16.0,  # twice the rank, as is usual: rates found elsewhere fit here
        target_modules=("qkv", "out", "up", "down"),  # all of a block: most gain a parameter
    ),
)


def plan(n_rows: int, **changes: Any) -> FineTuning:
    """The settings for a number of rows: defaults, what follows from them, and changes.

    Args:
        n_rows: to learn from.
        changes: fields of the three configs. Unless they are given, `steps` follows from the
            epochs, `warmup_steps` from the steps, `lr` from the method, and `eval_every` is an
            epoch, or the warm-up where that is longer.
    Raises: ValueError for settings that make no sense, alone or together.
    """
    known = {field.name for part in vars(DEFAULTS).values() for field in dataclasses.fields(part)}
    if unknown := changes.keys() - known:
        raise ValueError(f"{min(unknown)!r} is no setting; there are {', '.join(sorted(known))}")
    recipe = DEFAULTS.changed(**changes)
    if {"steps", "epochs"} <= changes.keys():
        raise ValueError("steps and epochs say the same thing: give one of them")
    epoch = math.ceil(n_rows / recipe.train.batch_size)
    steps = changes.get("steps", max(1, round(recipe.adapt.epochs * epoch)))
    follows = {
        "lr": RATES[recipe.adapt.method],
        "steps": steps,
        "warmup_steps": round(WARMUP * steps),
        # Of very few rows an epoch is soon over, and patience would end a run in its warm-up.
        "eval_every": min(steps, max(epoch, round(WARMUP * steps))),
    }
    return recipe.changed(**(follows | changes))
