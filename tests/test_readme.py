"""README's code runs, and its commands are those that there are."""

import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from minillm.cli import build_parser
from minillm.text import village
from minillm.text.tokenizers import BPETokenizer

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_of(section):
    """The Python code of one of README's sections."""
    text = re.search(rf"^## {section}\n(.*?)^## ", README, flags=re.DOTALL | re.MULTILINE)[1]
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return code


def test_the_python_code_runs(capsys):
    exec(code_of("`minillm` in ten lines"), {})
    loss, story, *_ = capsys.readouterr().out.split("\n")
    assert 0 < float(re.search(r"loss ([\d.]+)", loss)[1]) < 6
    assert story.startswith("Anna was")


def test_the_code_for_real_weights_runs(tmp_path, monkeypatch):
    """On a small random model in the place of GPT-2."""
    config = GPT2Config(vocab_size=400, n_embd=32, n_head=2, n_layer=2, n_positions=64)
    config.bos_token_id = config.eos_token_id = 0
    before = GPT2LMHeadModel(config)
    before.save_pretrained(tmp_path / "models/gpt2")
    words = BPETokenizer.train([story.text for story in village.stories(50, seed=1)], 400)
    words.save(tmp_path / "models/gpt2")
    monkeypatch.setenv("MINILLM_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    code = code_of("Real weights")
    exec(code, {})
    assert len([line for line in code.split("\n") if line]) == 10
    after = AutoModelForCausalLM.from_pretrained("gpt2-village")
    ids = AutoTokenizer.from_pretrained("gpt2-village")("Anna was at the", return_tensors="pt")
    assert ids["input_ids"][0].tolist() == words.encode("Anna was at the")
    logits = [model(**ids).logits for model in (before.eval(), after)]
    assert (logits[0] - logits[1]).abs().max() > 1e-3  # it has learned something
    for name, p in before.named_parameters():  # in the layers that LoRA is put into
        same = torch.equal(p, after.get_parameter(name))
        assert same == (not re.search(r"attn\.\w+\.weight", name)), name


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
