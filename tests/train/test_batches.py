"""Windows of tokens: each token as often as promised, the same window whenever asked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm.train.batches import TokenWindows, drawn_once
from minillm.train.objectives import IGNORE, scored


def test_targets_are_the_next_tokens():
    inputs, targets = TokenWindows(np.arange(50), 7).batch(0, 9)
    assert inputs.shape == targets.shape == (9, 7)
    assert inputs.dtype == targets.dtype == torch.int64
    torch.testing.assert_close(targets, inputs + 1)


@given(n=st.integers(8, 90), T=st.integers(1, 7), seed=st.integers(0, 3))
def test_an_epoch_shows_no_token_twice_and_misses_less_than_two_windows(n, T, seed):
    windows = TokenWindows(np.arange(n), T, seed)
    for epoch in range(3):
        _, targets = windows.batch(epoch * windows.n_windows, windows.n_windows)
        seen = targets.flatten().tolist()
        assert len(seen) == len(set(seen))
        assert len(seen) > n - 1 - 2 * T


def test_epochs_differ_in_order_and_in_where_they_cut():
    windows = TokenWindows(np.arange(1000), 10)
    starts = [windows.batch(e * windows.n_windows, windows.n_windows)[0][:, 0] for e in range(5)]
    assert len({int(s[0]) % 10 for s in starts}) > 1
    assert len({tuple((s // 10).tolist()) for s in starts}) == 5
    other = TokenWindows(np.arange(1000), 10, seed=1).batch(0, windows.n_windows)[0][:, 0]
    assert not torch.equal(other, starts[0])


@given(start=st.integers(0, 40), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_batch_in_parts_is_the_batch(start, sizes):
    windows = TokenWindows(np.arange(60), 5)
    whole = windows.batch(start, sum(sizes))
    fresh, at, parts = TokenWindows(np.arange(60), 5), start, []
    for size in sizes:
        parts.append(fresh.batch(at, size))
        at += size
    for tensor, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(tensor, torch.cat(pieces))


def test_asking_late_or_out_of_order_changes_nothing():
    windows = TokenWindows(np.arange(60), 5)
    numbers = [37, 2, 90, 2, 11]
    first = [windows.batch(i, 3)[0] for i in numbers]
    for number, expected in zip(numbers, first, strict=True):
        torch.testing.assert_close(TokenWindows(np.arange(60), 5).batch(number, 3)[0], expected)


@given(
    tokens=st.lists(st.integers(0, 3), min_size=9, max_size=80),
    T=st.integers(1, 8),
    size=st.integers(1, 5),
    boundary=st.sampled_from([None, 0]),
)
def test_in_order_scores_every_token_but_the_first_once(tokens, T, size, boundary):
    windows = TokenWindows(tokens, T, boundary=boundary)
    batches = list(windows.in_order(size))
    targets = torch.cat([targets.flatten() for _, targets in batches])
    assert targets[targets != IGNORE].tolist() == tokens[1:]
    assert sum(int(scored(batch)) for batch in batches) == len(tokens) - 1


@given(lengths=st.lists(st.integers(1, 9), min_size=5, max_size=12))
def test_in_order_shows_a_document_that_fits_from_its_start(lengths):
    T, end = 10, 0
    tokens = [end]
    for length in lengths:
        tokens += [*range(1, length + 1), end]  # word k stands at place k of its document
    for inputs, targets in TokenWindows(tokens, T, boundary=end).in_order(4):
        for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
            for t, target in enumerate(wanted):
                if target != IGNORE:
                    place = row[t]  # words read of this document
                    assert row[t - place : t + 1] == list(range(place + 1))


def test_the_array_is_not_copied(tmp_path):
    tokens = np.arange(1000, dtype=np.uint16)
    assert np.shares_memory(TokenWindows(tokens, 5).tokens, tokens)
    tensor = torch.arange(1000)
    assert np.shares_memory(TokenWindows(tensor, 5).tokens, tensor.numpy())
    tokens.tofile(tmp_path / "tokens.bin")
    mapped = np.memmap(tmp_path / "tokens.bin", dtype=np.uint16, mode="r")
    windows = TokenWindows(mapped, 5)
    assert np.shares_memory(windows.tokens, mapped)
    torch.testing.assert_close(windows.batch(3, 4), TokenWindows(tokens, 5).batch(3, 4))


def test_the_shortest_text_gives_one_window():
    inputs, targets = TokenWindows([3, 4, 5], 2).batch(0, 2)
    assert inputs.tolist() == [[3, 4], [3, 4]]
    assert targets.tolist() == [[4, 5], [4, 5]]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([1, 2, 3, 4], r"4 tokens are too few for context_length \(4\)"),
        ([], "must be integers|too few"),
        ([[1, 2], [3, 4]], "one dimension"),
        ([0.5] * 9, "integers"),
    ],
)
def test_what_cannot_be_cut_is_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        TokenWindows(tokens, 4)


def test_fingerprint_tells_streams_apart():
    tokens = np.arange(100)
    changed = tokens.copy()
    changed[50] = 7
    names = {
        TokenWindows(tokens, 5).fingerprint(),
        TokenWindows(changed, 5).fingerprint(),
        TokenWindows(tokens[:-1], 5).fingerprint(),
        TokenWindows(tokens, 6).fingerprint(),
        TokenWindows(tokens, 5, seed=1).fingerprint(),
    }
    assert len(names) == 5
    assert TokenWindows(tokens.copy(), 5).fingerprint() in names


def test_training_windows_begin_where_documents_do_if_they_are_short():
    END, T = 0, 16
    documents = [[d, d, d, d, d, END] for d in range(1, 60)] + [[99] * 100 + [END]]
    tokens = [END, *(token for document in documents for token in document)]
    data = TokenWindows(tokens, T, seed=3, boundary=END)
    inputs, targets = data.batch(0, data.n_windows)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    short = inputs[:, 0] != 99  # the long one is cut anywhere, as it doesn't fit
    assert (inputs[short, 0] == END).all() and short.float().mean() > 0.5
    assert len(set(inputs[~short].flatten().tolist())) <= 3


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_an_epoch_is_drawn_once_while_the_next_begins_and_no_more_than_two_are_kept(asked):
    kept, drawn = {}, []

    def draw(epoch):
        drawn.append(epoch)
        return [epoch]

    for epoch in asked:
        before, n_drawn = set(kept), len(drawn)
        assert drawn_once(kept, epoch, draw) == [epoch]
        assert len(drawn) == n_drawn + (epoch not in before)
        assert epoch in kept and len(kept) <= 2
        assert kept.keys() <= before | {epoch}
    kept, drawn[:] = {}, []
    for epoch in (0, 0, 1, 0, 1, 1, 2, 1, 2):  # as batches that straddle two epochs ask
        drawn_once(kept, epoch, draw)
    assert drawn == [0, 1, 2]
