"""What a student keeps of its teacher: entities, at a half, a quarter and an eighth of the size.

    python benchmarks/bench_distillation.py

The teacher is village-bert, fine-tuned on few labelled stories. A student of each size learns, with
the same steps and settings, from the labels alone (its twin from scratch) and from the teacher's
probabilities on stories without labels. Printed for each: F1, the mean and the spread (largest less
smallest) over seeds; the share of the teacher's F1 that is kept, as an F1 of 0 is chance (who marks
nothing); and how many times as fast it reads, in turns with the teacher.
"""

import argparse
import copy
import dataclasses
import statistics
import time

import torch
from bench_finetuning import TASKS, TEST_SEED, learn, said

from minillm import zoo
from minillm.adapt.examples import predict
from minillm.adapt.tasks import answers, encode
from minillm.compress.distill import distill
from minillm.model.bert import BERT
from minillm.text import village
from minillm.train.objectives import classification

SIZES = {"half": (128, 2), "quarter": (80, 2), "eighth": (56, 2)}  # d_model, n_layers
UNLABELLED_SEED = 5_000_000


def speed(student, teacher, examples, turns=7):
    """How many times as fast the student reads as its teacher: the median over turns."""
    ratios = []
    for _ in range(turns):
        seconds = []
        for model in (teacher, student):
            began = time.perf_counter()
            predict(model, examples)
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=64, help="stories with labels (64)")
    parser.add_argument("--texts", type=int, default=4000, help="stories without (4,000)")
    parser.add_argument("--steps", type=int, default=400, help="of a student, of 16 stories (400)")
    parser.add_argument("--seeds", type=int, default=3, help="of the students' starts (3)")
    parser.add_argument("--test", type=int, default=500, help="stories to test on (500)")
    options = parser.parse_args()
    body, tokenizer = zoo.load("village-bert")
    task, _ = TASKS["entities"]
    test = village.entities(options.test, TEST_SEED)
    labelled = encode(task, village.entities(options.labels, 0), tokenizer, body)
    # Only the places of the tags are used of these, not the tags: the teacher's count.
    texts = encode(task, village.entities(options.texts, UNLABELLED_SEED), tokenizer, body)

    def score(model):
        return task.score(answers(task, model, test, tokenizer), test)

    torch.manual_seed(0)
    teacher = task.head(copy.deepcopy(body))
    learn(teacher, classification, labelled, 0, steps=100, lr=1e-3)
    best = score(teacher)
    print(f"teacher: {teacher.n_parameters():,} parameters, {options.labels} labels, F1 {best:.3f}")
    read = encode(task, test, tokenizer, body)
    for name, (d_model, n_layers) in SIZES.items():
        config = dataclasses.replace(body.config, d_model=d_model, n_layers=n_layers)
        ways = {
            "labels": (classification, labelled),
            "teacher": (distill(teacher, 2.0, 1.0), texts),
        }
        scores = {way: [] for way in ways}
        for seed in range(options.seeds):
            for way, (objective, examples) in ways.items():
                torch.manual_seed(seed)
                student = task.head(BERT(config))
                learn(student, objective, examples, seed, steps=options.steps, lr=3e-3)
                scores[way].append(score(student))
        share = student.n_parameters() / teacher.n_parameters()
        kept = statistics.mean(scores["teacher"]) / best
        print(
            f"{name}, {share:.1%} of the parameters: from the labels {said(scores['labels'])}, "
            f"from the teacher {said(scores['teacher'])}, {kept:.1%} kept, "
            f"{speed(student, teacher, read):.1f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()
