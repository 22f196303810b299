"""From logits to a token: temperature, top-k, top-p, a penalty on repetition, and the draw.

But: nothing here reads a text or knows a model; see minillm.generate.
"""

import torch
import torch.nn.functional as F


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


def penalize(logits, texts, penalty):
    """Lowers the logits of the ids that a text already holds.

    The paper divides such a logit by the penalty. That would raise a negative one, so it is
    multiplied, as in transformers.

    Args:
        logits: (B, V).
        texts: B lists of ids.
        penalty: above 0; 1 changes nothing, the paper takes 1.2.

    Returns:
        (B, V).

    >>> penalize(torch.tensor([[2.0, -2.0, 2.0]]), [[0, 1]], 2.0).tolist()
    [[1.0, -4.0, 2.0]]

    Source: Keskar et al. 2019, CTRL, arXiv:1909.05858, section 4.1.
    Built in chapter 8.
    """
    seen = torch.zeros_like(logits, dtype=torch.bool)  # (B, V)
    for row, text in enumerate(texts):
        seen[row, text] = True
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lowered, logits)


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    """What sampling draws from: softmax(logits / temperature), then top-k, then top-p.

    Args:
        logits: (..., V).
        temperature: below one sharpens, above one flattens; 0 leaves the likeliest token alone.
        top_k, top_p: see the filters; None means no filter.

    Returns:
        (..., V) on the CPU in double precision: the same draw on every device.

    Built in chapter 8.
    """
    logits = logits.cpu().double()
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).double()
    probs = (logits / temperature).softmax(dim=-1)  # (..., V)
    if top_k is not None:
        probs = top_k_filter(probs, top_k)
    if top_p is not None:
        probs = top_p_filter(probs, top_p)
    return probs


def pick(probs, generator=None):
    """One index for each row of probs (B, V), a list, each as often as its share of the row.

    Built in chapter 8.
    """
    edges = probs.cumsum(dim=-1)  # (B, V)
    if not edges[:, -1].isfinite().all():
        raise ValueError("model: its logits are not finite numbers; did its training diverge?")
    # A dart thrown at a line on which each token has as much room as probability.
    dart = torch.rand(len(edges), 1, generator=generator, dtype=edges.dtype) * edges[:, -1:]
    return torch.searchsorted(edges, dart, right=True)[:, 0].tolist()


def draw(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """One id for each row of logits (B, V), a list; temperature 0 takes the likeliest.

    Built in chapter 8.
    """
    if temperature == 0:
        return logits.argmax(dim=-1).tolist()
    return pick(next_token_probs(logits, temperature, top_k, top_p), generator)


def make_generator(seed):
    """Dice that fall alike for the same seed; None, torch's own, for None.

    Built in chapter 8.
    """
    return None if seed is None else torch.Generator().manual_seed(seed)


def check_request(model, prompts, max_new_tokens, temperature=1.0, top_k=None, top_p=None,
          repetition_penalty=1.0):  # fmt: skip
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
    if not 0 < repetition_penalty < float("inf"):
        raise ValueError(f"repetition_penalty ({repetition_penalty}) must be above 0; 1 is none")
