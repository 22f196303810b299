"""Text from a language model: sampling, streaming, beam search.

All of them read through `minillm.model.cache.Reader`, which decides what happens when a text
outgrows the context. But: ids in, ids out; tokenizers are in minillm.text.
"""

from typing import NamedTuple

import torch

from minillm.model.cache import Reader


def top_k_filter(probs, k):
    """Keeps the k most likely tokens, and any that tie with the last of them.

    Args:
        probs: (..., V), each row sums to one.
        k: how many, at least 1.

    Returns:
        (..., V), zero where dropped; each row sums to one again.

    >>> top_k_filter(torch.tensor([0.5, 0.25, 0.125, 0.125]), 1).tolist()
    [1.0, 0.0, 0.0, 0.0]

    Source: Fan et al. 2018, arXiv:1805.04833, section 5.
    Built in chapter 8.
    """
    least = probs.topk(min(k, probs.shape[-1])).values[..., -1:]  # (..., 1)
    kept = probs.masked_fill(probs < least, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True)


def top_p_filter(probs, p):
    """Keeps the smallest set of tokens whose probabilities reach p: the nucleus.

    Args:
        probs: (..., V), each row sums to one.
        p: the mass to keep, above 0 and at most 1.

    Returns:
        (..., V), zero where dropped; each row sums to one again. Among equals, lower ids are kept.

    >>> top_p_filter(torch.tensor([0.25, 0.5, 0.125, 0.125]), 0.7).tolist()
    [0.3333333432674408, 0.6666666865348816, 0.0, 0.0]

    Source: Holtzman et al. 2019, arXiv:1904.09751, section 3.1.
    Built in chapter 8.
    """
    ordered, ids = probs.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered  # the mass of all that are more likely
    kept = ordered.masked_fill(before >= p, 0.0)
    kept = torch.zeros_like(probs).scatter(-1, ids, kept)  # back in the order of the vocabulary
    return kept / kept.sum(dim=-1, keepdim=True)


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    """What sampling draws from: softmax(logits / temperature), then top-k, then top-p.

    Args:
        logits: (..., V).
        temperature: above 0; below one sharpens, above one flattens.
        top_k, top_p: see the filters; None means no filter.

    Returns:
        (..., V) on the CPU in double precision: the same draw on every device.

    Built in chapter 8.
    """
    probs = (logits.cpu().double() / temperature).softmax(dim=-1)  # (..., V)
    if top_k is not None:
        probs = top_k_filter(probs, top_k)
    if top_p is not None:
        probs = top_p_filter(probs, top_p)
    return probs


