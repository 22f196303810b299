"""Published weights: each name and shape accounted for, old names known, odd configs refused."""

import pytest
import torch
from safetensors.torch import load_file
from theirs import change, load_quietly, save
from torch.testing import assert_close

from minillm import hub


def drop(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


BLOCK, WORDS = "bert.encoder.layer.1", "cls.predictions"
WPE, PLACES = "wpe.weight", "embeddings.position_embeddings.weight"


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("GPT2Model", drop("ln_f.bias"), "lacks 'ln_f.bias'"),
        ("GPT2LMHeadModel", drop("transformer.wte.weight"), "lacks 'wte.weight'"),
        ("GPT2Model", lambda t: [t.pop(n) for n in [*t] if "h.1." in n],
         r"lacks 'h.1.attn.c_attn.bias', 'h.1.attn.c_attn.weight', .* and 9 more"),
        ("GPT2Model", lambda t: t.update(extra=t["wte.weight"] + 1), "has 'extra', which we don't"),
        ("GPT2Model", lambda t: t.update({"h.2.ln_1.bias": torch.ones(8), "a": t.pop(WPE)}),
         "lacks 'wpe.weight'; has 'a', 'h.2.ln_1.bias', which we don't"),
        ("GPT2Model", lambda t: t.update({"lm_head.weight": t["wte.weight"] + 1}),
         "'lm_head.weight' must be the same as 'wte.weight', and is not"),
        ("GPT2Model", lambda t: t.update({"transformer.wte.weight": t["wte.weight"] + 1}),
         "holds 'wte.weight' under two names"),
        ("GPT2Model", lambda t: t.update({"wte.weight": torch.zeros(8, 40)}),
         r"'wte.weight' is \(8, 40\), not \(40, 8\)"),
        ("GPT2Model", lambda t: t.update({"h.0.mlp.c_fc.weight": torch.zeros(12, 8)}),
         r"'h.0.mlp.c_fc.weight' is \(12, 8\), not \(8, 12\)"),
        ("GPT2Model", lambda t: t.update({"wpe.weight": t["wpe.weight"].to(torch.int8)}),
         "'wpe.weight' holds torch.int8, not floating point numbers"),
        ("BertForMaskedLM", drop(f"{BLOCK}.attention.self.key.bias"),
         "lacks 'encoder.layer.1.attention.self.key.bias'"),
        ("BertForMaskedLM", drop("cls.predictions.bias"), "lacks 'cls.predictions.bias'"),
        ("BertForMaskedLM", lambda t: [t.pop(n) for n in [*t] if n.startswith("cls")],
         "lacks 'cls.predictions.bias', .* and 2 more"),
        ("BertForPreTraining", drop("cls.seq_relationship.weight", "cls.seq_relationship.bias"),
         "lacks 'cls.seq_relationship.bias', 'cls.seq_relationship.weight'"),
        ("BertModel", drop("pooler.dense.bias"), "lacks 'pooler.dense.bias'"),
        ("BertForMaskedLM", lambda t: t.update({f"{WORDS}.decoder.weight": torch.ones(40, 8)}),
         f"'{WORDS}.decoder.weight' must be the same as 'embeddings.word_embeddings.weight'"),
        ("BertModel", lambda t: t.update({"classifier.weight": torch.ones(2, 8)}),
         "has 'classifier.weight', which we don't"),
        ("DistilBertForMaskedLM", drop("vocab_projector.bias"), "lacks 'vocab_projector.bias'"),
        ("RobertaModel", lambda t: t.update({PLACES: torch.ones(14, 8)}),
         rf"'{PLACES}' is \(14, 8\), not \(16, 8\)"),
    ],
)  # fmt: skip
def test_a_weight_that_is_missing_left_over_or_misshapen_is_named(name, edit, said, tmp_path):
    save(name, tmp_path)
    change(tmp_path, edit)
    with pytest.raises(ValueError, match=f"^{tmp_path}: .*{said}") as error:
        load_quietly(tmp_path)
    assert "\n" not in str(error.value)


def old_bert(t):
    """The names and buffers of checkpoints from TensorFlow, and both names of what is tied."""
    for name in [*t]:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        t[old.replace("LayerNorm.bias", "LayerNorm.beta")] = t.pop(name)
    t["bert.embeddings.position_ids"] = torch.arange(16)[None]
    t["cls.predictions.decoder.weight"] = t["bert.embeddings.word_embeddings.weight"].clone()
    t["cls.predictions.decoder.bias"] = t.pop("cls.predictions.bias")


