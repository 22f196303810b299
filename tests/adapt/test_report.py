"""Reports: the numbers and the looks of scikit-learn's, and baselines that are what they say."""

import re

from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from minillm.adapt import report
from minillm.adapt.tasks import Classification, QuestionAnswering, Tagging

LABELS = ("bad", "good", "neither here nor there")


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1))
def test_the_table_of_classes_is_scikit_learns(pairs):
    answers, expected = zip(*pairs, strict=True)
    theirs = classification_report(expected, answers, zero_division=0)
    table = report.table(Classification(LABELS), answers, [{"label": e} for e in expected])
    # Where nothing is right, scikit-learn counts in 1.0.
    assert table == re.sub(r"(\d+)\.0$", r"  \1", theirs.rstrip("\n"), flags=re.MULTILINE)


def test_an_unknown_label_counts_as_wrong_and_has_no_line():
    records = [{"label": label} for label in ("bad", "good", "ugly")]
    task = Classification(("bad", "good"))
    assert report.scores(task, ["bad", "good", "bad"], records) == {"accuracy": 2 / 3}
    table = report.table(task, ["bad", "good", "bad"], records).splitlines()
    assert [line.split()[:3] for line in table[2:4]] == [
        ["bad", "0.50", "1.00"],
        ["good", "1.00", "1.00"],
    ]


def test_the_table_of_entities_has_a_line_a_kind_and_their_means():
    records = [{"spans": [(0, 1, "X"), (2, 3, "Y")]}, {"spans": [(0, 1, "X")]}]
    answers = [[(0, 1, "X"), (2, 3, "X")], []]
    task = Tagging(("X", "Y", "Z"))
    rows = [
        line.strip().rsplit(maxsplit=4)
        for line in report.table(task, answers, records).splitlines()
    ]
    assert [row for row in rows if row and "precision" not in row] == [
        ["X", "0.50", "0.50", "0.50", "2"],
        ["Y", "0.00", "0.00", "0.00", "1"],
        ["micro avg", "0.50", "0.33", "0.40", "3"],
        ["macro avg", "0.25", "0.25", "0.25", "3"],
        ["weighted avg", "0.33", "0.33", "0.33", "3"],
    ]
    assert report.scores(task, answers, records) == {"entity F1": 0.4}


def test_the_baseline_of_classes_and_answers_is_the_commonest_learned():
    learned = [{"label": label, "answer": label} for label in "abb"]
    for task in (Classification(("a", "b")), QuestionAnswering()):
        assert report.baseline(task, learned, [{}] * 4) == ("always 'b'", ["b"] * 4)


def test_the_baseline_of_entities_looks_words_up():
    learned = [
        {"text": "May saw Anna Reed.", "spans": [(0, 3, "P"), (8, 17, "P")]},
        {"text": "Anna Reed left. Anna went in May or May.", "spans": [(0, 9, "P"), (16, 20, "P")]},
    ]
    record = {"text": "Later May met Anna Reed."}
    name, (found,) = report.baseline(Tagging(("P",)), learned, [record])
    assert found == [(14, 23, "P")]
    assert "each word" in name
    words = {"text": "in U.S. now", "places": [(0, 2), (3, 7), (8, 11)], "spans": [(3, 7, "P")]}
    assert report.baseline(Tagging(("P",)), [words], [words])[1] == [[(3, 7, "P")]]


def test_questions_are_scored_by_match_and_by_words():
    records = [{"answer": "the old mill"}, {"answer": "Kew"}]
    found = report.scores(QuestionAnswering(), ["mill", "Kew"], records)
    assert found["exact match"] == 0.5
    assert 0.5 < found["F1"] < 1
    assert report.table(QuestionAnswering(), ["mill", "Kew"], records) == ""
