"""Command-line flags from config dataclasses: one a field, its help the comment beside it.

So a setting's name, default and reason stand in one place, the config's own source. And what the
commands that train check alike: a folder for a new run, and a run to go on with.
"""

import argparse
import dataclasses
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and how to see what is right; exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def comments(config: type) -> dict[str, str]:
    """The comment beside each field of a config, by the field's name.

    Example: for `steps: int = 1000  # updates of the weights`, {"steps": "updates of the weights"}.

    Built in chapter 7.
    """
    line = re.compile(r"^    (\w+): .*?  # (.+)$", re.MULTILINE)
    return dict(line.findall(inspect.getsource(config)))


def add_flags(
    parser: argparse.ArgumentParser, recipe: Any, defaults: dict[str, str] | None = None
) -> None:
    """Adds a flag for each field of each config in a recipe; a name that comes twice counts once.

    Flags that aren't used leave no trace in what is parsed: see `given`. `defaults` says in words
    what a field is where no single value would be true.

    Built in chapter 7.
    """
    for part, config in vars(recipe).items():
        group = parser.add_argument_group(f"{part} ({type(config).__name__})")
        said, kinds = comments(type(config)), typing.get_type_hints(type(config))
        for field in dataclasses.fields(config):
            flag = "--" + field.name.replace("_", "-")
            if flag in parser._option_string_actions:
                continue
            default = (defaults or {}).get(field.name, getattr(config, field.name))
            default = ",".join(default) if isinstance(default, tuple) else default
            text = f"{said.get(field.name, '')}; default: {default}".replace("%", "%%")
            kind = kinds[field.name]
            options: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
            if kind is bool:
                options["action"] = argparse.BooleanOptionalAction
            elif typing.get_origin(kind) is typing.Literal:
                options["choices"] = typing.get_args(kind)
            else:
                options |= {"type": reader(kind), "metavar": "X"}
            group.add_argument(flag, **options)


def reader(kind: Any) -> Callable[[str], Any]:
    """What turns a flag's text into a value of the field's type; "none" where None is allowed.

    A tuple's items have commas between them.
    """
    if typing.get_origin(kind) is tuple:
        return lambda text: tuple(text.split(","))
    if not isinstance(kind, types.UnionType):
        return kind
    inner = next(k for k in typing.get_args(kind) if k is not type(None))

    def read(text: str) -> Any:
        return None if text.lower() == "none" else inner(text)

    read.__name__ = inner.__name__  # argparse names it in its error
    return read


def given(options: argparse.Namespace, recipe: Any) -> dict[str, Any]:
    """The config fields that were set on the command line, and their values.

    Built in chapter 7.
    """
    names = {f.name for config in vars(recipe).values() for f in dataclasses.fields(config)}
    return {name: value for name, value in vars(options).items() if name in names}


def check_new(out: Path) -> None:
    """Raises a ValueError if a folder for a new run can't be made, or holds something."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out}: is a file; give a new or an empty folder")
    if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
        raise ValueError(f"--out {out}: isn't empty; give a new folder, or --resume its run")
    above = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"--out {out}: no folder can be made in {above}")


def check_resumed(out: Path, named: Iterable[str]) -> None:
    """Raises a ValueError if a run to go on with is given settings, by the names of their flags."""
    for name in named:
        flag = "--" + name.replace("_", "-")
        raise ValueError(f"--resume goes on with the settings of {out}: leave {flag} out")
