"""The village: how fast its stories are written, and how well the recipe's GPT learns them.

    python benchmarks/bench_village.py

Trains `minillm.train.recipes.VILLAGE` once (its weights are thrown away), on the cores there are.
"""

import time
from typing import NamedTuple

import torch

from minillm.generate import generate
from minillm.text import village
from minillm.train import recipes
from minillm.train.texts import END

STORIES = 400  # generated and judged: about 3,200 sentences, so a share is good to a point


def sentences_per_second(n: int = 4000) -> float:
    """Sentences written per second of one core, the best of three runs."""
    best = 0.0
    for seed in range(3):
        start = time.process_time()
        told = village.stories(n, seed)
        seconds = time.process_time() - start
        best = max(best, sum(len(story.said) for story in told) / seconds)
    return best


class Possible(NamedTuple):
    """Shares of what a model wrote that could have happened."""

    sentences: float  # of all sentences; what was told wrongly counts as told for the later ones
    until_slip: float  # of those up to each story's first wrong one
    stories: float  # of stories, all their sentences right


def possible(model, tokenizer, temperature: float, n: int = STORIES) -> Possible:
    """Judge `n` stories written by a model at a temperature."""
    end = tokenizer.special_tokens[END]
    room = model.config.context_length - 1
    ids = generate(model, [[end]] * n, room, temperature=temperature, stop_ids=(end,), seed=0)
    stories = []
    for row in ids:
        judged = village.score(tokenizer.decode(row, skip_special_tokens=True)).sentences
        # A story that ran out of room ends in a cut sentence; that is no mistake of the model's.
        whole = judged[: None if row[-1] == end else -1]
        stories.append([sentence.reason is None for sentence in whole])
    slips = sum(not all(story) for story in stories)
    before = sum([*story, False].index(False) for story in stories)
    return Possible(
        sum(map(sum, stories)) / sum(map(len, stories)), before / (before + slips), 1 - slips / n
    )


def main() -> None:
    print(f"village: {sentences_per_second():,.0f} sentences a second on one core")
    result = recipes.run(recipes.VILLAGE, progress=False)
    found = result.metrics
    print(
        f"village-gpt: {found['parameters']:,} parameters, {found['train_seconds']:.0f} s "
        f"({torch.get_num_threads()} threads), {found['tokens_per_second']:,.0f} tokens/s"
    )
    print(
        f"loss {found['val_loss']:.4f}, floor {found['floor']:.4f} nats per token, "
        f"ratio {found['ratio']:.3f}"
    )
    for temperature in (1.0, 0.6):
        shares = possible(result.model, result.tokenizer, temperature)
        print(
            f"temperature {temperature}: {shares.sentences:.1%} of sentences possible, "
            f"{shares.until_slip:.1%} up to a story's first slip, {shares.stories:.1%} of stories"
        )


if __name__ == "__main__":
    main()
