"""Texts for a run: nothing lost, nothing seen twice, floors that are true."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.model.gpt import GPTConfig
from minillm.text import village
from minillm.text.tokenizers import CharTokenizer
from minillm.train import checkpoint, recipes
from minillm.train.config import TrainConfig
from minillm.train.recipes import Recipe
from minillm.train.texts import END, TextConfig, encode, prepare, split, unseen

TEXT = TextConfig(vocab_size=300, stories=20, val_stories=6)
TINY = Recipe(
    TEXT,
    GPTConfig(300, context_length=16, d_model=16, n_heads=2, n_layers=1),
    TrainConfig(steps=4, batch_size=2, device="cpu", patience=1, eval_every=2),
)


@given(st.lists(st.text("ab\n", min_size=1), min_size=1, max_size=6), st.floats(0, 1))
def test_a_split_keeps_every_letter_in_order(texts, share):
    first, second = split(texts, share)
    assert "".join(first) + "".join(second) == "".join(texts)
    total = sum(map(len, texts))
    assert sum(map(len, second)) == round(total * share)
    assert len(first) + len(second) <= len(texts) + 1  # at most one document is cut


def test_a_text_of_one_file_is_split_by_letters():
    first, second = split(["x" * 995 + "y" * 5])
    assert (len(first[0]), len(second[0])) == (900, 100)


def test_documents_become_one_row_with_an_end_before_and_after_each():
    tokenizer = CharTokenizer.train(["ab"])
    end, a, b = (tokenizer.vocab[token] for token in (END, "a", "b"))
    assert encode(["ab", "b"], tokenizer).tolist() == [end, a, b, end, b, end]
    assert encode(["ab"], tokenizer).dtype == np.uint16


def test_the_floor_is_the_oracles_mean_over_the_tokens_of_whole_stories():
    text = prepare("village", TEXT)
    stories = village.stories(6, 1_000_000)
    told = text.tokenizer.decode(text.val).split(END)
    assert told[1:-1] == [story.text for story in stories]
    targets = len(text.val) - 1  # all but the first are predicted
    assert targets == sum(len(text.tokenizer.encode(s.text)) + 1 for s in stories)
    assert text.floor == pytest.approx(-sum(s.logprob for s in stories) / targets)
    assert math.isfinite(text.floor)


def test_training_and_validation_stories_differ_and_seeds_change_the_first_only():
    one, two = prepare("village", TEXT, seed=1), prepare("village", TEXT, seed=2, tokenizer=None)
    stories = set(one.tokenizer.decode(one.train).split(END)) - {""}
    assert not stories & set(one.tokenizer.decode(one.val).split(END))
    decoded = [t.tokenizer.decode(t.val) for t in (one, two)]
    assert decoded[0] == decoded[1]
    assert one.tokenizer.decode(one.train) != two.tokenizer.decode(two.train)


def test_what_is_unseen_is_what_was_held_out(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("One, two, buckle my shoe. " * 30, encoding="utf-8")
    config = TextConfig(tokenizer="char")
    text = prepare(str(file), config)
    notes = {"corpus": str(file), "text": vars(config)}
    ids, floor, part = unseen(str(file), notes, text.tokenizer)
    assert (ids.tolist(), floor, part) == (text.val.tolist(), None, "held out in training")
    ids, floor, part = unseen(str(file), {"corpus": "another"}, text.tokenizer)
    assert (len(ids), floor, part) == (26 * 30 + 2, None, "the whole text")


def test_a_run_leaves_a_model_its_tokenizer_and_its_metrics(tmp_path):
    result = recipes.run(TINY, "village", tmp_path / "run", progress=False)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == result.metrics
    model, tokenizer = checkpoint.load_model(tmp_path / "run")
    assert tokenizer.vocab == result.tokenizer.vocab
    assert model.config.vocab_size == len(tokenizer)
    for p, q in zip(model.parameters(), result.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert recipes.stored(tmp_path / "run", "village").train == TINY.train
    again = recipes.run(TINY, "village", tmp_path / "run", resume=True, progress=False)
    assert again.metrics == result.metrics


def test_a_recipe_changes_the_config_that_has_the_field():
    changed = TINY.changed(lr=0.5, d_model=32, stories=9, vocab_size=400)
    assert (changed.train.lr, changed.model.d_model, changed.text.stories) == (0.5, 32, 9)
    assert changed.text.vocab_size == changed.model.vocab_size == 400
    assert changed.train.steps == 4
    assert TINY.train.lr == TrainConfig.lr
