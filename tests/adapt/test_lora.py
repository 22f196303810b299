"""LoRA: nothing changes at the start, only the adapter moves, merged is unmerged, PEFT agrees."""

import copy
import json

import peft
import pytest
import torch
from torch import nn

from minillm.adapt.adapters import adapter, load_adapter, put_adapter, save_adapter
from minillm.adapt.examples import Example, Examples
from minillm.adapt.heads import SequenceClassifier
from minillm.adapt.lora import (
    LoRAConfig,
    LoRALinear,
    add_lora,
    lora_layers,
    merge,
    unmerge,
)
from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.transformer import EncoderDecoder, TransformerConfig
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import classification

IDS = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 9, 2, 2]])
CONFIG = LoRAConfig(r=3, lora_alpha=5.0, target_modules=("qkv", "out", "up"))


def classifier(seed=0):
    torch.manual_seed(seed)
    body = BERT(BertConfig(30, context_length=16, d_model=16, n_heads=2, n_layers=2))
    return SequenceClassifier(body, 3).eval()


def stirred(model, seed=1):
    """The model with an adapter that does something."""
    torch.manual_seed(seed)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_B, std=0.3)
    return model


def peft_config(**changes):
    options = {
        "r": 3, "lora_alpha": 5.0, "target_modules": ["qkv", "out", "up"],
        "modules_to_save": ["head"],
    }  # fmt: skip
    return peft.LoraConfig(**options | changes)


def test_a_new_adapter_changes_nothing():
    model = classifier()
    before = model(IDS)
    assert torch.equal(add_lora(model, CONFIG)(IDS), before)


def test_training_moves_the_adapter_and_the_head_and_nothing_else_by_a_bit():
    model = add_lora(classifier(), CONFIG)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = [Example(row, [0] * 5, k) for k, row in enumerate(IDS.tolist())]
    settings = TrainConfig(steps=4, batch_size=2, lr=0.01, warmup_steps=0)
    train(model, classification, Examples(rows), settings, progress=False)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    trained = {n for n in before if ".lora_" in n or n.startswith("head.")}
    assert moved == trained
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trained
    assert model.n_parameters() == sum(before[n].numel() for n in trained)


def test_a_layer_is_the_base_and_its_scaled_low_rank_product():
    torch.manual_seed(0)
    base = nn.Linear(6, 4)
    layer = LoRALinear(base, r=2, lora_alpha=3.0)
    nn.init.normal_(layer.lora_B)
    x = torch.randn(5, 7, 6)
    expected = base(x) + 3.0 / 2 * (x @ layer.lora_A.T @ layer.lora_B.T)
    torch.testing.assert_close(layer(x), expected)
    assert torch.linalg.matrix_rank(layer.update()) == 2
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == ["lora_A", "lora_B"]


def test_merged_equals_unmerged_and_twice_is_once():
    model = stirred(add_lora(classifier(), CONFIG))
    before, weight = model(IDS), model.body.encoder.blocks[0].attention.qkv.weight.clone()
    merge(model)
    merge(model)
    torch.testing.assert_close(model(IDS), before, atol=1e-6, rtol=1e-5)
    assert not torch.equal(model.body.encoder.blocks[0].attention.qkv.weight, weight)
    unmerge(model)
    unmerge(model)
    torch.testing.assert_close(model(IDS), before, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.body.encoder.blocks[0].attention.qkv.weight, weight)


def test_another_adapter_in_the_same_place_makes_another_model():
    model = stirred(add_lora(classifier(), CONFIG))
    first, out = adapter(model), model(IDS)
    stirred(model, seed=2)
    with torch.no_grad():
        model.head.bias.add_(1)
    second, other = adapter(model), model(IDS)
    assert not torch.allclose(out, other)
    put_adapter(model, first)
    assert torch.equal(model(IDS), out)
    put_adapter(model, second)
    assert torch.equal(model(IDS), other)


def test_an_adapter_that_does_not_fit_is_refused_whole():
    model = stirred(add_lora(classifier(), CONFIG))
    kept, out = adapter(model), model(IDS)
    name = next(iter(kept))
    with pytest.raises(ValueError, match=f"lacks {name}"):
        put_adapter(model, {n: t for n, t in kept.items() if n != name})
    with pytest.raises(ValueError, match="no place for elsewhere"):
        put_adapter(model, {**kept, "elsewhere": torch.zeros(1)})
    last = next(reversed(kept))
    wrong = {n: torch.zeros(9) if n == last else torch.zeros_like(t) for n, t in kept.items()}
    with pytest.raises(ValueError, match=r"is \(9,\) in the adapter, \(3,\) in the model"):
        put_adapter(model, wrong)
    assert torch.equal(model(IDS), out)
    merge(model)
    with pytest.raises(ValueError, match="merged into its weights; unmerge it first"):
        put_adapter(model, kept)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"r \(0\) must be an integer of at least 1"):
        LoRAConfig(r=0)
    with pytest.raises(ValueError, match=r"lora_alpha \(-1\) must be a number above 0"):
        LoRAConfig(lora_alpha=-1)
    with pytest.raises(ValueError, match=r"target_modules \('qkv'\) must be a tuple"):
        LoRAConfig(target_modules="qkv")
    with pytest.raises(ValueError, match=r"'query' fits no layer; there are \['down', 'head'"):
        add_lora(classifier(), LoRAConfig(target_modules=("qkv", "query")))
    with pytest.raises(ValueError, match=r"r \(17\) must be at most the smaller side of a 48 x 16"):
        add_lora(classifier(), LoRAConfig(r=17))
    writer = EncoderDecoder(TransformerConfig(9, 9, d_model=8, n_heads=2, n_layers=1))
    with pytest.raises(ValueError, match=r"cross_attention\.qkv can't have an adapter"):
        add_lora(writer, LoRAConfig(modules_to_save=()))
    model = add_lora(classifier(), CONFIG)
    with pytest.raises(ValueError, match="has adapters already"):
        add_lora(model, CONFIG)
    with pytest.raises(ValueError, match="has no adapter"):
        adapter(classifier())


