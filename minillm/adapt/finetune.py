"""Fine-tuning as a whole: the run, its report, and the model back from its folder.

    recipe = settings.plan(len(records), method="lora")
    result = run(task, body, tokenizer, records, val_records, recipe, "runs/mine")
    model, tokenizer, task = load("runs/mine")

Everything is trained (method "full"), or adapters beside frozen weights ("lora"), or what stands
above them ("head"). A run's folder is one of `train.checkpoint`, with task and method in its notes.

But: the settings are in `settings.py`, rows in files are read by `rows.py`, and the body comes from
elsewhere.
"""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from minillm.adapt import report
from minillm.adapt.adapters import save_adapter
from minillm.adapt.examples import Example, Examples, predict
from minillm.adapt.heads import train_only
from minillm.adapt.lora import LoRAConfig, add_lora, lora_layers, merge
from minillm.adapt.records import spans_of_tags
from minillm.adapt.settings import AdaptConfig, FineTuning
from minillm.adapt.tables import each, opened
from minillm.adapt.tasks import Classification, QuestionAnswering, Tagging, Task, word_tags
from minillm.model.bert import BERT
from minillm.text import tokenizers
from minillm.train import checkpoint
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import IGNORE, classification
from minillm.train.run import History

TASKS = {task.__name__: task for task in (Classification, Tagging, QuestionAnswering)}


class Result(NamedTuple):
    """What a run gives back; metrics are those of metrics.json, {} if it was interrupted."""

    model: nn.Module
    history: History
    metrics: dict[str, Any]
    table: str


def build(task: Task, body: nn.Module, recipe: FineTuning) -> nn.Module:
    """A body with a task's head, with what a method trains, and the rest frozen.

    Where a text gets one class, BERT's pooler, made for pairs of sentences, counts to the head.

    Raises: ValueError if LoRA's settings fit nothing in the model.
    """
    model = task.head(body)
    pooled = isinstance(task, Classification) and isinstance(body, BERT)
    new = ("head", "body.pooler") if pooled else ("head",)
    if recipe.adapt.method == "head":
        train_only(model, *(f"{name}.*" for name in new))
    elif recipe.adapt.method == "lora":
        kept = tuple(dict.fromkeys([*new, *recipe.lora.modules_to_save]))
        add_lora(model, dataclasses.replace(recipe.lora, modules_to_save=kept))
        if not lora_layers(model):
            raise ValueError(f"target_modules {recipe.lora.target_modules}: trained whole already")
    return model


