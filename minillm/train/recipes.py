"""Whole runs with settings that work: which text, which model, how trained.

A recipe is three configs; `run` trains by it and reports. The command line and `minillm.zoo` start
from the recipes here, so that a setting stands in one place.

But: BERT's is in `bert_recipe.py`.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from minillm.model.gpt import GPT, GPTConfig
from minillm.text import tokenizers
from minillm.train import checkpoint
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.run import History
from minillm.train.texts import TextConfig, objective, prepare, windows


class Configs:
    """Several configs in one: a frozen dataclass whose fields are configs.

    Built in chapter 7.
    """

    def changed(self, **changes: Any) -> Self:
        """The same with some fields of its configs changed, whichever config has them."""
        return type(self)(
            **{
                part: dataclasses.replace(
                    config, **{k: v for k, v in changes.items() if hasattr(config, k)}
                )
                for part, config in vars(self).items()
            }
        )


@dataclass(frozen=True)
class Recipe(Configs):
    """The three configs of a run. The model's vocab_size is replaced by the tokenizer's.

    Built in chapter 7.
    """

    text: TextConfig
    model: GPTConfig
    train: TrainConfig

    def run(self, **options: Any) -> "Result":
        """Trains by this recipe; options as for `run`."""
        return run(self, **options)


# A GPT of under a million weights that learns the village in a minute and a half on two cores.
VILLAGE = Recipe(
    TextConfig(),
    GPTConfig.modern(TextConfig.vocab_size, context_length=128),
    TrainConfig(
        steps=850,
        batch_size=16,
        optimizer="muon",
        lr=1e-2,
        warmup_steps=50,
        decay="linear",
        final_lr=0.0,
    ),
)

# A GPT of an eighth of its cost a token, with the same tokens, that writes ahead of it (chapter 8).
DRAFT = VILLAGE.changed(d_model=64, n_heads=2, n_layers=1, steps=700)


class Result(NamedTuple):
    """What a run gives back; metrics are those of metrics.json.

    Built in chapter 7.
    """

    model: nn.Module
    tokenizer: Any
    history: History
    metrics: dict[str, Any]


def stored(folder: str | Path, corpus: str) -> Recipe:
    """The recipe of the run in a folder, to go on with it.

    Raises: ValueError, in one line, if no run of that corpus is there.

    Built in chapter 7.
    """
    found = checkpoint.load(folder)
    if found.state is None or "text" not in found.notes:
        raise ValueError(f"{found.path}: holds a model only, no run to resume")
    if found.model != "GPT":
        raise ValueError(f"{found.path}: holds the run of a {found.model}, not of a GPT")
    if found.notes["corpus"] != corpus:
        raise ValueError(f"{folder}: was trained on {found.notes['corpus']}, not {corpus}")
    return Recipe(
        TextConfig(**found.notes["text"]),
        GPTConfig(**found.config),
        TrainConfig(**found.state["config"]),
    )


def run(
    recipe: Recipe,
    corpus: str = "village",
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Trains a GPT by a recipe; writes checkpoints and metrics.json where there is a folder.

    Raises: as `prepare` and `train`.

    Built in chapter 7.
    """
    tokenizer = tokenizers.load(checkpoint.latest(folder)) if resume else None
    text = prepare(corpus, recipe.text, recipe.train.seed, tokenizer)
    config = dataclasses.replace(recipe.model, vocab_size=len(text.tokenizer))
    seed, T = recipe.train.seed, config.context_length
    torch.manual_seed(seed)
    model = GPT(config)
    history = train(
        model,
        objective(text.train),
        windows(text.train, T, f"{corpus}, the part to learn from", seed),
        recipe.train,
        val_data=windows(text.val, T, f"{corpus}, the part held out"),
        folder=folder,
        tokenizer=text.tokenizer,
        notes={"corpus": corpus, "text": dataclasses.asdict(recipe.text), "floor": text.floor},
        resume=resume,
        progress=progress,
    )
    return report(model, text.tokenizer, history, folder, text.floor)


def report(
    model: nn.Module,
    tokenizer: Any,
    history: History,
    folder: str | Path | None = None,
    floor: float | None = None,
) -> Result:
    """A run's result; of a whole run with a folder, its metrics are written there too.

    Built in chapter 7.
    """
    metrics = {
        "val_loss": history.val_loss,
        "floor": floor,
        "ratio": history.val_loss / floor if floor and history.val_loss else None,
        "train_seconds": round(history.seconds, 2),
        "tokens_per_second": round(history.tokens_per_second, 1),
        "steps": len(history.losses),
        "parameters": model.n_parameters(),
    }
    if folder is not None and history.stopped != "interrupted":
        draft = Path(folder) / ".metrics.json.tmp"
        draft.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        os.replace(draft, Path(folder) / "metrics.json")
    return Result(model, tokenizer, history, metrics)
