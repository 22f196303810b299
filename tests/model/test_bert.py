"""BERT: equal to transformers' BERT, deaf to padding, reading both sides, clear on bad sizes."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from theirs import as_theirs, our_gradients
from torch.testing import assert_close

from minillm.model.bert import BERT, BertConfig
from minillm.model.layers import LayerNorm
from minillm.train.objectives import IGNORE, masked_lm_and_next_sentence

quick = settings(max_examples=20, deadline=None)


@st.composite
def configs(draw, **fixed):
    """Any small BertConfig."""
    n_heads = draw(st.integers(1, 4))
    fields = {
        "vocab_size": draw(st.integers(2, 60)),
        "context_length": draw(st.integers(2, 16)),
        "n_heads": n_heads,
        "d_model": n_heads * draw(st.integers(1, 8)),
        "n_layers": draw(st.integers(1, 3)),
        "d_ff": draw(st.none() | st.integers(1, 40)),
        "n_segments": draw(st.integers(1, 3)),
        "activation": draw(st.sampled_from(("gelu", "gelu_tanh"))),
        "norm_eps": draw(st.sampled_from((1e-12, 1e-5))),
    }
    return BertConfig(**(fields | fixed))


@st.composite
def modern_configs(draw, **fixed):
    """Any small BertConfig with today's layers, or some of them."""
    plain = draw(configs(**fixed))
    width = 2 * plain.d_model  # rotary positions turn pairs of columns
    return dataclasses.replace(
        plain,
        d_model=width,
        positions=draw(st.sampled_from(("learned", "rotary"))),
        norm=draw(st.sampled_from(("layernorm", "rmsnorm"))),
        norm_gain=draw(st.booleans()),
        norm_first=draw(st.booleans()),
        activation=draw(st.sampled_from(("gelu", "relu2"))),
        bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        zero_init=draw(st.booleans()),
    )


def random_model(config, seed=0):
    """A model whose weights are all drawn, biases and gains too, so that each of them matters."""
    model = BERT(config).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.2)
    return model


