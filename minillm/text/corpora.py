"""Data sets by name: from the folder `$MINILLM_DATA`, else from the Hugging Face hub.

Holds `load`, which gives plain records, and `texts`, which gives the documents of a set, a text
file or a folder of them. Records have the same columns from either place:

    language modelling    text (and title, author)
    classification        text, label
    sentence pairs        premise, hypothesis, label; sentence1, sentence2, score
    entities              tokens, tags (BIO, or I- alone); text, entities (start, end, type)
    questions             id, context, question, answers {text, answer_start}
    translation           source, target; summaries: source, targets (several)
    dialogue              turns, a list of strings, speakers alternating
    instructions          instruction, input, output (chosen, rejected); pictures: image, label

But: nothing is tokenized or shuffled; which sets there are is the matter of `sets`.
"""

import difflib
import os
from pathlib import Path

from minillm.text import readers
from minillm.text.readers import Record
from minillm.text.sets import SETS


def load(name: str, split: str | None = None) -> list[Record]:
    """Return the records of a data set, from `$MINILLM_DATA/<name>/`, else from the hub.

    name: a key of `SETS`. split: one of its splits, the first when left out.
    Raises ValueError for an unknown name or split, FileNotFoundError when there is no file and no
    hub, in one line with both ways to get the data.

    Built in chapter 2.
    """
    if name not in SETS:
        raise ValueError(f"name ({name}) is no data set{_nearest(name)}")
    data = SETS[name]
    split = split or data.splits[0]
    if split not in data.splits:
        raise ValueError(f"split ({split}) of {name} must be one of {', '.join(data.splits)}")
    root, pattern = os.environ.get("MINILLM_DATA", ""), data.files.get(split)
    if files := sorted(Path(root, name).glob(pattern)) if root and pattern else []:
        return [record for file in files for record in data.read(file)]
    folder = f"$MINILLM_DATA/{name}" if root else f"DATA/{name} and set MINILLM_DATA to DATA"
    ways = [f"put {pattern} into {folder}"] if pattern else []
    if data.hub is None or split not in data.hub.splits:
        raise FileNotFoundError(f"{name} ({split}) is missing: {ways[0]}; it is not on the hub")
    try:
        return data.hub.rows(split)
    except Exception as error:  # no network, no such set, a proxy: datasets raises many kinds
        ways.append(f"connect to the internet (hub: {data.hub.path}, {type(error).__name__})")
        raise FileNotFoundError(f"{name} ({split}) is missing: {' or '.join(ways)}") from error


def texts(source: str) -> list[str]:
    """Return the documents of a data set, of a text file (one document) or of a folder of .txt.

    source: a key of `SETS` whose records have text, or a path; a folder's files are sorted by name.
    Raises FileNotFoundError or ValueError, in one line: no such file, an empty one, not UTF-8.

    Built in chapter 2.
    """
    if source in SETS:
        records = load(source)
        if "text" not in records[0]:
            raise ValueError(f"{source} has no running text, but {', '.join(records[0])}")
        return [record["text"] for record in records]
    path = Path(source)
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{source} is a folder without .txt files")
    if not path.exists():
        raise FileNotFoundError(f"{source}: no such file, folder or data set{_nearest(source)}")
    return [readers.read_text(file) for file in files]


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), [*SETS, "village"], cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(SETS)}"
