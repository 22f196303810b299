"""Generation speed: with the key-value cache and without, and beside transformers' `generate`.

    python benchmarks/bench_generation.py

First one text of 1,000 tokens by a random GPT of village-gpt's size with a context of 1,024, with
the cache and without it, in turns, on one thread and on two. Both give the same tokens. The seconds
are compared for the whole text, and for its last 50 tokens. (A second thread helps only where there
is much to read at once, which is without the cache.)

Then beside transformers:

Both models are GPT-2s of the same size in single precision on two threads, each with its own cache,
and continue the same prompt by the same number of tokens. They take turns, so that whatever else
the machine does slows both; the ratio is that of the median times.

Models this small spend more time on starting operations than on arithmetic, so this measures how
much is done around each token: transformers' `generate` serves many models and options, ours one.
Its GELU in eight operations is GPT-2's default and counts for at most a tenth; sampling is in
double precision here, in single there. The ratio falls as models grow.
"""

import argparse
import dataclasses
import statistics
import time

import torch
from bench_gpt_training import gpt2
from transformers.utils import logging

from minillm.generate import generate, stream
from minillm.model.gpt import GPT, GPTConfig
from minillm.train.recipes import VILLAGE

SIZES = {
    "small": GPTConfig(1024, context_length=256, d_model=128, n_heads=4, n_layers=4),
    "larger": GPTConfig(1024, context_length=256, d_model=256, n_heads=8, n_layers=6),
}
PROMPT, NEW = list(range(6)), 250


def cached_and_not(n, repeats):
    """Median seconds for a text of n tokens, and for its last 50, with the cache and without."""
    torch.manual_seed(0)
    model = GPT(dataclasses.replace(VILLAGE.model, context_length=1024, zero_init=False)).eval()
    texts, seconds = set(), {True: [], False: []}
    for _ in range(repeats):
        for use_cache, taken in seconds.items():
            ids, clock = [], [time.perf_counter()]
            for i in stream(model, PROMPT[:1], n - 1, temperature=0, use_cache=use_cache):
                ids.append(i)
                clock.append(time.perf_counter())
            taken.append((clock[-1] - clock[0], clock[-1] - clock[-51]))
            texts.add(tuple(ids))
    assert len(texts) == 1  # the same tokens, whichever way
    return [[statistics.median(times) for times in zip(*t, strict=True)] for t in seconds.values()]


def compare(config, repeats, **how):
    """Median seconds for NEW tokens, ours and theirs."""
    torch.manual_seed(0)
    ours, theirs = GPT(config).eval(), gpt2(config).eval()
    ids = torch.tensor([PROMPT])
    their_how = {
        "do_sample": how["temperature"] > 0, "max_new_tokens": NEW,
        "use_cache": True, "pad_token_id": 0, "top_k": how.get("top_k"),
    }  # fmt: skip
    runs = (
        (lambda: generate(ours, [PROMPT], NEW, **how)[0], []),
        (lambda: theirs.generate(ids, **their_how)[0, len(PROMPT) :], []),
    )
    for i in range(repeats + 1):
        for run, seconds in runs:
            start = time.perf_counter()
            assert len(run()) == NEW
            if i:  # the first one warms up
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for _, seconds in runs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="timed texts of each (9)")
    repeats = parser.parse_args().repeats
    logging.set_verbosity_error()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        cached, uncached = cached_and_not(1000, max(1, repeats // 3))
        print(
            f"1,000 tokens, 4 layers, 128 wide, threads {threads}: "
            f"with the cache {cached[0]:.2f} s, "
            f"without {uncached[0]:.2f} s, ratio {uncached[0] / cached[0]:.1f}; "
            f"of the last 50 tokens {uncached[1] / cached[1]:.1f}"
        )
    for name, config in SIZES.items():
        for how in ({"temperature": 0}, {"temperature": 1.0, "top_k": 50}):
            ours, theirs = compare(config, repeats, **how)
            print(
                f"{name}, {'sampling from the top 50' if how['temperature'] else 'greedy'}: "
                f"{config.n_layers} layers, {config.d_model} wide, {NEW} new tokens: "
                f"minillm {NEW / ours:,.0f} tokens/s, transformers {NEW / theirs:,.0f}, "
                f"ratio {theirs / ours:.2f}"
            )


if __name__ == "__main__":
    main()