@st.composite
def inputs(draw, config):
    """Ids, segments and real (B, T): texts of several lengths, padded on the right."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    B, T = draw(st.integers(1, 3)), draw(st.integers(1, config.context_length))
    ids = torch.randint(config.vocab_size, (B, T), generator=g)
    segments = torch.randint(config.n_segments, (B, T), generator=g)
    lengths = torch.randint(1, T + 1, (B, 1), generator=g)
    return ids, segments, torch.arange(T) < lengths


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_logits_and_gradients_equal_transformers_bert(data):
    config = data.draw(configs())
    model = random_model(config, data.draw(st.integers(0, 99)))
    theirs = as_theirs(model, "bert")
    ids, segments, real = data.draw(inputs(config))
    hidden = model.hidden(ids, segments, real)
    words, pair = model.unembed(hidden), model.next_sentence(hidden)
    expected = theirs(ids, attention_mask=real.long(), token_type_ids=segments)
    scale = max(1.0, expected.prediction_logits.abs().max().item())
    assert_close(words[real] / scale, expected.prediction_logits[real] / scale, atol=1e-5, rtol=0)
    assert_close(pair, expected.seq_relationship_logits, atol=1e-5, rtol=1e-5)

    for w, p in ((words, pair), (expected.prediction_logits, expected.seq_relationship_logits)):
        (F.cross_entropy(w[real], ids[real]) + F.cross_entropy(p, ids[:, 0] % 2)).backward()
    for name, grad in our_gradients(theirs).items():
        size = max(1.0, grad.abs().max().item())
        ours = model.get_parameter(name).grad
        assert_close(ours / size, grad / size, atol=2e-5, rtol=1e-4, msg=name)


@quick
@given(st.data())
def test_the_loss_of_pretraining_is_that_of_transformers(data):
    """Of one row: of several, theirs counts each pair once, whatever is hidden in it."""
    config = data.draw(configs())
    model = random_model(config)
    ids, segments, real = (t[:1] for t in data.draw(inputs(config)))
    hidden = real & (torch.arange(ids.shape[1]) % data.draw(st.integers(1, 3)) == 0)
    targets = ids.flip(1).masked_fill(~hidden, IGNORE)
    label = torch.tensor([data.draw(st.integers(0, 1))])
    theirs = as_theirs(model, "bert")
    expected = theirs(
        ids, attention_mask=real.long(), token_type_ids=segments, labels=targets,
        next_sentence_label=label,
    ).loss  # fmt: skip
    ours = masked_lm_and_next_sentence(model, (ids, segments, real, label, targets))
    assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_one_text_without_padding_needs_neither_segments_nor_mask():
    model = random_model(BertConfig(30))
    ids = torch.arange(14).view(2, 7)
    whole = model(ids, torch.zeros_like(ids), torch.ones_like(ids, dtype=torch.bool))
    assert_close(model(ids), whole)


def test_initial_weights_are_spread_like_transformers_bert():
    torch.manual_seed(0)
    model = BERT(BertConfig(vocab_size=300, d_model=96, n_layers=3))
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert torch.equal(p, torch.full_like(p, float("norm.weight" in name))), name
        else:
            assert p.std().item() == pytest.approx(0.02, rel=0.15), name


@quick
@given(st.data())
def test_padding_changes_no_logit(data):
    config = data.draw(configs() | modern_configs())
    model = random_model(config)
    ids, segments, real = data.draw(inputs(config))
    logits, hidden = model(ids, segments, real), model.hidden(ids, segments, real)
    other = torch.where(real, ids, (ids + 1) % config.vocab_size)
    assert_close(model(other, segments, real)[real], logits[real], atol=1e-5, rtol=1e-5)
    for row, length in enumerate(real.sum(dim=1)):
        alone = model.hidden(ids[row : row + 1, :length], segments[row : row + 1, :length])
        assert_close(hidden[row, :length], alone[0], atol=1e-4, rtol=1e-4)
        pair = model.next_sentence(hidden)[row : row + 1]
        assert_close(pair, model.next_sentence(alone), atol=1e-4, rtol=1e-4)


@quick
@given(modern_configs(vocab_size=20, context_length=8, n_heads=2, d_model=8))
def test_every_token_is_read_from_both_sides(config):
    model = random_model(config)
    ids = torch.arange(8)[None]
    logits = model(ids)
    for t in range(8):
        changed = ids.clone()
        changed[0, t] = 19
        assert ((model(changed) - logits).abs().amax(dim=-1) > 0).all()


@pytest.mark.parametrize("make", [BertConfig, BertConfig.modern])
def test_the_order_of_words_and_their_segments_matter(make):
    model = random_model(make(20))
    ids, zeros = torch.arange(6)[None], torch.zeros(1, 6, dtype=torch.int64)
    assert not torch.allclose(model(ids.flip(1)).flip(1), model(ids))
    assert not torch.allclose(model(ids, zeros + 1), model(ids, zeros))


def test_zero_init_starts_each_block_as_the_identity():
    model = BERT(BertConfig.modern(50))
    x = torch.randn(2, 7, 128)
    assert torch.equal(model.encoder.blocks[0](x), x)


def test_todays_layers_all_learn():
    model = BERT(BertConfig.modern(20, zero_init=False))
    hidden = model.hidden(torch.arange(10).view(2, 5), torch.arange(10).view(2, 5) % 2)
    (model.unembed(hidden).square().sum() + model.next_sentence(hidden).square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert not any("position" in name for name, _ in model.named_parameters())


def test_every_parameter_learns_and_positions_only_where_tokens_stand():
    model = BERT(BertConfig(20, context_length=12))
    ids = torch.arange(10).view(2, 5)
    hidden = model.hidden(ids, ids % 2)
    (model.unembed(hidden).square().sum() + model.next_sentence(hidden).square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    touched = model.embedding.positions.weight.grad.any(dim=1)
    assert touched.tolist() == [True] * 5 + [False] * 7


@pytest.mark.parametrize("make", [BertConfig, BertConfig.modern])
def test_the_first_loss_is_about_that_of_guessing(make):
    torch.manual_seed(0)
    model = BERT(make(500))
    ids = torch.randint(500, (4, 50))
    loss = F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
    assert loss.item() == pytest.approx(math.log(500), rel=0.05)


def test_dropout_only_in_training():
    model = BERT(BertConfig(20, dropout=0.5))
    ids = torch.arange(6)[None]
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def test_the_norms_have_the_epsilon_of_the_config():
    model = BERT(BertConfig(20, norm_eps=1e-3))
    assert {m.eps for m in model.modules() if isinstance(m, LayerNorm)} == {1e-3}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vocab_size": 0}, r"vocab_size \(0\) must be at least 1"),
        ({"n_segments": 0}, r"n_segments \(0\) must be at least 1"),
        ({"d_model": 130}, r"d_model \(130\) must be divisible by n_heads \(4\)"),
        ({"dropout": 1.0}, r"dropout \(1.0\)"),
        ({"positions": "alibi"}, r"positions \('alibi'\) must be one of learned, rotary"),
        ({"d_model": 12, "positions": "rotary"}, r"d_model / n_heads \(3\) must be even"),
        ({"activation": "swiglu"}, r"activation \('swiglu'\) must be one of gelu, "),
        ({"norm_eps": 0.0}, r"norm_eps \(0.0\) must be above 0"),
    ],
)
def test_a_config_that_cannot_be_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        BertConfig(**({"vocab_size": 20} | fields))


def test_too_many_tokens_are_refused():
    model = BERT(BertConfig(20, context_length=4))
    with pytest.raises(ValueError, match=r"ids: 5 tokens are more than context_length \(4\)"):
        model(torch.zeros(1, 5, dtype=torch.int64))


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BertConfig(20).d_model = 3
