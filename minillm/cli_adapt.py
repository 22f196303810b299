"""The command line's second half: fine-tune a model on rows of labelled text, and use it.

    python -m minillm finetune MODEL DATA --task classification --out DIR
    python -m minillm predict DIR INPUT

But: `main`, its errors and exit codes are in `cli.py`.
"""

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minillm.flags import add_flags, check_new, check_resumed, given

TASKS = ("classification", "tokens", "pairs", "qa")
DATA = "a .csv, .tsv or .jsonl file with named columns"
COLUMNS = "names of the file's columns, where they aren't ours: text=sentence,label=gold"
CHUNK = 1024  # rows that are answered at a time: a bar moves, and a pipe sees them soon


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
        help="village-bert, village-gpt, a folder that `train` or `finetune` made (its head "
        "starts anew), or a folder or name of pretrained weights",
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
        "eval_every": "an epoch, or the warm-up if that is longer",
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
    from minillm.adapt import report, rows, settings

    out, changes = Path(options.out), given(options, settings.DEFAULTS)
    if options.resume:
        task, body, tokenizer, recipe, asked = run_in(out, options, changes)
    else:
        recipe, asked = new_run(out, options, changes)
    kind, columns, watched = asked["task"], asked["columns"], sys.stderr.isatty()
    if watched:
        print(f"reading {asked['data']} and cutting it into tokens", file=sys.stderr)
    records = known = rows.read(asked["data"], kind, columns)
    if asked["val"]:
        val_records = rows.read(asked["val"], kind, columns)
    else:
        share, seed = recipe.adapt.val_share, recipe.train.seed
        records, val_records = rows.hold_out(records, share, seed)
    if not options.resume:
        task, recipe = rows.find_task(kind, known), settings.plan(len(records), **changes)
        body, tokenizer = load_body(asked["model"], kind)
    for some in (records, val_records):
        rows.with_known_labels(task, some)
    result = tuning.run(
        task, body, tokenizer, records, val_records, recipe, out,
        notes={"asked": asked}, resume=options.resume, progress=watched,
    )  # fmt: skip
    if result.history.stopped == "interrupted":
        command = ["finetune", options.model, options.data, "--out", options.out, "--resume"]
        again = f"python -m minillm {shlex.join(command)}"
        step = len(result.history.losses)
        print(f"minillm: stopped after step {step}; to go on: {again}", file=sys.stderr)
        return 130
    print(report.summary(result.table, result.metrics))
    return 0


def new_run(out: Path, options: argparse.Namespace, changes: dict) -> tuple[Any, dict]:
    """The settings of a run, as far as they are known without its rows, and what it is asked."""
    from minillm.adapt import settings

    check_new(out)
    if options.task is None:
        raise ValueError(f"--task is missing; it is one of {', '.join(TASKS)}")
    for name in vars(settings.DEFAULTS.lora):
        if name in changes and changes.get("method") != "lora":
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{flag} is of adapters: add --method lora, or leave it out")
    if options.val and "val_share" in changes:
        raise ValueError("--val gives the rows to watch: leave --val-share out")
    asked = {name: getattr(options, name) for name in ("model", "data", "task", "val")}
    asked["columns"] = read_columns(options.columns)
    return settings.plan(1, **changes), asked


def run_in(out: Path, options: argparse.Namespace, changes: dict) -> tuple:
    """The run in a folder: task, a body of its shape, tokenizer, settings, and what it is asked.

    The weights come later, from the checkpoint.
    """
    from minillm.adapt import finetune as tuning
    from minillm.text import tokenizers
    from minillm.train import checkpoint

    settings = [name for name in ("task", "val", "columns") if getattr(options, name)]
    check_resumed(out, [*settings, *changes])
    found = checkpoint.load(out)
    task, body, recipe = tuning.stored(found)
    asked = found.notes.get("asked")
    if asked is None:
        raise ValueError(f"{out}: was not made by this command")
    for name in ("model", "data"):
        if asked[name] != getattr(options, name):
            raise ValueError(f"{out}: is a run on {asked[name]}, not {getattr(options, name)}")
    return task, body, tokenizers.load(found.path), recipe, asked


