"""The way out: transformers loads what we write, and nothing is half written."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from theirs import drawn, load_quietly, save
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoModelForPreTraining, AutoTokenizer

from minillm import hub
from minillm.adapt.heads import SequenceClassifier
from minillm.adapt.lora import LoRAConfig, add_lora, merge
from minillm.generate import generate
from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer

TEXTS = ["Anna took the lamp to the mill.", "Will gave a rose to Rose!", "灯在花园里。"] * 3
ODD = ["Anna took  a lamp", "Ünïcode, 花园 and\n lines", " [MASK]? <|endoftext|>x [SEP]", ""]


TOKENIZERS = {
    "bpe": BPETokenizer.train(TEXTS, 300),
    "char": CharTokenizer.train(TEXTS),
    "wordpiece": WordPieceTokenizer.train(TEXTS, 90),
    "cased": WordPieceTokenizer.train(TEXTS, 90, lowercase=False),
    "roberta": BPETokenizer.train(
        TEXTS, 300, special_tokens=("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    ),
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu2"])
@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_transformers_loads_our_gpt(kind, activation, tied, tmp_path):
    tokenizer = TOKENIZERS[kind]
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, "context_length": 64, "norm_eps": 1e-3}
    config = GPTConfig(len(tokenizer), activation=activation, tie_embeddings=tied, **sizes)
    model = drawn(GPT(config))
    folder = tmp_path / "deep/out"
    assert model.save_pretrained(folder, tokenizer) == folder
    theirs, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    ids = torch.randint(len(tokenizer), (2, 64))
    assert_close(theirs(ids).logits, model(ids), atol=1e-5, rtol=1e-5)
    words = AutoTokenizer.from_pretrained(folder)
    texts = TEXTS + ODD if kind == "bpe" else TEXTS
    for text in [*texts, "Anna<|endoftext|>Will"]:
        ids = tokenizer.encode(text)
        assert words(text)["input_ids"] == ids
        assert words.decode(ids) == tokenizer.decode(ids)
    assert words.eos_token_id == theirs.config.eos_token_id == tokenizer.encode("<|endoftext|>")[0]
    again, same = hub.load(folder)
    assert again.config == model.config and same.vocab == tokenizer.vocab
    assert_close(again.state_dict(), model.state_dict(), atol=0, rtol=0)
    prompt, end = tokenizer.encode(TEXTS[0]), words.eos_token_id
    expected = theirs.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=8)
    ids = generate(model, [prompt], 8, temperature=0, stop_ids=(end,))[0]
    assert expected[0].tolist() == prompt + ids


@pytest.mark.parametrize("n_segments", [1, 2])
@pytest.mark.parametrize("kind", ["wordpiece", "cased", "roberta", "bpe"])
def test_transformers_loads_our_bert(kind, n_segments, tmp_path):
    tokenizer = TOKENIZERS[kind]
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, "context_length": 64, "d_ff": 20}
    model = drawn(BERT(BertConfig(len(tokenizer), n_segments=n_segments, dropout=0.2, **sizes)))
    model.save_pretrained(tmp_path / "out", tokenizer)
    theirs, info = AutoModelForPreTraining.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(info.values())
    assert theirs.config.hidden_dropout_prob == theirs.config.attention_probs_dropout_prob == 0.2
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    first, last = {"bpe": ("", "")}.get(kind, ("[CLS]", "[SEP]"))
    between = last
    if kind == "roberta":
        first, between, last = "<s>", "</s></s>", "</s>"
    for one in TEXTS + ODD:
        parts = [tokenizer.encode(x) for x in (first, one, between, ODD[0], last)]
        assert words(one)["input_ids"] == parts[0] + parts[1] + parts[4]
        given = words(one, ODD[0])
        assert given["input_ids"] == [*chain.from_iterable(parts)]
        if kind != "bpe":
            second = len(parts[3] + parts[4])
            first_segment = [0] * (len(given["input_ids"]) - second)
            assert given["token_type_ids"] == first_segment + [n_segments - 1] * second
    inputs = words(["Anna took the lamp"] * 2, return_tensors="pt")
    out = theirs(**inputs)
    hidden = model.hidden(inputs["input_ids"])
    assert_close(out.prediction_logits, model.unembed(hidden), atol=1e-5, rtol=1e-5)
    assert_close(out.seq_relationship_logits, model.next_sentence(hidden), atol=1e-5, rtol=1e-5)
    again, same = hub.load(tmp_path / "out")
    assert again.config == model.config and same.vocab == tokenizer.vocab
    assert_close(again.state_dict(), model.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["DistilBertForMaskedLM", "RobertaForMaskedLM"])
def test_other_kinds_of_bert_go_out_as_bert(name, tmp_path):
    theirs = save(name, tmp_path / "in")
    load_quietly(tmp_path / "in").save_pretrained(tmp_path / "out")
    ids = torch.randint(4, 40, (2, 9))
    again = AutoModelForPreTraining.from_pretrained(tmp_path / "out")
    assert_close(again(ids).prediction_logits, theirs(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (GPTConfig(9, positions="rotary"), r"positions \('rotary'\) has no place in GPT2LM"),
        (GPTConfig(9, norm="rmsnorm"), r"norm \('rmsnorm'\).*only 'layernorm'"),
        (GPTConfig(9, norm_gain=False), r"norm_gain \(False\)"),
        (GPTConfig(9, norm_first=False), r"norm_first \(False\)"),
        (GPTConfig(9, bias=False), r"bias \(False\)"),
        (GPTConfig(9, qk_norm=True), r"qk_norm \(True\)"),
        (GPTConfig(9, n_kv_heads=2), r"n_kv_heads \(2\).*only None or 4"),
        (GPTConfig(9, activation="swiglu"), r"activation \('swiglu'\).*only 'gelu' or "),
        (BertConfig(9, positions="rotary"), r"positions \('rotary'\) has no place in BertFor"),
        (BertConfig(9, norm_first=True), r"norm_first \(True\).*only False"),
        (BertConfig.modern(9), r"\) has no place in BertForPreTraining's format, only "),
    ],
)  # fmt: skip
def test_what_has_no_place_in_their_formats_is_named(config, said, tmp_path):
    model = (GPT if isinstance(config, GPTConfig) else BERT)(config)
    with pytest.raises(ValueError, match=said):
        model.save_pretrained(tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_what_is_no_whole_model_and_where_one_stands_are_refused(tmp_path, monkeypatch):
    body = BERT(BertConfig(20, d_model=16, n_layers=1))
    with pytest.raises(ValueError, match="SequenceClassifier can't be exported; its body can"):
        hub.save(SequenceClassifier(body, 2), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is the folder one is in"):
        body.save_pretrained(".")
    assert not [*tmp_path.iterdir()]


def test_adapters_must_be_merged_and_then_are_in_the_weights(tmp_path):
    model = drawn(GPT(GPTConfig(20, d_model=16, n_layers=2)))
    drawn(add_lora(model, LoRAConfig(r=2, modules_to_save=())), seed=1)
    ids = torch.randint(20, (2, 9))
    expected = model(ids)
    with pytest.raises(
        ValueError, match=r"adapters apart; minillm.adapt.lora.merge\(model\) first"
    ):
        model.save_pretrained(tmp_path / "out")
    merge(model)
    model.save_pretrained(tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert_close(theirs(ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path):
    out, tokenizer = tmp_path / "out", TOKENIZERS["char"]
    model = GPT(GPTConfig(len(tokenizer), d_model=8))
    model.save_pretrained(out, tokenizer)
    drawn(model).save_pretrained(out)  # without a tokenizer now
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors"}
    assert_close(hub.load_model(out).state_dict(), model.state_dict(), atol=0, rtol=0)
    save("BertModel", tmp_path / "bert")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").touch()
    (tmp_path / "file").touch()
    (out / "a.txt").touch()  # somebody's own
    for name in ("bert", "notes", "file", "out"):
        with pytest.raises(FileExistsError, match=f"{name}: holds something else"):
            model.save_pretrained(tmp_path / name)
    assert (out / "a.txt").exists() and (tmp_path / "notes/a.txt").exists()
    (tmp_path / "empty").mkdir()
    model.save_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("where", ["minillm.hub.export.save_file", "pathlib.Path.rename"])
def test_a_failed_export_leaves_the_one_before(where, tmp_path, monkeypatch):
    model = drawn(GPT(GPTConfig(9, d_model=8)))
    model.save_pretrained(tmp_path / "out")
    before = (tmp_path / "out/model.safetensors").read_bytes()
    rename = Path.rename

    def fail(path, *rest, **options):
        if isinstance(path, Path) and path.name == "out":  # the old one may go out of the way
            return rename(path, *rest)
        if isinstance(path, Path) and path.name.endswith(".old"):  # and come back
            return rename(path, *rest)
        raise OSError("disk full")

    monkeypatch.setattr(where, fail)
    with pytest.raises(OSError, match="disk full"):
        drawn(model).save_pretrained(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/model.safetensors").read_bytes() == before
