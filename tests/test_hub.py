"""The hub: what transformers saved computes the same here, with small and with real weights."""

import json
import os
import warnings
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from theirs import load_quietly, our_gradients, save
from torch.testing import assert_close
from transformers import AutoTokenizer

from minillm import hub
from minillm.generate import generate
from minillm.model.gpt import GPT
from minillm.text import corpora
from minillm.text.tokenizers import BPETokenizer, WordPieceTokenizer

TEXTS = ["Anna took the lamp to the mill.", "Will gave a rose to Rose!", "灯在花园里。"] * 3
ODD = ["Anna took  a lamp", "Ünïcode, 花园 and\n lines", " [MASK]? <|endoftext|>x [SEP]", ""]
# Each class, and what of ours it has no weights for.
HEADLESS = ("transform", "transform_norm", "unembed_bias")
CLASSES = {
    "GPT2Model": (),
    "GPT2LMHeadModel": (),
    "BertModel": ("pair", *HEADLESS),
    "BertForMaskedLM": ("pooler", "pair"),
    "BertForNextSentencePrediction": HEADLESS,
    "BertForPreTraining": (),
    "DistilBertModel": ("pooler", "pair", *HEADLESS),
    "DistilBertForMaskedLM": ("pooler", "pair"),
    "RobertaModel": ("pair", *HEADLESS),
    "RobertaForMaskedLM": ("pooler", "pair"),
}


def hidden_states(model, ids, segments, real):
    """What each block of ours leaves, and then the last hidden vectors."""
    states = []
    blocks = model.blocks if isinstance(model, GPT) else model.encoder.blocks
    hooks = [b.register_forward_hook(lambda _, __, y: states.append(y)) for b in blocks]
    last = model.hidden(ids) if isinstance(model, GPT) else model.hidden(ids, segments, real)
    for hook in hooks:
        hook.remove()
    return [*states, last]


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_hidden_states_logits_and_gradients_are_transformers(name, data):
    heads = data.draw(st.integers(1, 3))
    options = {"heads": heads, "width": heads * data.draw(st.integers(1, 5))}
    options |= {"layers": data.draw(st.integers(1, 3)), "ff": data.draw(st.integers(1, 20))}
    if name == "GPT2LMHeadModel":
        options["tie_word_embeddings"] = data.draw(st.booleans())
    if name.startswith("Roberta"):  # as published: one segment; padding may stand anywhere
        options |= {"type_vocab_size": 1, "pad_token_id": data.draw(st.integers(0, 3))}
    elif name.startswith(("GPT2", "Bert")):
        activation = data.draw(st.sampled_from(("gelu", "gelu_new", "gelu_pytorch_tanh", "relu2")))
        options["activation_function" if name.startswith("GPT2") else "hidden_act"] = activation
    with TemporaryDirectory() as folder:
        theirs = save(name, folder, seed=data.draw(st.integers(0, 9)), **options)
        ours = load_quietly(folder)
    assert not ours.training
    T = data.draw(st.integers(1, 12))
    ids = torch.randint(4, 40, (3, T))  # no padding's id: theirs gives its vector no gradient
    real = torch.arange(T) < torch.randint(1, T + 1, (3, 1))
    segments, inputs = None, {}
    if name.startswith("Bert"):
        segments = torch.randint(2, (3, T))
        inputs["token_type_ids"] = segments
    if name.startswith("GPT2"):
        real = torch.ones_like(real)
    ids = torch.where(real, ids, theirs.config.pad_token_id or 0)
    out = theirs(ids, attention_mask=real.long(), output_hidden_states=True, **inputs)
    states = hidden_states(ours, ids, segments, real)
    if name.startswith("GPT2"):
        del states[-2]  # theirs has the last norm in place of the last block's output
    else:
        del states[-1]
    assert len(states) == len(out.hidden_states) - 1
    pairs = list(zip(states, out.hidden_states[1:], strict=True))
    if "LM" in name or "PreTraining" in name:
        logits = out.prediction_logits if "PreTraining" in name else out.logits
        pairs.append((ours.unembed(states[-1]), logits))
    if "PreTraining" in name or "NextSentence" in name:
        pair = ours.next_sentence(states[-1])[:, None].expand(-1, T, -1)
        logits = out.seq_relationship_logits if "PreTraining" in name else out.logits
        pairs.append((pair, logits[:, None].expand(-1, T, -1)))
    elif getattr(out, "pooler_output", None) is not None:
        pooled = out.pooler_output[:, None].expand(-1, T, -1)
        pairs.append((ours.pool(states[-1])[:, None].expand(-1, T, -1), pooled))
    for mine, other in pairs:
        size = max(1.0, other[real].abs().max().item())
        assert_close(mine[real] / size, other[real] / size, atol=1e-5, rtol=0)

    for side in (0, 1):
        sum(p[side][real].square().mean() for p in pairs[-3:]).backward()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = our_gradients(theirs)
    fresh = CLASSES[name]
    for path, p in ours.named_parameters():
        if path in fresh or path.rpartition(".")[0] in fresh or "segments" in path:
            continue
        size = max(1.0, expected[path].abs().max().item())
        mine = torch.zeros_like(p) if p.grad is None else p.grad
        assert_close(mine / size, expected[path] / size, atol=1e-5, rtol=0, msg=path)


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_checkpoint_has_no_weights_for_is_said_in_one_warning(name, tmp_path):
    save(name, tmp_path)
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, _ = hub.load(tmp_path)
    said = [str(w.message) for w in caught]
    fresh = CLASSES[name]
    expected = f"{tmp_path} has no {', '.join(fresh)}: these start fresh"
    assert said == ([expected] if fresh else [])
    assert all(w.filename == __file__ for w in caught)
    for path, p in model.named_parameters():
        if path in fresh or path.rpartition(".")[0] in fresh:
            if p.ndim == 1:
                assert torch.equal(p, torch.full_like(p, float("norm.weight" in path))), path
            else:
                assert 0 < p.std() < 0.05, path
    if name.startswith("DistilBert"):
        assert model.config.n_segments == 1
        assert not model.embedding.segments.weight.any()