def load_body(name: str, kind: str) -> tuple[Any, Any]:
    """A pretrained model, and its tokenizer; a ValueError if it can't do a kind of task."""
    from minillm import hub, zoo
    from minillm.adapt import finetune as tuning
    from minillm.model.bert import BERT
    from minillm.train import checkpoint

    if name in zoo.RECIPES:
        body, tokenizer = zoo.load(name)
    elif any(Path(name).glob("step-*")):
        adapted = "task" in checkpoint.load(name).notes
        body, tokenizer = (tuning.load_body if adapted else checkpoint.load_model)(name)
    else:
        with warnings.catch_warnings(record=True) as told:  # of parts that start anew
            warnings.simplefilter("always", UserWarning)
            try:
                body, tokenizer = hub.load(name)
            except FileNotFoundError as error:
                ours = ", ".join(zoo.RECIPES)
                raise FileNotFoundError(f"{error}; the book's own are {ours}") from None
        for warning in told:
            print(f"minillm: {warning.message}", file=sys.stderr)
    if tokenizer is None:
        raise ValueError(f"{name}: the model has no tokenizer, so it can't read text")
    marks = ("[CLS]", "[SEP]") if isinstance(body, BERT) else ("<|endoftext|>",)
    if lacking := [mark for mark in marks if mark not in tokenizer.special_tokens]:
        needs = f"which the rows of a {type(body).__name__} need"
        raise ValueError(f"{name}: its tokenizer has no {lacking[0]}, {needs}")
    if kind in ("pairs", "qa") and isinstance(body, BERT) and body.config.n_segments < 2:
        raise ValueError(f"--task {kind} needs a BERT with two segments; {name} has one")
    if kind in ("tokens", "qa") and not isinstance(body, BERT):
        raise ValueError(f"--task {kind} needs a BERT; {name} is a GPT, which can only classify")
    return body, tokenizer


def read_columns(text: str | None) -> dict[str, str]:
    """ "text=sentence,label=gold" as a dictionary, our names to the file's."""
    parts = [part.partition("=") for part in text.split(",")] if text else []
    for ours, _, theirs in parts:
        if not (ours and theirs):
            raise ValueError(f"--columns ({text}) must be as in text=sentence,label=gold")
    return {ours: theirs for ours, _, theirs in parts}


def predict(options: argparse.Namespace) -> int:
    """Answers for each row of a file, in its order."""
    from tqdm import tqdm

    from minillm.adapt import finetune as tuning
    from minillm.adapt import report, rows, tables
    from minillm.adapt.tasks import Classification
    from minillm.train import checkpoint
    from minillm.train.device import choose_device

    out = Path(options.out) if options.out else None
    ending = out.suffix.lower() if out else ".jsonl"
    if ending not in tables.WRITERS:
        raise ValueError(f"--out {out}: must end with {' or '.join(tables.WRITERS)}")
    device = choose_device(options.device)
    stored = checkpoint.load(options.folder)
    model, tokenizer, task = tuning.rebuilt(stored)
    asked = stored.notes.get("asked", {})
    columns = read_columns(options.columns) or asked.get("columns")
    kind = rows.kind_of(task)
    records = rows.read(options.input, kind, columns, labelled=False)
    rows.with_known_labels(task, records, strict=False)
    added = ["prediction"] + ["probability"] * isinstance(task, Classification)
    for name in added:
        if any(name in record.given for record in records):
            raise ValueError(f"{options.input}: has a column {name!r} already; rename it")
    model.to(device)
    found: list[Any] = []

    def answered() -> Iterator[dict]:
        with tqdm(total=len(records), disable=not sys.stderr.isatty(), unit="row") as bar:
            for start in range(0, len(records), CHUNK):
                some = records[start : start + CHUNK]
                answers = tuning.answers(task, model, some, tokenizer)
                for record, (answer, probability) in zip(some, answers, strict=True):
                    found.append(answer)
                    yield rows.with_answer(record, answer, probability)
                bar.update(len(some))

    names = [*dict.fromkeys(name for record in records for name in record.given), *added]
    with tables.opened(out) as file:
        tables.WRITERS[ending](answered(), names, file)
    scored = [(a, r) for a, r in zip(found, records, strict=True) if r.labelled]
    if scored:
        told = report.scores(task, *zip(*scored, strict=True))
        score = ", ".join(f"{name} {value:.3f}" for name, value in told.items())
        print(f"{score} on {len(scored):,} of {len(records):,} rows", file=sys.stderr)
    return 0
