"""The attention viewer: what its data say, the label of a head, and the page made of them."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import attention  # noqa: E402

sys.path.insert(0, str(ROOT / "site"))
import viewer  # noqa: E402

from minillm.text import village  # noqa: E402

FOLDER = ROOT / "site" / "viewer"
DATA = (FOLDER / "attention.json").read_text(encoding="utf-8")
TEMPLATE = (FOLDER / "viewer.html").read_text(encoding="utf-8")
MODELS = {model["name"]: model for model in json.loads(DATA)["models"]}
WANTED = {entry["model"]: entry for entry in yaml.safe_load(attention.STORIES.read_text("utf-8"))}
STORIES = [
    pytest.param(model, story, id=f"{model['name']}-{story['name']}")
    for model in MODELS.values()
    for story in model["stories"]
]


def full(story, layer, head):
    """A head's map of a story, (T, T), as shares of one."""
    rows, T = story["maps"][layer][head], len(story["tokens"])
    return torch.tensor([row + [0] * (T - len(row)) for row in rows]) / attention.PARTS


def words_of(story):
    return [token.strip() for token in story["tokens"]]


def test_the_data_are_small_and_of_both_models():
    assert len(DATA.encode()) < 300_000
    assert [*MODELS] == ["village-gpt", "village-bert"]
    assert all(4 <= len(model["stories"]) <= 6 for model in MODELS.values())
    names = [(model["name"], story["name"]) for model, story in (p.values for p in STORIES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("model", "story"), STORIES)
def test_sizes_agree(model, story):
    T = len(story["tokens"])
    assert len(story["maps"]) == len(model["heads"])
    assert len(story["guesses"]) == T and 0 <= story["look"] < T
    for layer, labels in zip(story["maps"], model["heads"], strict=True):
        assert len(layer) == len(labels)
        assert all(len(head) == T and max(map(len, head)) <= T for head in layer)


@pytest.mark.parametrize(("model", "story"), STORIES)
def test_rows_of_weights_sum_to_one(model, story):
    half = 0.5 / attention.PARTS  # by so much a weight may be rounded
    for layer, labels in enumerate(model["heads"]):
        for head in range(len(labels)):
            weights = full(story, layer, head)
            assert weights.min() >= 0
            for row in weights:
                assert row.sum().item() == pytest.approx(1, abs=half * len(row) + 1e-6)


@pytest.mark.parametrize(("model", "story"), STORIES)
def test_a_gpt_reads_no_later_word_and_a_bert_does(model, story):
    L, H = len(model["heads"]), len(model["heads"][0])
    later = [full(story, i, h).triu(1).sum().item() for i in range(L) for h in range(H)]
    assert sum(later) == 0 if model["name"] == "village-gpt" else min(later) > 0


@pytest.mark.parametrize(("model", "story"), STORIES)
def test_tokens_are_the_story_and_guesses_stand_where_they_are_asked(model, story):
    told = next(s for s in WANTED[model["name"]]["stories"] if s["name"] == story["name"])
    assert all(story[part] == told[part] for part in ("title", "ask"))
    words, look = words_of(story), story["look"]
    assert words[look] == told["look"] and told["look"] not in words[look + 1 :]
    text = "".join(story["tokens"])
    if model["name"] == "village-gpt":
        assert text == f"[start] {told['first']}"
        assert all(story["guesses"])
    else:
        assert text.lower() == f"[CLS] {told['first']} [SEP] {told['second']} [SEP]".lower()
        asked = [word == attention.MASK for word in words]
        assert any(asked) and [bool(guess) for guess in story["guesses"]] == asked
    for guess in filter(None, story["guesses"]):
        parts = [p for _, p in guess]
        assert len(guess) == attention.LIKELIEST and sum(parts) <= attention.PARTS + 1
        assert parts == sorted(parts, reverse=True) and all(word for word, _ in guess)


def test_the_village_could_tell_the_gpts_stories():
    for story in WANTED["village-gpt"]["stories"]:
        told = story["first"]
        if told.endswith((".", '"')):
            assert village.score(told).reason is None
        else:  # broken off, for the model to go on
            assert village.next_word(told)


@pytest.mark.parametrize("model", MODELS.values(), ids=[*MODELS])
def test_labels_are_those_that_the_weights_give(model):
    texts = [words_of(story) for story in model["stories"]]
    for layer, labels in enumerate(model["heads"]):
        for head, stored in enumerate(labels):
            found = attention.label([full(s, layer, head) for s in model["stories"]], texts)
            assert (stored and stored["reads"]) == (found and found["reads"])
            if stored:
                assert stored["reads"] in attention.LABELS
                assert stored["weight"] == pytest.approx(found["weight"], abs=0.01)


WORDS = [
    "[start]",
    *village.words("Anna took the lamp to the mill. She left the lamp at the mill."),
]
T = len(WORDS)
EVENLY = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]  # over all that may be read


