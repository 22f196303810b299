"""LoRA beside full fine-tuning, and beside peft.

    python benchmarks/bench_lora.py

First village-bert on entities and on questions: everything trained, the adapters and the head, the
head alone; the same records and steps, each with the best of three learning rates (chosen on a
training set of its own), mean and spread over seeds, and what each costs. Then the same model with
our adapters and with peft's, step by step in turns: the time of a step as a ratio (medians), and
the most memory that tensors held in a step (torch's own count).
"""

import argparse
import copy
import itertools
import statistics
import time

import peft
import torch
from bench_finetuning import TASKS, TEST_SEED, learn, said

from minillm import zoo
from minillm.adapt.examples import Examples
from minillm.adapt.heads import train_only
from minillm.adapt.lora import LoRAConfig, add_lora
from minillm.adapt.tasks import answers, encode
from minillm.train.loop import backward
from minillm.train.objectives import classification

LORA = LoRAConfig(r=4, lora_alpha=8.0, target_modules=("qkv", "out"))
RATES = {"full": (5e-4, 1e-3, 2e-3), "LoRA": (5e-3, 1e-2, 2e-2), "head": (5e-3, 1e-2, 2e-2)}
TUNING_SEED = 77  # of the records on which the rate is chosen


def prepare(model, method):
    """Freezes what a method doesn't train."""
    if method == "LoRA":
        add_lora(model, LORA)
    elif method == "head":
        train_only(model, "head.*")
    return model


def score(name, method, rate, n, steps, seed, test, body, tokenizer):
    """The score of one run, the model and its steps' mean seconds."""
    task, draw = TASKS[name]
    torch.manual_seed(seed)
    model = prepare(task.head(copy.deepcopy(body)), method)
    examples = encode(task, draw(n, seed), tokenizer, body)
    history = learn(model, classification, examples, seed, steps=steps, lr=rate, warmup_steps=20)
    found = answers(task, model, test, tokenizer)
    return task.score(found, test), model, history.step_seconds / steps


def methods(options, body, tokenizer):
    """Prints each method's score and cost."""
    for name in options.tasks:
        test, tuning = TASKS[name][1](options.test, TEST_SEED), TASKS[name][1](200, TEST_SEED - 1)
        for method, rates in RATES.items():
            fixed = (options.labels, options.steps)
            tried = {
                rate: score(name, method, rate, *fixed, TUNING_SEED, tuning, body, tokenizer)[0]
                for rate in rates
            }
            rate = max(tried, key=tried.get)
            runs = [
                score(name, method, rate, *fixed, seed, test, body, tokenizer)
                for seed in range(options.seeds)
            ]
            trained = runs[0][1].n_parameters()
            share = trained / sum(p.numel() for p in runs[0][1].parameters())
            print(
                f"{name}, {options.labels:,} labels, {method} at {rate}: "
                f"{said([run[0] for run in runs])}; {trained:,} parameters ({share:.1%}), "
                f"AdamW {8 * trained / 1000:,.0f} kB, "
                f"{1000 * statistics.median(run[2] for run in runs):.0f} ms a step",
                flush=True,
            )


def most_held(model, batch):
    """The most bytes that tensors of one training step held at a time, beside what was there."""
    activity = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity], profile_memory=True) as profile:
        backward(model, classification, batch)
        model.zero_grad()
    found = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    found.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in found))


def beside_peft(body, tokenizer, turns):
    """Prints the ratios of time and memory, ours over peft's."""
    task, draw = TASKS["questions"]
    data = Examples(encode(task, draw(256, 0), tokenizer, body))
    theirs = peft.LoraConfig(
        r=LORA.r, lora_alpha=LORA.lora_alpha, target_modules=list(LORA.target_modules),
        modules_to_save=["head"],
    )  # fmt: skip
    models = {
        "ours": add_lora(task.head(copy.deepcopy(body)), LORA),
        "peft": peft.get_peft_model(task.head(copy.deepcopy(body)), theirs),
    }
    sizes = {
        who: sum(p.numel() for p in m.parameters() if p.requires_grad) for who, m in models.items()
    }
    optimizers = {
        who: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-3, fused=True)
        for who, m in models.items()
    }
    times = {who: [] for who in models}
    for turn in range(turns):
        batch = data.batch(16 * turn, 16)
        for who in sorted(models, reverse=turn % 2 == 1):
            began = time.perf_counter()
            backward(models[who].train(), classification, batch)
            optimizers[who].step()
            optimizers[who].zero_grad()
            times[who].append(time.perf_counter() - began)
    ratio = statistics.median(a / b for a, b in zip(times["ours"], times["peft"], strict=True))
    batch = data.batch(0, 16)
    held = {who: most_held(model, batch) for who, model in models.items()}
    print(f"ours beside peft, {sizes['ours']:,} and {sizes['peft']:,} parameters:")
    print(f"  time of a step {ratio:.2f} ({turns} turns)")
    print(f"  most memory held in a step {held['ours'] / held['peft']:.2f} "
          f"({held['ours'] / 1e6:.1f} and {held['peft'] / 1e6:.1f} MB)")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["entities", "questions"], choices=TASKS)
    parser.add_argument("--labels", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=300, help="of 16 records (300)")
    parser.add_argument("--seeds", type=int, default=3, help="training sets (3)")
    parser.add_argument("--test", type=int, default=500, help="records to test on (500)")
    parser.add_argument("--turns", type=int, default=60, help="steps timed beside peft (60)")
    options = parser.parse_args()
    body, tokenizer = zoo.load("village-bert")
    beside_peft(body, tokenizer, options.turns)
    methods(options, body, tokenizer)


if __name__ == "__main__":
    main()
