"""Text from a language model: sampling, streaming, beam search.

All of them read through `minillm.model.cache.Reader`, which decides what happens when a text
outgrows the context, and draw by minillm.sampling. But: ids in, ids out; tokenizers are in
minillm.text. A small model that helps a large one is in minillm.speculative.
"""

from typing import NamedTuple

import torch

from minillm.model.cache import Reader
from minillm.sampling import check_request, draw, make_generator, penalize


def sample(reader, max_new_tokens, temperature, top_k, top_p, repetition_penalty, seed):
    """Yields the next id of every text, a list, `max_new_tokens` times; see `generate`.

    Built in chapter 8.
    """
    generator = make_generator(seed)
    for _ in range(max_new_tokens):
        logits = reader.logits()  # (B, V)
        if repetition_penalty != 1:
            logits = penalize(logits, reader.windows, repetition_penalty)
        ids = draw(logits, temperature, top_k, top_p, generator)
        yield ids
        reader.append(ids)


def generate(model, prompts, max_new_tokens, *, temperature=1.0, top_k=None, top_p=None,
             repetition_penalty=1.0, stop_ids=(), seed=None, use_cache=True):  # fmt: skip
    """Continues each prompt, all of them at once.

    Args:
        model: a `GPT`.
        prompts: a list of lists of ids, of any lengths above 0.
        max_new_tokens: how many ids to add at most.
        temperature: 0 takes the likeliest token each time; else see `next_token_probs`.
        top_k, top_p: see `top_k_filter` and `top_p_filter`; None means no filter.
        repetition_penalty: see `penalize`, of what stands in the prompt or was drawn, as far back
            as the model can see; 1 means none.
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
    options = (temperature, top_k, top_p, repetition_penalty)
    check_request(model, prompts, max_new_tokens, *options)
    rows, going = [[] for _ in prompts], set(range(len(prompts)))
    steps = sample(Reader(model, prompts, use_cache), max_new_tokens, *options, seed)
    while going and (ids := next(steps, None)):
        for i in sorted(going):
            rows[i].append(ids[i])
            if ids[i] in stop_ids:
                going.remove(i)
    return rows


def stream(model, prompt, max_new_tokens, *, temperature=1.0, top_k=None, top_p=None,
           repetition_penalty=1.0, stop_ids=(), seed=None, use_cache=True):  # fmt: skip
    """Continues one prompt, a list of ids, and yields each new id as soon as it is drawn.

    Options, ids and errors are those of `generate(model, [prompt], ...)`.

    Built in chapter 8.
    """
    options = (temperature, top_k, top_p, repetition_penalty)
    check_request(model, [prompt], max_new_tokens, *options)
    steps = sample(Reader(model, [prompt], use_cache), max_new_tokens, *options, seed)

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
        n_beams: how many continuations are kept; 1 is greedy, except that a text
            that could have ended on the way may win.
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
    check_request(model, [prompt], max_new_tokens)
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
