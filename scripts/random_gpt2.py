"""Writes a small GPT-2 that has learned nothing, with the real vocabulary: lab 3 runs on it too.

    python scripts/random_gpt2.py FOLDER

GPT-2's vocab.json and merges.txt are read from $MINILLM_DATA/gpt2_vocab. Named gpt2, in the folder
that MINILLM_MODELS names, it is what `hub.load("gpt2")` finds.

But: what it says means nothing. It is there so that every cell is run where there is no hub.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch

from minillm.model.gpt import GPT, GPTConfig
from minillm.text import tokenizers


def random_gpt2(tokenizer: Any, seed: int = 0) -> GPT:
    """Returns a GPT of GPT-2's architecture for a tokenizer, small, with random weights."""
    torch.manual_seed(seed)
    config = GPTConfig(
        len(tokenizer), context_length=128, d_model=48, n_layers=3, activation="gelu_tanh"
    )
    return GPT(config).eval()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    data = os.environ.get("MINILLM_DATA")
    if not data:
        print("set MINILLM_DATA to a folder with gpt2_vocab/vocab.json and merges.txt",
              file=sys.stderr)  # fmt: skip
        return 1
    tokenizer = tokenizers.load(Path(data, "gpt2_vocab"))
    random_gpt2(tokenizer).save_pretrained(folder, tokenizer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