def draw(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """One id for each row of logits (B, V), a list; temperature 0 takes the likeliest.

    Built in chapter 8.
    """
    if temperature == 0:
        return logits.argmax(dim=-1).tolist()
    edges = next_token_probs(logits, temperature, top_k, top_p).cumsum(dim=-1)  # (B, V)
    if not edges[:, -1].isfinite().all():
        raise ValueError("model: its logits are not finite numbers; did its training diverge?")
    # A dart thrown at a line on which each token has as much room as probability.
    dart = torch.rand(len(edges), 1, generator=generator, dtype=edges.dtype) * edges[:, -1:]
    return torch.searchsorted(edges, dart, right=True)[:, 0].tolist()


def sample(model, prompts, max_new_tokens, temperature, top_k, top_p, seed, use_cache):
    """Yields the next id of every prompt, a list, `max_new_tokens` times; see `generate`.

    Built in chapter 8.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    reader = Reader(model, prompts, use_cache)
    for _ in range(max_new_tokens):
        ids = draw(reader.logits(), temperature, top_k, top_p, generator)
        yield ids
        reader.append(ids)


def generate(model, prompts, max_new_tokens, *, temperature=1.0, top_k=None, top_p=None,
             stop_ids=(), seed=None, use_cache=True):  # fmt: skip
    """Continues each prompt, all of them at once.

    Args:
        model: a `GPT`.
        prompts: a list of lists of ids, of any lengths above 0.
        max_new_tokens: how many ids to add at most.
        temperature: 0 takes the likeliest token each time; else see `next_token_probs`.
        top_k, top_p: see `top_k_filter` and `top_p_filter`; None means no filter.
        stop_ids: ids that end a row; the one that was drawn is the row's last.
        seed: an integer makes the draw repeatable; None takes torch's own random state.
        use_cache: False reads all again for each token: the same ids, slowly.

    Returns:
        A list of lists of new ids, in the order of the prompts.

    Raises:
        ValueError: for an empty prompt, an id outside the vocabulary, or an impossible option.

    Source: Holtzman et al. 2019, arXiv:1904.09751, compares these ways to draw.
    Built in chapter 8.
    """
    check(model, prompts, max_new_tokens, temperature, top_k, top_p)
    rows, going = [[] for _ in prompts], set(range(len(prompts)))
    steps = sample(model, prompts, max_new_tokens, temperature, top_k, top_p, seed, use_cache)
    while going and (ids := next(steps, None)):
        for i in sorted(going):
            rows[i].append(ids[i])
            if ids[i] in stop_ids:
                going.remove(i)
    return rows


def stream(model, prompt, max_new_tokens, *, temperature=1.0, top_k=None, top_p=None,
           stop_ids=(), seed=None, use_cache=True):  # fmt: skip
    """Continues one prompt, a list of ids, and yields each new id as soon as it is drawn.

    Options, ids and errors are those of `generate(model, [prompt], ...)`.

    Built in chapter 8.
    """
    check(model, [prompt], max_new_tokens, temperature, top_k, top_p)
    steps = sample(model, [prompt], max_new_tokens, temperature, top_k, top_p, seed, use_cache)

    def until_stop():
        for (i,) in steps:
            yield i
            if i in stop_ids:
                return

    return until_stop()


class Beam(NamedTuple):
    """A continuation and its score, log-probability / length ** length_penalty."""

    ids: list[int]
    score: float


def beam_search(model, prompt, max_new_tokens, *, n_beams=4, length_penalty=1.0, stop_ids=()):
    """Looks for the likeliest continuation, by keeping the best `n_beams` at each length.

    Args:
        model: a `GPT`.
        prompt: a list of ids.
        max_new_tokens: how many ids to add at most.
        n_beams: how many continuations are kept; 1 is greedy.
        length_penalty: a finished text scores log-probability / length ** length_penalty: 0 takes
            the likeliest text, which favours short ones, 1 the best mean per token.
        stop_ids: ids that end a text; the one that was reached is its last.

    Returns:
        A list of `n_beams` `Beam`s, best first (fewer where there are no more texts).

    Raises:
        ValueError: as for `generate`; for n_beams below 1 or length_penalty below 0.

    Source: Sutskever et al. 2014, arXiv:1409.3215, section 3.2; the division by a power of the
    length: Wu et al. 2016, arXiv:1609.08144, section 7, in the simpler form of transformers.
    Built in chapter 8.
    """
    check(model, [prompt], max_new_tokens)
    if n_beams < 1:
        raise ValueError(f"n_beams ({n_beams}) must be at least 1")
    if length_penalty < 0:
        raise ValueError(f"length_penalty ({length_penalty}) must be 0 or more")
    reader = Reader(model, [prompt])
    going, done = [([], 0.0)], []  # ids and log-probability; finished Beams
    for _ in range(max_new_tokens):
        so_far = torch.tensor([logprob for _, logprob in going], dtype=torch.double)  # (B,)
        logprobs = so_far[:, None] + reader.logits().cpu().double().log_softmax(dim=-1)  # (B, V)
        # Every beam may end in every stop id, and n_beams must be left to go on.
        best = logprobs.flatten().topk(min(n_beams * (1 + len(stop_ids)), logprobs.numel()))
        previous, going, rows = going, [], []
        for logprob, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, i = divmod(index, logprobs.shape[1])
            ids = [*previous[row][0], i]
            if i in stop_ids:
                done.append(Beam(ids, logprob / len(ids) ** length_penalty))
            elif len(going) < n_beams:
                going.append((ids, logprob))
                rows.append(row)
        done = sorted(done, key=lambda beam: -beam.score)[:n_beams]
        # Log-probabilities only fall: no text can end better than its present one at full length.
        hope = max((logprob for _, logprob in going), default=-torch.inf)
        if len(done) == n_beams and done[-1].score >= hope / max_new_tokens**length_penalty:
            return done
        if not going:
            return done
        reader.select(rows)
        reader.append([ids[-1] for ids, _ in going])
    done += [Beam(ids, logprob / max(1, len(ids)) ** length_penalty) for ids, logprob in going]
    return sorted(done, key=lambda beam: -beam.score)[:n_beams]


def check(model, prompts, max_new_tokens, temperature=1.0, top_k=None, top_p=None):
    """Raises a ValueError that names the first argument that cannot be used.

    Built in chapter 8.
    """
    V = model.config.vocab_size
    for n, prompt in enumerate(prompts):
        if isinstance(prompt, int):
            raise ValueError(f"prompts[{n}] is {prompt}: prompts are lists of ids, [[...], ...]")
        if not len(prompt):
            raise ValueError(f"prompts[{n}] is empty: it needs at least one id to continue from")
        for i in prompt:
            if not 0 <= i < V:
                raise ValueError(f"prompts[{n}] holds {i}: ids must be from 0 to {V - 1}")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens ({max_new_tokens}) must be 0 or more")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature ({temperature}) must be 0 (greedy) or a positive number")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k ({top_k}) must be at least 1, or None for no filter")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p ({top_p}) must be above 0 and at most 1, or None for no filter")
