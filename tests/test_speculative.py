"""Speculative decoding: the large model's own text, by exact sums over all that the dice can do."""

import itertools

import pytest
import torch
from test_generate import random_model
from torch.testing import assert_close

from minillm import speculative
from minillm.generate import generate
from minillm.model.cache import Reader
from minillm.model.gpt import GPTConfig
from minillm.sampling import next_token_probs
from minillm.speculative import rounds, speculate

KINDS = [GPTConfig, GPTConfig.modern]  # learned positions, rotary ones
V = 11


def pair(make=GPTConfig, **changes):
    """A large model, and a draft that is often of its mind: the same weights, shaken."""
    large, draft = random_model(make, **changes), random_model(make, **changes)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in draft.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    return large, draft


def flat(steps):
    return [i for ids in steps for i in ids]


# ---- greedy


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("n_draft", [1, 2, 5, 20])
def test_greedy_is_the_large_models_own_text_also_past_the_context(make, n_draft):
    for prompt, n in (([1], 1), ([3, 1, 4], 5), ([5], 30), ([*range(11)] * 2, 17)):
        for large, draft in (pair(make), (random_model(make), random_model(make, seed=7))):
            steps = list(speculate(large, draft, prompt, n, n_draft=n_draft, temperature=0))
            assert flat(steps) == generate(large, [prompt], n, temperature=0)[0]
            assert all(1 <= len(ids) <= n_draft + 1 for ids in steps)


def test_the_draft_may_have_another_size_and_a_shorter_context():
    large = random_model(context_length=16)
    draft = random_model(GPTConfig.modern, context_length=4, d_model=8, n_layers=1)
    text = flat(speculate(large, draft, [1, 2], 40, temperature=0))
    assert text == generate(large, [[1, 2]], 40, temperature=0)[0]


def test_a_draft_that_is_the_model_is_always_right():
    large = random_model(context_length=64)
    for temperature in (0, 1):
        steps = [*speculate(large, large, [1], 30, n_draft=4, temperature=temperature, seed=0)]
        assert [len(ids) for ids in steps] == [5] * 6


# ---- sampled: every path the dice can take, with its probability


class Paths:
    """Runs a program again and again until each way its dice can fall was taken once.

    `pick` and `flip` stand for the program's dice: each remembers which way it went, and what that
    way's probability was.
    """

    def pick(self, probs, generator=None):
        (shares,) = (probs / probs.sum(dim=-1, keepdim=True)).tolist()
        ways = [i for i, share in enumerate(shares) if share > 0]
        at = len(self.taken)
        way = self.script[at] if at < len(self.script) else 0
        self.taken.append((way, len(ways)))
        self.probability *= shares[ways[way]]
        return [ways[way]]

    def flip(self, chance, generator=None):
        return self.pick(torch.tensor([[chance, 1 - chance]], dtype=torch.double)) == [0]

    def outcomes(self, program):
        """Result -> probability."""
        self.script, found = [], {}
        while self.script is not None:
            self.taken, self.probability = [], 1.0
            result = program()
            found[result] = found.get(result, 0.0) + self.probability
            while self.taken and self.taken[-1][0] + 1 == self.taken[-1][1]:
                self.taken.pop()
            self.script = [way for way, _ in self.taken]
            if not self.script:
                return found
            self.script[-1] += 1
        return found


def tiny(make, seed):
    """A model of three tokens, so that all its texts can be counted."""
    return random_model(lambda _, **sizes: make(3, **sizes), seed=seed, n_layers=1)


def chances(model, prompt, n, **how):
    """All texts of n tokens after a prompt, each with the model's own probability."""
    found = {}
    for ids in itertools.product(range(3), repeat=n):
        text = torch.tensor([[*prompt, *ids]])
        probs = next_token_probs(model(text)[0, len(prompt) - 1 : -1].detach(), **how)
        found[ids] = probs[range(n), ids].prod().item()
    return found


def speculated(monkeypatch, large, draft, prompt, n, n_draft, **how):
    """The same by speculation: each accepted or refused path, added up."""
    paths = Paths()
    monkeypatch.setattr(speculative, "pick", paths.pick)
    monkeypatch.setattr(speculative, "flip", paths.flip)
    return paths.outcomes(
        lambda: tuple(flat(speculate(large, draft, prompt, n, n_draft=n_draft, **how)))
    )


def worst(found, expected):
    assert set(found) <= set(expected)
    return max(abs(found.get(ids, 0.0) - p) for ids, p in expected.items())


