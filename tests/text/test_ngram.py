"""N-gram models: counts by hand, sums of one, and what theory says of the loss."""

import doctest
import math
from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from minillm.measure import perplexity
from minillm.text import ngram
from minillm.text.ngram import (
    END,
    InterpolatedNGram,
    NGram,
    add_k,
    count,
    fit_mixture,
    fit_weights,
    windows,
)

DOCUMENTS = st.lists(st.text("abcd", max_size=8), min_size=1, max_size=8)
CONTEXTS = st.text("abcdx", max_size=6)  # x is never counted
ORDERS = st.integers(1, 5)


def markov_documents(n: int, seed: int) -> list[list[str]]:
    """Documents from a random bigram chain over 20 words, so order 2 is all there is to know."""
    rng, words = Random(seed), [f"w{i}" for i in range(20)]
    habits = Random(0)
    chances = {word: [habits.random() ** 4 for _ in words] for word in words}
    documents = []
    for _ in range(n):
        document = [rng.choice(words)]
        while rng.random() > 0.1:
            document += rng.choices(words, chances[document[-1]])
        documents.append(document)
    return documents


TRAIN, HELD_OUT = markov_documents(400, seed=1), markov_documents(100, seed=2)


def test_docstring_examples():
    results = doctest.testmod(ngram)
    assert results.attempted >= 8 and results.failed == 0


def test_windows_pad_the_beginning_and_predict_the_end():
    assert list(windows(["x", "y"], 3)) == [
        ((END, END), "x"),
        ((END, "x"), "y"),
        (("x", "y"), END),
    ]
    assert list(windows([], 1)) == [((), END)]


def test_counts_by_hand():
    counts = count(["ab", "ab", "ba"], 2, end=".")
    assert counts == {
        (): Counter({"a": 3, "b": 3, ".": 3}),
        (".",): Counter({"a": 2, "b": 1}),
        ("a",): Counter({"b": 2, ".": 1}),
        ("b",): Counter({".": 2, "a": 1}),
    }


def test_unigram_counts_agree_with_scikit_learn():
    texts = ["the cat saw the dog", "a dog ran", "the dog slept"]
    vectorizer = CountVectorizer(token_pattern=r"\S+").fit(texts)
    totals = vectorizer.transform(texts).sum(axis=0).A1
    theirs = dict(zip(vectorizer.get_feature_names_out(), totals.tolist(), strict=True))
    ours = count([text.split() for text in texts], 1)[()]
    assert ours == {**theirs, END: 3}


@given(DOCUMENTS)
def test_bigram_maximum_likelihood_is_a_ratio_of_counts(documents):
    model = NGram(2).fit(documents)
    pairs, firsts = Counter(), Counter()
    for document in documents:
        padded = [END, *document, END]
        pairs.update(pairwise(padded))
        firsts.update(padded[:-1])
    for (first, second), n in pairs.items():
        assert model.prob([] if first == END else [first], second) == n / firsts[first]


@given(DOCUMENTS, ORDERS, CONTEXTS, st.sampled_from([0.0, 0.01, 1.0]), st.booleans())
def test_distributions_sum_to_one_and_equal_prob(documents, order, context, k, mixed):
    model = (InterpolatedNGram if mixed else NGram)(order, k).fit(documents, vocabulary="abcde")
    distribution = model.distribution(context)
    assert math.isclose(sum(distribution.values()), 1, abs_tol=1e-9)
    assert set(distribution) == {*"abcde", END}
    for token, p in distribution.items():
        assert math.isclose(p, model.prob(context, token), abs_tol=1e-12)
    assert model.prob(context, "never in the vocabulary") == 0


@given(DOCUMENTS, ORDERS, CONTEXTS)
def test_add_k_approaches_maximum_likelihood(documents, order, context):
    plain, smoothed = NGram(order).fit(documents), NGram(order, k=1e-9).fit(documents)
    for token, p in plain.distribution(context).items():
        assert math.isclose(smoothed.prob(context, token), p, abs_tol=1e-6)


def test_add_k_by_hand():
    assert add_k(0, 0, k=1, vocabulary_size=4) == 1 / 4  # nothing seen: uniform
    model = NGram(2, k=0.5, end=".").fit(["ab", "ab", "a"])
    assert model.distribution("a") == {"a": 0.5 / 4.5, "b": 2.5 / 4.5, ".": 1.5 / 4.5}


@given(DOCUMENTS, ORDERS, CONTEXTS, st.data())
def test_all_the_weight_on_one_order_is_that_order(documents, order, context, data):
    chosen = data.draw(st.integers(1, order))
    weights = [float(n == chosen) for n in range(1, order + 1)]
    mixed = InterpolatedNGram(order, weights=weights).fit(documents)
    alone = NGram(chosen).fit(documents)
    assert mixed.distribution(context) == pytest.approx(alone.distribution(context))


def test_an_unseen_context_is_shortened():
    model = NGram(3).fit(["abc", "bd"])
    assert model.distribution("xb") == NGram(2).fit(["abc", "bd"]).distribution("b")
    assert model.distribution("xx") == NGram(1).fit(["abc", "bd"]).distribution("")


def test_a_context_is_a_document_so_far():
    model = NGram(3).fit(["aab", "ba"])
    assert model.prob("", "a") == 1 / 2  # documents begin with a or b
    assert model.prob("a", "a") == 1  # and after a first a comes a
    assert model.prob("ba", END) == model.prob("aba", END) == 1  # only the last two count


