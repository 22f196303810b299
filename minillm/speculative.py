"""Speculative decoding: a small model proposes tokens, a large one reads them in one pass.

Reading five tokens at once costs a model little more than reading one. So a draft model writes a
few tokens ahead, and the large model keeps as many as its own distribution allows: the text is
distributed exactly as if the large model had written it alone, token by token.

But: one text at a time, and no penalty on repetition.
"""

import functools

import torch

from minillm.model.cache import Reader
from minillm.sampling import check_request, make_generator, next_token_probs, pick


def flip(chance, generator=None):
    """True with probability `chance`.

    Built in chapter 8.
    """
    return torch.rand((), generator=generator, dtype=torch.double).item() < chance


def leftover(p, q):
    """What the draft's distribution q lacks of p, (V,) each: the positive part of p - q.

    Returns (V,) numbers whose shares are the distribution of the token that replaces a refused one.

    >>> leftover(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.75, 0.0, 0.25])).tolist()
    [0.0, 0.25, 0.0]

    Source: Leviathan et al. 2022, arXiv:2211.17192, section 2.3.
    Built in chapter 8.
    """
    return (p - q).clamp(min=0)


def verify(p, q, proposed, generator=None):
    """How many of the proposed ids are kept, and the id that comes after them.

    Args:
        p: what the large model would draw from at each place, (k + 1, V).
        q: what each proposal was drawn from, k tensors (V,).
        proposed: k ids.

    Returns:
        A number from 0 to k, and an id. Kept ids and that one are distributed as draws from p.

    Source: Leviathan et al. 2022, arXiv:2211.17192, algorithm 1; Chen et al. 2023,
    arXiv:2302.01318, algorithm 2.
    Built in chapter 8.
    """
    for n, i in enumerate(proposed):
        if not flip(min(1.0, (p[n, i] / q[n][i]).item()), generator):
            return n, pick(leftover(p[n], q[n])[None], generator)[0]
    return len(proposed), pick(p[-1:], generator)[0]


def propose(drafter, k, probs_of, generator=None):
    """Lets the draft write k ids; returns them, and the k distributions (V,) they came from.

    Built in chapter 8.
    """
    ids, q = [], []
    for _ in range(k):
        q.append(probs_of(drafter.logits())[0])  # (V,)
        ids += pick(q[-1][None], generator)
        drafter.append(ids[-1:])
    return ids, q


def rounds(reader, drafter, max_new_tokens, n_draft, probs_of, generator=None):
    """Yields the ids of each round, a list: those the draft was right about, and one more.

    Args:
        reader: a `Reader` of the large model and one text.
        drafter: a `Reader` of the draft and the same text, or whatever else has its `logits`,
            `append`, `rewind` and `room`.
        max_new_tokens: how many ids to add.
        n_draft: how many to propose a round, at most.
        probs_of: what makes probabilities of logits, for both; see `next_token_probs`.

    Built in chapter 8.
    """
    while max_new_tokens:
        # Within a round no window may slide, or what is taken back could not be.
        k = min(n_draft, max_new_tokens - 1, reader.room(), drafter.room())
        proposed, q = propose(drafter, k, probs_of, generator)
        for i in proposed:
            reader.append([i])
        p = probs_of(reader.read(last=k + 1)[0])  # (k + 1, V)
        n, i = verify(p, q, proposed, generator)
        for text in (reader, drafter):
            text.rewind(k - n)
            text.append([i])
        yield [*proposed[:n], i]
        max_new_tokens -= n + 1


def speculate(model, draft, prompt, max_new_tokens, *, n_draft=4, temperature=1.0, top_k=None,
              top_p=None, stop_ids=(), seed=None):  # fmt: skip
    """Continues one prompt with the help of a draft model; yields the new ids, round by round.

    A round is a list: the ids of the draft that were kept, and one drawn by the large model. All
    rounds together are distributed as `generate(model, [prompt], ...)` is, and for temperature 0
    they are the same ids; for other temperatures a seed gives another text than there.

    Args:
        model: the `GPT` whose text it is.
        draft: a smaller one, with the same tokens.
        prompt, max_new_tokens, temperature, top_k, top_p, stop_ids, seed: as for `generate`.
        n_draft: how many tokens the draft proposes a round, at least 1.

    Raises:
        ValueError: as for `generate`; for a draft with another vocabulary, or n_draft below 1.

    Source: Leviathan et al. 2022, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318.
    Built in chapter 8.
    """
    check_request(model, [prompt], max_new_tokens, temperature, top_k, top_p)
    sizes = [m.config.vocab_size for m in (draft, model)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"draft: its vocab_size ({sizes[0]}) must be the model's ({sizes[1]})")
    if n_draft < 1:
        raise ValueError(f"n_draft ({n_draft}) must be at least 1")
    probs_of = functools.partial(
        next_token_probs, temperature=temperature, top_k=top_k, top_p=top_p
    )
    readers = [Reader(m, [prompt]) for m in (model, draft)]
    steps = rounds(*readers, max_new_tokens, n_draft, probs_of, make_generator(seed))

    def until_stop():
        for ids in steps:
            ends = [n for n, i in enumerate(ids) if i in stop_ids]
            yield ids[: ends[0] + 1] if ends else ids
            if ends:
                return

    return until_stop()
