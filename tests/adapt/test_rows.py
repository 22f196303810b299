"""Rows in files: the same records from every format, and each bad row named by its line."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.adapt import rows, tables
from minillm.adapt.tasks import Classification, QuestionAnswering, Tagging


def put(folder, name, content):
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder / name


def refused(path, kind, labelled=True, **columns):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        rows.read(path, kind, columns, labelled)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message.replace(str(path), path.name)


def test_the_three_formats_give_the_same_records(tmp_path):
    quoted = put(
        tmp_path, "a.csv", 'label,text\r\npos,"It said ""go"", so\r\nwe went"\r\nneg,no\r\n'
    )
    plain = put(tmp_path, "a.tsv", 'text\tlabel\nIt said "go", so we went\tpos\n"no\tneg\n')
    objects = put(tmp_path, "a.jsonl", '{"text": "no", "label": 1}\n\n{"text": "yes", "label": 0}')
    assert rows.read(quoted, "classification") == [
        {"text": 'It said "go", so\nwe went', "label": "pos"},
        {"text": "no", "label": "neg"},
    ]
    assert rows.read(plain, "classification") == [
        {"text": 'It said "go", so we went', "label": "pos"},
        {"text": '"no', "label": "neg"},  # a TSV has no quotes
    ]
    found = rows.read(objects, "classification")
    assert found == [{"text": "no", "label": 1}, {"text": "yes", "label": 0}]
    assert [row.place.rpartition(" ")[2] for row in found] == ["1", "3"]


@given(st.lists(st.text(st.characters(exclude_categories=["C"])).filter(str.strip), min_size=1))
def test_csv_as_python_writes_it_comes_back_with_the_right_lines(texts):
    out = io.StringIO(newline="")
    writer, starts = csv.writer(out), []
    writer.writerow(["n", "text"])
    for i, text in enumerate(texts):
        starts.append(out.getvalue().count("\n") + 1)
        writer.writerow([i, f"{text}\n{text}"])
    read = list(tables.read_csv(out.getvalue(), lambda names: None))
    assert [line for line, _ in read] == starts
    assert [row["text"] for _, row in read] == [f"{text}\n{text}" for text in texts]


def test_columns_may_have_other_names(tmp_path):
    file = put(tmp_path, "a.csv", "sentence,gold,text\nyes,1,7\n")
    (row,) = rows.read(file, "classification", {"text": "sentence", "label": "gold"})
    assert row == {"text": "yes", "label": "1"}
    assert row.given == {"sentence": "yes", "gold": "1", "text": "7"}
    assert "no column 'label'; there are 'sentence', 'gold', 'text'" in refused(
        file, "classification"
    )
    assert "'colour' is none of label, text" in rows_error(file, colour="x")


def rows_error(file, **columns):
    with pytest.raises(ValueError) as caught:
        rows.read(file, "classification", columns)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\nyes,1\n,0\n", "line 3: text is empty"),
        ("a.csv", "text,label\nyes,1\nno,\n", "line 3: label is empty"),
        ("a.csv", "text,label\nyes,1\nno\n", "line 3: has 1 cells, not 2 as the first line"),
        ("a.csv", "text,label\nyes,1\nno,0,0\n", "line 3: has 3 cells, not 2"),
        ("a.csv", 'text,label\n"a\nb",1\n"no,0\n', "line 4: broken CSV (unexpected end of data)"),
        ("a.csv", 'text,label\n"a"b,1\n', "line 2: broken CSV"),
        (
            "a.csv",
            "yes,1\nno,0\n",
            "line 1: no column 'text'; there are 'yes', '1' (columns text=NAME",
        ),
        ("a.csv", "text,label,text\nyes,1,no\n", "line 1: two columns are called 'text'"),
        ("a.csv", "text,label\n", "a.csv: holds no rows"),
        ("a.csv", "\n\n", "a.csv is empty"),
        ("a.tsv", "text\tlabel\nyes\t1\nno 0\n", "line 3: has 1 cells, not 2"),
        ("a.tsv", "text\tlabel\n \t1\n", "line 2: text is empty"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "a"\n', "line 2: broken JSON (Expecting"),
        ("a.jsonl", '["a", 1]\n', "line 1: must be an object such as"),
        ("a.jsonl", '{"text": "a"}\n', "line 1: no column 'label'; there are 'text'"),
        ("a.jsonl", '{"text": 7, "label": 1}\n', "line 1: text must be text, not 7"),
        ("a.jsonl", '{"text": "a", "label": 0.5}\n', "line 1: label must be text, not 0.5"),
        ("a.jsonl", '{"text": "a", "label": null}\n', "line 1: label is empty"),
        ("a.txt", "text\n", "a.txt: must be one of *.csv, *.tsv, *.jsonl"),
    ],
)
def test_bad_rows_are_named(tmp_path, name, content, message):
    assert message in refused(put(tmp_path, name, content), "classification")


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("pairs", {"first": "a", "second": " ", "label": 1}, "second is empty"),
        ("tokens", {"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens, but 1 tags"),
        ("tokens", {"tokens": "a b", "tags": "O S-X"}, "tag 'S-X' must be O, or begin with B-"),
        ("tokens", {"tokens": "a", "tags": "B-"}, "tag 'B-' must be O"),
        ("tokens", {"tokens": ["a", 3], "tags": "O O"}, "tokens must be words, not ['a', 3]"),
        ("tokens", {"tokens": ["a", " "], "tags": "O O"}, "tokens: a word is empty"),
        ("tokens", {"tokens": [], "tags": []}, "tokens is empty"),
        ("tokens", {"tokens": "a"}, "no column 'tags'; there are 'tokens'"),
        ("tokens", {"words": "a"}, "no column 'text'"),
        ("tokens", {"text": "Anna", "spans": [[0, 5, "X"]]}, "span 0 to 5 is no part of the text"),
        ("tokens", {"text": "Anna", "spans": [[2, 2, "X"]]}, "span 2 to 2 is no part"),
        ("tokens", {"text": "Anna", "spans": [[0, 2, "X"], [1, 3, "X"]]}, "overlap"),
        ("tokens", {"text": "Anna", "spans": [[0, 2]]}, "must hold [start, end, label], not [0"),
        ("tokens", {"text": "Anna", "spans": "X"}, "spans must be JSON"),
        ("qa", {"text": "a b", "question": "?", "answer": "c"}, "answer 'c' isn't in the text"),
        ("qa", {"text": "a b", "question": "?", "answer": "b", "start": 1}, "isn't at start 1"),
        ("qa", {"text": "a b", "question": "?", "answer": "b", "start": "x"}, "not 'x'"),
        ("qa", {"text": "a b", "question": "?", "answer": "b", "start": -1}, "isn't at start -1"),
        ("qa", {"text": "a b", "question": "", "answer": "b"}, "question is empty"),
    ],
)  # fmt: skip
def test_rows_that_make_no_sense_are_named(tmp_path, kind, row, message):
    file = put(tmp_path, "a.jsonl", "\n" + json.dumps(row) + "\n")
    error = refused(file, kind)
    assert error.startswith("a.jsonl, line 2: ")
    assert message in error


def test_of_many_bad_rows_the_first_is_told_and_the_next_are_named(tmp_path):
    file = put(tmp_path, "a.csv", "text,label\n" + "yes,1\n,1\n" * 9)
    assert refused(file, "classification").endswith(
        "line 3: text is empty (8 more: 5, 7, 9, 11, 13, ...)"
    )


def test_words_become_a_text_with_their_places_and_spans(tmp_path):
    lists = {"tokens": ["Anna", "Reed", "left", "Kew"], "tags": ["B-P", "I-P", "O", "I-L"]}
    joined = {name: " ".join(words) for name, words in lists.items()}
    file = put(tmp_path, "a.jsonl", json.dumps(lists) + "\n" + json.dumps(joined))
    for row in rows.read(file, "tokens"):
        assert row["text"] == "Anna Reed left Kew"
        assert [row["text"][a:b] for a, b in row["places"]] == lists["tokens"]
        assert [(row["text"][a:b], kind) for a, b, kind in row["spans"]] == [
            ("Anna Reed", "P"),
            ("Kew", "L"),
        ]
    spans = [{"start": 5, "end": 9, "label": "X"}, [0, 4, "Y"]]
    file = put(tmp_path, "b.jsonl", json.dumps({"text": "Anna Reed", "spans": spans}))
    assert rows.read(file, "tokens")[0]["spans"] == [(0, 4, "Y"), (5, 9, "X")]


def test_an_answer_is_found_unless_it_is_said_where(tmp_path):
    told = "text,question,answer,start\none bee,?,bee,\nbee or bee,?,bee,7\nbee or bee,?,bee,7.0\n"
    found = rows.read(put(tmp_path, "a.csv", told), "qa")
    assert [row["start"] for row in found] == [4, 7, 7]
    for start, wrong in (("", "more than once"), ("0.5", "number"), ("inf", "number")):
        told = f"text,question,answer,start\nbart likes art,?,art,{start}\n"
        with pytest.raises(ValueError, match=wrong):
            rows.read(put(tmp_path, "b.csv", told), "qa")
    with pytest.raises(ValueError, match="no column 'anwser_start'"):
        rows.read(put(tmp_path, "a.csv", told), "qa", {"start": "anwser_start"})


def test_spans_may_stand_in_a_cell_of_a_table(tmp_path):
    told = 'text\tspans\nAnna ran\t[[0, 4, "PER"]]\n'
    (row,) = rows.read(put(tmp_path, "a.tsv", told), "tokens")
    assert row["spans"] == [(0, 4, "PER")]
    with pytest.raises(ValueError, match="must be JSON"):
        rows.read(put(tmp_path, "b.tsv", told.replace("]]", "")), "tokens")


def test_of_two_forms_the_labelled_one_counts(tmp_path):
    row = {"text": "Anna ran", "spans": [[0, 4, "PER"]], "tokens": 3}
    file = put(tmp_path, "a.jsonl", json.dumps(row))
    for labelled in (True, False):
        assert rows.read(file, "tokens", labelled=labelled)[0]["spans"] == [(0, 4, "PER")]


def test_true_is_a_class_of_its_own_beside_1(tmp_path):
    lines = [json.dumps({"text": "a", "label": label}) for label in (1, True, 0)]
    read = rows.read(put(tmp_path, "a.jsonl", "\n".join(lines)), "classification")
    assert len({*rows.find_task("classification", read).classes}) == 3


def test_without_labels_a_row_is_whole_where_they_are_not_asked_for(tmp_path):
    cases = {
        "classification": {"text": "a"},
        "pairs": {"first": "a", "second": "b", "label": ""},
        "tokens": {"tokens": ["a"], "tags": None},
        "qa": {"text": "a", "question": "?"},
    }
    for kind, row in cases.items():
        file = put(tmp_path, "a.jsonl", json.dumps(row))
        refused(file, kind)
        (found,) = rows.read(file, kind, labelled=False)
        assert not found.labelled
    file = put(tmp_path, "b.jsonl", '{"text": "a", "question": "?", "answer": "elsewhere"}')
    (found,) = rows.read(file, "qa", labelled=False)
    assert found.labelled
    assert found["answer"] == "elsewhere"


def test_a_task_is_found_from_its_rows():
    labels = [{"text": "", "label": label} for label in ("10", "9", "9")]
    assert rows.find_task("classification", labels).classes == ("9", "10")
    labels = [{"text": "", "label": label} for label in ("b", "a", 3)]
    assert rows.find_task("classification", labels).classes == (3, "a", "b")
    assert rows.find_task("pairs", labels).texts == ("first", "second")
    spans = [{"spans": []}, {"spans": [(0, 1, "Y"), (2, 3, "X")]}]
    assert rows.find_task("tokens", spans) == Tagging(("X", "Y"))
    assert rows.find_task("qa", []) == QuestionAnswering()
    with pytest.raises(ValueError, match="all 2 rows have the label 'x'"):
        rows.find_task("classification", [{"label": "x"}] * 2)
    with pytest.raises(ValueError, match="no row has an entity"):
        rows.find_task("tokens", spans[:1])
    for kind, task in (("classification", Classification((0, 1))), ("tokens", Tagging(("X",)))):
        assert rows.kind_of(task) == kind
    assert rows.kind_of(Classification((0, 1), ("first", "second"))) == "pairs"


def test_labels_are_those_of_the_task_or_named(tmp_path):
    file = put(tmp_path, "a.csv", "text,label\na,1\nb,3\nc,2\n")
    task = Classification((1, 2))
    with pytest.raises(ValueError, match=r"a.csv, line 3: unknown label '3'; .* have 1, 2"):
        rows.with_known_labels(task, rows.read(file, "classification"))
    found = rows.with_known_labels(task, rows.read(file, "classification"), strict=False)
    assert [row["label"] for row in found] == [1, "3", 2]
    file = put(tmp_path, "a.tsv", "tokens\ttags\na b\tB-X B-Y\n")
    with pytest.raises(ValueError, match=r"a.tsv, line 2: unknown entity 'Y'; .* have X"):
        rows.with_known_labels(Tagging(("X",)), rows.read(file, "tokens"))


@given(n=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_rows_are_held_out_once_and_in_order(n, share, seed):
    learned, held = rows.hold_out([*range(n)], share, seed)
    assert sorted(learned + held) == [*range(n)]
    assert learned == sorted(learned) and held == sorted(held) and learned and held
    assert abs(len(held) - share * n) <= 1
    assert (learned, held) == rows.hold_out([*range(n)], share, seed)


def test_rows_are_held_out_by_the_seed():
    assert len({tuple(rows.hold_out([*range(50)], 0.3, seed)[1]) for seed in range(5)}) == 5
    with pytest.raises(ValueError, match="1 row is too few to hold some out"):
        rows.hold_out([0], 0.5, 0)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    file = put(tmp_path, "out.jsonl", "mine")
    with pytest.raises(KeyboardInterrupt), tables.opened(file) as out:
        tables.write_jsonl([{"a": 1}], ["a"], out)
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    assert file.read_text() == "mine"
    with tables.opened(file) as out:
        tables.write_tsv([{"a": "x\ty\nz", "b": [1, "é"]}, {"b": None}], ["a", "b"], out)
    assert file.read_text("utf-8") == 'a\tb\nx y z\t[1, "é"]\n\t\n'
