"""The command line: what it prints, what it writes, and how it refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillm import cli, flags
from minillm.model.gpt import GPTConfig
from minillm.train import checkpoint, loop, recipes
from minillm.train.config import TrainConfig
from minillm.train.texts import TextConfig

ROOT = Path(__file__).parents[1]
SMALL = [
    *("--d-model", "16", "--n-heads", "2", "--n-layers", "1", "--context-length", "16"),
    *("--steps", "6", "--batch-size", "4", "--warmup-steps", "2", "--device", "cpu"),
]
VILLAGE = [*SMALL, "--stories", "30", "--val-stories", "5", "--vocab-size", "300"]
CHARS = [*SMALL, "--tokenizer", "char"]
KEYS = ["val_loss", "floor", "ratio", "train_seconds", "tokens_per_second", "steps", "parameters"]


def run(*argv: object) -> int:
    return cli.main([str(arg) for arg in argv])


def refused(capsys, *argv: object) -> str:
    """The one line on stderr of a command that ends with code 2."""
    capsys.readouterr()
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    return err


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("text") / "rhyme.txt"
    file.write_text("One, two, buckle my shoe. Three, four, knock at the door.\n" * 20, "utf-8")
    return file


@pytest.fixture(scope="module")
def village(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "village"
    assert run("train", "village", "--out", folder, *VILLAGE) == 0
    return folder


@pytest.fixture(scope="module")
def rhyme(tmp_path_factory, text) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "rhyme"
    assert run("train", text, "--out", folder, *CHARS) == 0
    return folder


def test_train_on_the_village_ends_with_one_line_and_the_same_in_metrics(tmp_path, capsys):
    assert run("train", "village", "--out", tmp_path / "new" / "run", *VILLAGE) == 0
    out, err = capsys.readouterr()
    metrics = json.loads((tmp_path / "new" / "run" / "metrics.json").read_text())
    assert list(metrics) == KEYS
    assert metrics["steps"] == 6
    assert metrics["ratio"] == pytest.approx(metrics["val_loss"] / metrics["floor"])
    assert metrics["ratio"] > 1
    found = re.fullmatch(
        r"validation loss (\d+\.\d{4}) nats per token, floor (\d+\.\d{4}), ratio (\d+\.\d{3}), "
        r"[\d.]+ s, [\d,]+ tokens/s\n",
        out,
    )
    assert found, out
    assert float(found[1]) == pytest.approx(metrics["val_loss"], abs=1e-4)
    assert float(found[2]) == pytest.approx(metrics["floor"], abs=1e-4)
    assert err == ""  # the bar is for terminals


def test_train_on_a_file_has_no_floor(rhyme):
    metrics = json.loads((rhyme / "metrics.json").read_text())
    assert list(metrics) == KEYS
    assert metrics["floor"] is metrics["ratio"] is None
    assert 0 < metrics["val_loss"] < 5
    model, tokenizer = checkpoint.load_model(rhyme)
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert tokenizer.decode(tokenizer.encode("knock, knock")) == "knock, knock"


def test_generate_begins_with_the_prompt_and_repeats_by_seed(village, capsys):
    texts = []
    for seed in (1, 1, 2):
        argv = ["--prompt", "Anna", "--max-tokens", 20, "--seed", seed]
        assert run("generate", village, *argv) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("Anna")
    assert len(texts[0]) > len("Anna\n")
    assert texts[0] == texts[1] != texts[2]


def test_generate_options_reach_the_sampler(village, capsys):
    def said(*argv):
        assert run("generate", village, "--prompt", "Anna", "--max-tokens", 12, *argv) == 0
        return capsys.readouterr().out

    greedy = said("--temperature", 0)
    assert greedy == said("--top-k", 1) == said("--top-p", 1e-9, "--seed", 3)
    assert greedy != said("--temperature", 5)
    both = said("--samples", 2, "--seed", 4)
    assert both == said("--seed", 4) + "\n" + said("--seed", 5)


def test_generate_ends_at_the_end_of_a_text(village, capsys, monkeypatch):
    _, tokenizer = checkpoint.load_model(village)
    end = tokenizer.special_tokens["<|endoftext|>"]

    def stream(model, prompt, *args, stop_ids, **kw):
        assert prompt[0] == end  # a text begins where another has ended
        assert stop_ids == (end,)
        return iter([*tokenizer.encode(" went home."), end])

    monkeypatch.setattr("minillm.generate.stream", stream)
    assert run("generate", village, "--prompt", "Anna") == 0
    assert capsys.readouterr().out == "Anna went home.\n"


def test_generate_never_prints_half_a_letter(village, capsys, monkeypatch):
    _, tokenizer = checkpoint.load_model(village)
    monkeypatch.setattr(
        "minillm.generate.stream", lambda *args, **kw: iter(tokenizer.encode("é 村 🏡"))
    )
    assert run("generate", village) == 0
    assert capsys.readouterr().out == "é 村 🏡\n"


def test_evaluate_agrees_with_train(village, rhyme, text, capsys):
    for folder, corpus in ((village, "village"), (rhyme, text)):
        metrics = json.loads((folder / "metrics.json").read_text())
        assert run("evaluate", folder, corpus) == 0
        out = capsys.readouterr().out
        assert f"validation loss {metrics['val_loss']:.4f} nats per token" in out
        assert "held out in training" in out
        assert ("floor" in out) == (corpus == "village")


def test_evaluate_reads_the_whole_of_another_text(rhyme, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("Three, two, one. " * 3)
    assert run("evaluate", rhyme, tmp_path / "other.txt") == 0
    assert "(52 tokens, the whole text)" in capsys.readouterr().out  # 51 letters and an end


def test_interrupted_then_resumed_is_as_never_stopped(tmp_path, text, capsys, monkeypatch):
    def interrupt(step, every, due=loop._due):
        if step == 3:
            signal.raise_signal(signal.SIGINT)
        return due(step, every)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_due", interrupt)
        assert run("train", text, "--out", tmp_path / "run", *CHARS) == 130
    out, err = capsys.readouterr()
    assert out == ""
    command = f"python -m minillm train {text} --out {tmp_path / 'run'} --resume"
    assert err == f"minillm: stopped after step 3; to go on: {command}\n"
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert run("train", text, "--out", tmp_path / "run", "--resume") == 0
    resumed = capsys.readouterr().out
    assert run("train", text, "--out", tmp_path / "whole", *CHARS) == 0
    assert capsys.readouterr().out.split(",")[0] == resumed.split(",")[0]
    files = [checkpoint.latest(tmp_path / f) / "model.safetensors" for f in ("run", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_field_of_the_configs_is_a_flag_with_its_default_and_its_reason(capsys):
    assert run("train", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    for config in vars(recipes.VILLAGE).values():
        reasons = flags.comments(type(config))
        for name, value in vars(config).items():
            assert reasons.get(name), f"{type(config).__name__}.{name} has no comment beside it"
            flag = re.escape("--" + name.replace("_", "-"))
            if name == "vocab_size":  # the tokenizer's, not the model's
                value = recipes.VILLAGE.text.vocab_size
            assert re.search(rf"{flag}\b.*?; default: {re.escape(str(value))}", told), name


def test_flags_reach_their_fields():
    parser = cli.build_parser()
    argv = ["--n-kv-heads", "2", "--d-ff", "none", "--no-bias", "--lr", "0.5", "--stories", "7"]
    options = parser.parse_args(["train", "village", "--out", "x", *argv])
    changes = flags.given(options, recipes.VILLAGE)
    assert changes == {"n_kv_heads": 2, "d_ff": None, "bias": False, "lr": 0.5, "stories": 7}
    recipe = recipes.VILLAGE.changed(**changes)
    assert (recipe.model.n_kv_heads, recipe.train.lr, recipe.text.stories) == (2, 0.5, 7)
    assert recipe.train.steps == recipes.VILLAGE.train.steps


def test_configs_share_no_name_but_the_vocabulary():
    names = [name for c in (TextConfig, GPTConfig, TrainConfig) for name in c.__annotations__]
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["vocab_size"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--d-model", "130", "--n-heads", "4"], "d_model (130) must be divisible by n_heads (4)"),
        (["--batch-size", "6", "--accumulation", "4"], "batch_size (6) must be divisible"),
        (["--lr", "nan"], "lr must be a number above 0, not nan"),
        (["--steps", "-5"], "steps must be 1 or more, not -5"),
        (["--stories", "0"], "stories must be 1 or more"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--optimizer", "sgd"], "invalid choice: 'sgd'"),
        (["--positions", "telepathic"], "positions ('telepathic') must be one of"),
        (["--device", "abacus"], "invalid choice: 'abacus'"),
        (["--patience", "2"], "patience (2) needs an eval_every"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, capsys, argv, message):
    argv = ["train", "village", "--out", tmp_path / "run", *VILLAGE, *argv]
    assert message in refused(capsys, *argv)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("argv", [[], ["dance"], ["train"], ["train", "village"], ["generate"]])
def test_commands_that_are_not_whole(capsys, argv):
    assert "--help" in refused(capsys, *argv)


def test_texts_that_are_none(tmp_path, capsys):
    files = {"empty.txt": b"", "blank.txt": b" \n\n", "binary.txt": bytes(range(256)) * 4}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert name in refused(capsys, "train", tmp_path / name, "--out", tmp_path / "run", *SMALL)
    (tmp_path / "folder").mkdir()
    for corpus in (tmp_path / "no-such.txt", "atlantis", tmp_path / "folder"):
        error = refused(capsys, "train", corpus, "--out", tmp_path / "run", *SMALL)
        assert Path(corpus).name in error
    assert not (tmp_path / "run").exists()


def test_a_text_shorter_than_the_context(tmp_path, capsys, rhyme):
    (tmp_path / "short.txt").write_text("One, two.")
    error = refused(capsys, "train", tmp_path / "short.txt", "--out", tmp_path / "run", *CHARS)
    assert "short.txt, the part to learn from: 10 tokens are too few for context_length" in error
    (tmp_path / "less.txt").write_text("One, two. " * 5)
    error = refused(capsys, "train", tmp_path / "less.txt", "--out", tmp_path / "run", *CHARS)
    assert "less.txt, the part held out: 7 tokens are too few for context_length (16)" in error
    assert not (tmp_path / "run").exists()
    error = refused(capsys, "evaluate", rhyme, tmp_path / "short.txt")
    assert "short.txt, the whole text: 11 tokens are too few for context_length (16)" in error


def test_a_vocabulary_with_no_room(tmp_path, capsys, text):
    argv = ["train", text, "--out", tmp_path / "run", *SMALL, "--vocab-size", 100]
    assert "vocab_size" in refused(capsys, *argv)


def test_out_that_holds_something_is_left_alone(tmp_path, capsys, rhyme, text):
    before = sorted(rhyme.rglob("*"))
    assert "isn't empty" in refused(capsys, "train", text, "--out", rhyme, *CHARS)
    assert sorted(rhyme.rglob("*")) == before
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused(capsys, "train", text, "--out", tmp_path / "file", *CHARS)
    assert (tmp_path / "file").read_text() == "mine"
    inside = tmp_path / "file" / "run"
    assert "no folder can be made" in refused(capsys, "train", text, "--out", inside, *CHARS)


def test_resume_takes_what_it_finds_and_nothing_else(tmp_path, capsys, rhyme, village, text):
    argv = ["train", text, "--out", rhyme, "--resume", "--lr", "0.1"]
    assert "leave --lr out" in refused(capsys, *argv)
    error = refused(capsys, "train", "village", "--out", rhyme, "--resume")
    assert "was trained on" in error
    error = refused(capsys, "train", text, "--out", tmp_path / "none", "--resume")
    assert "no such folder" in error
    changed = tmp_path / "rhyme.txt"
    changed.write_text(text.read_text() + "One, two.")
    copy = tmp_path / "copy"
    shutil.copytree(rhyme, copy)
    file = checkpoint.latest(copy) / "config.json"
    file.write_text(file.read_text().replace(json.dumps(str(text)), json.dumps(str(changed))))
    assert "other data" in refused(capsys, "train", changed, "--out", copy, "--resume")


def test_folders_that_hold_no_model_of_ours(tmp_path, capsys, rhyme):
    for command in (["generate"], ["evaluate", "village"]):
        name, *rest = command
        assert "no such folder" in refused(capsys, name, tmp_path / "none", *rest)
        assert "no minillm checkpoint" in refused(capsys, name, tmp_path, *rest)
        (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
        assert "no minillm checkpoint" in refused(capsys, name, tmp_path, *rest)
        assert "config.json" in refused(capsys, name, tmp_path / "config.json", *rest)
        copy = tmp_path / "copy"
        shutil.copytree(rhyme, copy)
        weights = checkpoint.latest(copy) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        assert "model.safetensors: truncated" in refused(capsys, name, copy, *rest)
        (checkpoint.latest(copy) / "tokenizer.json").unlink()
        shutil.copy(checkpoint.latest(rhyme) / "model.safetensors", weights)
        assert "no tokenizer" in refused(capsys, name, copy, *rest)
        shutil.rmtree(copy)


def test_a_prompt_the_tokenizer_cannot_encode(rhyme, capsys):
    assert "村" in refused(capsys, "generate", rhyme, "--prompt", "村")


def test_a_text_the_tokenizer_cannot_encode(rhyme, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("村" * 99, encoding="utf-8")
    assert "村" in refused(capsys, "evaluate", rhyme, tmp_path / "other.txt")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--temperature", "-1"], "temperature (-1.0)"),
        (["--temperature", "nan"], "temperature (nan)"),
        (["--top-k", "0"], "top_k (0)"),
        (["--top-p", "1.5"], "top_p (1.5)"),
        (["--max-tokens", "0"], "--max-tokens must be 1 or more"),
        (["--samples", "0"], "--samples must be 1 or more"),
        (["--device", "abacus"], "device 'abacus' isn't there"),
    ],
)
def test_ways_to_draw_that_make_no_sense(rhyme, capsys, argv, message):
    assert message in refused(capsys, "generate", rhyme, "--prompt", "One", *argv)


def start(*argv: object, **kw) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "minillm", *map(str, argv)]
    return subprocess.Popen(command, env=env, **(pipes | kw))


@pytest.mark.skipif(os.name == "nt", reason="pipes and Ctrl-C work in another way on Windows")
def test_a_reader_that_leaves_and_ctrl_c_from_outside(rhyme, text, tmp_path):
    argv = ["--samples", 10_000, "--max-tokens", 50]
    writer = start("generate", rhyme, *argv)
    endless = start("train", text, "--out", tmp_path / "run", *CHARS, "--steps", 1_000_000)
    assert writer.stdout.readline()
    writer.stdout.close()
    assert writer.wait(60) == 0
    assert writer.stderr.read() == ""
    until = time.time() + 60
    while not any(tmp_path.glob("run/step-*")) and time.time() < until:
        time.sleep(0.05)
    endless.send_signal(signal.SIGINT)
    assert endless.wait(60) == 130
    out, err = endless.communicate()
    assert out == ""
    assert re.fullmatch(r"minillm: stopped after step \d+; to go on: python -m .*--resume\n", err)


def test_import_minillm_is_light():
    code = (
        "import sys, minillm.cli, minillm.train.recipes, minillm.generate\n"
        "print([m for m in ('transformers', 'datasets', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