def run(
    task: Task,
    body: nn.Module,
    tokenizer: Any,
    records: Sequence[dict],
    val_records: Sequence[dict],
    recipe: FineTuning,
    folder: str | Path | None = None,
    *,
    notes: dict[str, Any] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Trains a task's head on a body, and the body with it as the method says, in place.

    Where there is a folder, it gets checkpoints, metrics.json, and an adapter's files for PEFT.

    Args:
        records, val_records: to learn from, and to watch and to report on.
        recipe: from `plan`.
        notes: more to keep in the checkpoints.
        resume, progress: as for `train`.
    Raises: as `train`; and ValueError for a record that isn't one of the task's.
    """
    torch.manual_seed(recipe.train.seed)
    model = build(task, body, recipe)
    # Of a long text, the part with the answer may be cut off: nothing to learn there.
    data, val_data = (
        Examples(_with_targets(encode(task, some, tokenizer, body), which), recipe.train.seed)
        for some, which in ((records, "to learn from"), (val_records, "held out"))
    )
    about = {"task": {"name": type(task).__name__, **dataclasses.asdict(task)}}
    about |= {"body": {"name": type(body).__name__, **dataclasses.asdict(body.config)}}
    about |= {"recipe": dataclasses.asdict(recipe), "val": val_data.fingerprint()}
    if resume and folder is not None and checkpoint.load(folder).notes.get("val") != about["val"]:
        raise ValueError(f"{folder}: was watched on other rows than are held out now")
    history = train(
        model,
        classification,
        data,
        recipe.train,
        val_data=val_data,
        folder=folder,
        tokenizer=tokenizer,
        notes=(notes or {}) | about,
        resume=resume,
        progress=progress,
    )
    if history.stopped == "interrupted":
        return Result(model, history, {}, "")
    found = [answer for answer, _ in answers(task, model, val_records, tokenizer)]
    name, guesses = report.baseline(task, records, val_records)
    metrics = {
        "method": recipe.adapt.method,
        "scores": report.scores(task, found, val_records),
        "baseline": {"name": name, "scores": report.scores(task, guesses, val_records)},
        "val_loss": history.val_loss,
        "rows": len(records),
        "val_rows": len(val_records),
        "cut_off": len(records) - len(data.examples),
        "steps": len(history.losses),
        "stopped": history.stopped,
        "train_seconds": round(history.seconds, 2),
        "trained_parameters": model.n_parameters(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if folder is not None:
        if lora_layers(model):
            save_adapter(model, folder)
        with opened(Path(folder) / "metrics.json") as file:
            print(json.dumps(metrics, indent=2), file=file)
    return Result(model, history, metrics, report.table(task, found, val_records))


def encode(task: Task, records: Sequence[dict], tokenizer: Any, body: nn.Module) -> list[Example]:
    """All records as examples; an error names the row that it is about."""
    T = body.config.context_length
    placed = ((getattr(r, "place", f"record {i}"), r) for i, r in enumerate(records))
    return each(placed, lambda record: task.example(record, tokenizer, T))


def answers(
    task: Task, model: nn.Module, records: Sequence[dict], tokenizer: Any
) -> list[tuple[Any, float | None]]:
    """What a model answers for each record, labelled or not, and a class's probability.

    The entities in a text that was given as words begin and end where a word does.
    """
    asked, found = [*map(copy.copy, records)], []
    for record in asked:  # an example must have a target, though nobody reads it here
        if isinstance(task, Classification):
            record["label"] = task.classes[0]
        elif isinstance(task, Tagging):
            record["spans"] = []
        else:
            record.update(answer=record["text"], start=0)
    logits = predict(model, encode(task, asked, tokenizer, model.body))
    for x, record in zip(logits, records, strict=True):
        answer = task.answer(x, record, tokenizer)
        if "places" in record:
            answer = spans_of_tags(word_tags(record["places"], answer), record["places"])
        is_class = isinstance(task, Classification)
        found.append((answer, float(x.softmax(0).max()) if is_class else None))
    return found


def load(folder: str | Path) -> tuple[nn.Module, Any, Task]:
    """A fine-tuned model, ready for use on the CPU, its tokenizer, and its task.

    Raises: FileNotFoundError or ValueError, in one line, if a file is missing, damaged or foreign.
    """
    return rebuilt(checkpoint.load(folder))


def rebuilt(found: checkpoint.Checkpoint) -> tuple[nn.Module, Any, Task]:
    """As `load`, from a checkpoint that has been read."""
    task, body, recipe = stored(found)
    if found.state and found.state["history"]["stopped"] in ("", "interrupted"):
        raise ValueError(f"{found.path}: the run was stopped before its end; resume it first")
    model = build(task, body, recipe)
    checkpoint.load_weights(model, found.path)
    return model.eval(), tokenizers.load(found.path), task


def load_body(folder: str | Path) -> tuple[nn.Module, Any]:
    """The body of a fine-tuned model, adapters merged into it, and its tokenizer.

    Raises: as `load`.
    """
    model, tokenizer, _ = load(folder)
    merge(model)
    body = type(model.body)(model.body.config)
    body.load_state_dict({k: v for k, v in model.body.state_dict().items() if "lora_" not in k})
    return body.eval(), tokenizer


def stored(found: checkpoint.Checkpoint) -> tuple[Task, nn.Module, FineTuning]:
    """What a checkpoint says of a run: its task, a body of its shape, its settings.

    Raises: ValueError, in one line, if it isn't one of fine-tuning.
    """
    notes = found.notes
    if not {"task", "body", "recipe"} <= notes.keys():
        raise ValueError(f"{found.path}: holds no fine-tuned model, but a {found.model}")
    parts, fields, sizes = notes["recipe"], {**notes["task"]}, {**notes["body"]}
    try:
        task = TASKS[fields.pop("name")](**{k: tuple(v) for k, v in fields.items()})
        model_class, config_class = checkpoint.MODELS[sizes.pop("name")]
        body = model_class(config_class(**sizes))
        lora = {k: tuple(v) if isinstance(v, list) else v for k, v in parts["lora"].items()}
        adapt, train = AdaptConfig(**parts["adapt"]), TrainConfig(**parts["train"])
        return task, body, FineTuning(adapt, train, LoRAConfig(**lora))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{found.path / 'config.json'}: not of this version: {error!r}") from None


def _with_targets(examples: list[Example], which: str) -> list[Example]:
    """The examples of which anything is scored."""
    kept = [e for e in examples if isinstance(e.target, int) or any(t != IGNORE for t in e.target)]
    if not kept:
        raise ValueError(f"in all rows {which}, what is to be found is beyond the model's context")
    return kept
