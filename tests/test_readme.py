"""README's code runs, and its commands are those that there are."""

import re
from pathlib import Path

from minillm.cli import build_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_code_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(code, {})
    loss, story, *_ = capsys.readouterr().out.split("\n")
    assert 0 < float(re.search(r"loss ([\d.]+)", loss)[1]) < 6
    assert story.startswith("Anna was")


def test_the_commands_are_understood():
    commands = re.findall(r"^    python -m minillm (.*?)(?:  #.*)?$", README, flags=re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"train", "generate", "evaluate"}
    for command in commands:
        build_parser().parse_args(command.replace('"', "").split())


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@|TODO|XXX", README)
