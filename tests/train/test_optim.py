"""How weights move: the schedule, who decays, what Muon does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import TinyModel, config
from torch import nn

from minillm.model.gpt import GPT, GPTConfig
from minillm.train.config import TrainConfig
from minillm.train.muon import Muon, orthogonalize
from minillm.train.optim import Optimizer, layer_scales, lr_at, parameter_groups


@given(
    steps=st.integers(1, 60),
    warmup=st.integers(0, 70),
    final=st.floats(0, 1),
    decay=st.sampled_from(["cosine", "linear"]),
)
def test_the_rate_climbs_to_its_peak_then_falls_to_its_end(steps, warmup, final, decay):
    settings = config(steps=steps, warmup_steps=warmup, final_lr=final, lr=2.0, decay=decay)
    rates = [lr_at(step, settings) for step in range(steps)]
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < rate <= 2.0 for rate in rising)
    assert all(2.0 * final - 1e-9 <= rate <= 2.0 for rate in falling)
    if steps > warmup:
        assert rates[max(0, warmup - 1)] == pytest.approx(2.0)
        assert lr_at(steps, settings) == pytest.approx(2.0 * final)


def test_the_line_is_straight_and_the_cosine_crosses_it_half_way():
    line, cosine = (
        [
            lr_at(s, config(steps=41, warmup_steps=1, lr=1.0, final_lr=0.2, decay=d))
            for s in range(41)
        ]
        for d in ("linear", "cosine")
    )
    steps = torch.tensor(line[1:]).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, -0.8 / 40))
    assert line[21] == pytest.approx(cosine[21]) == pytest.approx(0.6)
    assert all(c > s for c, s in zip(cosine[2:21], line[2:21], strict=True))
    assert all(c < s for c, s in zip(cosine[22:], line[22:], strict=True))


def test_the_peak_can_be_another():
    settings = config(lr=0.5)
    assert lr_at(17, settings, peak=3.0) == pytest.approx(6 * lr_at(17, settings))


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16), (3, 7), (1, 5)])
def test_orthogonalize_keeps_directions_and_evens_sizes(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    U, S, Vh = torch.linalg.svd(matrices, full_matrices=False)
    inside = U.mT @ orthogonalize(matrices) @ Vh.mT  # diagonal if the directions are the same
    sizes = torch.diagonal(inside, dim1=-2, dim2=-1)
    torch.testing.assert_close(inside, torch.diag_embed(sizes), atol=2e-3, rtol=0)
    big = 0.05 * S.norm(dim=-1, keepdim=True) < S  # a tiny one needs more rounds
    assert ((sizes > 0.6) & (sizes < 1.3))[big].all()


def test_orthogonalize_survives_zeros_and_rank_one():
    matrices = torch.zeros(2, 4, 6)
    matrices[1] = torch.outer(torch.arange(1.0, 5.0), torch.ones(6))
    result = orthogonalize(matrices)
    assert result.isfinite().all()
    assert result[0].abs().max() == 0
    assert 0.6 < torch.linalg.matrix_norm(result[1], 2) < 1.3


def test_muon_takes_the_steps_of_torch():
    generator = torch.Generator().manual_seed(2)
    shapes = [(32, 16), (16, 32), (16, 16), (32, 16)]
    ours = [nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    muon = Muon(ours, lr=0.02, momentum=0.9, weight_decay=0.3)
    other = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.3)
    for _ in range(6):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        muon.step()
        other.step()
    for p, q, s in zip(ours, theirs, start, strict=True):
        # torch rounds to bfloat16, which has three digits
        assert (p - q).norm() < 0.02 * (p - s).norm()


def test_muon_moves_stacked_matrices_as_if_they_were_apart():
    generator = torch.Generator().manual_seed(3)
    heights = [8, 4, 4]  # queries, then keys and values with half the heads
    stacked = nn.Parameter(torch.randn(16, 8, generator=generator))
    apart = [nn.Parameter(part.detach().clone()) for part in stacked.split(heights)]
    muon, other = Muon([stacked], parts={stacked: heights}), Muon(apart)
    for _ in range(3):
        stacked.grad = torch.randn(16, 8, generator=generator)
        for p, grad in zip(apart, stacked.grad.split(heights), strict=True):
            p.grad = grad.clone()
        muon.step()
        other.step()
    torch.testing.assert_close(stacked.detach(), torch.cat([p.detach() for p in apart]))


@pytest.mark.parametrize("kv_heads", [2, 1])
def test_a_gpts_queries_keys_and_values_are_made_orthogonal_apart(kv_heads):
    sizes = {"vocab_size": 9, "context_length": 8, "d_model": 16, "n_heads": 2, "n_layers": 1}
    model = GPT(GPTConfig.modern(**sizes, n_kv_heads=kv_heads))
    weight = model.blocks[0].attention.qkv.weight
    before, settings = weight.detach().clone(), config(optimizer="muon", weight_decay=0.0)
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(4))
    Optimizer(model, settings).step(settings.warmup_steps)
    moved = ((before - weight.detach()) / settings.muon_lr).split([16, 8 * kv_heads, 8 * kv_heads])
    for part in moved:
        sizes = torch.linalg.svdvals(part)
        assert ((sizes > 0.6) & (sizes < 1.3)).all()


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match=r"matrices, got one of shape \(4,\)"):
        Muon([nn.Parameter(torch.zeros(4))])


@pytest.mark.parametrize("tie", [True, False])
def test_every_parameter_of_a_gpt_is_in_its_one_group(tie):
    sizes = {"vocab_size": 9, "context_length": 8, "d_model": 8, "n_heads": 2, "n_layers": 2}
    model = GPT(GPTConfig(**sizes, tie_embeddings=tie))
    groups = parameter_groups(model)
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert len(groups["hidden"]) == sum(isinstance(m, nn.Linear) for m in model.blocks.modules())
    assert all(p.ndim == 2 for p in groups["hidden"].values())
    assert all(name.startswith("blocks.") for name in groups["hidden"])
    assert len(groups["output"]) == (0 if tie else 1)
    assert {name for name, p in groups["other"].items() if p.ndim == 2} == {
        "tokens.weight",
        "positions.weight",
    }


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_without_a_gradient_only_matrices_shrink(name):
    model = TinyModel()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    settings = config(optimizer=name, weight_decay=0.5, lr=0.1, muon_lr=0.2, warmup_steps=0)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    Optimizer(model, settings).step(0)
    for n, p in model.named_parameters():
        decays = n == "head.weight" or (n.startswith("blocks") and p.ndim == 2)
        rate = 0.2 if name == "muon" and n.startswith("blocks") else 0.1
        kept = 1 - rate * 0.5 if decays else 1.0
        torch.testing.assert_close(p.detach(), before[n] * kept, msg=f"{n} kept {kept}")


def test_frozen_parameters_stay():
    model = TinyModel()
    model.blocks.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = Optimizer(model, config(optimizer="muon"))
    model(torch.arange(5)[None]).square().sum().backward()
    optimizer.step(0)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"tokens.weight", "head.weight", "head.bias"}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_put_back_continues_the_same_path(name):
    def walk(model, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            (model(torch.arange(8)[None]).square().sum() * (step + 1)).backward()
            optimizer.step(step)

    torch.manual_seed(0)
    model, settings = TinyModel(), config(optimizer=name)
    optimizer = Optimizer(model, settings)
    walk(model, optimizer, range(4))
    copy = TinyModel()
    copy.load_state_dict(model.state_dict())
    resumed = Optimizer(copy, settings)
    resumed.load_state_dict({k: v.clone() for k, v in optimizer.state_dict().items()})
    walk(model, optimizer, range(4, 8))
    walk(copy, resumed, range(4, 8))
    for p, q in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(p, q)
    assert resumed.state_dict().keys() == optimizer.state_dict().keys()


def test_state_of_another_model_is_refused():
    optimizer = Optimizer(TinyModel(), config())
    with pytest.raises(ValueError, match="another model"):
        optimizer.load_state_dict({"layers.0.weight/exp_avg": torch.zeros(2)})


def test_a_state_that_lacks_a_tensor_is_refused_by_its_name():
    model = TinyModel()
    optimizer = Optimizer(model, config())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step(0)
    whole = optimizer.state_dict()
    for missing in whole:
        rest = {key: value for key, value in whole.items() if key != missing}
        with pytest.raises(ValueError, match=f"state of {missing.rpartition('/')[0]} is"):
            Optimizer(model, config()).load_state_dict(rest)


def test_a_layer_below_moves_at_a_share_of_the_rate_of_the_one_above():
    model = GPT(GPTConfig(vocab_size=9, d_model=8, n_heads=2, n_layers=2, tie_embeddings=False))
    scales = layer_scales(model, 0.5)
    assert scales["tokens.weight"] == 0.125
    assert scales["blocks.0.attention.out.weight"] == 0.25
    assert scales["blocks.1.feed_forward.up.weight"] == 0.5
    assert scales["head.weight"] == 1
    settings = TrainConfig(steps=4, warmup_steps=0, lr=1.0, layer_decay=0.5, weight_decay=0.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    Optimizer(model, settings).step(
        0
    )  # AdamW's first step is the rate itself, whatever the gradient
    for name, p in model.named_parameters():
        moved = (before[name] - p).detach()
        torch.testing.assert_close(moved, torch.full_like(p, scales[name]), atol=1e-5, rtol=1e-5)


def test_a_model_without_blocks_moves_at_one_rate():
    assert set(layer_scales(torch.nn.Linear(2, 2), 0.5).values()) == {1.0}