def reading(step):
    """A causal head that reads the word `step` away, or the first where there is none."""
    return torch.eye(T)[[max(i + step, 0) for i in range(T)]]


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("the word before", reading(-1)),
        ("two words back", reading(-2)),
        ("itself", torch.eye(T)),
        ("the first word", reading(-T)),
        ("the word after", reading(-1).T.contiguous()),
        ("two words on", reading(-2).T.contiguous()),
    ],
)
def test_a_head_that_does_one_thing_is_named_after_it(name, weights):
    assert attention.label([weights], [WORDS]) == {"reads": name, "weight": 1.0}
    mixed = (weights + EVENLY) / 2
    assert attention.label([mixed], [WORDS])["reads"] == name


def test_heads_that_look_for_words_are_named_after_them():
    same, copying = EVENLY.clone(), EVENLY.clone()
    for i, word in enumerate(WORDS):
        if word in WORDS[:i]:
            same[i] = torch.eye(T)[WORDS.index(word)]
    assert attention.label([same], [WORDS])["reads"] == "the same word"
    copying[11], copying[14] = torch.eye(T)[[4, 7]]  # "the" before lamp, and before mill
    assert attention.label([copying], [WORDS]) == {"reads": "the word to come", "weight": 1.0}


def test_a_head_without_a_habit_has_no_name():
    assert attention.label([EVENLY], [WORDS]) is None
    assert attention.label([torch.full((T, T), 1 / T)], [WORDS]) is None
    assert attention.label([EVENLY[:3, :3]], [WORDS[:3]]) is None  # a third each, for want of more
    rarely = [reading(-1)[:8, :8], EVENLY, EVENLY, EVENLY]
    assert attention.label(rarely, [WORDS[:8], WORDS, WORDS, WORDS]) is None


def test_evenly_spread_means_over_what_may_be_read():
    few, step = WORDS[:6], reading(-1)[:6, :6]
    past = 0.3 * step + 0.7 * EVENLY[:6, :6]  # 0.47 on the word before, evenly it would be 0.24
    both = 0.3 * step + 0.7 / 6  # 0.42, evenly 0.17
    assert attention.label([past], [few]) is None
    assert attention.label([both], [few])["reads"] == "the word before"


def test_a_map_keeps_its_numbers_but_not_the_zeros_at_the_end():
    weights = torch.tensor([[1.0, 0.0], [0.3333, 0.6667]])
    assert attention.thousandths(weights) == [[1000], [333, 667]]
    assert attention.thousandths(torch.tensor([[0.0, 1.0]])) == [[0, 1000]]


def test_pieces_of_words_stand_as_in_the_text():
    tokens = ['"', "will", "robin", "##s", "sing", "?", '"']
    assert "".join(attention.spaced(tokens, '"Will Robins sing?"')) == '"will robins sing?"'


def data_in(page):
    """What a browser takes for the data: all up to the first end of a script element."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.S | re.I)
    return json.loads(found[1])


def test_the_page_holds_the_data_and_nothing_from_elsewhere():
    page = viewer.page(TEMPLATE, DATA)
    assert data_in(page) == json.loads(DATA) == data_in(viewer.page(TEMPLATE, json.loads(DATA)))
    assert viewer.PLACE not in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//|@import|url\(|fetch\(", page)


@pytest.mark.parametrize(
    "text", ["</script>", "<!-- <script>", "</SCRIPT ", "\\u003c", "@DATA@ \\1"]
)
def test_no_word_of_the_data_ends_the_script(text):
    for data in ({"word": text}, json.dumps({"word": text})):
        page = viewer.page(TEMPLATE, data)
        assert data_in(page) == {"word": text}
        assert page.count("<") == TEMPLATE.count("<")


@pytest.mark.parametrize("template", ["<p>nothing</p>", f"{viewer.PLACE} {viewer.PLACE}"])
def test_a_template_without_one_place_is_refused(template):
    with pytest.raises(
        ValueError, match=f"template has {viewer.PLACE} {template.count('@') // 2} t"
    ):
        viewer.page(template, DATA)


def test_the_page_links_back_into_the_book():
    chapters = re.findall(r'href="chapters/(\w+)\.html"', TEMPLATE)
    assert chapters == ["04_multi_head_attention", "07_gpt", "09_bert"]
    assert all((ROOT / "chapters" / f"{slug}.md").exists() for slug in chapters)
    assert 'href="index.html"' in TEMPLATE
