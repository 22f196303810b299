"""README's picture: a GPT learns the village, between what counting reaches and the floor.

python -m minillm train village --out runs/village
python scripts/picture.py runs/village        # writes pictures/learning.png
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from minillm import plot
from minillm.text import tokenizers, village
from minillm.text.ngram import InterpolatedNGram, fit_weights
from minillm.train import checkpoint
from minillm.train.texts import VALIDATION_SEED

PICTURE = Path(__file__).resolve().parents[1] / "pictures" / "learning.png"
ORDER, STORIES, HELD_OUT, SMOOTH = 5, 8000, 400, 15


def counted_loss(tokenizer) -> float:
    """The loss of n-grams of all orders up to 5, mixed, in nats per token of this tokenizer."""
    sizes = {1: STORIES, 2: 200, VALIDATION_SEED: HELD_OUT}
    train, tune, val = (
        [tokenizer.encode(story.text) for story in village.stories(n, seed)]
        for seed, n in sizes.items()
    )
    model = InterpolatedNGram(ORDER, k=0.001).fit(train, range(len(tokenizer)))
    return fit_weights(model, tune).nats_per_token(val)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of `python -m minillm train`")
    found = checkpoint.load(parser.parse_args().run)
    history, floor = found.state["history"], found.notes["floor"]
    losses = np.convolve(history["losses"], np.ones(SMOOTH) / SMOOTH, mode="valid")
    seconds = np.arange(len(losses)) * history["step_seconds"] / len(history["losses"])
    tokenizer = tokenizers.load(found.path)
    levels = {
        f"counting: {ORDER}-grams and shorter ones, mixed": counted_loss(tokenizer),
        "floor: no model can do better": floor,
    }
    title = f"A small GPT comes within {history['val_loss'] / floor - 1:.0%} of the floor"
    series = {"GPT": (seconds.tolist(), losses.tolist())}
    axes = plot.lines(series, title, "seconds of training", "loss (nats per token)", levels)
    axes.set_ylim(0, 4)
    PICTURE.parent.mkdir(exist_ok=True)
    axes.figure.savefig(PICTURE, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
