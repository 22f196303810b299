"""Checks of the exercises of chapter 10, full fine-tuning."""

import math

import torch

from minillm.checks import exercise, expect, require

IGNORE = -100


def _firsts(words):
    return [i == 0 or words[i - 1] != word for i, word in enumerate(words)]


@exercise("10.1")
def piece_targets(attempt):
    """A word's tag at its first piece, -100 elsewhere, the marks included."""
    for words, tags in (
        ([0, 1, 1, 1, 2, 3], [0, 1, 0, 5]),
        ([0, 0, 1], [3, 3]),
        ([0, 1, 2], [4, 4, 6]),
        ([0, 0, 0], [2]),
        ([], []),
    ):
        firsts = _firsts(words)
        lasts = _firsts(words[::-1])[::-1]
        inner = [tags[w] if first else IGNORE for w, first in zip(words, firsts, strict=True)]
        every = [tags[w] for w in words]
        ends = [tags[w] if last else IGNORE for w, last in zip(words, lasts, strict=True)]
        zeros = [tags[w] if first else 0 for w, first in zip(words, firsts, strict=True)]
        wrapped = [tags[w] if words[i - 1] != w else IGNORE for i, w in enumerate(words)]
        changed = [
            tags[w] if i == 0 or tags[words[i - 1]] != tags[w] else IGNORE
            for i, w in enumerate(words)
        ]
        known = [
            (inner, "[CLS] stands before and [SEP] behind: two more targets of -100"),
            ([IGNORE, *inner], "[SEP] behind the text has a target of -100, too"),
            ([*inner, IGNORE], "[CLS] in front of the text has a target of -100, too"),
            ([IGNORE, *every, IGNORE], "only a word's first piece has a target, the others -100"),
            ([IGNORE, *ends, IGNORE], "that is each word's last piece: the first has the target"),
            ([0, *zeros, 0], "what isn't scored is -100: 0 is the first of the tags"),
            ([IGNORE, *zeros, IGNORE], "what isn't scored is -100: 0 is the first of the tags"),
            ([0, *inner, 0], "[CLS] and [SEP] aren't scored: -100, not 0"),
            ([IGNORE, *tags, IGNORE], "one target a piece, not one a word"),
            (
                [IGNORE, *wrapped, IGNORE],
                "no piece stands before the first: words[-1] is the last one",
            ),
            (
                [IGNORE, *changed, IGNORE],
                "two words with the same tag are two words: compare their numbers",
            ),
            (
                [IGNORE, *(w if f else IGNORE for w, f in zip(words, firsts, strict=True)), IGNORE],
                "these are the words' numbers: look up their tags",
            ),
        ]
        got = attempt(list(words), list(tags))
        got = got.tolist() if isinstance(got, torch.Tensor) else got
        what = f"piece_targets({words}, {tags})"
        expect(got, [IGNORE, *inner, IGNORE], what, known)


@exercise("10.2")
def mean_summary(attempt):
    """The mean of each row's real tokens."""
    generator = torch.Generator().manual_seed(10)
    for lengths, T, C in (([3, 5, 1], 5, 4), ([2, 4], 6, 3)):
        x = torch.randn(len(lengths), T, C, generator=generator)
        n = torch.tensor(lengths)
        real = torch.arange(T) < n[:, None]  # (B, T)
        rows = torch.arange(len(n))
        kept = x * real[..., None]
        total = kept.sum(dim=1)
        right = total / n[:, None]
        known = [
            (x.mean(dim=1), "the padding counts, too: only real tokens should"),
            (total, "that is the sum: divide by the number of real tokens"),
            (kept.mean(dim=1), "divided by T: each row has its own number of real tokens"),
            (x.sum(dim=1) / n[:, None], "the padding was added up: set it to zero first"),
            (
                total / n.sum(),
                "divided by all real tokens of the batch: each row has its own number",
            ),
            (x[:, 0], "that is the first token, BERT's summary"),
            (x[rows, n - 1], "that is the last real token, a GPT's summary"),
            (kept.amax(dim=1), "that is the largest of each column, not the mean"),
            (
                (x * ~real[..., None]).sum(dim=1) / n[:, None],
                "that is the padding: `real` is True where a token counts",
            ),
            (
                lambda got, x=x: getattr(got, "shape", None) == x.shape[:2],
                "one number a token: sum over the tokens, not over the columns",
            ),
            (
                lambda got, right=right: got.shape == (len(right), 1, right.shape[1]),
                "one dimension too many: sum without keepdim",
            ),
            (
                lambda got, right=right: got.shape == right.shape[1:],
                "one vector for the whole batch: each row has its own",
            ),
        ]
        what = f"mean_summary(x, real) with {lengths} real tokens of {T}"
        expect(attempt(x.clone(), real.clone()), right, what, known)