def old_gpt2(t):
    """The buffers of older checkpoints, no prefix, and the head as a copy."""
    for name in [*t]:
        t[name.removeprefix("transformer.")] = t.pop(name)
    t["lm_head.weight"] = t["wte.weight"].clone()
    for i in range(2):
        t[f"h.{i}.attn.bias"] = torch.ones(1, 1, 16, 16)
        t[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)


@pytest.mark.parametrize(
    ("name", "edit"), [("BertForPreTraining", old_bert), ("GPT2LMHeadModel", old_gpt2)]
)
def test_old_names_and_buffers_are_known(name, edit, tmp_path):
    save(name, tmp_path)
    expected = hub.load_model(tmp_path).state_dict()
    change(tmp_path, edit)
    assert len(load_file(tmp_path / "model.safetensors")) > 30
    assert_close(hub.load_model(tmp_path).state_dict(), expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("GPT2Model", {"model_type": "llama"}, r"model_type \('llama'\) must be one of gpt2, bert"),
        ("GPT2Model", {"model_type": ["gpt2"]}, r"model_type \(\['gpt2'\]\) must be one of"),
        ("GPT2Model", {"model_type": None}, r"model_type \(None\) must be one of"),
        ("GPT2Model", {"format": "minillm checkpoint 1"}, "minillm.train.checkpoint.load_model"),
        ("GPT2Model", {"activation_function": "silu"}, r"activation_function \('silu'\) must be "),
        ("GPT2Model", {"scale_attn_by_inverse_layer_idx": True}, r"layer_idx \(True\) isn't sup"),
        ("GPT2Model", {"scale_attn_weights": False}, r"scale_attn_weights \(False\) isn't"),
        ("GPT2Model", {"add_cross_attention": True}, r"add_cross_attention \(True\) isn't"),
        ("GPT2Model", {"n_head": 3}, r"d_model \(8\) must be divisible by n_heads \(3\)"),
        ("GPT2Model", {"n_embd": "8"}, r"n_embd \('8'\) must be of type int"),
        ("GPT2Model", {"n_layer": ...}, "n_layer is missing"),
        ("BertModel", {"hidden_act": "relu"}, r"hidden_act \('relu'\) must be one of gelu, "),
        ("BertModel", {"position_embedding_type": "relative_key"}, r"_type \('relative_key'\)"),
        ("BertModel", {"is_decoder": True}, r"is_decoder \(True\) isn't supported, only False"),
        ("BertModel", {"tie_word_embeddings": False}, r"tie_word_embeddings \(False\) isn't"),
        ("RobertaModel", {"hidden_act": "gelu_new"}, r"\('gelu_new'\) must be one of gelu$"),
        ("RobertaModel", {"pad_token_id": None}, r"pad_token_id \(None\) must be a number"),
        ("RobertaModel", {"pad_token_id": 20}, r"context_length \(-5\) must be at least 1"),
        ("DistilBertModel", {"activation": "relu"}, r"activation \('relu'\) must be one of gelu, "),
    ],
)  # fmt: skip
def test_what_our_models_can_not_do_is_refused_by_name(name, changes, said, tmp_path):
    save(name, tmp_path)

    def edit(content):
        content.update(changes)
        for key in [key for key, value in changes.items() if value is ...]:
            del content[key]

    change(tmp_path, edit, "config.json")
    with pytest.raises(ValueError, match=f"^{tmp_path}/config.json: .*{said}"):
        load_quietly(tmp_path)


def test_fields_that_older_files_lack_are_those_of_transformers(tmp_path):
    for name, fields in (
        ("GPT2LMHeadModel", ("n_inner", "resid_pdrop", "layer_norm_epsilon", "activation_function",
                             "tie_word_embeddings", "scale_attn_weights")),
        ("BertForMaskedLM", ("hidden_act", "hidden_dropout_prob", "layer_norm_eps",
                             "type_vocab_size")),
        ("DistilBertForMaskedLM", ("activation", "dropout")),
    ):  # fmt: skip
        theirs = save(name, tmp_path / name, ff=32)
        change(tmp_path / name, lambda c, f=fields: [c.pop(key) for key in f], "config.json")
        config = load_quietly(tmp_path / name).config
        plain = type(theirs.config)()
        assert config.dropout == 0.1
        if name == "GPT2LMHeadModel":
            assert config.activation == "gelu_tanh" and plain.activation_function == "gelu_new"
            assert config.norm_eps == plain.layer_norm_epsilon and config.tie_embeddings
        elif name == "BertForMaskedLM":
            assert (config.activation, config.norm_eps) == (plain.hidden_act, plain.layer_norm_eps)
        else:
            assert (config.activation, config.norm_eps) == (plain.activation, 1e-12)
