"""Speculative decoding: village-gpt with village-draft, beside village-gpt alone with its cache.

    python benchmarks/bench_speculative.py

One story at a time, on one thread: so small a model gains nothing from a second. Plain generation
and each number of proposed tokens take turns on the same seeds, so that whatever else the machine
does slows all of them; the ratio is that of the tokens a second. "Kept" is how many of the
proposals the large model accepts a round, on average; a round writes one token more than that.

The speed-up is bounded by what a token of the draft costs. On a CPU a model this small spends most
of its time on starting operations, so one layer costs about a quarter of four, though it has an
eighth of the arithmetic. (The first run trains both models and keeps them.)
"""

import argparse
import time

import torch

from minillm import zoo
from minillm.generate import generate
from minillm.speculative import speculate

DRAFTED, LENGTH = range(1, 7), 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20, help="texts of 100 tokens for each (20)")
    texts = parser.parse_args().texts
    torch.set_num_threads(1)
    (large, tokenizer), (draft, _) = zoo.load("village-gpt"), zoo.load("village-draft")
    end = tokenizer.special_tokens["<|endoftext|>"]
    ways = {0: lambda how: [[i] for i in generate(large, [[end]], LENGTH, **how)[0]]}
    for k in DRAFTED:
        ways[k] = lambda how, k=k: list(speculate(large, draft, [end], LENGTH, n_draft=k, **how))
    for temperature in (1.0, 0):
        seconds, kept = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
        for seed in range(-1, texts):
            for k, way in ways.items():
                start = time.perf_counter()
                rounds = way({"temperature": temperature, "seed": max(0, seed)})
                if seed >= 0:  # the first one warms up
                    seconds[k] += time.perf_counter() - start
                    kept[k] += (LENGTH / len(rounds) - 1) / texts
        print(f"temperature {temperature}: alone {texts * LENGTH / seconds[0]:,.0f} tokens/s")
        for k in DRAFTED:
            print(
                f"  {k} proposed a round, {kept[k]:.2f} kept: "
                f"{texts * LENGTH / seconds[k]:,.0f} tokens/s, ratio {seconds[0] / seconds[k]:.2f}"
            )


if __name__ == "__main__":
    main()