@exercise("10.3")
def balanced_weights(attempt):
    """Every class that comes counts the same, and the mean over the records is 1."""
    for labels, K in (
        ([2, 0, 0, 1, 0, 0, 1, 0], 3),
        ([0] * 8 + [1] * 2, 2),
        ([0, 2, 2, 2, 2, 0], 4),
    ):
        n = torch.bincount(torch.tensor(labels), minlength=K).float()
        there = n > 0
        N, k = len(labels), int(there.sum())
        inverse = torch.where(there, 1 / n, 0.0)
        right = N / k * inverse
        known = [
            (n / N, "these are the shares: the rarer a class, the more it should count"),
            (n, "these are the counts: the rarer a class, the more it should count"),
            (inverse, "each class counts the same, but the mean over the records isn't 1"),
            (N * inverse, "each class has the whole sum: divide by the number of classes"),
            (
                inverse / inverse.sum(),
                "these sum to 1: it is the mean over the records that should be 1",
            ),
            (
                inverse * k / inverse.sum(),
                "the mean over the classes is 1; it should be the mean over the records",
            ),
            (inverse * K / inverse.sum(), "the mean over the classes is 1, not over the records"),
            (1 - n / N, "one minus the share doesn't balance: divide by the counts"),
            (torch.where(there, n.max() / n, 0.0), "the mean over the records isn't 1"),
        ]
        if k < K:
            known += [
                (N / K * inverse, "a class that never comes has no share: divide by the others"),
                (lambda got: not got.isfinite().all(), "a class that never comes gets 0, not 1/0"),
                (
                    lambda got, there=there: (got[~there] != 0).any(),
                    "a class that never comes gets 0",
                ),
            ]
        got = attempt(list(labels), K)
        require(
            not isinstance(got, torch.Tensor) or got.is_floating_point(),
            "gave integers: weights are numbers with a point",
        )
        expect(got, right, known=known)


def _spans(logits, k, longest, shortest=0, gap=True):
    """The k best (first, last, sum) by trying all."""
    T = logits.shape[1]
    found = [
        (i, j, float(logits[0, i] + logits[1, j]))
        for i in range(T)
        for j in range(T)
        if (not gap or shortest <= j - i < longest) and math.isfinite(logits[0, i] + logits[1, j])
    ]
    return sorted(found, key=lambda span: -span[2])[:k]


@exercise("10.4")
def best_spans(attempt):
    """The k spans with the highest sums of two logits, best first."""
    inf = math.inf
    first = torch.tensor([[0.1, 2.0, -1.0, 3.0, 0.5, 1.2], [0.3, 2.5, 1.7, -0.4, 1.1, 2.9]])
    second = torch.tensor([[-inf, 1.0, 4.0, -inf], [-inf, 2.0, 0.5, -inf]])
    tight = torch.tensor([[5.0, 0.2, 0.3, 1.0], [0.1, 0.4, 4.0, 0.6]])
    for logits, k, longest in ((first, 3, 6), (tight, 3, 2), (first, 4, 3), (second, 5, 4)):
        right = _spans(logits, k, longest)
        probs = logits.softmax(dim=1)
        sums = torch.tensor([s for *_, s in right])
        known = [
            (_spans(logits, k, logits.shape[1]), f"no span has more than {longest} tokens"),
            (
                _spans(logits, k, longest + 1),
                f"from first to last there are at most {longest} tokens",
            ),
            (_spans(logits, k, longest, gap=False), "a span can't end before it starts"),
            (_spans(logits, k, longest - 1), f"a span of exactly {longest} tokens is allowed"),
            (_spans(logits, k, longest, 1), "a span may be a single token: first equals last"),
            (right[::-1], "best first"),
            (_spans(logits, 1, longest), "only the best was given"),
            (_spans(logits.flip(0), k, longest), "starts are row 0 and ends are row 1"),
            (_spans(-logits, k, longest), "these are the lowest sums: take the highest"),
            ([(i, j) for i, j, _ in right], "each tuple holds its sum, too"),
            ([(i, j + 1, s) for i, j, s in right], "last is the last token, not the one after it"),
            (
                [(i, j, float(probs[0, i] * probs[1, j])) for i, j, _ in _spans(probs, k, longest)],
                "these are products of probabilities: add up the logits",
            ),
            (
                _spans(logits.log_softmax(dim=1), k, longest),
                "these are sums of log-probabilities: add up the logits",
            ),
            (
                lambda got: any(not math.isfinite(s) for *_, s in got),
                "minus infinity is where nothing may be chosen: leave such spans out",
            ),
            (
                lambda got, sums=sums: len(got) != len(sums) and all(i <= j for i, j, _ in got),
                f"there are {len(right)} spans to give",
            ),
        ]
        got = attempt(logits.clone(), k, longest)
        require(isinstance(got, list | tuple), f"should return a list, not {type(got).__name__}")
        got = [tuple(x.item() if hasattr(x, "item") else x for x in span) for span in got]
        what = f"best_spans(logits of {logits.shape[1]} tokens, {k}, {longest})"
        expect(got, right, what, known)