def test_greedy_ids_are_those_of_transformers(tmp_path):
    theirs = save(
        "GPT2LMHeadModel", tmp_path, max_position_embeddings=32, tie_word_embeddings=False
    )
    ours = GPT.from_pretrained(tmp_path)
    seen, prompts = set(), [[3], [5, 6, 7], [1, 2, 3, 4, 5, 6]]
    for prompt, ids in zip(prompts, generate(ours, prompts, 20, temperature=0), strict=True):
        expected = theirs.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
            max_new_tokens=20, pad_token_id=0,
        )  # fmt: skip
        assert ids == expected[0, len(prompt) :].tolist()
        seen |= {*ids}
    assert len(seen) > 3


def test_the_tokenizer_is_that_of_the_folder(tmp_path):
    """Also from a file that says how to cut, to pad and what to put around a text."""
    save("BertModel", tmp_path, vocab_size=90)
    vocab = WordPieceTokenizer.train(TEXTS, 90).vocab
    theirs = transformers.BertTokenizer(vocab=vocab)
    theirs._tokenizer.enable_truncation(4)
    theirs._tokenizer.enable_padding(length=4)
    theirs.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert written["truncation"] and written["padding"] and written["post_processor"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, ours = hub.load(tmp_path)
    for text in TEXTS + ODD:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_a_folder_without_a_tokenizer_has_none(tmp_path):
    save("GPT2Model", tmp_path)
    assert hub.load(tmp_path)[1] is None


def test_a_tokenizer_for_a_larger_model_is_refused(tmp_path):
    save("GPT2Model", tmp_path)
    tokenizer = BPETokenizer.train(TEXTS, 300)
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ tokens, the model 40"):
        hub.load(tmp_path)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ tokens, the model 40"):
        hub.load_model(tmp_path).save_pretrained(tmp_path / "out", tokenizer)
    assert not (tmp_path / "out").exists()


needs_real = pytest.mark.skipif(
    not ({"MINILLM_MODELS", "MINILLM_DATA"} <= os.environ.keys()),
    reason="MINILLM_MODELS or MINILLM_DATA is not set: no real weights or no real text",
)


def embed(hidden, mask):
    """One unit vector a row: the mean over its real tokens."""
    return F.normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


@needs_real
@torch.no_grad()
def test_real_embeddings_of_500_real_sentences_are_transformers():
    folder = hub.find("all-MiniLM-L6-v2")
    with pytest.warns(UserWarning, match="has no pair, transform, transform_norm, unembed_bias"):
        model, tokenizer = hub.load("all-MiniLM-L6-v2")
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)
    texts = [record["sentence1"] for record in corpora.load("stsb", "test")[:500]]
    texts.sort(key=len)  # little padding
    assert len({*texts}) > 400
    for start in range(0, 500, 50):
        given = words(texts[start : start + 50], return_tensors="pt", padding=True)
        mask = given["attention_mask"]
        for text, ids, real in zip(texts[start:], given["input_ids"], mask, strict=False):
            marks = words.cls_token_id, words.sep_token_id
            assert [marks[0], *tokenizer.encode(text), marks[1]] == ids[real.bool()].tolist()
        expected = embed(theirs(**given).last_hidden_state, mask)
        ours = embed(model.hidden(given["input_ids"], real=mask.bool()), mask)
        assert_close(ours, expected, atol=1e-5, rtol=0)
