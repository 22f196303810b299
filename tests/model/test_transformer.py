"""The Transformer: equal to torch's layers, causal, deaf to padding, clear on bad sizes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from minillm.model.attention import attention_maps
from minillm.model.positions import sinusoidal_table
from minillm.model.transformer import (
    Block,
    Decoder,
    Embedding,
    Encoder,
    EncoderDecoder,
    TransformerConfig,
    check_block,
)

quick = settings(max_examples=25, deadline=None)


@st.composite
def configs(draw, **fixed):
    """Any small TransformerConfig."""
    n_heads = draw(st.integers(1, 3))
    fields = {
        "source_vocab_size": draw(st.integers(2, 30)),
        "target_vocab_size": draw(st.integers(2, 30)),
        "context_length": draw(st.integers(4, 9)),
        "n_heads": n_heads,
        "d_model": n_heads * draw(st.sampled_from((8, 10))),  # of two numbers LayerNorm leaves ±1
        "n_layers": draw(st.integers(1, 3)),
        "d_ff": draw(st.none() | st.integers(1, 20)),
        "norm": draw(st.sampled_from(("layernorm", "rmsnorm"))),
        "norm_gain": draw(st.booleans()),
        "norm_first": draw(st.booleans()),
        "activation": draw(st.sampled_from(("gelu", "gelu_tanh", "relu2", "swiglu"))),
        "bias": draw(st.booleans()),
    }
    return TransformerConfig(**(fields | fixed))


def random_module(kind, config, seed=0, **options):
    """A module whose weights are all drawn, biases and gains too, so that each of them matters."""
    module = kind(config, **options).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.3)
    return module


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ids_below(n, *shape, seed=0):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(seed))


def twin_of(block, heads):
    """torch's own layer with the weights of a `Block`, encoder or decoder as the block is."""
    kind, width = nn.TransformerEncoderLayer, block.attention.out.in_features
    pairs = {"norm1": block.attention_norm, "norm2": block.feed_forward_norm}
    if block.cross_attention is not None:
        kind = nn.TransformerDecoderLayer
        pairs["norm2"], pairs["norm3"] = block.cross_attention_norm, block.feed_forward_norm
    theirs = kind(
        width,
        heads,
        block.feed_forward.up.out_features,
        activation="gelu",
        batch_first=True,
        norm_first=block.norm_first,
    ).eval()
    pairs |= {"linear1": block.feed_forward.up, "linear2": block.feed_forward.down}
    state = {f"{name}.{k}": v for name, m in pairs.items() for k, v in m.state_dict().items()}
    attentions = {"self_attn": block.attention, "multihead_attn": block.cross_attention}
    for name, attention in attentions.items():
        if attention is not None:
            state[f"{name}.in_proj_weight"] = attention.qkv.weight
            state[f"{name}.in_proj_bias"] = attention.qkv.bias
            state[f"{name}.out_proj.weight"] = attention.out.weight
            state[f"{name}.out_proj.bias"] = attention.out.bias
    theirs.load_state_dict(state)  # strict: nothing is missing, nothing too much
    return theirs


@quick
@given(configs(norm="layernorm", norm_gain=True, activation="gelu", bias=True), st.booleans())
def test_a_block_equals_torchs_encoder_and_decoder_layer(config, cross):
    block = random_module(Block, config, cross=cross, causal=cross)
    theirs = twin_of(block, config.n_heads)
    x, memory = random(2, 5, config.d_model), random(2, 7, config.d_model, seed=1)
    grads = []
    for module in (block, theirs):
        leaves = [x.clone().requires_grad_(), memory.clone().requires_grad_()]
        real = torch.arange(5) < torch.tensor([[5], [3]])
        real_memory = torch.arange(7) < torch.tensor([[7], [4]])
        if module is block and cross:
            y = block(leaves[0], None, None, leaves[1], real_memory[:, None, None, :])
        elif module is block:
            y = block(leaves[0], real[:, None, None, :])
        elif cross:
            future = nn.Transformer.generate_square_subsequent_mask(5)
            y = theirs(
                *leaves, tgt_mask=future, tgt_is_causal=True, memory_key_padding_mask=~real_memory
            )
        else:
            y = theirs(leaves[0], src_key_padding_mask=~real)
        y.sin().sum().backward()
        grads.append((y, *(leaf.grad for leaf in leaves)))
    for ours, other in zip(*grads, strict=True):
        if ours is not None:
            assert_close(ours, other, atol=2e-4, rtol=2e-4)


@quick
@given(configs())
def test_what_is_written_later_changes_no_earlier_logit_and_what_is_read_changes_all(config):
    model, T = random_module(EncoderDecoder, config), config.context_length
    source = ids_below(config.source_vocab_size, 2, T)
    target = ids_below(config.target_vocab_size, 2, T, seed=1)
    logits = model(source, target)
    assert logits.shape == (2, T, config.target_vocab_size)
    for t in range(T):
        changed = target.clone()
        changed[:, t] = (changed[:, t] + 1) % config.target_vocab_size
        assert_close(model(source, changed)[:, :t], logits[:, :t], atol=1e-5, rtol=1e-5)
        changed = source.clone()
        changed[:, t] = (changed[:, t] + 1) % config.source_vocab_size
        moved = (model(changed, target) - logits).abs().amax(dim=-1)  # (2, T)
        assert (moved > 0).all()


