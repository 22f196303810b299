"""Data sets: every reader by hand, the same columns from folder and hub, errors in one line."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from minillm.measure import entity_spans
from minillm.text import corpora
from minillm.text.sets import SETS, WNUT_TAGS

DATA = os.environ.get("MINILLM_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="MINILLM_DATA is not set")
ALL = [(name, split) for name, data in SETS.items() for split in data.files]

SQUAD = {
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "Anna took the lamp. The lamp fell.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "What fell?",
                            "answers": [
                                {"text": "The lamp", "answer_start": 20},
                                {"text": "lamp", "answer_start": 23},  # it stands at 14
                                {"text": "The apple", "answer_start": 20},  # it doesn't stand there
                            ],
                        },
                        {"id": "2", "question": "Who?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ]
}
CLUENER = {"text": "温格到曼联", "label": {"org": {"曼联": [[3, 4]]}, "name": {"温格": [[0, 1]]}}}
POEMS = [{"rhythmic": "春", "author": "甲", "paragraphs": ["一。", "二。"]}]
BOOK = {"content": [{"content": [{"chapter": "章", "author": "乙", "paragraphs": ["三。"]}]}]}
EXAMPLES = {  # set, file, what it holds, the records that it gives
    "tinyshakespeare": (
        "input.txt",
        "\ufeffAll:\r\nSpeak.\r\n",
        [{"title": "input", "text": "All:\nSpeak.\n"}],
    ),
    "zh_wiki_paragraphs": ("paragraphs.txt", "甲\n\n乙\n", [{"text": "甲"}, {"text": "乙"}]),
    "wikitext2": (
        "valid.txt",
        " \n = A = \n \n One . \n = 2 + x = \n \n = = S = = \n \n Two . \n \n = B = \n \n Three . ",
        [
            {"title": "A", "text": "= A =\nOne .\n= 2 + x =\n= = S = =\nTwo .\n"},
            {"title": "B", "text": "= B =\nThree .\n"},
        ],
    ),
    "sst2": (
        "train.tsv",
        'a "good" film\t1\nno\t0\n',
        [{"text": 'a "good" film', "label": 1}, {"text": "no", "label": 0}],
    ),
    "sms_spam": (
        "SMSSpamCollection.tsv",
        "ham\tOk \nspam\tWin\n",
        [{"label": 0, "text": "Ok"}, {"label": 1, "text": "Win"}],
    ),
    "stsb": (
        "sts-train.tsv",
        "g\ts\t2014\t1\t2.5\tA.\tB.\n",
        [{"score": 2.5, "sentence1": "A.", "sentence2": "B."}],
    ),
    "wnut17": (
        "train.conll",
        "Anna\tB-person\nReed\tI-person\n\t\nhi\tO\n",
        [
            {"tokens": ["Anna", "Reed"], "tags": ["B-person", "I-person"]},
            {"tokens": ["hi"], "tags": ["O"]},
        ],
    ),
    "wikigold": (
        "wikigold.conll",
        "-DOCSTART- O\n\nAnna I-PER\n. O\n\n-DOCSTART- O\n",
        [{"tokens": ["Anna", "."], "tags": ["I-PER", "O"]}],
    ),
    "cluener": (
        "train.jsonl",
        json.dumps(CLUENER),
        [{"text": "温格到曼联", "entities": [(0, 2, "name"), (3, 5, "org")]}],
    ),
    "squad": (
        "dev-v2.0-half.json",
        json.dumps(SQUAD),
        [
            {
                "id": "1",
                "context": "Anna took the lamp. The lamp fell.",
                "question": "What fell?",
                "answers": {"text": ["The lamp", "lamp"], "answer_start": [20, 14]},
            },
            {
                "id": "2",
                "context": "Anna took the lamp. The lamp fell.",
                "question": "Who?",
                "answers": {"text": [], "answer_start": []},
            },
        ],
    ),
    "tatoeba_eng_cmn": ("eng-cmn.tsv", "Hi.\t嗨。\tCC-BY\n", [{"source": "Hi.", "target": "嗨。"}]),
    "dialogue_sgd": (
        "train.jsonl",
        '{"turns": [{"speaker": "USER", "utterance": "Hi"}]}',
        [{"turns": ["Hi"]}],
    ),
    "summarisation_scitldr": (
        "train.jsonl",
        '{"title": "T", "source": ["A.", "B."], "target": ["C."]}',
        [{"source": "A. B.", "targets": ["C."]}],
    ),
    "instruction": (
        "instruction-data.json",
        '[{"instruction": "I", "input": "", "output": "O", "id": 1}]',
        [{"instruction": "I", "input": "", "output": "O"}],
    ),
    "digits": (
        "optdigits.tra.csv",
        ",".join(map(str, [*range(64), 7])) + "\n",
        [{"image": [list(range(i, i + 8)) for i in range(0, 64, 8)], "label": 7}],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_read_by_hand(name, tmp_path, monkeypatch):
    file, content, records = EXAMPLES[name]
    (tmp_path / name).mkdir()
    (tmp_path / name / file).write_bytes(content.encode())
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    assert corpora.load(name) == records


def test_poems_of_both_shapes(tmp_path, monkeypatch):
    folder = tmp_path / "chinese_poetry"
    folder.mkdir()
    (folder / "songci300.json").write_text(json.dumps(POEMS), "utf-8")
    (folder / "guwenguanzhi.json").write_text(json.dumps(BOOK), "utf-8")
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    assert corpora.load("chinese_poetry", "songci300") == [
        {"title": "春", "author": "甲", "text": "一。\n二。"}
    ]
    assert corpora.load("chinese_poetry", "guwenguanzhi") == [
        {"title": "章", "author": "乙", "text": "三。"}
    ]


QUESTION = {**SQUAD["data"][0]["paragraphs"][0], "title": "T", "id": "1", "question": "Q?"}
QUESTION["answers"] = {"text": ["lamp"], "answer_start": [14]}
HUB_ROWS = {  # rows as the hub has them: path, config, split and other options, rows
    "tinyshakespeare": ("text", None, "train", [{"text": "All:\nSpeak.\n"}]),
    "wikitext2": (
        "Salesforce/wikitext",
        "wikitext-2-v1",
        "validation",
        [{"text": ""}, {"text": " = A = \n"}, {"text": ""}, {"text": " One . \n"}],
    ),
    "sst2": ("stanfordnlp/sst2", None, "train", [{"idx": 0, "sentence": "good", "label": 1}]),
    "sms_spam": ("ucirvine/sms_spam", None, "train", [{"sms": "Ok\n", "label": 0}]),
    "snli": (
        "stanfordnlp/snli",
        None,
        "validation",
        [
            {"premise": "A.", "hypothesis": "B.", "label": -1},
            {"premise": "A.", "hypothesis": "C.", "label": 2},
        ],
    ),
    "stsb": (
        "sentence-transformers/stsb",
        None,
        "train",
        [{"sentence1": "A.", "sentence2": "B.", "score": 0.5}],
    ),
    "wnut17": ("leondz/wnut_17", None, "train", [{"id": "0", "tokens": ["Anna"], "ner_tags": [9]}]),
    "squad": ("rajpurkar/squad_v2", None, "validation", [QUESTION]),
    "xquad": ("google/xquad", "xquad.en", "validation", [QUESTION]),
    "cmrc2018": ("hfl/cmrc2018", None, "validation", [QUESTION]),
    "instruction": ("json", None, "train", [{"instruction": "I", "input": "", "output": "O"}]),
}
HUB_RECORDS = {
    "wikitext2": [{"title": "A", "text": "= A =\nOne .\n"}],
    "sst2": [{"text": "good", "label": 1}],
    "sms_spam": [{"text": "Ok", "label": 0}],
    "snli": [{"premise": "A.", "hypothesis": "C.", "label": 2}],
    "stsb": [{"sentence1": "A.", "sentence2": "B.", "score": 2.5}],
    "wnut17": [{"tokens": ["Anna"], "tags": ["B-person"]}],
}


def test_every_hub_set_is_tried():
    assert set(HUB_ROWS) == {name for name, data in SETS.items() if data.hub}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_the_hub_gives_the_columns_of_the_folder(name, tmp_path, monkeypatch):
    path, config, split, rows = HUB_ROWS[name]
    asked = []

    def load_dataset(*args, **options):
        asked.append((*args, options.pop("split")))
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    records = corpora.load(name)
    assert asked == [(path, config, split)]
    if name in HUB_RECORDS:
        assert records == HUB_RECORDS[name]
    if DATA:
        monkeypatch.setenv("MINILLM_DATA", DATA)
        ours = corpora.load(name)[0]
        assert set(records[0]) == set(ours) and len(asked) == 1
        assert {k: type(v) for k, v in records[0].items()} == {k: type(v) for k, v in ours.items()}


def test_the_real_datasets_library_reads_plain_files_and_parquet(tmp_path):
    (tmp_path / "input.txt").write_text("All:\n\nSpeak.\n", "utf-8")
    (tmp_path / "data.json").write_text(json.dumps([*HUB_ROWS["instruction"][3]] * 2), "utf-8")
    datasets.Dataset.from_list(HUB_ROWS["snli"][3]).to_parquet(tmp_path / "snli" / "train.parquet")
    cache = {"cache_dir": str(tmp_path / "cache")}
    for name, path, options, records in [
        ("tinyshakespeare", "text", "input.txt", [{"title": "input", "text": "All:\n\nSpeak.\n"}]),
        ("instruction", "json", "data.json", HUB_ROWS["instruction"][3] * 2),
        ("snli", str(tmp_path / "snli"), None, HUB_RECORDS["snli"]),
    ]:
        hub = SETS[name].hub
        files = {"data_files": str(tmp_path / options)} if options else {}
        local = dataclasses.replace(hub, path=path, options=hub.options | files | cache)
        assert local.rows("train") == records


def test_splits_that_the_folder_lacks_come_from_the_hub(tmp_path, monkeypatch):
    (tmp_path / "snli").mkdir()
    (tmp_path / "snli" / "dev.tsv").write_text("a\tb\t0\n")
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    row = {"premise": "hub", "hypothesis": "hub", "label": 1}
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, split: [row] if split == "train" else 0
    )
    assert corpora.load("snli")[0]["premise"] == "a"
    assert corpora.load("snli", "train") == [row]


def no_network(*args, **options):
    raise ConnectionError("two\nlines")


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: corpora.load("sst"), ValueError, r"name \(sst\) .* did you mean sst2 or"),
        (lambda: corpora.load("qqqqqq"), ValueError, "there are tinyshakespeare, "),
        (
            lambda: corpora.load("sst2", "dev"),
            ValueError,
            r"split \(dev\) .* train, validation, test",
        ),
        (
            lambda: corpora.load("sst2"),
            FileNotFoundError,
            r"sst2 \(train\) .* put train.tsv into \$MINILLM_DATA/sst2 or connect to the internet "
            r"\(hub: stanfordnlp/sst2, ConnectionError\)",
        ),
        (
            lambda: corpora.load("snli", "train"),
            FileNotFoundError,
            r"missing: connect .*stanfordnlp/snli",
        ),
        (lambda: corpora.load("sst2", "test"), FileNotFoundError, "put test.tsv .* not on the hub"),
        (
            lambda: corpora.load("gutenberg"),
            FileNotFoundError,
            r"put \*.txt into .*; it is not on the hub",
        ),
        (
            lambda: corpora.texts("vilage"),
            FileNotFoundError,
            "no such file, .* did you mean village",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(call, kind, words, tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", no_network)
    with pytest.raises(kind, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_without_a_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("MINILLM_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", no_network)
    with pytest.raises(
        FileNotFoundError, match="DATA/sst2 and set MINILLM_DATA to DATA or connect"
    ):
        corpora.load("sst2")


def test_texts_of_files_and_folders(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"Zwei.\r\n")
    (tmp_path / "a.txt").write_text("One.", "utf-8")
    (tmp_path / "c.md").write_text("No.", "utf-8")
    assert corpora.texts(str(tmp_path)) == ["One.", "Zwei.\n"]
    assert corpora.texts(str(tmp_path / "c.md")) == ["No."]


def test_the_order_of_files_is_that_of_their_names(tmp_path, monkeypatch):
    (tmp_path / "gutenberg").mkdir()
    for name in "bca":
        (tmp_path / "gutenberg" / f"{name}.txt").write_text(name, "utf-8")
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    monkeypatch.setattr(Path, "glob", lambda path, _: [path / f"{name}.txt" for name in "bca"])
    assert corpora.texts("gutenberg") == corpora.texts(str(tmp_path / "gutenberg")) == [*"abc"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"caf\xe9 ol\xe9", "byte 0xe9 at offset 3")],
)
def test_texts_that_are_none(content, words, tmp_path):
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    for source in (file, tmp_path):
        with pytest.raises(ValueError, match=words) as error:
            corpora.texts(str(source))
        assert "bad.txt" in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_texts(tmp_path):
    with pytest.raises(ValueError, match=r"folder without \.txt"):
        corpora.texts(str(tmp_path))


def test_a_set_without_running_text(tmp_path, monkeypatch):
    (tmp_path / "tatoeba_eng_fra").mkdir()
    (tmp_path / "tatoeba_eng_fra" / "eng-fra.tsv").write_text("Go.\tVa !\n")
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="no running text, but source, target"):
        corpora.texts("tatoeba_eng_fra")


def test_importing_is_light():
    code = "import sys, minillm.text.corpora; sys.exit('datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ROWS = {  # as the data folder's README counts them
    ("gutenberg", "train"): 14,
    ("wikitext2", "validation"): 60,
    ("wikitext2", "test"): 60,
    ("sst2", "train"): 6920,
    ("wnut17", "train"): 3394,
    ("wnut17", "validation"): 1009,
    ("wnut17", "test"): 1287,
    ("wikigold", "train"): 1696,
    ("cluener", "train"): 10748,
    ("squad", "validation"): 6078,
    ("xquad", "zh"): 1190,
    ("cmrc2018", "validation"): 3219,
    ("zh_wiki_paragraphs", "train"): 1104,
    ("stsb", "train"): 2999,
    ("snli", "test"): 9824,
    ("tatoeba_eng_fra", "train"): 60000,
    ("tatoeba_eng_cmn", "train"): 20000,
    ("thucnews_titles", "test"): 10000,
    ("sms_spam", "train"): 5574,
    ("instruction", "preference"): 1100,
    ("chinese_poetry", "tang"): 2000,
    ("dialogue_sgd", "train"): 1024,
    ("summarisation_scitldr", "test"): 618,
    ("digits", "test"): 1797,
}


@needs_data
@pytest.mark.parametrize(("name", "split"), ALL)
def test_real_files_have_whole_records(name, split):
    records = corpora.load(name, split)
    assert len(records) == ROWS.get((name, split), len(records)) > 0
    for record in records:
        assert record.keys() == records[0].keys()
        if "tags" in record:
            assert len(record["tokens"]) == len(record["tags"]) > 0
        if "entities" in record:
            assert all(0 <= a < b <= len(record["text"]) for a, b, _ in record["entities"])
        for start, text in zip(
            *(record.get("answers", {}).get(k, ()) for k in ("answer_start", "text")), strict=True
        ):
            assert record["context"].startswith(text, start)
        if "turns" in record:
            assert all(isinstance(turn, str) for turn in record["turns"])


@needs_data
def test_real_files_mean_what_their_columns_say():
    assert {label for r in corpora.load("sst2") for label in [r["label"]]} == {0, 1}
    assert sum(r["label"] for r in corpora.load("sms_spam")) == 747
    tags = {tag for r in corpora.load("wnut17") for tag in r["tags"]}
    assert tags == set(WNUT_TAGS)
    assert any(entity_spans(r["tags"]) for r in corpora.load("wikigold"))
    assert sum(not r["answers"]["text"] for r in corpora.load("squad")) == 3168
    lost = [r for r in corpora.load("cmrc2018") if not r["answers"]["text"]]
    assert not lost  # wrong offsets were found again
    assert max(r["score"] for r in corpora.load("stsb")) == 5


@needs_data
def test_texts_of_sets():
    assert len(corpora.texts("gutenberg")) == 14
    assert corpora.texts("tinyshakespeare")[0].startswith("First Citizen:")
    assert len(corpora.texts("tinyshakespeare")) == 1
