"""How good a model's answers are: a few scores, a table by class, and a baseline to compare with.

But: no model here; what counts as right is in `measure.py`.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from minillm.adapt.examples import word_spans
from minillm.adapt.records import spans_of_tags
from minillm.adapt.tasks import Classification, Tagging, Task, word_tags
from minillm.measure import Score, accuracy, entity_f1, span_scores


def scores(task: Task, answers: Sequence, records: Sequence[dict]) -> dict[str, float]:
    """The scores of a task by name: accuracy; F1 of entities; exact match and F1 of answers.

    Raises: ValueError if there are no records.

    Used by `python -m minillm finetune`.
    """
    if isinstance(task, Classification):
        return {"accuracy": accuracy(answers, [r["label"] for r in records])}
    if isinstance(task, Tagging):
        return {"entity F1": entity_f1(answers, [r["spans"] for r in records])["micro"].f1}
    found = span_scores(answers, [[r["answer"]] for r in records])
    return {"exact match": found["exact_match"], "F1": found["f1"]}


def table(task: Task, answers: Sequence, records: Sequence[dict]) -> str:
    """Precision, recall and F1 of each class, or kind of entity, as scikit-learn prints them.

    "" for questions, which have no classes.

    Used by `python -m minillm finetune`.
    """
    if isinstance(task, Classification):
        number = {label: i for i, label in enumerate(task.classes)}
        expected = [r["label"] for r in records]
        spans = [[[(0, 1, number.get(a, -1))] for a in some] for some in (answers, expected)]
        by_class = entity_f1(*spans)
        right = by_class.pop("micro").f1
        rows = {str(task.classes[i]): s for i, s in by_class.items() if i >= 0}
        return _lines(rows, right, len(records))
    if isinstance(task, Tagging):
        rows = entity_f1(answers, [r["spans"] for r in records])
        return _lines({kind: rows[kind] for kind in task.labels if kind in rows}, rows["micro"])
    return ""


def baseline(task: Task, learned: Sequence[dict], records: Sequence[dict]) -> tuple[str, list]:
    """What answers without reading: in words, and its answers to records.

    Args:
        learned: the records that the model learned from.

    Returns: the commonest class or the commonest answer, for all records; for entities, each word
        as it was tagged most often.

    Used by `python -m minillm finetune`.
    """
    if isinstance(task, Tagging):
        return "each word as tagged most often", _looked_up(learned, records)
    key = "label" if isinstance(task, Classification) else "answer"
    ((most, _),) = Counter(r[key] for r in learned).most_common(1)
    return f"always {most!r}", [most] * len(records)


def summary(table: str, metrics: dict[str, Any]) -> str:
    """A run's report: the table, the scores beside the baseline's, what was trained and how long.

    Used by `python -m minillm finetune`.
    """
    scores, base = metrics["scores"], metrics["baseline"]
    told = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    beside = ", ".join(f"{score:.3f}" for score in base["scores"].values())
    lines = [
        f"{told} on {metrics['val_rows']:,} rows held out ({base['name']}: {beside})",
        f"validation loss {metrics['val_loss']:.4f}; trained "
        f"{metrics['trained_parameters']:,} of {metrics['parameters']:,} parameters on "
        f"{metrics['rows']:,} rows, {metrics['steps']:,} steps, {metrics['train_seconds']:.1f} s",
    ]
    if metrics["stopped"] == "early":
        lines.append("stopped early, as the loss on the held-out rows had stopped falling")
    if metrics["cut_off"]:
        cut = f"{metrics['cut_off']:,} of {metrics['rows']:,} rows"
        lines.append(f"nothing learned from {cut}: what is to be found was cut off, or isn't there")
    return "\n".join(([table, ""] if table else []) + lines)


def _looked_up(learned: Sequence[dict], records: Sequence[dict]) -> list:
    tags: dict[str, Counter] = defaultdict(Counter)
    for r in learned:
        places = r.get("places") or word_spans(r["text"])
        for (a, b), tag in zip(places, word_tags(places, r["spans"]), strict=True):
            tags[r["text"][a:b]][tag] += 1
    usual = {word: counts.most_common(1)[0][0] for word, counts in tags.items()}
    found = []
    for r in records:
        places = r.get("places") or word_spans(r["text"])
        found.append(spans_of_tags([usual.get(r["text"][a:b], "O") for a, b in places], places))
    return found


def _lines(rows: dict[str, Score], total: float | Score, n: int = 0) -> str:
    """The table; `total` is the accuracy over n records, or the score of all entities together."""
    width = max(map(len, [*rows, "weighted avg"]))

    def line(name: str, precision: float, recall: float, f1: float, support: int) -> str:
        return f"{name:>{width}} {precision:10.2f}{recall:10.2f}{f1:10.2f}{support:10}"

    head = f"{'':>{width}} {'precision':>10}{'recall':>10}{'f1-score':>10}{'support':>10}"
    lines = [head, "", *(line(name, *score) for name, score in rows.items()), ""]
    if isinstance(total, Score):
        lines.append(line("micro avg", *total))
        n = total.support
    else:
        lines.append(f"{'accuracy':>{width}} {total:30.2f}{n:10}")
    if rows:
        columns = [*zip(*(score[:3] for score in rows.values()), strict=True)]
        weights = [score.support for score in rows.values()]
        means = [statistics.fmean(column) for column in columns]
        lines.append(line("macro avg", *means, n))
        if any(weights):
            means = [statistics.fmean(column, weights) for column in columns]
            lines.append(line("weighted avg", *means, n))
    return "\n".join(lines)