def test_a_model_that_cannot_be_changed_whole_is_not_changed():
    model = classifier()
    for config in (LoRAConfig(r=17, target_modules=("up", "qkv")),
                   LoRAConfig(modules_to_save=("elsewhere",))):  # fmt: skip
        with pytest.raises(ValueError):
            add_lora(model, config)
        assert not lora_layers(model)
        assert all(p.requires_grad for p in model.parameters())


def test_peft_gives_the_same_outputs_from_the_same_weights():
    ours, theirs = stirred(add_lora(classifier(), CONFIG)), classifier()
    theirs = peft.get_peft_model(theirs, peft_config())
    missing = peft.set_peft_model_state_dict(theirs, adapter(ours))
    assert not missing.unexpected_keys
    torch.testing.assert_close(ours(IDS), theirs.eval()(IDS), atol=1e-6, rtol=1e-6)


def test_our_files_load_in_peft(tmp_path):
    ours = stirred(add_lora(classifier(), CONFIG))
    with torch.no_grad():
        ours.head.bias.add_(1)
    save_adapter(ours, tmp_path)
    theirs = peft.PeftModel.from_pretrained(classifier(), tmp_path).eval()
    torch.testing.assert_close(ours(IDS), theirs(IDS), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(theirs.merge_and_unload()(IDS), ours(IDS), atol=1e-5, rtol=1e-5)


def test_pefts_files_load_in_ours(tmp_path):
    theirs = peft.get_peft_model(
        classifier(), peft_config(init_lora_weights=False, lora_dropout=0.1)
    )
    theirs.eval().save_pretrained(tmp_path)
    ours = load_adapter(classifier(), tmp_path)
    torch.testing.assert_close(ours(IDS), theirs(IDS), atol=1e-6, rtol=1e-6)
    assert (ours.lora_config.r, ours.lora_config.lora_alpha) == (3, 5.0)
    other = load_adapter(
        stirred(add_lora(classifier(), LoRAConfig(3, 99.0, ("qkv", "out", "up")))), tmp_path
    )
    assert torch.equal(other(IDS), ours(IDS))  # the file's lora_alpha counts


def test_an_adapter_of_another_model_leaves_no_trace(tmp_path):
    torch.manual_seed(0)
    wider = SequenceClassifier(BERT(BertConfig(30, d_model=32, n_heads=2, n_layers=2)), 3)
    save_adapter(add_lora(wider, CONFIG), tmp_path)
    model = classifier()
    model.body.embedding.tokens.weight.requires_grad_(False)
    before = {n: (p, p.requires_grad, p.detach().clone()) for n, p in model.named_parameters()}
    with pytest.raises(ValueError, match=r"is \(3, 32\) in the adapter, \(3, 16\) in the model"):
        load_adapter(model, tmp_path)
    assert not lora_layers(model)
    assert not hasattr(model, "lora_config")
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    for name, (p, trained, values) in before.items():
        assert after[name] is p
        assert p.requires_grad == trained
        assert torch.equal(p, values)


@pytest.mark.parametrize(
    "change",
    [{"use_rslora": True}, {"use_dora": True}, {"bias": "all"}, {"rank_pattern": {"out": 2}},
     {"layers_to_transform": [0]}, {"peft_type": "IA3"}, {"target_modules": ".*qkv"}, {"r": None},
     {"target_modules": None}, {"modules_to_save": 3}, {"alora_invocation_tokens": [1]}],
)  # fmt: skip
def test_other_kinds_of_adapters_are_refused_by_name(tmp_path, change):
    save_adapter(add_lora(classifier(), CONFIG), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    model = classifier()
    with pytest.raises(ValueError, match=next(iter(change))):
        load_adapter(model, tmp_path)
    assert not lora_layers(model)


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"adapter_config.json: missing"):
        load_adapter(classifier(), tmp_path)
    save_adapter(add_lora(classifier(), CONFIG), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match="truncated or not safetensors"):
        load_adapter(classifier(), tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter_model.safetensors: missing"):
        load_adapter(classifier(), tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match="no config of an adapter"):
        load_adapter(classifier(), tmp_path)


def test_a_gpt_with_tied_embeddings_and_a_cache_takes_an_adapter():
    torch.manual_seed(0)
    model = GPT(GPTConfig.modern(20, context_length=8, d_model=16, n_heads=2, n_layers=2)).eval()
    plain = copy.deepcopy(model)
    add_lora(model, LoRAConfig(r=2, modules_to_save=()))
    assert torch.equal(model(IDS), plain(IDS))
    stirred(model)
    before = model(IDS)
    assert not torch.allclose(before, plain(IDS))
    merge(model)
    torch.testing.assert_close(model(IDS), before, atol=1e-5, rtol=1e-5)
    assert set(adapter(model)) == {
        f"base_model.model.blocks.{i}.attention.{name}.lora_{m}.weight"
        for i in range(2) for name in ("qkv", "out") for m in "AB"
    }  # fmt: skip
