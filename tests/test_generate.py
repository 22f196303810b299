"""Generation: filters by their properties, cached equals uncached, batched equals alone."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from minillm.generate import beam_search, generate, stream
from minillm.model.cache import Reader
from minillm.model.gpt import GPT, GPTConfig
from minillm.sampling import next_token_probs, penalize, top_k_filter, top_p_filter

quick = settings(max_examples=25, deadline=None)
V = 11


def random_model(make=GPTConfig, seed=0, **changes):
    """A small model with weights wide enough that its choices are far from ties."""
    torch.manual_seed(seed)
    sizes = {"context_length": 8, "d_model": 16, "n_heads": 2, "n_layers": 2}
    model = GPT(make(V, **(sizes | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.4)
    return model


MODELS = [
    random_model(),
    random_model(positions="sinusoidal"),
    random_model(positions="alibi", n_kv_heads=1),
    random_model(GPTConfig.modern, n_kv_heads=1),
]

distributions = (
    st.lists(st.integers(0, 6), min_size=1, max_size=12)
    .filter(any)
    .map(lambda counts: torch.tensor(counts, dtype=torch.double) / sum(counts))
)
prompts = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=13), max_size=4)


# ---- the filters


@quick
@given(distributions, st.integers(1, 14))
def test_top_k_keeps_the_k_likeliest_and_ties(probs, k):
    kept = top_k_filter(probs, k)
    assert kept.sum().item() == pytest.approx(1)
    least = probs.sort(descending=True).values[min(k, len(probs)) - 1]
    assert torch.equal(kept > 0, (probs >= least) & (probs > 0))
    assert_close(kept * probs[kept > 0].sum(), torch.where(kept > 0, probs, 0.0))


@quick
@given(distributions, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_set_of_mass_p(probs, p):
    kept = top_p_filter(probs, p) > 0
    assert top_p_filter(probs, p).sum().item() == pytest.approx(1)
    assert probs[kept].sum().item() >= p - 1e-9
    likeliest = probs.sort(descending=True).values
    smaller = likeliest[: int(kept.sum()) - 1]  # the most mass that one token fewer can have
    assert smaller.sum().item() < p + 1e-9
    assert probs[kept].sum().item() == pytest.approx(likeliest[: int(kept.sum())].sum().item())


def test_top_p_keeps_lower_ids_among_equals():
    assert top_p_filter(torch.full((4,), 0.25), 0.5).tolist() == [0.5, 0.5, 0, 0]
    assert top_p_filter(torch.full((4,), 0.25), 0.6).count_nonzero() == 3


def test_filters_work_on_each_row_alone():
    rows = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    for filtered, parameter in ((top_k_filter, 2), (top_p_filter, 0.7)):
        together = filtered(rows, parameter)
        assert_close(together, torch.stack([filtered(row, parameter) for row in rows]))


def test_temperature_sharpens_and_flattens():
    logits = torch.tensor([1.0, 2.0, 4.0])
    assert_close(next_token_probs(logits).float(), logits.softmax(0))
    assert_close(next_token_probs(logits, 0.5).float(), (2 * logits).softmax(0))
    assert next_token_probs(logits, 1e-30).tolist() == [0, 0, 1]
    assert next_token_probs(logits, 0).tolist() == [0, 0, 1]
    assert next_token_probs(logits, 1e30).tolist() == pytest.approx([1 / 3] * 3)


# ---- the penalty on repetition


@quick
@given(st.lists(st.lists(st.integers(0, V - 1), max_size=9), min_size=1, max_size=3))
def test_the_penalty_is_that_of_transformers(texts):
    from transformers import RepetitionPenaltyLogitsProcessor

    texts = [text or [0] for text in texts]
    logits = torch.randn(len(texts), V)
    theirs = RepetitionPenaltyLogitsProcessor(1.3)
    for row, text in enumerate(texts):
        expected = theirs(torch.tensor([text]), logits[row : row + 1].clone())
        assert_close(penalize(logits, texts, 1.3)[row : row + 1], expected)


@quick
@given(st.lists(st.integers(0, V - 1), min_size=1), st.floats(1.01, 4))
def test_the_penalty_never_makes_what_was_there_likelier(text, penalty):
    logits = torch.randn(1, V)
    before, after = logits.softmax(-1)[0], penalize(logits, [text], penalty).softmax(-1)[0]
    assert_close(penalize(logits, [text], 1.0), logits)
    seen = torch.tensor(sorted(set(text)))
    assert before[seen].sum() >= after[seen].sum() - 1e-6
    assert (logits == penalize(logits, [[]], penalty)).all()


def test_the_penalty_looks_at_each_text_alone_prompt_and_all():
    model = random_model(context_length=40)
    options = {"temperature": 0, "repetition_penalty": 1e6}
    prompts = [[1, 2], [3], [9, 9, 4]]
    rows = generate(model, prompts, 5, **options)
    assert rows == [generate(model, [prompt], 5, **options)[0] for prompt in prompts]
    assert rows[0] == list(stream(model, prompts[0], 5, **options))
    for prompt, row in zip(prompts, rows, strict=True):
        logits = model(torch.tensor([prompt]))[0, -1]
        free = [i for i in logits.argsort(descending=True).tolist() if i not in prompt]
        assert logits[free[0]] < 0 or row[0] == free[0]
    assert generate(model, prompts, 9, temperature=0) == generate(
        model, prompts, 9, temperature=0, repetition_penalty=1.0
    )


# ---- sampling


@quick
@given(prompts, st.integers(0, len(MODELS) - 1), st.integers(0, 30), st.sampled_from((0, 0.9)))
def test_cached_equals_uncached_also_past_the_context(prompts, which, n, temperature):
    options = {"temperature": temperature, "seed": 3}
    cached = generate(MODELS[which], prompts, n, **options)
    assert cached == generate(MODELS[which], prompts, n, use_cache=False, **options)
    assert [len(row) for row in cached] == [n] * len(prompts)


@quick
@given(prompts, st.integers(0, len(MODELS) - 1), st.integers(1, 20))
def test_batched_equals_alone(prompts, which, n):
    together = generate(MODELS[which], prompts, n, temperature=0)
    assert together == [generate(MODELS[which], [p], n, temperature=0)[0] for p in prompts]


@pytest.mark.parametrize("model", MODELS)
def test_within_the_context_the_likeliest_token_is_taken_by_definition(model):
    text = [3, 1, 4]
    for _ in range(model.config.context_length - len(text) + 1):
        window = torch.tensor([text[-model.config.context_length :]])
        text.append(int(model(window)[0, -1].argmax()))
    assert generate(model, [text[:3]], len(text) - 3, temperature=0) == [text[3:]]


def test_a_full_window_keeps_its_last_half():
    model = MODELS[0]  # of 8 tokens
    reader = Reader(model, [list(range(8))])
    assert_close(reader.logits(), model(torch.arange(8)[None])[:, -1])
    reader.append([9])  # the ninth: four are left
    assert_close(reader.logits(), model(torch.tensor([[5, 6, 7, 9]]))[:, -1])
    long = Reader(model, [[*range(11), 0, 1]])  # a long prompt is read by its end
    assert_close(long.logits(), model(torch.tensor([[5, 6, 7, 8, 9, 10, 0, 1]]))[:, -1])


def test_a_context_of_one_token_works():
    model = random_model(context_length=1)
    assert generate(model, [[1, 2]], 3, temperature=0) == generate(
        model, [[2]], 3, temperature=0, use_cache=False
    )


def test_draws_follow_the_model():
    model, n = MODELS[0], 4000
    probs = next_token_probs(model(torch.tensor([[5]]))[0, -1].detach(), 1.3, top_k=6, top_p=0.9)
    rows = generate(model, [[5]] * n, 1, temperature=1.3, top_k=6, top_p=0.9, seed=0)
    counts = torch.tensor([row[0] for row in rows]).bincount(minlength=V)
    assert not counts[probs == 0].any()
    spread = (n * probs * (1 - probs)).sqrt()
    assert ((counts - n * probs).abs() <= 4 * spread).all()


def test_a_seed_repeats_the_draw_and_other_seeds_differ():
    first = generate(MODELS[0], [[1], [2, 3]], 20, seed=1)
    assert first == generate(MODELS[0], [[1], [2, 3]], 20, seed=1)
    assert first != generate(MODELS[0], [[1], [2, 3]], 20, seed=2)
    torch.manual_seed(5)
    free = generate(MODELS[0], [[1]], 20)
    torch.manual_seed(5)
    assert free == generate(MODELS[0], [[1]], 20)


@pytest.mark.parametrize("top", [{"top_k": 1}, {"top_p": 1e-9}])
def test_only_the_likeliest_is_greedy(top):
    prompts = [[1], [2, 3, 4]]
    greedy = generate(MODELS[0], prompts, 12, temperature=0)
    assert generate(MODELS[0], prompts, 12, seed=0, **top) == greedy


def test_a_stop_id_ends_its_row_alone():
    free = generate(MODELS[0], [[1], [2], [7, 7]], 25, seed=4)
    stop = free[0][3]
    for row, whole in zip(
        generate(MODELS[0], [[1], [2], [7, 7]], 25, seed=4, stop_ids=[stop]), free, strict=True
    ):
        end = whole.index(stop) + 1 if stop in whole else len(whole)
        assert row == whole[:end]


def test_stream_gives_the_ids_of_generate_one_by_one():
    options = {"temperature": 0.8, "top_k": 5, "seed": 9}
    whole = generate(MODELS[3], [[1, 2]], 20, **options)[0]
    ids = stream(MODELS[3], [1, 2], 20, **options)
    assert [next(ids), *ids] == whole
    stopped = list(stream(MODELS[3], [1, 2], 20, stop_ids=[whole[4]], **options))
    assert stopped == whole[: whole.index(whole[4]) + 1]


def test_a_model_in_training_comes_back_in_training_and_is_sampled_without_dropout():
    model = random_model(dropout=0.5)
    expected = generate(model, [[1, 2]], 12, temperature=0)
    model.train()
    assert generate(model, [[1, 2]], 12, temperature=0) == expected
    assert list(stream(model, [1, 2], 12, temperature=0)) == expected[0]
    assert beam_search(model, [1, 2], 4, n_beams=1)[0].ids == expected[0][:4]
    assert model.training and model.blocks[0].attention.training


@pytest.mark.parametrize("enabled", [True, False])
def test_reading_leaves_torch_and_the_model_as_they_were_also_when_it_fails(enabled, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    model = random_model(dropout=0.5).train()
    Reader(model, [[1, 2]]).logits()
    with pytest.raises(IndexError):
        Reader(model, [[V]]).logits()
    assert torch.backends.mkldnn.enabled is enabled and model.training


def test_nothing_to_do_is_done():
    assert generate(MODELS[0], [], 5) == []
    assert generate(MODELS[0], [[1]], 0) == [[]]
    assert list(stream(MODELS[0], [1], 0)) == []
    assert beam_search(MODELS[0], [1], 0) == [([], 0.0)]


# ---- beam search


def logprob(model, prompt, ids):
    """Log-probability of ids after the prompt, by the model itself, in nats."""
    logprobs = model(torch.tensor([[*prompt, *ids]]))[0].detach().double().log_softmax(-1)
    return sum(logprobs[len(prompt) - 1 + t, i].item() for t, i in enumerate(ids))


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
def test_wide_beams_find_the_best_of_all_texts(length_penalty):
    model, stop, n = MODELS[0], 2, 3
    texts = []
    for length in range(1, n + 1):
        for ids in itertools.product(range(V), repeat=length):
            if stop not in ids[:-1] and (ids[-1] == stop or length == n):
                texts.append((logprob(model, [4], ids) / length**length_penalty, list(ids)))
    texts.sort(reverse=True)
    beams = beam_search(model, [4], n, n_beams=V**n, length_penalty=length_penalty, stop_ids=[stop])
    assert len(beams) == len(texts)
    for beam, (score, ids) in zip(beams[:20], texts, strict=False):
        assert beam.ids == ids and beam.score == pytest.approx(score, abs=1e-5)
    few = beam_search(model, [4], n, n_beams=V, length_penalty=length_penalty, stop_ids=[stop])
    assert few[0].ids == texts[0][1]


def test_one_beam_is_greedy_and_more_are_no_worse():
    for seed, prompt in itertools.product(range(4), ([1], [2, 3, 4])):
        model = random_model(seed=seed)
        greedy = generate(model, [prompt], 5, temperature=0)[0]
        (one,) = beam_search(model, prompt, 5, n_beams=1)
        assert one.ids == greedy
        assert one.score == pytest.approx(logprob(model, prompt, greedy) / 5, abs=1e-5)
        wide = beam_search(model, prompt, 5, n_beams=V**2, length_penalty=0)
        assert wide[0].score >= 5 * one.score - 1e-6
        assert [b.score for b in wide] == sorted((b.score for b in wide), reverse=True)


def test_a_finished_text_waits_for_longer_ones_that_may_still_win():
    # After 1 comes 1 again with 0.6, or the end, 2, with 0.4: ending at once costs 0.92 nats per
    # token, going on 0.51, though the log-probability of the long text soon is the lower one.
    model = random_model(n_layers=1)
    chain = torch.tensor([[0.2, 0.6, 0.2], [0.0, 0.6, 0.4], [0.3, 0.3, 0.4]])
    model.hidden = lambda ids, real, cache: ids[..., None]
    model.new_cache = lambda: None  # all is read each time
    model.unembed = lambda x: chain[x[..., 0]].log()
    (best,) = beam_search(model, [1], 7, n_beams=1, stop_ids=[2])
    assert best.ids == [1] * 7 and best.score == pytest.approx(math.log(0.6))
    (best,) = beam_search(model, [1], 7, n_beams=1, stop_ids=[2], length_penalty=0)
    assert best.ids == [2] and best.score == pytest.approx(math.log(0.4))


def test_beams_go_past_the_context():
    model = MODELS[1]
    (one,) = beam_search(model, [1, 2], 30, n_beams=1)
    assert one.ids == generate(model, [[1, 2]], 30, temperature=0)[0]
    assert all(len(beam.ids) == 30 for beam in beam_search(model, [1, 2], 30, n_beams=3))
    assert math.isfinite(beam_search(model, [1, 2], 30, n_beams=3)[0].score)


# ---- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": [[1], []]}, r"prompts\[1\] is empty"),
        ({"prompts": [[1], [2, V]]}, rf"prompts\[1\] holds {V}: ids must be from 0 to {V - 1}"),
        ({"prompts": [[-1]]}, r"prompts\[0\] holds -1"),
        ({"prompts": [3]}, r"prompts\[0\] is 3: prompts are lists of ids"),
        ({"max_new_tokens": -1}, r"max_new_tokens \(-1\) must be 0 or more"),
        ({"temperature": -0.5}, r"temperature \(-0.5\) must be 0 \(greedy\) or a positive"),
        ({"temperature": float("nan")}, r"temperature \(nan\) must"),
        ({"top_k": 0}, r"top_k \(0\) must be at least 1"),
        ({"top_p": 0.0}, r"top_p \(0.0\) must be above 0 and at most 1"),
        ({"top_p": 1.1}, r"top_p \(1.1\) must be above 0 and at most 1"),
        ({"repetition_penalty": 0}, r"repetition_penalty \(0\) must be above 0; 1 is none"),
    ],
)
def test_errors_name_the_argument(options, message):
    arguments = {"prompts": [[1]], "max_new_tokens": 3} | options
    with pytest.raises(ValueError, match=message):
        generate(MODELS[0], **arguments)
    prompt = arguments.pop("prompts")[-1]
    with pytest.raises(ValueError, match=message.replace("[1", "[0") if prompt != [1] else message):
        stream(MODELS[0], prompt, **arguments)


def test_a_model_that_diverged_is_named():
    model = random_model()
    torch.nn.init.constant_(model.norm.weight, float("nan"))
    with pytest.raises(ValueError, match="did its training diverge"):
        generate(model, [[1]], 2)


def test_beam_search_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"n_beams \(0\) must be at least 1"):
        beam_search(MODELS[0], [1], 3, n_beams=0)
    with pytest.raises(ValueError, match=r"length_penalty \(-1\) must be 0 or more"):
        beam_search(MODELS[0], [1], 3, length_penalty=-1)
    with pytest.raises(ValueError, match="is empty"):
        beam_search(MODELS[0], [], 3)
