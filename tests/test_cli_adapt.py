"""`finetune` and `predict`: what they learn, print and write, how they go on, how they refuse."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from test_cli import refused, run

from minillm import cli, flags
from minillm.adapt import finetune, settings
from minillm.adapt.adapters import load_adapter
from minillm.adapt.heads import SequenceClassifier
from minillm.adapt.lora import LoRAConfig
from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.text import village
from minillm.text.tokenizers import BPETokenizer, WordPieceTokenizer
from minillm.train import checkpoint, loop

SMALL = ["--steps", 6, "--batch-size", 8, "--lr", 3e-3, "--device", "cpu"]
TEXTS = [story.text for story in village.stories(60, 1)]
GOOD, BAD = ("glad", "merry", "happy"), ("sad", "gloomy", "cross")


def reviews(n):
    """Rows whose label is told by one word."""
    words = [(*GOOD, *BAD)[i % 6] for i in range(n)]
    names = ("Anna", "Otto", "Rose", "Sam", "Tom")
    return [
        {"text": f"{names[i % 5]} was {word}.", "label": "good" if word in GOOD else "bad"}
        for i, word in enumerate(words)
    ]


def put_jsonl(file: Path, rows) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def put_tsv(file: Path, rows) -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with two small pretrained models and a file of rows for each task."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    tokenizer = WordPieceTokenizer.train(TEXTS, 400)
    sizes = {"context_length": 96, "d_model": 16, "n_heads": 2, "n_layers": 2, "dropout": 0.1}
    checkpoint.save(folder / "bert", BERT(BertConfig(len(tokenizer), **sizes)), tokenizer)
    tokenizer = BPETokenizer.train(TEXTS, 400)
    checkpoint.save(folder / "gpt", GPT(GPTConfig.modern(len(tokenizer), **sizes)), tokenizer)
    put_tsv(folder / "reviews.tsv", reviews(60))
    put_jsonl(folder / "entities.jsonl", village.entities(40, 1))
    put_jsonl(folder / "questions.jsonl", village.questions(40, 1))
    put_jsonl(folder / "pairs.jsonl", village.pairs(40, 1))
    words = [
        {"tokens": r["text"].split(), "tags": ["O", "O", "B-" + r["label"]]} for r in reviews(60)
    ]
    put_jsonl(folder / "words.jsonl", words)
    return folder


@pytest.fixture(scope="module")
def adapted(home) -> Path:
    """A model that has learned to tell the good from the bad."""
    argv = [home / "bert", home / "reviews.tsv", "--task", "classification"]
    argv += ["--steps", 60, "--lr", 1e-2, "--device", "cpu"]
    assert run("finetune", *argv, "--out", home / "adapted") == 0
    return home / "adapted"


def command(home, data, task, out, *argv, model="bert"):
    return ["finetune", home / model, home / data, "--task", task, "--out", out, *SMALL, *argv]


def predictions(capsys, *argv) -> list[dict]:
    capsys.readouterr()
    assert run("predict", *argv) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_class_told_by_a_word_is_learned_and_found_in_rows_without_labels(
    adapted, tmp_path, capsys
):
    metrics = json.loads((adapted / "metrics.json").read_text())
    assert metrics["scores"] == {"accuracy": 1.0}
    assert metrics["baseline"]["scores"]["accuracy"] < 0.8
    rows = [{"text": f"Anna was {word}.", "n": i} for i, word in enumerate((*BAD, *GOOD))]
    found = predictions(capsys, adapted, put_jsonl(tmp_path / "new.jsonl", rows))
    assert [row["prediction"] for row in found] == ["bad"] * 3 + ["good"] * 3
    assert all(0.5 < row["probability"] <= 1 for row in found)
    assert [(row["text"], row["n"]) for row in found] == [(row["text"], row["n"]) for row in rows]
    assert [*found[0]] == ["text", "n", "prediction", "probability"]


@pytest.mark.parametrize("method", ["full", "lora", "head"])
@pytest.mark.parametrize(
    ("data", "task", "argv"),
    [
        ("reviews.tsv", "classification", []),
        ("pairs.jsonl", "pairs", ["--columns", "first=premise,second=hypothesis"]),
        ("entities.jsonl", "tokens", []),
        ("words.jsonl", "tokens", []),
        ("questions.jsonl", "qa", []),
    ],
)
def test_the_report_is_what_predict_scores_on_the_same_rows(
    home, tmp_path, capsys, data, task, argv, method
):
    out = tmp_path / "run"
    assert (
        run(*command(home, data, task, out, "--method", method, "--val", home / data, *argv)) == 0
    )
    told, err = capsys.readouterr()
    assert err == ""
    metrics = json.loads((out / "metrics.json").read_text())
    (score,) = [line for line in told.splitlines() if "held out" in line]
    for name, value in metrics["scores"].items():
        assert f"{name} {value:.3f}" in score
    trained = f"trained {metrics['trained_parameters']:,} of {metrics['parameters']:,} parameters"
    assert trained in told
    assert (metrics["trained_parameters"] == metrics["parameters"]) == (method == "full")
    assert (out / "adapter_model.safetensors").exists() == (method == "lora")
    assert "precision" in told or task == "qa"
    assert run("predict", out, home / data) == 0
    found, err = capsys.readouterr()
    assert len(found.splitlines()) == metrics["val_rows"]
    shown = ", ".join(f"{name} {value:.3f}" for name, value in metrics["scores"].items())
    assert err == f"{shown} on {metrics['val_rows']} of {metrics['val_rows']} rows\n"


def test_only_what_the_method_trains_has_moved(home, tmp_path):
    body, tokenizer = checkpoint.load_model(home / "bert")
    before = checkpoint.weights(body)
    moved = {}
    for method in ("full", "lora", "head"):
        out = tmp_path / method
        argv = command(home, "reviews.tsv", "classification", out, "--method", method)
        assert run(*argv) == 0
        model, tokenizer, task = finetune.load(out)
        after = model.body.state_dict()
        moved[method] = {name for name, w in before.items() if not torch.equal(w, after[name])}
    assert moved["lora"] == moved["head"] == {"pooler.weight", "pooler.bias"}
    assert "encoder.blocks.0.attention.qkv.weight" in moved["full"]
    model, tokenizer, task = finetune.load(tmp_path / "lora")
    ids = torch.tensor([tokenizer.encode("Anna was glad.")])
    fresh = SequenceClassifier(body, len(task.classes)).eval()
    torch.testing.assert_close(load_adapter(fresh, tmp_path / "lora")(ids), model(ids))
    assert model.lora_config.r == 8
    assert model.lora_config.modules_to_save == ("head", "body.pooler")


def test_an_adapted_model_is_a_body_for_the_next_task(home, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(*command(home, "reviews.tsv", "classification", first, "--method", "lora")) == 0
    argv = command(home, "words.jsonl", "tokens", second, "--method", "head")
    argv[1] = first
    assert run(*argv) == 0
    ids = torch.tensor([[5, 9, 7]])
    hidden = [finetune.load(folder)[0].body.hidden(ids) for folder in (first, second)]
    torch.testing.assert_close(*hidden)
    plain = checkpoint.load_model(home / "bert")[0].hidden(ids)
    assert not torch.allclose(hidden[0], plain, atol=1e-5)


def test_a_gpt_classifies(home, tmp_path, capsys):
    out = tmp_path / "run"
    argv = command(home, "reviews.tsv", "classification", out, "--method", "lora", model="gpt")
    assert run(*argv) == 0
    assert len(predictions(capsys, out, home / "reviews.tsv")) == 60


@pytest.mark.parametrize("method", ["full", "lora", "head"])
@pytest.mark.parametrize("step", [1, 5, 9])
def test_stopped_and_resumed_is_as_never_stopped(home, tmp_path, capsys, monkeypatch, method, step):
    more = ["--method", method, "--steps", 10, "--eval-every", 2, "--patience", 3]
    more += ["--checkpoint-every", 4, "--lr", 0.3]  # so high that the best weights aren't the last
    whole = command(home, "reviews.tsv", "classification", tmp_path / "whole", *more)
    assert run(*whole) == 0
    told = capsys.readouterr().out

    def interrupt(at, every, due=loop._due):
        if at == step:
            signal.raise_signal(signal.SIGINT)
        return due(at, every)

    stopped = command(home, "reviews.tsv", "classification", tmp_path / "run", *more)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_due", interrupt)
        assert run(*stopped) == 130
    out, err = capsys.readouterr()
    assert out == ""
    again = f"finetune {home / 'bert'} {home / 'reviews.tsv'} --out {tmp_path / 'run'} --resume"
    assert err == f"minillm: stopped after step {step}; to go on: python -m minillm {again}\n"
    assert not (tmp_path / "run" / "metrics.json").exists()
    error = refused(capsys, "predict", tmp_path / "run", home / "reviews.tsv")
    assert "stopped before its end" in error
    assert run(*again.split()) == 0
    assert _timeless(capsys.readouterr().out) == _timeless(told)
    files = [checkpoint.latest(tmp_path / f) / "model.safetensors" for f in ("run", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert run(*again.split()) == 0  # of a whole run, the report
    assert _timeless(capsys.readouterr().out) == _timeless(told)


def _timeless(report: str) -> str:
    return report[: report.rindex(" steps, ")]


def test_resume_takes_what_it_finds_and_nothing_else(home, adapted, tmp_path, capsys):
    model, data = home / "bert", home / "reviews.tsv"
    resume = ["--out", adapted, "--resume"]
    for flag, value in (("--task", "qa"), ("--lr", 1), ("--columns", "text=x"), ("--r", 2)):
        error = refused(capsys, "finetune", model, data, *resume, flag, value)
        assert f"leave {flag} out" in error
    error = refused(capsys, "finetune", home / "gpt", data, *resume)
    assert f"is a run on {model}, not {home / 'gpt'}" in error
    error = refused(capsys, "finetune", model, home / "pairs.jsonl", *resume)
    assert "is a run on" in error
    none = tmp_path / "none"
    assert "no such folder" in refused(capsys, "finetune", model, data, "--out", none, "--resume")
    error = refused(capsys, "finetune", model, data, "--out", home / "bert", "--resume")
    assert "holds no fine-tuned model, but a BERT" in error


def test_resume_refuses_rows_that_have_changed(home, tmp_path, capsys):
    data, val = tmp_path / "data.tsv", tmp_path / "val.tsv"
    put_tsv(data, reviews(30))
    put_tsv(val, reviews(12))
    argv = ["finetune", home / "bert", data, "--out", tmp_path / "run"]
    assert run(*argv, "--task", "classification", "--val", val, *SMALL) == 0
    put_tsv(val, reviews(18))
    assert "watched on other rows" in refused(capsys, *argv, "--resume")
    put_tsv(val, reviews(12))
    put_tsv(data, reviews(36))
    assert "trained on other data" in refused(capsys, *argv, "--resume")


def test_the_best_weights_are_kept_and_a_run_without_gain_ends_early(home, tmp_path, capsys):
    argv = command(home, "reviews.tsv", "classification", tmp_path / "run", "--steps", 60)
    argv += ["--lr", 0.5, "--warmup-steps", 0, "--eval-every", 2, "--patience", 2]
    assert run(*argv) == 0
    assert "stopped early" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    losses = checkpoint.load(tmp_path / "run").state["history"]["val_losses"]
    assert metrics["steps"] < 60
    assert metrics["val_loss"] == min(losses) < losses[-1]


def test_what_follows_from_what():
    recipe = settings.plan(1000, epochs=2.0, batch_size=10)
    assert (recipe.train.steps, recipe.train.warmup_steps, recipe.train.eval_every) == (
        200,
        20,
        100,
    )
    assert settings.plan(1000, steps=30).train.warmup_steps == 3
    assert settings.plan(20, steps=300).train.eval_every == 30  # not in the warm-up
    assert settings.plan(1000, steps=30).train.eval_every == 30
    rates = [settings.plan(9, method=method).train.lr for method in ("full", "lora", "head")]
    assert rates == [*settings.RATES.values()] == sorted(rates)
    assert settings.plan(9, method="lora", lr=0.25).train.lr == 0.25
    assert settings.plan(1).train.steps == 3
    with pytest.raises(ValueError, match="give one of them"):
        settings.plan(9, steps=3, epochs=1.0)


def test_every_field_is_a_flag_with_its_reason(capsys):
    assert run("finetune", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    for config in vars(settings.DEFAULTS).values():
        reasons = flags.comments(type(config))
        for name in vars(config):
            assert reasons.get(name), f"{type(config).__name__}.{name} has no comment beside it"
            assert "--" + name.replace("_", "-") + " " in told
    for default in ("5e-05 (full), 0.0005 (lora), 0.001 (head)", "0.1 of the steps", "qkv,out,up"):
        assert f"default: {default}" in told


def test_flags_reach_their_fields():
    argv = ["--method", "lora", "--r", "2", "--target-modules", "qkv,up", "--epochs", "0.5"]
    argv += ["--lora-alpha", "4", "--lr", "0.1"]
    base = ["finetune", "x", "y", "--task", "qa", "--out", "z"]
    changes = flags.given(cli.build_parser().parse_args([*base, *argv]), settings.DEFAULTS)
    recipe = settings.plan(64, **changes)
    assert recipe.lora == LoRAConfig(2, 4.0, ("qkv", "up"))
    assert (recipe.adapt.method, recipe.train.lr, recipe.train.steps) == ("lora", 0.1, 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epochs", 0], "epochs (0.0) must be a number above 0"),
        (["--epochs", "nan"], "epochs (nan) must be a number above 0"),
        (["--epochs", 2], "steps and epochs say the same thing"),
        (["--val-share", 1], "val_share (1.0) must be above 0 and below 1"),
        (["--val", "x.csv", "--val-share", 0.2], "leave --val-share out"),
        (["--val", "x.csv"], "x.csv: no such file"),
        (["--method", "prompt"], "invalid choice: 'prompt'"),
        (["--task", "poetry"], "invalid choice: 'poetry'"),
        (["--r", 4], "--r is of adapters: add --method lora"),
        (["--method", "lora", "--r", 0], "r (0) must be an integer of at least 1"),
        (["--method", "lora", "--r", 99], "r (99) must be at most the smaller side"),
        (["--method", "lora", "--target-modules", "query"], "'query' fits no layer"),
        (["--lr", -1], "lr must be a number above 0"),
        (["--eval-every", 0], "patience (3) needs an eval_every above 0"),
        (["--device", "abacus"], "invalid choice: 'abacus'"),
        (["--columns", "text"], "--columns (text) must be as in text=sentence"),
        (["--columns", "words=text"], "columns: 'words' is none of label, text"),
        (["--columns", "text=review"], "line 1: no column 'review'; there are 'text', 'label'"),
    ],
)
def test_settings_that_make_no_sense(home, tmp_path, capsys, argv, message):
    argv = command(home, "reviews.tsv", "classification", tmp_path / "run", *argv)
    assert message in refused(capsys, *argv)
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_together(home, adapted, tmp_path, capsys):
    out = tmp_path / "run"
    for data, task in (("entities.jsonl", "tokens"), ("questions.jsonl", "qa")):
        error = refused(capsys, *command(home, data, task, out, model="gpt"))
        assert f"--task {task} needs a BERT" in error
    (argv,) = [command(home, "reviews.tsv", "classification", out)]
    del argv[3:5]
    assert "--task is missing; it is one of classification" in refused(capsys, *argv)
    error = refused(capsys, *command(home, "reviews.tsv", "classification", adapted))
    assert "isn't empty" in error
    shutil.copytree(home / "bert", tmp_path / "mute")
    (checkpoint.latest(tmp_path / "mute") / "tokenizer.json").unlink()
    argv = command(home, "reviews.tsv", "classification", out, model=tmp_path / "mute")
    assert "no tokenizer" in refused(capsys, *argv)
    argv = command(home, "reviews.tsv", "classification", out, model="no-such-model")
    error = refused(capsys, *argv)
    assert "no-such-model" in error and "village-bert" in error
    for name, other, mark in (("bert", "gpt", "[CLS]"), ("gpt", "bert", "<|endoftext|>")):
        mixed = shutil.copytree(home / name, tmp_path / f"mixed-{name}")
        tokenizer = checkpoint.latest(home / other) / "tokenizer.json"
        shutil.copy(tokenizer, checkpoint.latest(mixed) / "tokenizer.json")
        argv = command(home, "reviews.tsv", "classification", out, model=mixed)
        assert f"its tokenizer has no {mark}" in refused(capsys, *argv)
    argv = command(home, "reviews.tsv", "classification", out, "--method", "lora")
    assert "trained whole already" in refused(capsys, *argv, "--target-modules", "pooler")
    assert not out.exists()


def test_bad_rows_are_named_before_anything_is_made(home, adapted, tmp_path, capsys):
    out, bad = tmp_path / "run", tmp_path / "bad.tsv"
    bad.write_text("text\tlabel\nyes\tgood\n\tbad\n")
    argv = ["finetune", home / "bert", bad, "--task", "classification", "--out", out]
    assert f"{bad}, line 3: text is empty" in refused(capsys, *argv)
    assert f"{bad}, line 3: text is empty" in refused(capsys, "predict", adapted, bad)
    bad.write_text("text\tlabel\nyes\tgood\nno\tugly\n")
    argv = command(home, "reviews.tsv", "classification", out, "--val", bad)
    error = refused(capsys, *argv)
    assert f"{bad}, line 3: unknown label 'ugly'; the rows to learn from have bad, good" in error
    assert not out.exists()


def test_long_texts_whose_answer_is_cut_off_teach_nothing(home, tmp_path, capsys):
    far = {"text": "so " * 99 + "Kew", "question": "Where?", "answer": "Kew"}
    near = {"text": "Kew " + "so " * 99, "question": "Where?", "answer": "Kew"}
    data = put_jsonl(tmp_path / "some.jsonl", [near, far] * 4)
    argv = ["finetune", home / "bert", data, "--task", "qa", "--val", data, *SMALL]
    assert run(*argv, "--out", tmp_path / "run", "--batch-size", 1) == 0
    assert "nothing learned from 4 of 8 rows" in capsys.readouterr().out
    put_jsonl(data, [far] * 4)
    assert "beyond the model's context" in refused(capsys, *argv, "--out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_predict_writes_a_whole_file_or_none(adapted, home, tmp_path, capsys, monkeypatch):
    out = tmp_path / "found.tsv"
    assert run("predict", adapted, home / "reviews.tsv", "--out", out) == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "text\tlabel\tprediction\tprobability"
    assert len(lines) == 61
    assert all(line.split("\t")[1] == line.split("\t")[2] for line in lines[1:])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "accuracy 1.000 on 60 of 60 rows\n"

    def fail(*args, answers=finetune.answers):
        raise ValueError("no more")

    monkeypatch.setattr(finetune, "answers", fail)
    assert "no more" in refused(capsys, "predict", adapted, home / "reviews.tsv", "--out", out)
    assert out.read_text().splitlines() == lines
    assert [p.name for p in tmp_path.iterdir()] == ["found.tsv"]


def test_many_rows_are_answered_in_their_order(adapted, tmp_path, capsys, monkeypatch):
    rows = [row | {"text": row["text"] + " So." * (i % 7)} for i, row in enumerate(reviews(50))]
    data = put_jsonl(tmp_path / "rows.jsonl", rows)
    whole = predictions(capsys, adapted, data)
    assert [row["text"] for row in whole] == [row["text"] for row in rows]
    monkeypatch.setattr("minillm.cli_adapt.CHUNK", 7)
    parts = predictions(capsys, adapted, data)
    assert [row["prediction"] for row in parts] == [row["prediction"] for row in whole]


def test_rows_of_words_get_a_tag_a_word_as_they_were_given(home, tmp_path, capsys):
    out = tmp_path / "run"
    argv = command(home, "words.jsonl", "tokens", out, "--steps", 60, "--lr", 1e-2)
    assert run(*argv) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["scores"] == {"entity F1": 1.0}
    listed = put_jsonl(tmp_path / "a.jsonl", [{"tokens": ["Anna", "was", "glad."]}])
    (found,) = predictions(capsys, out, listed)
    assert found["prediction"] == ["O", "O", "B-good"]
    joined = put_tsv(tmp_path / "a.tsv", [{"tokens": "Otto was gloomy."}])
    (found,) = predictions(capsys, out, joined)
    assert found["prediction"] == "O O B-bad"


def test_an_entity_in_rows_of_words_ends_where_a_word_does(home, tmp_path, capsys, monkeypatch):
    assert run(*command(home, "words.jsonl", "tokens", tmp_path / "run")) == 0

    def answer(self, logits, record, tokenizer):
        start, end = record["places"][2]
        word = record["text"][start : end - 1]
        return [(start, end - 1, "good" if word in GOOD else "bad")]  # without the full stop

    monkeypatch.setattr("minillm.adapt.tasks.Tagging.answer", answer)
    capsys.readouterr()
    assert run("predict", tmp_path / "run", home / "words.jsonl") == 0
    assert capsys.readouterr().err == "entity F1 1.000 on 60 of 60 rows\n"


def test_predict_refuses(adapted, home, tmp_path, capsys):
    data = home / "reviews.tsv"
    error = refused(capsys, "predict", adapted, data, "--out", tmp_path / "x.txt")
    assert "x.txt: must end with .jsonl or .tsv" in error
    assert "no such file" in refused(capsys, "predict", adapted, tmp_path / "none.csv")
    assert "no such folder" in refused(capsys, "predict", tmp_path / "none", data)
    assert "holds no fine-tuned model" in refused(capsys, "predict", home / "bert", data)
    assert "no column 'text'" in refused(capsys, "predict", adapted, home / "pairs.jsonl")
    error = refused(capsys, "predict", adapted, data, "--columns", "text=review")
    assert "no column 'review'" in error
    again = put_jsonl(tmp_path / "again.jsonl", [{"text": "a", "prediction": "b"}])
    assert "has a column 'prediction' already" in refused(capsys, "predict", adapted, again)
    again = put_jsonl(tmp_path / "again.jsonl", [{"text": "a", "probability": 1}])
    assert "has a column 'probability' already" in refused(capsys, "predict", adapted, again)
    (tmp_path / "is.tsv").mkdir()
    error = refused(capsys, "predict", adapted, data, "--out", tmp_path / "is.tsv")
    assert "is a folder" in error
    error = refused(capsys, "predict", adapted, data, "--out", tmp_path / "none" / "x.tsv")
    assert "none" in error


def test_labels_that_the_model_does_not_know_count_as_wrong(adapted, tmp_path, capsys):
    rows = [*reviews(3), {"text": "Anna was glad.", "label": "fine"}, {"text": "Tom was cross."}]
    assert run("predict", adapted, put_jsonl(tmp_path / "rows.jsonl", rows)) == 0
    assert capsys.readouterr().err == "accuracy 0.750 on 4 of 5 rows\n"