@quick
@given(configs(), st.data())
def test_padding_changes_no_logit(config, data):
    model, T = random_module(EncoderDecoder, config), config.context_length
    n = data.draw(st.integers(1, T))
    source, real = ids_below(config.source_vocab_size, 2, T), torch.arange(T) < n
    target = ids_below(config.target_vocab_size, 2, 3, seed=1)
    alone = model(source[:, :n], target)
    padded = model(source, target, real.expand(2, T))
    assert_close(padded, alone, atol=1e-4, rtol=1e-4)
    longer = torch.cat((target, target[:, :1]), dim=1)  # the target's padding stands on the right
    assert_close(model(source[:, :n], longer)[:, :3], alone, atol=1e-4, rtol=1e-4)


@quick
@given(configs())
def test_an_encoder_reads_both_ways_and_a_decoder_one(config):
    x = random(1, 6, config.d_model)
    changed = x.clone()
    changed[:, 3] += random(config.d_model, seed=1)
    encoder, decoder = random_module(Encoder, config), random_module(Decoder, config)
    assert (encoder(x) != encoder(changed)).any(dim=-1).all()
    memory = random(1, 4, config.d_model, seed=2)
    same = (decoder(x, memory) == decoder(changed, memory)).all(dim=-1)[0]
    assert same[:3].all() and not same[3:].any()


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_norms_stand_before_or_after(norm):
    config = {"source_vocab_size": 3, "target_vocab_size": 3, "d_model": 16, "norm": norm}
    x = 5 * random(2, 6, 16)
    after = Encoder(TransformerConfig(**config, norm_first=False, dropout=0))
    size = after(x).square().mean(dim=-1)
    assert_close(size, torch.ones_like(size), atol=1e-3, rtol=1e-3)  # the last step is a norm
    before = Encoder(TransformerConfig(**config, dropout=0))
    size = before(x).square().mean(dim=-1)
    assert_close(size, torch.ones_like(size), atol=1e-3, rtol=1e-3)
    stream = x
    for block in before.blocks:
        with torch.no_grad():
            block.attention.out.weight.zero_(), block.attention.out.bias.zero_()
            block.feed_forward.down.weight.zero_(), block.feed_forward.down.bias.zero_()
        stream = block(stream)
    assert torch.equal(stream, x)  # layers that say nothing leave the residual stream alone


def test_every_parameter_learns():
    for first in (True, False):
        config = TransformerConfig(9, 7, d_model=16, n_heads=2, norm_first=first)
        model = EncoderDecoder(config)
        model(ids_below(9, 2, 8), ids_below(7, 2, 8)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_encoding_once_and_decoding_is_the_whole():
    model = EncoderDecoder(TransformerConfig(9, 7)).eval()
    source, target = ids_below(9, 2, 5), ids_below(7, 2, 6)
    real = torch.arange(5) < torch.tensor([[5], [2]])
    memory = model.encode(source, real)
    assert memory.shape == (2, 5, 64)
    assert torch.equal(model.decode(target, memory, real), model(source, target, real))


def test_attention_maps_of_an_encoder_decoder_tell_the_three_attentions_apart():
    model = EncoderDecoder(TransformerConfig(9, 7, n_layers=1)).eval()
    real = torch.arange(5) < torch.tensor([[5], [3]])
    maps = attention_maps(model, ids_below(9, 2, 5), ids_below(7, 2, 4), real)
    assert {name: tuple(weights.shape) for name, weights in maps.items()} == {
        "encoder.blocks.0.attention": (2, 4, 5, 5),
        "decoder.blocks.0.attention": (2, 4, 4, 4),
        "decoder.blocks.0.cross_attention": (2, 4, 4, 5),
    }
    for name, weights in maps.items():
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        if weights.shape[-1] == 5:
            assert (weights[1, :, :, 3:] == 0).all(), name
    assert (maps["decoder.blocks.0.attention"].triu(1) == 0).all()


def test_an_embedding_is_the_token_and_its_position_of_like_size():
    torch.manual_seed(0)
    layer = Embedding(500, TransformerConfig(9, 9, dropout=0.5))
    ids = torch.tensor([[3, 7, 3]])
    assert (layer(ids) == 0).any()  # dropped
    layer.eval()
    assert_close(layer(ids)[0], layer.tokens.weight[[3, 7, 3]] + sinusoidal_table(3, 64))
    assert 0.5 < layer.tokens.weight.std() / layer.positions.table.std() < 2


def test_dropout_only_in_training():
    torch.manual_seed(0)
    model = EncoderDecoder(TransformerConfig(9, 7, dropout=0.5))
    ids = torch.arange(6)[None]
    assert not torch.equal(model(ids, ids), model(ids, ids))
    model.eval()
    assert torch.equal(model(ids, ids), model(ids, ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_vocab_size": 0}, r"source_vocab_size \(0\) must be at least 1"),
        ({"n_layers": 0}, r"n_layers \(0\) must be at least 1"),
        ({"d_ff": 0}, r"d_ff \(0\) must be at least 1"),
        ({"d_model": 66}, r"d_model \(66\) must be divisible by n_heads \(4\)"),
        ({"dropout": -0.1}, r"dropout \(-0.1\) must be at least 0 and below 1"),
        ({"norm": "batch"}, r"norm \('batch'\) must be one of layernorm, rmsnorm"),
        ({"activation": "relu"}, r"activation \('relu'\) must be one of gelu, gelu_tanh, relu2"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**({"source_vocab_size": 9, "target_vocab_size": 9} | changes))
    assert check_block(TransformerConfig(9, 9)) is None


def test_too_long_a_text_is_named():
    model = EncoderDecoder(TransformerConfig(9, 9, context_length=4))
    short, long = torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 5, dtype=torch.long)
    model(short, short)
    for pair in ((short, long), (long, short)):
        with pytest.raises(ValueError, match=r"5 tokens are more than context_length \(4\)"):
            model(*pair)
