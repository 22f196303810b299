"""One row's cells, checked and put together as a record of a kind of task.

A record is a dictionary as `tasks.py` takes it. Rows of words become texts, with the words' places.

But: which columns are there is settled in `rows.py`.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from minillm.measure import entity_spans


def _text(cells: dict, name: str) -> str:
    """A cell that must hold text."""
    value = cells[name]
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r}")
    if not (value or "").strip():
        raise ValueError(f"{name} is empty")
    return value


def _classified(cells: dict, reads: Sequence[str], has_label: bool, strict: bool) -> dict:
    record, label = {name: _text(cells, name) for name in reads}, cells["label"]
    if not has_label:
        return record
    if isinstance(label, bool):  # or true and 1 would be one class
        return record | {"label": str(label).lower()}
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int):
        label = _text(cells, "label").strip()
    return record | {"label": label}


def _words(cells: dict, name: str) -> list[str]:
    """A cell that holds a list of words, or words with spaces between."""
    value = cells[name]
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"{name} must be words, not {value!r:.60}")
    if not value or not all(word.strip() for word in value):
        raise ValueError(f"{name} is empty" if not value else f"{name}: a word is empty")
    return value


def _tagged(cells: dict, reads: Sequence[str], has_label: bool, strict: bool) -> dict:
    if "text" in reads:
        text = _text(cells, "text")
        return {"text": text} | ({"spans": _spans(cells["spans"], text)} if has_label else {})
    tokens = _words(cells, "tokens")
    ends = [*itertools.accumulate(len(token) + 1 for token in tokens)]
    places = [(end - 1 - len(token), end - 1) for token, end in zip(tokens, ends, strict=True)]
    joined = isinstance(cells["tokens"], str)
    record = {"text": " ".join(tokens), "places": places, "joined": joined}
    if has_label:
        tags = _words(cells, "tags")
        if len(tags) != len(tokens):
            raise ValueError(f"{len(tokens)} tokens, but {len(tags)} tags")
        for tag in tags:
            if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:]):
                raise ValueError(f"tag {tag!r} must be O, or begin with B- or I-")
        record["spans"] = spans_of_tags(tags, places)
    return record


def spans_of_tags(tags: Sequence[str], places: Sequence[tuple[int, int]]) -> list:
    """The entities that tags of words mean, as (start, end, label) in characters."""
    return [(places[a][0], places[b - 1][1], label) for a, b, label in entity_spans(tags)]


def _spans(value: Any, text: str) -> list[tuple[int, int, str]]:
    """Checked spans, in order; each a list [start, end, label] or an object with these keys."""
    spans = []
    if isinstance(value, str):  # a cell of a CSV or TSV file
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            wanted = "spans must be JSON, [[start, end, label], ...]"
            raise ValueError(f"{wanted}, not {value!r:.60}") from None
    for span in value if isinstance(value, list) else [value]:
        parts = [span.get(k) for k in ("start", "end", "label")] if isinstance(span, dict) else span
        match parts:
            case [int(start), int(end), str(label)] if label:
                spans.append((start, end, label))
            case _:
                raise ValueError(f"spans must hold [start, end, label], not {span!r:.60}")
        if not (0 <= start < end <= len(text) and text[start:end].strip()):
            raise ValueError(f"span {start} to {end} is no part of the text ({len(text)} letters)")
    spans.sort()
    for before, after in itertools.pairwise(spans):
        if after[0] < before[1]:
            raise ValueError(f"spans {before} and {after} overlap")
    return spans


def _asked(cells: dict, reads: Sequence[str], has_label: bool, strict: bool) -> dict:
    record = {name: _text(cells, name) for name in reads}
    if not has_label:
        return record
    text, answer, start = record["text"], _text(cells, "answer"), cells["start"]
    if not strict:  # to compare with, so it needn't be a part of the text
        return record | {"answer": answer}
    if start in ("", None):
        start = text.find(answer)
        if start >= 0 and text.find(answer, start + 1) >= 0:
            raise ValueError(f"answer {answer!r:.60} stands more than once: its start is needed")
    try:
        number = float(start)
        start = int(number)
        if start != number:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"start must be a number of letters, not {start!r}") from None
    if start < 0 or text[start : start + len(answer)] != answer:
        there = f"at start {start}" if cells["start"] not in ("", None) else "in the text"
        raise ValueError(f"answer {answer!r:.60} isn't {there}")
    return record | {"answer": answer, "start": start}


RECORDS = {"classification": _classified, "pairs": _classified, "tokens": _tagged, "qa": _asked}
