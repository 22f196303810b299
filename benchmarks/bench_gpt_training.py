"""Training speed: tokens a second of `minillm`'s GPT beside transformers' GPT-2 of the same size.

    python benchmarks/bench_gpt_training.py

Both train in single precision on two threads, with parameters of the same shapes, the same batches,
loss, fused AdamW and fused causal attention, and without dropout (GPT-2's default of 0.1 would be
a second difference). Their steps take turns, so that whatever else the machine does slows both; a
ratio is that of the median times.

The headline compares with GPT-2 as transformers makes it by default. Its GELU is the tanh
approximation, written as eight elementwise operations; ours is the exact one, one operation. "With
the same GELU" gives transformers ours too, and so tells how much of the ratio is due to this one
choice: nearly all. Most of the rest is matrix products, the same on both sides.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from minillm.model.gpt import GPT, GPTConfig

SIZES = {  # GPTConfig, batch size
    "small": (GPTConfig(65, context_length=64, d_model=128, n_heads=4, n_layers=4), 12),
    "larger": (GPTConfig(1024, context_length=128, d_model=256, n_heads=8, n_layers=6), 8),
}


def gpt2(config, activation="gelu_new"):
    """transformers' GPT-2 with the sizes of our config; "gelu_new" is its default."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size, n_positions=config.context_length,
            n_embd=config.d_model, n_head=config.n_heads, n_layer=config.n_layers,
            activation_function=activation, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            use_cache=False, bos_token_id=None, eos_token_id=None, loss_type="ForCausalLM",
        )
    )  # fmt: skip


def our_loss(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def their_loss(model, ids, targets):
    return model(ids, shift_labels=targets, labels=targets).loss


def step(model, loss, optimizer, batch):
    optimizer.zero_grad()
    loss(model, *batch).backward()
    optimizer.step()


def compare(config, batch_size, steps):
    """Median seconds a step: ours, theirs by default, theirs with the same GELU."""
    torch.manual_seed(0)
    text = torch.randint(config.vocab_size, (batch_size, config.context_length + 1))
    batch = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    runs = []
    models = (
        (GPT(config), our_loss),
        (gpt2(config), their_loss),
        (gpt2(config, activation="gelu"), their_loss),
    )
    for model, loss in models:
        optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-3, fused=True)
        runs.append((model, loss, optimizer, []))
    assert runs[0][0].n_parameters() == runs[1][0].num_parameters()
    for i in range(steps + 5):
        for model, loss, optimizer, seconds in runs:
            start = time.perf_counter()
            step(model, loss, optimizer, batch)
            if i >= 5:  # the first ones warm up
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for *_, seconds in runs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each (60)")
    steps = parser.parse_args().steps
    torch.set_num_threads(2)
    logging.set_verbosity_error()
    for name, (config, batch_size) in SIZES.items():
        tokens = batch_size * config.context_length
        ours, theirs, same = compare(config, batch_size, steps)
        print(
            f"{name}: {config.n_layers} layers, {config.d_model} wide, context "
            f"{config.context_length}, batch {batch_size}: minillm {tokens / ours:,.0f} tokens/s, "
            f"transformers {tokens / theirs:,.0f}, ratio {theirs / ours:.2f}; "
            f"with the same GELU {tokens / same:,.0f}, ratio {same / ours:.2f}"
        )


if __name__ == "__main__":
    main()
