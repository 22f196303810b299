"""The zoo: trains once, keeps, trains again when the recipe changes."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from minillm import zoo
from minillm.model.bert import BERT, BertConfig
from minillm.train import bert_recipe, recipes
from minillm.train.config import TrainConfig

TINY = recipes.VILLAGE.changed(
    steps=3, stories=200, val_stories=5, d_model=16, n_heads=2, n_layers=1, warmup_steps=1
)


@pytest.fixture
def tiny_zoo(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_HOME", str(tmp_path))
    monkeypatch.setattr(zoo, "RECIPES", {"village-gpt": TINY})
    return tmp_path


def test_the_first_load_trains_and_the_second_reads(tiny_zoo, capfd, monkeypatch):
    first, tokenizer = zoo.load("village-gpt")
    assert "training village-gpt" in capfd.readouterr().err
    monkeypatch.setattr(recipes, "run", lambda *a, **k: pytest.fail("trained twice"))
    second, _ = zoo.load("village-gpt")
    ids = torch.tensor([tokenizer.encode("Anna was at the mill.")])
    assert torch.equal(first(ids), second(ids))
    assert not second.training


def test_the_draft_has_the_tokens_of_village_gpt(tiny_zoo, monkeypatch):
    tiny = recipes.DRAFT.changed(steps=3, stories=200, val_stories=5, warmup_steps=1)
    monkeypatch.setattr(zoo, "RECIPES", {"village-gpt": TINY, "village-draft": tiny})
    (_, tokenizer), (model, same) = zoo.load("village-gpt"), zoo.load("village-draft")
    assert same.vocab == tokenizer.vocab and len(same) == model.config.vocab_size
    text = "Rose had a rose.<|endoftext|>Anna was at the mill."
    assert same.encode(text) == tokenizer.encode(text)
    draft, large = recipes.DRAFT, recipes.VILLAGE  # and the whole recipes read the same stories
    assert (draft.text, draft.train.seed) == (large.text, large.train.seed)


def test_another_recipe_is_another_model(tiny_zoo, monkeypatch):
    zoo.load("village-gpt")
    monkeypatch.setattr(zoo, "RECIPES", {"village-gpt": TINY.changed(steps=4)})
    zoo.load("village-gpt")
    assert len(list(tiny_zoo.glob("village-gpt-*/metrics.json"))) == 2


def test_a_run_that_was_stopped_goes_on(tiny_zoo, monkeypatch):
    run = recipes.run
    folder = tiny_zoo / f"village-gpt-{zoo._key(TINY)}"
    run(TINY.changed(checkpoint_every=1), folder=folder, progress=False)
    (folder / "metrics.json").unlink()  # as if killed after the last checkpoint
    resumed = []
    monkeypatch.setattr(
        recipes,
        "run",
        lambda recipe, resume, **rest: (
            resumed.append(resume) or run(recipes.stored(folder, "village"), resume=resume, **rest)
        ),
    )
    zoo.load("village-gpt")
    assert resumed == [True]


TINY_BERT = dataclasses.replace(
    bert_recipe.VILLAGE_BERT,
    text=bert_recipe.PairsConfig(stories=60, val_stories=10),
    model=BertConfig(1, d_model=16, n_heads=2, n_layers=1),
    stages=tuple(
        bert_recipe.Stage(TrainConfig(steps=3, batch_size=4, checkpoint_every=2), pairs_only)
        for pairs_only in (True, False)
    ),
)


def test_a_bert_is_trained_and_kept_too(tiny_zoo, monkeypatch):
    monkeypatch.setattr(zoo, "RECIPES", {"village-bert": TINY_BERT})
    first, tokenizer = zoo.load("village-bert")
    assert isinstance(first, BERT) and not first.training
    assert first.config.vocab_size == len(tokenizer) and "[MASK]" in tokenizer.special_tokens
    ids = torch.tensor([tokenizer.encode("[CLS] Anna was at the [MASK]. [SEP]")])
    again, _ = zoo.load("village-bert")
    assert torch.equal(first(ids), again(ids))


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_run_of_several_stages_that_was_stopped_in_any_goes_on(step, tmp_path, monkeypatch):
    """The power goes after so many steps, in the first stage, between the two, in the second."""
    whole = bert_recipe.run(TINY_BERT, progress=False).model
    hidden, calls = BERT.hidden, []

    def power_cut(model, *inputs):
        calls.append(model.training)
        if sum(calls) == step + 1:
            raise ConnectionError
        return hidden(model, *inputs)

    with monkeypatch.context() as cut, pytest.raises(ConnectionError):
        cut.setattr(BERT, "hidden", power_cut)
        bert_recipe.run(TINY_BERT, tmp_path, progress=False)
    resumed = bert_recipe.run(TINY_BERT, tmp_path, resume=True, progress=False).model
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (tmp_path / "metrics.json").exists()


def test_an_unknown_name_is_named_and_the_known_ones_are_listed():
    with pytest.raises(ValueError, match=r"name \('village-llama'\) must be one of village-gpt"):
        zoo.load("village-llama")


def test_the_recipe_is_under_a_million_weights():
    from minillm.model.gpt import GPT

    n = GPT(recipes.VILLAGE.model).n_parameters()
    assert n < 1_000_000
    assert GPT(recipes.DRAFT.model).n_parameters() < n / 7
    assert BERT(bert_recipe.VILLAGE_BERT.model).n_parameters() < 1_000_000


def test_importing_minillm_is_light():
    heavy = "transformers", "datasets", "matplotlib", "sklearn"
    code = f"import minillm, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
