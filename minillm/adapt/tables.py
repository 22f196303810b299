"""Tables in files: CSV, TSV and JSONL, each row a dictionary; in with its line, out again.

What is wrong with a row stands in its place, as a ValueError, so that a reader can go on and name
all bad rows together (`each`).

But: what the columns mean is in `rows.py`. A TSV has no quotes: its cells are all that stands
between tabs.
"""

import contextlib
import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

Check = Callable[[list[str]], None]  # of the columns' names, by a ValueError
Lines = Iterator[tuple[int, Any]]  # where a row begins, and the row or what is wrong with it
N_PLACES = 5  # of bad rows that an error names after the first


def each(placed: Iterable[tuple[str, Any]], make: Callable[[Any], Any]) -> list:
    """`make(x)` for each (place, x); what is wrong with some is raised together, in one line.

    Raises: ValueError with the first place, what `make` said of it, and the next places.
    """
    made, faults = [], []
    for place, x in placed:
        try:
            made.append(make(x))
        except ValueError as error:
            faults.append((place, error))
    if faults:
        (place, error), *others = faults
        more = ", ".join(p.rpartition(" ")[2] for p, _ in others[:N_PLACES])
        more += ", ..." if len(others) > N_PLACES else ""
        raise ValueError(f"{place}: {error}" + (f" ({len(others)} more: {more})" if others else ""))
    return made


def read_csv(text: str, check: Check) -> Lines:
    """Yields the line where each row begins, and the row, or what is wrong with it."""

    def cells() -> Lines:
        csv.field_size_limit(2**31 - 1)  # a cell may hold a book
        reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            yield line, ValueError(f"broken CSV ({error})")

    return named(cells(), check)


def read_tsv(text: str, check: Check) -> Lines:
    """As `read_csv`."""
    lines = enumerate(text.split("\n"), start=1)
    return named(((n, line.split("\t")) for n, line in lines if line), check)


def read_jsonl(text: str, check: Check) -> Lines:
    """As `read_csv`; there is no header to check."""
    for n, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            row = ValueError(f"broken JSON ({error.msg} at character {error.colno})")
        except (ValueError, RecursionError) as error:  # a number too long, lists too deep
            row = ValueError(f"broken JSON ({error})")
        if not isinstance(row, dict | ValueError):
            row = ValueError(f'must be an object such as {{"text": ...}}, not {line[:20]!r}')
        yield n, row


def named(lines: Lines, check: Check) -> Lines:
    """Rows of cells, the first one with the names of the columns, as dictionaries."""
    n, names = next(lines, (1, []))
    try:
        if isinstance(names, ValueError):
            raise names
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two columns are called {min(twice)!r}")
        check(names)
    except ValueError as error:
        yield n, ValueError(f"{error}; the first line must name the columns")
        return
    for n, cells in lines:
        if isinstance(cells, list) and len(cells) != len(names):
            cells = ValueError(f"has {len(cells)} cells, not {len(names)} as the first line")
        yield n, cells if isinstance(cells, ValueError) else dict(zip(names, cells, strict=True))


READERS = {".csv": read_csv, ".tsv": read_tsv, ".jsonl": read_jsonl}


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[TextIO]:
    """A file to write, which has its name only when all is written; stdout if there is no path."""
    if path is None:
        yield sys.stdout
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; a file is wanted")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    draft = path.with_name(f".{path.name}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_jsonl(rows: Iterable[dict], names: list[str], file: TextIO) -> None:
    """Writes each row as it comes, an object a line."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), file=file)


def write_tsv(rows: Iterable[dict], names: list[str], file: TextIO) -> None:
    """Writes the named cells of each row as it comes; a tab or a line's end becomes a space."""

    def cell(value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return "" if value is None else re.sub(r"[\t\r\n]", " ", text)

    print("\t".join(map(cell, names)), file=file)
    for row in rows:
        print("\t".join(cell(row.get(name)) for name in names), file=file)


WRITERS = {".jsonl": write_jsonl, ".tsv": write_tsv}
