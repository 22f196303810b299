"""GPT: equal to transformers' GPT-2, causal, deaf to padding, well started, clear on bad sizes."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from theirs import as_theirs, our_gradients
from torch.testing import assert_close

from minillm.model.gpt import GPT, GPTConfig

quick = settings(max_examples=25, deadline=None)


@st.composite
def configs(draw, **fixed):
    """Any small GPTConfig."""
    n_kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    fields = {
        "vocab_size": draw(st.integers(1, 40)),
        "context_length": draw(st.integers(1, 9)),
        "n_heads": n_kv_heads * group,
        "n_kv_heads": n_kv_heads,
        "d_model": n_kv_heads * group * draw(st.sampled_from((4, 6))),
        "n_layers": draw(st.integers(1, 3)),
        "d_ff": draw(st.none() | st.integers(1, 20)),
        "positions": draw(st.sampled_from(("learned", "sinusoidal", "rotary", "alibi"))),
        "norm": draw(st.sampled_from(("layernorm", "rmsnorm"))),
        "norm_gain": draw(st.booleans()),
        "norm_eps": draw(st.sampled_from((1e-5, 1e-2))),
        "norm_first": draw(st.booleans()),
        "activation": draw(st.sampled_from(("gelu", "gelu_tanh", "relu2", "swiglu"))),
        "bias": draw(st.booleans()),
        "qk_norm": draw(st.booleans()),
        "tie_embeddings": draw(st.booleans()),
    }
    return GPTConfig(**(fields | fixed))


def random_model(config, seed=0):
    """A model whose weights are all drawn, biases and gains too, so that each of them matters."""
    model = GPT(config).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.2)
    return model


def ids_for(config, B, T, seed=0):
    return torch.randint(config.vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_logits_and_gradients_equal_transformers_gpt2(data):
    n_heads = data.draw(st.integers(1, 4))
    config = GPTConfig(
        vocab_size=data.draw(st.integers(2, 90)),
        context_length=data.draw(st.integers(2, 24)),
        n_heads=n_heads,
        d_model=n_heads * data.draw(st.integers(1, 12)),
        n_layers=data.draw(st.integers(1, 3)),
        d_ff=data.draw(st.none() | st.integers(1, 50)),
        activation=data.draw(st.sampled_from(("gelu", "gelu_tanh"))),
        norm_eps=data.draw(st.sampled_from((1e-5, 1e-2))),
    )
    model = random_model(config, data.draw(st.integers(0, 99)))
    theirs = as_theirs(model, "gpt2")
    B, T = data.draw(st.integers(1, 3)), config.context_length
    ids = ids_for(config, B, T)
    padding = torch.tensor(data.draw(st.lists(st.integers(0, T - 1), min_size=B, max_size=B)))
    real = torch.arange(T) >= padding[:, None]  # (B, T)
    places = (real.cumsum(dim=1) - 1).clamp(min=0)
    expected = theirs(ids, attention_mask=real.long(), position_ids=places).logits[real]
    scale = max(1.0, expected.abs().max().item())  # drawn weights make logits of any size
    assert_close(model(ids, real)[real] / scale, expected / scale, atol=1e-5, rtol=1e-5)

    logits, expected = model(ids), theirs(ids).logits
    assert_close(logits / scale, expected / scale, atol=1e-5, rtol=1e-5)

    F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    theirs(ids, labels=ids).loss.backward()
    for name, grad in our_gradients(theirs).items():
        size = max(1.0, grad.abs().max().item())
        ours = model.get_parameter(name).grad
        assert_close(ours / size, grad / size, atol=2e-5, rtol=1e-4, msg=name)


def test_initial_weights_are_spread_like_transformers_gpt2():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=300, d_model=96, n_layers=6))
    for name, p in model.named_parameters():
        if p.ndim == 1:
            assert torch.equal(p, torch.full_like(p, float("norm.weight" in name))), name
        else:
            small = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
            expected = 0.02 / math.sqrt(12) if small else 0.02
            assert p.std().item() == pytest.approx(expected, rel=0.06), name


@quick
@given(configs())
def test_a_future_token_changes_no_earlier_logit(config):
    model, T = random_model(config), config.context_length
    ids = ids_for(config, 2, T)
    logits = model(ids)
    assert logits.shape == (2, T, config.vocab_size)
    for t in range(1, T):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 1) % config.vocab_size
        assert_close(model(changed)[:, :t], logits[:, :t], atol=1e-5, rtol=1e-5)
        if config.vocab_size > 1:
            assert not torch.equal(model(changed)[:, t], logits[:, t])


@quick
@given(configs())
def test_padding_on_the_left_changes_no_logit(config):
    model, T = random_model(config), config.context_length
    ids = ids_for(config, 3, T)
    lengths = torch.tensor([T, max(1, T // 2), 1])
    real = torch.arange(T) >= T - lengths[:, None]
    batched = model(ids, real)
    other = model(torch.where(real, ids, 0), real)
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, T - length :])[0]
        assert_close(batched[row, T - length :], alone, atol=1e-4, rtol=1e-4)
        assert_close(other[row, T - length :], alone, atol=1e-4, rtol=1e-4)
    assert batched.isfinite().all()


@quick
@given(configs())
def test_a_mask_and_padding_together_hide_what_either_hides(config):
    model, T = random_model(config), config.context_length
    ids, real = ids_for(config, 2, T), torch.arange(T) >= torch.tensor([[0], [T // 2]])
    near = torch.ones(T, T).triu(-2).bool()  # two tokens back and no further
    changed = torch.where(real, ids, (ids + 1) % config.vocab_size)  # other padding
    assert_close(model(changed, real, mask=near)[real], model(ids, real, mask=near)[real])
    alone = model(ids[:1], mask=near)  # the first row has no padding
    assert_close(model(ids, real, mask=near)[:1], alone, atol=1e-4, rtol=1e-4)


@quick
@given(configs(), st.data())
def test_the_cache_changes_no_logit_even_with_padding(config, data):
    model, T = random_model(config), config.context_length
    ids = ids_for(config, 2, T)
    real = None
    if data.draw(st.booleans()):
        real = torch.arange(T) >= torch.tensor([[0], [data.draw(st.integers(0, T - 1))]])
    cache, pieces, end = model.new_cache(), [], 0
    for piece in ids.split(data.draw(st.integers(1, T)), dim=1):
        end += piece.shape[1]
        pieces.append(model(piece, None if real is None else real[:, :end], cache))
    assert_close(torch.cat(pieces, dim=1), model(ids, real), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [GPTConfig, GPTConfig.modern])
@pytest.mark.parametrize("vocab_size", [65, 1000])
def test_the_first_loss_is_about_that_of_guessing(make, vocab_size):
    torch.manual_seed(0)
    model = GPT(make(vocab_size))
    ids = ids_for(model.config, 4, 64)
    loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(vocab_size), rel=0.05)


def test_zero_init_starts_each_block_as_the_identity():
    model = GPT(GPTConfig.modern(50))
    x = torch.randn(2, 7, 128)
    assert torch.equal(model.blocks[0](x), x)
    assert not torch.equal(GPT(GPTConfig(50)).blocks[0](x), x)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_tokens_and_positions_start_at_a_like_size(positions):
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, positions=positions))
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    model(torch.arange(50)[:, None].expand(50, 64))  # row: token, column: position
    tokens, places = (seen[0].std(dim=d).mean().item() for d in (0, 1))
    assert 0.2 < tokens / places < 5


def test_every_parameter_learns_and_positions_only_where_they_stand():
    for config in (GPTConfig(20), GPTConfig.modern(20, zero_init=False, tie_embeddings=False)):
        model = GPT(config)
        model(ids_for(config, 2, 10)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
        if config.positions == "learned":
            reached = model.positions.weight.grad.any(dim=1)
            assert reached[:10].all() and not reached[10:].any()


def test_n_parameters_counts_a_tied_matrix_once():
    tied = GPTConfig(vocab_size=50257, context_length=1024, d_model=768, n_heads=12, n_layers=12)
    with torch.device("meta"):
        assert GPT(tied).n_parameters() == 124_439_808  # GPT-2's smallest model
        untied = GPT(dataclasses.replace(tied, tie_embeddings=False))
    assert untied.n_parameters() == 124_439_808 + 50257 * 768
    assert all(not k.startswith("head") for k in GPT(GPTConfig(5)).state_dict())


def test_the_modern_model_has_no_biases_gains_or_positions_to_train():
    model = GPT(GPTConfig.modern(30, context_length=16))
    assert all(p.ndim == 2 for p in model.parameters())
    assert model.config.context_length == 16 and model.positions is None
    assert GPTConfig.modern(30, activation="swiglu").activation == "swiglu"


def test_dropout_only_in_training():
    torch.manual_seed(0)
    model, ids = GPT(GPTConfig(20, dropout=0.5)), torch.arange(8)[None]
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, r"vocab_size \(0\) must be at least 1"),
        ({"n_layers": 0}, r"n_layers \(0\) must be at least 1"),
        ({"n_kv_heads": 0}, r"n_kv_heads \(0\) must be at least 1"),
        ({"d_model": 130}, r"d_model \(130\) must be divisible by n_heads \(4\)"),
        ({"n_kv_heads": 3}, r"n_heads \(4\) must be divisible by n_kv_heads \(3\)"),
        ({"d_model": 12, "positions": "rotary"}, r"\(3\) must be even for rotary"),
        ({"dropout": 1.0}, r"dropout \(1.0\) must be at least 0 and below 1"),
        ({"positions": "rope"}, r"positions \('rope'\) must be one of learned, sinusoidal"),
        ({"norm": "batch"}, r"norm \('batch'\) must be one of"),
        ({"activation": "relu"}, r"activation \('relu'\) must be one of gelu, gelu_tanh, relu2"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        GPTConfig(**({"vocab_size": 10} | changes))


def test_too_long_a_text_is_named():
    model = GPT(GPTConfig(10, context_length=4))
    with pytest.raises(ValueError, match=r"5 tokens are more than context_length \(4\)"):
        model(torch.zeros(1, 5, dtype=torch.long))
    cache = model.new_cache()
    model(torch.zeros(1, 3, dtype=torch.long), cache=cache)
    with pytest.raises(ValueError, match="5 tokens"):
        model(torch.zeros(1, 2, dtype=torch.long), cache=cache)
