"""The command line.

    python -m minillm train CORPUS --out DIR
    python -m minillm generate DIR --prompt "Anna"
    python -m minillm evaluate DIR CORPUS
    python -m minillm finetune MODEL DATA --task classification --out DIR
    python -m minillm predict DIR INPUT

Results go to stdout, the progress bar and errors to stderr. Exit codes: 0 done, 2 bad input (one
line says what would do), 130 stopped by Ctrl-C.

But: `finetune` and `predict` are in `cli_adapt.py`; and no setting is explained here, see
`flags.py`.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from minillm import cli_adapt
from minillm.flags import Parser, add_flags, check_new, check_resumed, given

CORPUS = "village, a known data set, a text file, or a folder of text files"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    Built in chapter 7.
    """
    try:
        options = build_parser().parse_args(argv)
        code = options.command(options)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse's: --help, or a flag that isn't right
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("minillm: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has read enough: nothing more to say, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minillm: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags; the configs' fields are flags with their defaults.

    Built in chapter 7.
    """
    from minillm.train import recipes

    about = "Train a small GPT, write with it, measure it; fine-tune a model and use it."
    parser = Parser(prog="minillm", description=about)
    names = "train | generate | evaluate | finetune | predict"
    commands = parser.add_subparsers(required=True, metavar=names)

    sub = commands.add_parser("train", help="train a model", description="Train a GPT on a text.")
    sub.add_argument("corpus", metavar="CORPUS", help=CORPUS)
    sub.add_argument("--out", metavar="DIR", required=True, help="new folder for the model")
    sub.add_argument("--resume", action="store_true", help="go on with the run in DIR, as it was")
    add_flags(sub, recipes.VILLAGE)
    sub.set_defaults(command=train)

    sub = commands.add_parser("generate", help="write text", description="Write with a model.")
    sub.add_argument("folder", metavar="DIR", help="where `train` put the model")
    sub.add_argument("--prompt", default="", help="how each text begins; default: nothing")
    sub.add_argument("--max-tokens", type=int, default=200, help="longest text; default: 200")
    sub.add_argument("--temperature", type=float, default=1.0, help="0 is greedy; default: 1.0")
    sub.add_argument("--top-k", type=int, help="only the k likeliest tokens; default: all")
    sub.add_argument("--top-p", type=float, help="only the likeliest share p; default: all")
    sub.add_argument("--samples", type=int, default=1, help="how many texts; default: 1")
    sub.add_argument("--seed", type=int, default=0, help="of the dice; default: 0")
    sub.add_argument("--device", default="auto", help="auto, cuda, mps or cpu; default: auto")
    sub.set_defaults(command=generate)

    sub = commands.add_parser(
        "evaluate",
        help="measure a model",
        description="Measure a model: on the part held out of the text it was trained on, "
        "or on the whole of another text.",
    )
    sub.add_argument("folder", metavar="DIR", help="where `train` put the model")
    sub.add_argument("corpus", metavar="CORPUS", help=CORPUS)
    sub.add_argument("--device", default="auto", help="auto, cuda, mps or cpu; default: auto")
    sub.set_defaults(command=evaluate)

    cli_adapt.add_commands(commands)
    return parser


def train(options: argparse.Namespace) -> int:
    """Trains a model, or goes on with one."""
    from minillm.train import recipes

    out, changes = Path(options.out), given(options, recipes.VILLAGE)
    if options.resume:
        check_resumed(out, changes)
        recipe = recipes.stored(out, options.corpus)
    else:
        check_new(out)
        recipe = recipes.VILLAGE.changed(**changes)
    watched = sys.stderr.isatty()
    if watched:
        print(f"reading {options.corpus} and cutting it into tokens", file=sys.stderr)
    result = recipes.run(recipe, options.corpus, out, resume=options.resume, progress=watched)
    metrics = result.metrics
    if result.history.stopped == "interrupted":
        again = f"python -m minillm train {options.corpus} --out {out} --resume"
        print(f"minillm: stopped after step {metrics['steps']}; to go on: {again}", file=sys.stderr)
        return 130
    speed = f"{metrics['train_seconds']:.1f} s, {metrics['tokens_per_second']:,.0f} tokens/s"
    print(f"{shown(metrics['val_loss'], metrics['floor'])}, {speed}")
    return 0


def generate(options: argparse.Namespace) -> int:
    """Writes texts as they come, an empty line between two."""
    from minillm.generate import stream
    from minillm.train.device import choose_device
    from minillm.train.texts import END

    for name in ("max_tokens", "samples"):
        if getattr(options, name) < 1:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} must be 1 or more, not {getattr(options, name)}")
    model, tokenizer = load(options.folder)
    model.to(choose_device(options.device))
    end = tokenizer.special_tokens[END]
    prompt = [end, *tokenizer.encode(options.prompt)]  # a text starts where another has ended
    for sample in range(options.samples):
        new_ids = stream(
            model,
            prompt,
            options.max_tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            stop_ids=(end,),
            seed=options.seed + sample,
        )
        print("\n" * (sample > 0) + options.prompt, end="", flush=True)
        unread: list[int] = []
        for token in new_ids:
            unread.append(token)
            text = tokenizer.decode(unread, skip_special_tokens=True)
            if not text.endswith("\ufffd"):  # a letter of several bytes that isn't whole yet
                print(text, end="", flush=True)
                unread = []
        print(tokenizer.decode(unread, skip_special_tokens=True))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Prints the loss of a model on a text."""
    from minillm.measure import perplexity
    from minillm.train import checkpoint, loop, texts
    from minillm.train.device import choose_device

    model, tokenizer = load(options.folder)
    notes = checkpoint.load(options.folder).notes
    ids, floor, part = texts.unseen(options.corpus, notes, tokenizer)
    windows = texts.windows(ids, model.config.context_length, f"{options.corpus}, {part}")
    model.to(choose_device(options.device))
    loss = loop.evaluate(model, texts.objective(ids), windows)
    print(
        f"{shown(loss, floor)}, perplexity {perplexity(loss):.2f} ({len(ids) - 1:,} tokens, {part})"
    )
    return 0


def load(folder: str) -> tuple[Any, Any]:
    """The model and tokenizer in a folder, or one line about why there are none."""
    from minillm.model.gpt import GPT
    from minillm.train import checkpoint

    model, tokenizer = checkpoint.load_model(folder)
    if not isinstance(model, GPT):
        raise ValueError(f"{folder}: holds a {type(model).__name__}; this command is for a GPT")
    if tokenizer is None:
        raise ValueError(f"{folder}: the model has no tokenizer, so it can't read or write text")
    return model, tokenizer


def shown(loss: float, floor: float | None) -> str:
    """A loss in words, beside its floor where there is one."""
    beside = f", floor {floor:.4f}, ratio {loss / floor:.3f}" if floor else ""
    return f"validation loss {loss:.4f} nats per token{beside}"
