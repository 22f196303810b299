"""How much sooner the modern recipe reads Shakespeare than the plain one, both in this run.

    python benchmarks/bench_shakespeare.py

Tiny Shakespeare by characters, 4 layers of width 128, context 64, batches of 12. The plain recipe
is GPT-2's architecture with AdamW and takes 2000 steps. The modern one has rotary positions,
RMSNorm without gain, QK norm, squared ReLU, output projections that start at zero, and Muon; it
is given a short schedule of its own. Losses are means over the whole validation split, every
character once. Times are those of the steps, without evaluations.
"""

import argparse

import torch

from minillm.model.gpt import GPT, GPTConfig
from minillm.text import corpora
from minillm.text.tokenizers import CharTokenizer
from minillm.train.batches import TokenWindows
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import causal_lm
from minillm.train.run import History

CONTEXT, BATCH = 64, 12
TARGET = 1.88  # nats per character, which the modern recipe must reach ...
SHARE = 0.2  # ... in this share of the plain recipe's time


def learn(name: str, ids: torch.Tensor, model: GPTConfig, config: TrainConfig) -> History:
    """Trains one model on the first nine tenths of the text, evaluates on the last, prints."""
    cut = int(0.9 * len(ids))
    torch.manual_seed(config.seed)
    history = train(
        GPT(model),
        causal_lm,
        TokenWindows(ids[:cut], CONTEXT, config.seed),
        config,
        val_data=TokenWindows(ids[cut:], CONTEXT),
    )
    print(
        f"{name:8s} {config.steps:5d} steps  {history.step_seconds:6.1f} s  "
        f"{1000 * history.step_seconds / config.steps:5.1f} ms/step  "
        f"validation {history.val_loss:.4f} nats",
        flush=True,
    )
    return history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="of the plain recipe")
    parser.add_argument("--modern-steps", type=int, default=220, help="of the modern recipe")
    options = parser.parse_args()
    (text,) = corpora.texts("tinyshakespeare")
    tokenizer = CharTokenizer.train([text], special_tokens=())
    ids = torch.tensor(tokenizer.encode(text))
    sizes = {"context_length": CONTEXT, "d_model": 128, "n_heads": 4, "n_layers": 4}
    plain = learn(
        "plain",
        ids,
        GPTConfig(len(tokenizer), **sizes),
        TrainConfig(steps=options.steps, batch_size=BATCH),
    )
    modern = learn(
        "modern",
        ids,
        GPTConfig.modern(len(tokenizer), **sizes, tie_embeddings=False),
        TrainConfig(
            steps=options.modern_steps,
            batch_size=BATCH,
            optimizer="muon",
            lr=0.01,
            muon_momentum=0.85,
            warmup_steps=0,
            decay="linear",
            final_lr=0.0,
        ),
    )
    share = modern.step_seconds / plain.step_seconds
    reached = modern.val_loss <= TARGET and share <= SHARE
    print(
        f"modern reaches {modern.val_loss:.3f} in {share:.3f} of the plain recipe's time: "
        f"{'as' if reached else 'NOT as'} aimed at, {TARGET} in {SHARE}"
    )


if __name__ == "__main__":
    main()
