"""README's code runs, and its commands are those that there are."""

import json
import re
from pathlib import Path

from minillm import zoo
from minillm.cli import build_parser, main
from minillm.model.bert import BERT, BertConfig
from minillm.text.tokenizers import WordPieceTokenizer

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
    names = {"train", "generate", "evaluate", "finetune", "predict"}
    assert {command.split()[0] for command in commands} == names
    for command in commands:
        build_parser().parse_args(command.replace('"', "").split())


def test_the_example_of_fine_tuning_runs(tmp_path, monkeypatch, capsys):
    """As shown, but on a model of a moment instead of the book's."""
    make, tune, use = re.findall(r"^    (python -.*names.*)$", README, flags=re.MULTILINE)
    source, file = re.fullmatch(r'python -c "(.*)" > (\S+)', make).groups()
    monkeypatch.chdir(tmp_path)
    exec(source, {})
    Path(file).write_text(capsys.readouterr().out, encoding="utf-8")
    tokenizer = WordPieceTokenizer.train([Path(file).read_text(encoding="utf-8")], 300)
    small = BERT(BertConfig.modern(len(tokenizer), d_model=16, n_heads=2, n_layers=1))
    monkeypatch.setattr(zoo, "load", lambda name: (small, tokenizer))
    for command in (tune, use):
        assert main(command.split()[3:]) == 0, capsys.readouterr().err
    assert "rows held out (each word as tagged most often: 0.772)" in capsys.readouterr().out
    assert "rows held out (each word as tagged most often: 0.772)" in README
    written = Path(use.split()[-1]).read_text(encoding="utf-8").splitlines()
    assert len(written) == 300
    assert all("prediction" in json.loads(row) for row in written)


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@|TODO|XXX", README)
