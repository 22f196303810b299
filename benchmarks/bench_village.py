"""The village: how fast its stories are written, and how well the recipe's GPT learns them.

    python benchmarks/bench_village.py

Trains `minillm.train.recipes.VILLAGE` once (its weights are thrown away), on the cores there are.
"""

import time

import torch

from minillm.generate import generate
from minillm.text import village
from minillm.train import recipes
from minillm.train.texts import END

STORIES = 400  # generated and judged: about 3,700 sentences, so the share is good to half a point


def sentences_per_second(n: int = 4000) -> float:
    """Sentences written per second of one core, the best of three runs."""
    best = 0.0
    for seed in range(3):
        start = time.process_time()
        told = village.stories(n, seed)
        seconds = time.process_time() - start
        best = max(best, sum(len(story.said) for story in told) / seconds)
    return best


def possible_share(model, tokenizer, n: int = STORIES) -> tuple[float, float]:
    """Of stories written by a model: the shares of sentences, and of stories, that could happen."""
    end = tokenizer.special_tokens[END]
    room = model.config.context_length - 1
    ids = generate(model, [[end]] * n, room, stop_ids=(end,), seed=0)
    judged = [village.score(tokenizer.decode(row, skip_special_tokens=True)) for row in ids]
    # A story that ran out of room ends in a cut sentence; that is no mistake of the model's.
    whole = [
        score.sentences[: None if row[-1] == end else -1]
        for score, row in zip(judged, ids, strict=True)
    ]
    sentences = [sentence.reason is None for story in whole for sentence in story]
    stories = [all(sentence.reason is None for sentence in story) for story in whole]
    return sum(sentences) / len(sentences), sum(stories) / len(stories)


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
    sentences, stories = possible_share(result.model, result.tokenizer)
    print(f"generated: {sentences:.1%} of sentences possible, {stories:.1%} of stories wholly so")


if __name__ == "__main__":
    main()
