"""The data sets that `corpora` knows: one table, `SETS`, of files, readers and hub names.

The folder and the hub give the same columns; hub sets are stored as parquet or as plain files,
since `datasets` no longer runs loading scripts. A set without a hub is in the folder alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minillm.text import readers
from minillm.text.readers import Reader, Record

GITHUB = "https://raw.githubusercontent.com"
WNUT_TYPES = ("corporation", "creative-work", "group", "location", "person", "product")
WNUT_TAGS = ("O", *(f"{prefix}-{kind}" for kind in WNUT_TYPES for prefix in "BI"))


@dataclass(frozen=True)
class Hub:
    """Where the hub has a set, and how one of its rows becomes a record of ours.

    path, options: arguments of `datasets.load_dataset`; a split of ours is its "config/split".
    columns: ours to the hub's. convert: rows to records, where new names are not enough.

    Built in chapter 2.
    """

    path: str
    splits: dict[str, str]
    columns: dict[str, str] = field(default_factory=dict)
    convert: Callable[[list[Record]], list[Record]] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def rows(self, split: str) -> list[Record]:
        """Fetch a split, by the cache of `datasets` where it is there, and return our records."""
        from datasets import load_dataset

        config, _, part = self.splits[split].rpartition("/")
        rows = load_dataset(self.path, config or None, split=part, **self.options)
        if self.convert:
            return self.convert(list(rows))
        rows = (row for row in rows if row.get("label") != -1)  # -1: the annotators disagreed
        return [{ours: row[theirs] for ours, theirs in self.columns.items()} for row in rows]


@dataclass(frozen=True)
class DataSet:
    """A data set: files of its folder by split (a pattern may match several), reader, hub.

    Built in chapter 2.
    """

    files: dict[str, str]
    read: Reader
    hub: Hub | None = None

    @property
    def splits(self) -> list[str]:
        """The names of its parts; the first is the one that `load` gives unless asked."""
        return list(dict.fromkeys([*self.files, *(self.hub.splits if self.hub else ())]))


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _questions(rows: list[Record]) -> list[Record]:
    return [readers.with_true_offsets(row) for row in rows]


SPLITS = _same("train", "validation", "test")
SHAKESPEARE = Hub(
    "text",
    _same("train"),
    convert=lambda rows: [{"title": "input", "text": rows[0]["text"]}],
    options={
        "data_files": f"{GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "sample_by": "document",
    },
)
WIKITEXT = Hub(
    "Salesforce/wikitext",
    {split: f"wikitext-2-v1/{split}" for split in SPLITS},
    convert=lambda rows: readers.articles([row["text"] for row in rows]),
)
WNUT17 = Hub(
    "leondz/wnut_17",
    SPLITS,
    convert=lambda rows: [
        {"tokens": row["tokens"], "tags": [WNUT_TAGS[tag] for tag in row["ner_tags"]]}
        for row in rows
    ],
    options={"revision": "refs/convert/parquet"},  # its main branch is a script
)
STSB = Hub(
    "sentence-transformers/stsb",
    SPLITS,
    convert=lambda rows: [{**row, "score": 5 * row["score"]} for row in rows],
)
SMS = Hub(
    "ucirvine/sms_spam",
    _same("train"),
    convert=lambda rows: [{"text": row["sms"].strip(), "label": row["label"]} for row in rows],
)
LANGUAGES = ("en", "zh", "de")
POEMS = {"tang300": "tang300.json", "tang": "poet.tang.*.json", "songci300": "songci300.json"}
POEMS |= {"lunyu": "lunyu.json", "guwenguanzhi": "guwenguanzhi.json"}
INSTRUCTION = f"{GITHUB}/rasbt/LLMs-from-scratch/main/ch07/01_main-chapter-code"

SETS = {
    # language modelling
    "tinyshakespeare": DataSet({"train": "input.txt"}, readers.document, SHAKESPEARE),
    "gutenberg": DataSet({"train": "*.txt"}, readers.document),
    "wikitext2": DataSet(
        {"validation": "valid.txt", "test": "test.txt"}, readers.wikitext, WIKITEXT
    ),
    "zh_wiki_paragraphs": DataSet({"train": "paragraphs.txt"}, readers.lines),
    "chinese_poetry": DataSet(POEMS, readers.poems),
    # classification
    "sst2": DataSet(
        {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
        readers.table("text", "label", label=int),
        Hub(
            "stanfordnlp/sst2", _same("train", "validation"), {"text": "sentence", "label": "label"}
        ),
    ),
    "sms_spam": DataSet(
        {"train": "SMSSpamCollection.tsv"},
        readers.table("label", "text", label=("ham", "spam").index, text=str.strip),
        SMS,
    ),
    "thucnews_titles": DataSet(
        {"validation": "dev.txt", "test": "test.txt"}, readers.table("text", "label", label=int)
    ),
    # pairs of sentences
    "snli": DataSet(
        {"validation": "dev.tsv", "test": "test.tsv"},
        readers.table("premise", "hypothesis", "label", label=int),
        Hub("stanfordnlp/snli", SPLITS, _same("premise", "hypothesis", "label")),
    ),
    "stsb": DataSet(
        {"train": "sts-train.tsv", "validation": "sts-dev.tsv", "test": "sts-test.tsv"},
        readers.table("_", "_", "_", "_", "score", "sentence1", "sentence2", score=float),
        STSB,
    ),
    # entities
    "wnut17": DataSet(
        {"train": "train.conll", "validation": "dev.conll", "test": "test.conll"},
        readers.conll,
        WNUT17,
    ),
    "wikigold": DataSet({"train": "wikigold.conll"}, readers.conll),
    "cluener": DataSet(
        {"train": "train.jsonl", "validation": "dev.jsonl"},
        readers.json_records("text", entities=readers.inclusive_spans),
    ),
    # questions
    "squad": DataSet(
        {"validation": "dev-v2.0-half.json"},
        readers.squad,
        Hub("rajpurkar/squad_v2", _same("validation", "train"), convert=_questions),
    ),
    "xquad": DataSet(
        {language: f"xquad.{language}.json" for language in LANGUAGES},
        readers.squad,
        Hub("google/xquad", {x: f"xquad.{x}/validation" for x in LANGUAGES}, convert=_questions),
    ),
    "cmrc2018": DataSet(
        {"validation": "dev.json", "test": "trial.json"},
        readers.squad,
        Hub("hfl/cmrc2018", SPLITS, convert=_questions),
    ),
    # translation, dialogue, summaries, instructions, pictures
    "tatoeba_eng_fra": DataSet({"train": "eng-fra.tsv"}, readers.table("source", "target")),
    "tatoeba_eng_cmn": DataSet({"train": "eng-cmn.tsv"}, readers.table("source", "target", "_")),
    "dialogue_chatterbot": DataSet(
        {"english": "english.jsonl", "chinese": "chinese.jsonl"}, readers.json_records("turns")
    ),
    "dialogue_sgd": DataSet(
        {"train": "train.jsonl", "validation": "dev.jsonl"},
        readers.json_records(turns=lambda r: [turn["utterance"] for turn in r["turns"]]),
    ),
    "dialogue_kdconv_zh": DataSet(
        {"validation": "dev.jsonl", "test": "test.jsonl"}, readers.json_records("turns")
    ),
    "summarisation_scitldr": DataSet(
        {"train": "train.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"},
        readers.json_records(source=lambda r: " ".join(r["source"]), targets=lambda r: r["target"]),
    ),
    "instruction": DataSet(
        {"train": "instruction-data.json", "preference": "instruction-data-with-preference.json"},
        readers.json_records("instruction", "input", "output", "chosen", "rejected"),
        Hub(
            "json",
            _same("train"),
            _same("instruction", "input", "output"),
            options={"data_files": f"{INSTRUCTION}/instruction-data.json"},
        ),
    ),
    "digits": DataSet({"train": "optdigits.tra.csv", "test": "optdigits.tes.csv"}, readers.digits),
}
