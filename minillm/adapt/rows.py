"""Rows of labelled text in files: read, checked one by one, and named by their line if wrong.

    records = read("reviews.csv", "classification", {"text": "sentence"})
    task = find_task("classification", records)

CSV and TSV files name their columns in the first line; each line of a JSONL file is an object.

    kind            columns
    classification  text, label
    pairs           first, second, label
    tokens          tokens and tags (O, B-..., I-...), or text and spans (start, end, label)
    qa              text, question, answer, and start where the answer stands more than once

But: whole files in memory; how a file becomes rows is in `tables.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillm.adapt.records import RECORDS
from minillm.adapt.tables import READERS, each
from minillm.adapt.tasks import Classification, QuestionAnswering, Tagging, Task, word_tags
from minillm.text.readers import read_text

FORMS = {  # kind of task -> sets of columns, each what is read and what is to be found out
    "classification": [(("text",), ("label",))],
    "pairs": [(("first", "second"), ("label",))],
    "tokens": [(("tokens",), ("tags",)), (("text",), ("spans",))],
    "qa": [(("text", "question"), ("answer",))],
}
OPTIONAL = {"qa": ("start",)}


class Row(dict):
    """A record as tasks take it, which knows the columns it was given as, and where it stands.

    `labelled` says whether what is to be found out is there.
    """

    def __init__(self, record: dict, given: dict, labelled: bool, place: str):
        super().__init__(record)
        self.given, self.labelled, self.place = given, labelled, place


def read(
    path: str | Path, kind: str, columns: dict[str, str] | None = None, labelled: bool = True
) -> list[Row]:
    """All rows of a .csv, .tsv or .jsonl file, as records of a kind of task.

    Args:
        kind: a key of FORMS.
        columns: our names of columns to the file's, where they differ.
        labelled: whether all rows must have labels; otherwise those that have one are marked.
    Raises: FileNotFoundError or ValueError, in one line that names the file and the bad lines.
    """
    path, columns = Path(path), columns or {}
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path}: must be one of *{', *'.join(READERS)}")
    known = {name for form in FORMS[kind] for part in form for name in part}
    known |= {*OPTIONAL.get(kind, ())}
    if unknown := columns.keys() - known:
        ours = ", ".join(sorted(known))
        raise ValueError(f"columns: {min(unknown)!r} is none of {ours}; first our name, then yours")

    def row(line: int, given: Any) -> Row:
        if isinstance(given, ValueError):
            raise given
        reads, finds = find_form(kind, given, columns, labelled)
        cells = {ours: given.get(columns.get(ours, ours)) for ours in known}
        has_label = labelled or not any(cells[name] in ("", None) for name in finds)
        record = RECORDS[kind](cells, reads, has_label, labelled)
        return Row(record, given, has_label, f"{path}, line {line}")

    def check_header(names: Sequence[str]) -> None:
        find_form(kind, dict.fromkeys(names), columns, labelled)

    lines = READERS[path.suffix.lower()](read_text(path), check_header)
    rows = each(((f"{path}, line {n}", (n, given)) for n, given in lines), lambda x: row(*x))
    if not rows:
        raise ValueError(f"{path}: holds no rows")
    return rows


def find_form(kind: str, given: dict, columns: dict[str, str], labelled: bool) -> tuple:
    """Which columns of a kind are there: the names of those that are read, and of the labels.

    Raises: ValueError that names a column that is missing.
    """
    missing = []
    named = [name for name in OPTIONAL.get(kind, ()) if name in columns and labelled]

    def has_labels(form: tuple) -> bool:
        return all(columns.get(name, name) in given for name in form[1])

    for reads, finds in sorted(FORMS[kind], key=has_labels, reverse=True):
        names = (*reads, *finds, *named) if labelled else reads
        lacking = [name for name in names if columns.get(name, name) not in given]
        if not lacking:
            return reads, finds
        missing.append((len(lacking), lacking[0]))
    there = ", ".join(repr(name) for name in given)
    shown = there if len(there) <= 100 else there[:100] + " ..."
    ours = min(missing)[1]
    hint = "" if ours in columns else f" (columns {ours}=NAME says which it is)"
    raise ValueError(f"no column {columns.get(ours, ours)!r}; there are {shown}{hint}")


def find_task(kind: str, records: Sequence[dict]) -> Task:
    """The task of a kind that has the labels of some records, which may not be a single one.

    Raises: ValueError if there is nothing to choose from.
    """
    if kind == "qa":
        return QuestionAnswering()
    if kind == "tokens":
        if labels := sorted({label for r in records for *_, label in r["spans"]}):
            return Tagging(tuple(labels))
        raise ValueError("no row has an entity: all tags are O")
    found = {str(r["label"]): r["label"] for r in reversed(records)}
    if len(found) < 2:
        raise ValueError(
            f"all {len(records):,} rows have the label {next(iter(found))!r}: nothing to learn"
        )
    numbers = all(name.removeprefix("-").isdecimal() for name in found)
    classes = tuple(found[name] for name in sorted(found, key=int if numbers else None))
    return Classification(classes, FORMS[kind][0][0])


def with_known_labels(task: Task, records: Sequence[dict], strict: bool = True) -> list[dict]:
    """Records whose labels are those of a task: 1 and "1" are the same class.

    Raises: ValueError, if `strict`, that names the rows with a label the task doesn't know.
    """

    def known(record: dict) -> dict:
        if isinstance(task, Classification) and "label" in record:
            named = {str(label): label for label in task.classes}
            label = record["label"]
            if str(label) not in named and strict:
                some = ", ".join(list(named)[:9])
                raise ValueError(f"unknown label {label!r}; the rows to learn from have {some}")
            record["label"] = named.get(str(label), label)
        if isinstance(task, Tagging) and strict:
            for *_, label in record["spans"]:
                if label not in task.labels:
                    some = ", ".join(task.labels[:9])
                    raise ValueError(
                        f"unknown entity {label!r}; the rows to learn from have {some}"
                    )
        return record

    return each(((r.place, r) for r in records), known)


def hold_out(records: Sequence[dict], share: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Records to learn from, and a share of them, drawn by the seed, to watch; in their order.

    Raises: ValueError if there are fewer than two.
    """
    n = len(records)
    if n < 2:
        raise ValueError(f"{n} row is too few to hold some out: give more, or --val FILE")
    n_held = min(max(1, round(share * n)), n - 1)
    held = {*np.random.default_rng(seed).permutation(n)[:n_held].tolist()}
    parts = ([r for i, r in enumerate(records) if (i in held) == out] for out in (False, True))
    return tuple(parts)


def kind_of(task: Task) -> str:
    """The kind of rows that a task takes, a key of FORMS."""
    if isinstance(task, Classification):
        return "classification" if len(task.texts) == 1 else "pairs"
    return "tokens" if isinstance(task, Tagging) else "qa"


def with_answer(row: Row, answer: Any, probability: float | None) -> dict:
    """A row as it was given, with `prediction`, and `probability` where there is one.

    Of words, the prediction is their tags, as a list or with spaces between, as the words are.
    """
    if "places" in row:
        answer = word_tags(row["places"], answer)
        answer = " ".join(answer) if row["joined"] else answer
    row = row.given | {"prediction": answer}
    return row if probability is None else row | {"probability": round(probability, 4)}
