"""The command line's second half: fine-tune a model on rows of labelled text, and use it.

    python -m minillm finetune MODEL DATA --task classification --out DIR
    python -m minillm predict DIR INPUT

But: `main`, its errors and exit codes are in `cli.py`.
"""

import argparse
import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from minillm.flags import add_flags, check_new, check_resumed, given

TASKS = ("classification", "tokens", "pairs", "qa")
DATA = "a .csv, .tsv or .jsonl file with named columns"
COLUMNS = "names of the file's columns, where they aren't ours: text=sentence,label=gold"
CHUNK = 1024  # rows that are answered at a time: a bar moves, and a pipe sees them soon
FORMATS = (".jsonl", ".tsv")


def add_commands(commands: Any) -> None:
    """Adds `finetune` and `predict` to the commands of a parser."""
    from minillm.adapt import settings

    sub = commands.add_parser(
        "finetune",
        help="adapt a model to labelled text",
        description="Adapt a pretrained model to rows of labelled text. Columns: text, label "
        "(classification); first, second, label (pairs); tokens, tags, or text, spans (tokens); "
        "text, question, answer, and start if need be (qa).",
    )
    sub.add_argument(
        "model",
        metavar="MODEL",
        help="village-bert, village-gpt, a folder that `train` or `finetune` made, "
        "or a folder or name of pretrained weights",
    )
    sub.add_argument("data", metavar="DATA", help=DATA)
    sub.add_argument("--task", choices=TASKS, help="what the rows are; needed for a new run")
    sub.add_argument("--out", metavar="DIR", required=True, help="new folder for the model")
    sub.add_argument("--resume", action="store_true", help="go on with the run in DIR, as it was")
    sub.add_argument("--val", metavar="FILE", help="rows to watch; default: some of DATA")
    sub.add_argument("--columns", metavar="A=B,...", help=COLUMNS)
    rates = ", ".join(f"{rate:g} ({method})" for method, rate in settings.RATES.items())
    told = {
        "steps": "as many as the epochs have",
        "warmup_steps": f"{settings.WARMUP:g} of the steps",
        "eval_every": "an epoch",
        "lr": rates,
        "modules_to_save": "head, and BERT's pooler where a text gets one class",
    }
    add_flags(sub, settings.DEFAULTS, told)
    sub.set_defaults(command=finetune)

    sub = commands.add_parser(
        "predict",
        help="use an adapted model",
        description="Answer for each row of a file. If labels are there, the score is on stderr.",
    )
    sub.add_argument("folder", metavar="DIR", help="where `finetune` put the model")
    sub.add_argument("input", metavar="INPUT", help=DATA + "; labels aren't needed")
    sub.add_argument("--out", metavar="FILE", help="a .jsonl or .tsv file; default: JSONL, printed")
    sub.add_argument("--columns", metavar="A=B,...", help=COLUMNS + "; default: as in `finetune`")
    sub.add_argument("--device", default="auto", help="auto, cuda, mps or cpu; default: auto")
    sub.set_defaults(command=predict)


def finetune(options: argparse.Namespace) -> int:
    """Fine-tunes a model, or goes on with a run, and prints how good it is."""
    from minillm.adapt import finetune as tuning
    from minillm.adapt import rows, settings
    from minillm.train import checkpoint

    out, changes = Path(options.out), given(options, settings.DEFAULTS)
    task = recipe = body = tokenizer = None
    if options.resume:
        asked = {name: getattr(options, name) for name in ("task", "val", "columns")}
        check_resumed(out, [*(name for name, value in asked.items() if value), *changes])
        found = checkpoint.load(out)
        task, body, recipe = tuning.stored(found)
        asked = found.notes["asked"]
        for name, value in (("model", options.model), ("data", options.data)):
            if asked[name] != value:
                raise ValueError(f"{out}: is a run with {asked[name]}, not {value}")
        from minillm.text import tokenizers

        tokenizer = tokenizers.load(found.path)
    else:
        check_new(out)
        if options.task is None:
            raise ValueError(f"--task is needed: {', '.join(TASKS)}")
        adapters = [name for name in vars(settings.DEFAULTS.lora) if name in changes]
        if adapters and changes.get("method") != "lora":
            flag = adapters[0].replace("_", "-")
            raise ValueError(f"--{flag} is for adapters: add --method lora, or leave it out")
        settings.plan(1, **changes)  # what is wrong in these is said at once
        asked = {name: getattr(options, name) for name in ("model", "data", "task", "val")}
        asked["columns"] = parse_columns(options.columns)
    kind, columns = asked["task"], asked["columns"]
    records = rows.read(asked["data"], kind, columns)
    val_records = rows.read(asked["val"], kind, columns) if asked["val"] else None
    if val_records is None:
        share = recipe.adapt.val_share if recipe else changes.get("val_share", settings.VAL_SHARE)
    task = task or rows.find_task(kind, records)
    ...


def parse_columns(text: str | None) -> dict[str, str]:
    ...
