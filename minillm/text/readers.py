"""Readers of plain data files: each takes a path and returns a list of plain records.

Holds text, tab-separated, CoNLL, SQuAD, JSON and CSV readers and what they share.
But: no names of data sets; `corpora` says which set is read by which reader.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Reader = Callable[[Path], list[Record]]


def read_text(path: Path) -> str:
    """Return a UTF-8 file as text, with line ends as `\\n` and no byte-order mark.

    Raises ValueError, naming the file, if it is not UTF-8 (with the offset) or empty.

    Built in chapter 2.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        at = f"byte {data[error.start]:#04x} at offset {error.start}"
        raise ValueError(f"{path} is not UTF-8 text: {at}") from None
    if not text.strip():
        raise ValueError(f"{path} is empty: give a file with text")
    return text


def document(path: Path) -> list[Record]:
    """Read a file as one record: title (the file's name) and text.

    Built in chapter 2.
    """
    return [{"title": path.stem, "text": read_text(path)}]


def lines(path: Path) -> list[Record]:
    """Read each line of a file as a record with text.

    Built in chapter 2.
    """
    return [{"text": line} for line in read_text(path).splitlines() if line.strip()]


def wikitext(path: Path) -> list[Record]:
    """Read articles: each starts at a line ` = Title = `; records have title and text.

    Built in chapter 2.
    """
    return articles(read_text(path).split("\n"))


def articles(texts: list[str]) -> list[Record]:
    """Put the lines of WikiText together to articles with title and text.

    Built in chapter 2.
    """
    found, texts = [], [text.strip() for text in texts]
    for before, line, after in zip(["", *texts], texts, [*texts[1:], ""], strict=False):
        is_heading = line.startswith("= ") and line.endswith(" =") and not line.startswith("= =")
        if is_heading and not before and not after:  # a formula may look like a heading
            found.append({"title": line.strip("= "), "text": ""})
        if line and found:
            found[-1]["text"] += f"{line}\n"
    return found


def table(*columns: str, **casts: Callable) -> Reader:
    """Return a reader of tab-separated lines without header; columns named "_" are left out.

    casts: what turns a column's text into its value, by column.

    Built in chapter 2.
    """

    def read(path: Path) -> list[Record]:
        rows = (line.split("\t") for line in read_text(path).split("\n") if line.strip())
        return [
            {
                name: casts.get(name, str)(x)
                for name, x in zip(columns, row, strict=False)
                if name != "_"
            }
            for row in rows
        ]

    return read


def conll(path: Path) -> list[Record]:
    """Read sentences of one token and its tag a line; records have tokens and tags.

    Built in chapter 2.
    """
    sentences, tokens, tags = [], [], []
    for line in [*read_text(path).split("\n"), ""]:
        if line.strip() and not line.startswith("-DOCSTART-"):
            token, tag = line.split()
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            sentences.append({"tokens": tokens, "tags": tags})
            tokens, tags = [], []
    return sentences


def squad(path: Path) -> list[Record]:
    """Read SQuAD's JSON; records have id, context, question and answers {text, answer_start}.

    Built in chapter 2.
    """
    found = []
    for article in json.loads(read_text(path))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = {
                    key: [answer[key] for answer in question["answers"]]
                    for key in ("text", "answer_start")
                }
                found.append({**question, "context": paragraph["context"], "answers": answers})
    return [with_true_offsets(record) for record in found]


def with_true_offsets(record: Record) -> Record:
    """Return a question's columns, each answer where it stands in the context, or left out.

    No answer at all means that the question can't be answered from the context.

    Built in chapter 2.
    """
    context, answers = record["context"], {"text": [], "answer_start": []}
    for text, start in zip(*(record["answers"][key] for key in answers), strict=True):
        start = start if context.startswith(text, start) else context.find(text)
        if start >= 0:
            answers["text"].append(text)
            answers["answer_start"].append(start)
    columns = {key: record[key] for key in ("id", "context", "question")}
    return {**columns, "answers": answers}


def json_records(*columns: str, **casts: Callable) -> Reader:
    """Return a reader of a JSON array, or of JSON lines, that keeps some columns.

    casts: what turns the whole record into a column's value, by column.

    Built in chapter 2.
    """

    def read(path: Path) -> list[Record]:
        text = read_text(path)
        records = json.loads(text) if text[0] == "[" else map(json.loads, text.splitlines())
        return [
            {c: r[c] for c in columns if c in r} | {c: cast(r) for c, cast in casts.items()}
            for r in records
        ]

    return read


def inclusive_spans(record: Record) -> list[tuple[int, int, str]]:
    """Return (start, end, type) with exclusive ends from CLUENER's {type: {text: [[start, last]]}}.

    Built in chapter 2.
    """
    spans = [
        (start, last + 1, kind)
        for kind, entities in record["label"].items()
        for places in entities.values()
        for start, last in places
    ]
    return sorted(spans)


def poems(path: Path) -> list[Record]:
    """Read the arrays of chinese-poetry; records have title, author and text, a line a verse.

    Built in chapter 2.
    """
    data = json.loads(read_text(path))
    if isinstance(data, dict):  # a book of parts, each with its chapters
        data = [chapter for part in data["content"] for chapter in part["content"]]
    return [
        {
            "title": next(poem[k] for k in ("title", "rhythmic", "chapter") if k in poem),
            "author": poem.get("author", ""),
            "text": "\n".join(poem["paragraphs"]),
        }
        for poem in data
    ]


def digits(path: Path) -> list[Record]:
    """Read rows of 64 grey values and a digit; records have image, 8 by 8 from 0 to 16, and label.

    Built in chapter 2.
    """
    rows = [[int(x) for x in row] for row in csv.reader(read_text(path).split())]
    return [{"image": [row[i : i + 8] for i in range(0, 64, 8)], "label": row[64]} for row in rows]
