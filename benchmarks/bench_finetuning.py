"""What pretraining is worth: four tasks, 16 to 4,096 labels, from village-bert and from nothing.

    python benchmarks/bench_finetuning.py

The same records, steps and settings for both; mean and spread (largest less smallest) over seeds,
each with training records of its own. Beside them a baseline that learns from the same records: a
bag of words (logistic regression over words, and over pairs of neighbours too), a dictionary of the
names seen, the latest place, person or thing that the text names. Scores: accuracy; F1 of entities;
F1 of answers.
"""

import argparse
import copy
import statistics
from collections import Counter, defaultdict

import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from minillm import zoo
from minillm.adapt.examples import Examples, word_spans
from minillm.adapt.tasks import Classification, QuestionAnswering, Tagging, answers, encode
from minillm.model.bert import BERT
from minillm.text import village
from minillm.text.village.words import PERSON, PLACE, THING
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import classification

STEPS = {16: 60, 64: 100, 256: 150, 1024: 300, 4096: 600}  # of 16 records, for both
TEST_SEED = 999_999
CLAIMS = ("entailment", "contradiction", "neutral")
TASKS = {
    "sentiment": (Classification((0, 1)), village.sentiment),
    "entities": (Tagging(("PERSON", "PLACE", "THING")), village.entities),
    "pairs": (Classification(CLAIMS, ("premise", "hypothesis")), village.pairs),
    "questions": (QuestionAnswering(), village.questions),
}


SETTINGS = {  # Muon for a body that Muon has pretrained; AdamW is the usual choice
    "muon": {"optimizer": "muon", "lr": 5e-3, "muon_lr": 0.02},
    "adamw": {"optimizer": "adamw", "lr": 1e-3},
}


def learn(model, objective, examples, seed, **settings):
    """Trains a model in place, by what all the runs here have in common; returns the history."""
    common = {"batch_size": 16, "warmup_steps": 10, "decay": "linear", "final_lr": 0.0}
    config = TrainConfig(**common | {"weight_decay": 0.01, "seed": seed} | settings)
    return train(model, objective, Examples(examples, seed), config, progress=False)


def fine_tune(task, body, tokenizer, records, seed, optimizer):
    """A model for the task, trained on records from a copy of a body."""
    torch.manual_seed(seed)
    model = task.head(copy.deepcopy(body))
    examples = encode(task, records, tokenizer, body)
    learn(model, classification, examples, seed, steps=STEPS[len(records)], **SETTINGS[optimizer])
    return model


def bag(task, records, test, n_words):
    """The accuracy of a logistic regression over counts of up to n_words words in a row."""
    texts = lambda some: [" | ".join(r[key] for key in task.texts) for r in some]  # noqa: E731
    words = CountVectorizer(ngram_range=(1, n_words), token_pattern=r"\w+|[^\w\s]")
    model = make_pipeline(words, LogisticRegression(max_iter=1000))
    model.fit(texts(records), [r["label"] for r in records])
    return task.score(list(model.predict(texts(test))), test)


def dictionary(task, records, test):
    """The F1 of giving each word the kind of entity that it was most often."""
    kinds = defaultdict(Counter)
    for record in records:
        for start, end in word_spans(record["text"]):
            inside = [kind for a, b, kind in record["spans"] if a <= start and end <= b]
            kinds[record["text"][start:end]][inside[0] if inside else ""] += 1
    found = []
    for record in test:
        text, spans = record["text"], []
        for start, end in word_spans(text):
            kind = kinds[text[start:end]].most_common(1)[0][0] if text[start:end] in kinds else ""
            if kind and spans and spans[-1][2] == kind and spans[-1][1] == start - 1:
                spans[-1] = (spans[-1][0], end, kind)
            elif kind:
                spans.append((start, end, kind))
        found.append(spans)
    return task.score(found, test)


def latest(task, records, test):
    """The F1 of answering with the last name in the text of the kind that is asked for."""
    found = []
    for record in test:
        asked = record["question"].split()[0]
        names = {"Where": PLACE, "Who": PERSON, "What": THING}[asked]
        places = [(record["text"].rfind(name), name) for name in names]
        found.append(max(places)[1])
    return task.score(found, test)


BASELINES = {
    "sentiment": {"bag of words": lambda *a: bag(*a, 1), "of two words": lambda *a: bag(*a, 2)},
    "entities": {"dictionary": dictionary},
    "pairs": {"bag of words": lambda *a: bag(*a, 1), "of two words": lambda *a: bag(*a, 2)},
    "questions": {"latest name": latest},
}


def said(scores):
    """Mean and spread, as printed."""
    return f"{statistics.mean(scores):.3f} ({max(scores) - min(scores):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], choices=TASKS)
    parser.add_argument("--labels", nargs="+", type=int, default=[*STEPS], choices=STEPS)
    parser.add_argument("--optimizer", default="muon", choices=SETTINGS)
    parser.add_argument("--seeds", type=int, default=3, help="training sets (3)")
    parser.add_argument("--test", type=int, default=500, help="records to test on (500)")
    options = parser.parse_args()
    pretrained, tokenizer = zoo.load("village-bert")
    for name in options.tasks:
        task, draw = TASKS[name]
        test = draw(options.test, TEST_SEED)
        for n in options.labels:
            scores = defaultdict(list)
            for seed in range(options.seeds):
                records = draw(n, seed)
                torch.manual_seed(100 + seed)
                for start, body in (
                    ("pretrained", pretrained),
                    ("from scratch", BERT(pretrained.config)),
                ):
                    model = fine_tune(task, body, tokenizer, records, seed, options.optimizer)
                    scores[start].append(task.score(answers(task, model, test, tokenizer), test))
                for baseline, score in BASELINES[name].items():
                    scores[baseline].append(score(task, records, test))
            shown = ", ".join(f"{who} {said(those)}" for who, those in scores.items())
            print(f"{name}, {n:,} labels: {shown}", flush=True)


if __name__ == "__main__":
    main()