HOWS = [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7, "temperature": 1.5}]
CASES = [(2, 1, how) for how in HOWS] + [(3, 2, {}), (3, 2, {"top_k": 2})]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("n", "n_draft", "how"), CASES, ids=str)
def test_sampled_text_is_distributed_as_the_large_models_own(make, n, n_draft, how, monkeypatch):
    large, draft = tiny(make, 0), tiny(make, 5)
    expected = chances(large, [1, 2], n, **how)
    found = speculated(monkeypatch, large, draft, [1, 2], n, n_draft, **how)
    assert sum(found.values()) == pytest.approx(1)
    assert worst(found, expected) < 1e-5
    assert worst(chances(draft, [1, 2], n, **how), expected) > 0.05  # the draft alone is not


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("leftover", lambda p, q: p),  # redrawn from p itself
        ("leftover", lambda p, q: (p - q).abs()),  # from where they differ, whichever way
        ("leftover", lambda p, q: (q - p).clamp(min=0)),  # from what the draft has too much of
    ],
)
def test_a_wrong_redraw_is_noticed(name, bug, monkeypatch):
    large, draft = tiny(GPTConfig, 0), tiny(GPTConfig, 5)
    monkeypatch.setattr(speculative, name, bug)
    found = speculated(monkeypatch, large, draft, [1, 2], 2, 1)
    assert worst(found, chances(large, [1, 2], 2)) > 0.01


def test_a_cache_that_is_not_rolled_back_is_noticed(monkeypatch):
    large, draft = tiny(GPTConfig, 0), tiny(GPTConfig, 5)
    monkeypatch.setattr("minillm.model.cache.KeyValueCache.truncate", lambda self, length: None)
    with pytest.raises(Exception):  # noqa: B017  the first to notice is some tensor's shape
        found = speculated(monkeypatch, large, draft, [1, 2], 3, 2)
        assert worst(found, chances(large, [1, 2], 3)) < 1e-5


def test_drawn_text_follows_the_model_by_its_own_dice():
    large, draft = tiny(GPTConfig, 0), tiny(GPTConfig, 5)
    n, counts = 1500, {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        readers = Reader(large, [[1, 2]]), Reader(draft, [[1, 2]])
        ids = tuple(flat(rounds(*readers, 2, 1, next_token_probs, generator)))
        counts[ids] = counts.get(ids, 0) + 1
    expected = chances(large, [1, 2], 2)
    chi2 = sum((counts.get(ids, 0) - n * p) ** 2 / (n * p) for ids, p in expected.items())
    assert chi2 < 26.1  # 8 degrees of freedom: 999 in 1000 are below


# ---- the rest of what it promises


@pytest.mark.parametrize("make", KINDS)
def test_a_rewound_reader_reads_as_if_nothing_had_been(make):
    model = random_model(make)
    reader = Reader(model, [[1], [2, 3, 4]])
    reader.logits()
    for ids in ([5, 6], [7, 8], [9, 1]):
        reader.append(ids)
    several = reader.read(last=3)
    reader.rewind(2)
    reader.append([0, 10])
    fresh = Reader(model, [[1, 5, 0], [2, 3, 4, 6, 10]])
    assert_close(reader.logits(), fresh.logits())
    assert_close(several[:, -1], Reader(model, [[1, 5, 7, 9], [2, 3, 4, 6, 8, 1]]).logits())
    assert_close(several[:, -2], Reader(model, [[1, 5, 7], [2, 3, 4, 6, 8]]).logits())


def test_a_stop_id_ends_the_text_inside_a_round():
    large, draft = pair(context_length=64)
    free = flat(speculate(large, draft, [1], 40, temperature=0))
    for stop in set(free):
        text = flat(speculate(large, draft, [1], 40, temperature=0, stop_ids=[stop]))
        assert text == free[: free.index(stop) + 1]


def test_a_seed_repeats_the_text_and_others_differ():
    large, draft = pair(context_length=64)
    first = flat(speculate(large, draft, [1], 30, seed=1))
    assert len(first) == 30 and first == flat(speculate(large, draft, [1], 30, seed=1))
    assert first != flat(speculate(large, draft, [1], 30, seed=2))
    assert list(speculate(large, draft, [1], 0)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_draft": 0}, r"n_draft \(0\) must be at least 1"),
        ({"prompt": []}, "is empty"),
        ({"top_k": 0}, r"top_k \(0\) must be at least 1"),
        ({"draft": tiny(GPTConfig, 0)}, r"draft: its vocab_size \(3\) must be the model's \(11\)"),
    ],
)
def test_errors_name_the_argument(options, message):
    arguments = {"draft": random_model(), "prompt": [1], "max_new_tokens": 3} | options
    with pytest.raises(ValueError, match=message):
        speculate(random_model(), **arguments)