@given(DOCUMENTS, st.integers(1, 4))
def test_train_loss_never_rises_with_the_order(documents, order):
    shorter, longer = NGram(order).fit(documents), NGram(order + 1).fit(documents)
    assert longer.nats_per_token(documents) <= shorter.nats_per_token(documents) + 1e-9


def test_train_loss_falls_and_held_out_loss_rises_past_the_true_order():
    models = [NGram(order, k=0.1).fit(TRAIN) for order in range(1, 6)]
    plain = [NGram(order).fit(TRAIN).nats_per_token(TRAIN) for order in range(1, 6)]
    held_out = [model.nats_per_token(HELD_OUT) for model in models]
    assert plain == sorted(plain, reverse=True)
    assert held_out[1] < held_out[0] and held_out[1:] == sorted(held_out[1:])


def test_nats_per_token_by_hand():
    model = NGram(1, end=".").fit(["ab", "a"])  # a 2/5, b 1/5, end 2/5
    surprisals = [-math.log(2 / 5), -math.log(1 / 5), -math.log(2 / 5)]
    assert model.surprisals("ab") == pytest.approx(surprisals)
    assert model.nats_per_token(["ab"]) == pytest.approx(sum(surprisals) / 3)
    assert model.nats_per_token(["ab", "c"]) == math.inf
    fair = NGram(1, end=0).fit([[1, 2, 3, 4, 5]])  # six equally likely ids
    assert perplexity(fair.nats_per_token([[5, 2]])) == pytest.approx(6)


def test_em_makes_the_tokens_likelier_at_every_step_and_finds_the_best_weights():
    estimates = np.random.default_rng(0).random((200, 3)) * [1.0, 0.5, 0.7]

    def loss(weights):
        return -np.log(estimates @ weights).mean()

    losses = [loss(fit_mixture(estimates, steps)) for steps in range(30)]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    best = fit_mixture(estimates, 2000)
    assert best.sum() == pytest.approx(1) and (best >= 0).all()
    for other in np.random.default_rng(1).dirichlet(np.ones(3), 300):
        assert loss(best) <= loss(other) + 1e-9


def test_fitted_weights_beat_every_single_order_on_the_held_out_text():
    model = InterpolatedNGram(4, k=0.01).fit(TRAIN)
    equal = model.nats_per_token(HELD_OUT)
    fitted = fit_weights(model, HELD_OUT).nats_per_token(HELD_OUT)
    singles = [NGram(n, k=0.01).fit(TRAIN).nats_per_token(HELD_OUT) for n in range(1, 5)]
    assert fitted <= min(equal, *singles)
    assert max(model.weights) == model.weights[1]  # the chain is a bigram chain


def test_samples_follow_the_distribution():
    model, rng = NGram(2, end=".").fit(["ab", "ab", "a", "b"]), Random(0)
    texts = Counter("".join(model.sample(rng)) for _ in range(4000))
    expected = {"ab": 1 / 2, "a": 1 / 4, "b": 1 / 4}  # P(a) 3/4, P(b after a) 2/3
    assert set(texts) == set(expected)
    for text, p in expected.items():
        assert abs(texts[text] / 4000 - p) < 4 * math.sqrt(p * (1 - p) / 4000)


def test_samples_look_back_as_far_as_the_order():
    model = NGram(3).fit(["aabbcbaca"])  # after no two letters do different ones follow
    assert "".join(model.sample(Random(0))) == "aabbcbaca"
    assert "".join(model.sample(Random(0), "aab")) == "aabbcbaca"


@pytest.mark.parametrize("kind", [NGram, InterpolatedNGram])
def test_samples_continue_the_prompt_and_repeat_with_the_seed(kind):
    model = kind(3).fit(TRAIN)
    prompt = TRAIN[0][:2]
    first = model.sample(Random(7), prompt, max_new_tokens=5)
    assert first == model.sample(Random(7), prompt, max_new_tokens=5)
    assert first[:2] == prompt and len(first) <= 7
    assert model.sample(Random(7), prompt, max_new_tokens=0) == prompt
    assert END not in first


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5), ORDERS)
def test_ids_are_tokens_too(documents, order):
    assume(any(documents))
    model = NGram(order, k=1, end=9).fit(documents)
    letters = NGram(order, k=1, end="j").fit([["abcd"[i] for i in d] for d in documents])
    assert model.nats_per_token(documents) == letters.nats_per_token(
        [["abcd"[i] for i in d] for d in documents]
    )


def test_bad_settings_and_texts_are_refused_in_one_line():
    for make, words in [
        (lambda: NGram(0), r"order \(0\)"),
        (lambda: NGram(2, k=-1), r"k \(-1\)"),
        (lambda: InterpolatedNGram(2, weights=(0.5, 0.6)), "2 parts that sum to one"),
        (lambda: InterpolatedNGram(3, weights=(0.5, 0.5)), "3 parts that sum to one"),
        (lambda: InterpolatedNGram(0), r"order \(0\)"),
        (lambda: NGram(2).fit([]), "documents is empty"),
        (lambda: NGram(2).fit(["a"]).nats_per_token([]), "documents is empty"),
        (lambda: fit_weights(InterpolatedNGram(2).fit(["a"]), ["z"]), r"not \['z'\]"),
        (lambda: fit_weights(InterpolatedNGram(2).fit(["a"]), []), "documents must be tokens"),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            make()
        assert "\n" not in str(error.value)
