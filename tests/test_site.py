"""The website's pages before Sphinx reads them: what is put into the notebooks, and what is not."""

import ast
import os
import subprocess
import sys

import nbformat
import pytest
from bookcheck import ROOT, book
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

sys.path.insert(0, str(ROOT / "site"))
import links
import pages
import reference
import website

CHAPTERS = [c for c in book.load_chapters() if c["status"] == "written"]
HOMES = {"Heads": "minillm.model.attention", "train": "minillm.train.loop"}
SLUGS = {"chapter 1": "01_a", "chapter 12": "12_b", "lab 1": "lab1_c"}


def notebook_of(chapter, folder="chapters"):
    return book.read_notebook(ROOT / folder / f"{chapter['slug']}.ipynb")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Chapter 1 ends", "[Chapter\u00a01](../chapters/01_a.ipynb) ends"),
        ("see lab 1.", "see [lab\u00a01](../chapters/lab1_c.ipynb)."),
        ("chapter 12, chapter 12", "[chapter\u00a012](../chapters/12_b.ipynb), chapter 12"),
        ("chapter 1\n\nchapter 1", "\n\n".join(["[chapter\u00a01](../chapters/01_a.ipynb)"] * 2)),
        (
            "chapters 1, 2 and 12",
            "chapters [1](../chapters/01_a.ipynb), 2 and [12](../chapters/12_b.ipynb)",
        ),
        ("arXiv 1706.03762, p. 3", "[arXiv 1706.03762](https://arxiv.org/abs/1706.03762), p. 3"),
        ("chapter 2", "chapter 2"),  # not written
        ("chapter 13", "chapter 13"),
        ("`chapter 1` and $chapter 1$", "`chapter 1` and $chapter 1$"),
        ("[chapter 1](x.ipynb)", "[chapter 1](x.ipynb)"),
        ("# After chapter 1", "# After chapter 1"),
        ("<details>\nchapter 1\n\nchapter 1\n</details>",) * 2,
        ("```\nchapter 1\n```",) * 2,
    ],
)
def test_papers_and_the_first_mention_of_a_chapter_are_links(before, after):
    assert links.with_links(before, SLUGS, own="") == after


def test_a_page_does_not_link_to_itself():
    assert links.with_links("chapter 1", SLUGS, own="01_a") == "chapter 1"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter["slug"])
def test_each_chapter_has_one_box_of_what_it_teaches(chapter):
    texts = [c.source for c in notebook_of(chapter).cells if c.cell_type == "markdown"]
    boxed = [pages.with_objectives(text) for text in texts]
    assert sum(new != old for new, old in zip(boxed, texts, strict=True)) == 1
    box = next(new for new, old in zip(boxed, texts, strict=True) if new != old)
    assert box.count(":::") == 2 and "\n- " in box.split(":::")[1]


def test_links_to_files_lead_to_the_reference():
    text = "[`model/gpt.py`](../minillm/model/gpt.py), [all](../minillm/hub/__init__.py)"
    expected = "{py:mod}`model/gpt.py <minillm.model.gpt>`, {py:mod}`all <minillm.hub>`"
    assert links.with_reference(text) == expected


def made_page(cells, repository="", folder="chapters", anchors=()):
    chapter = {"number": 9, "slug": "09_x"}
    homes = {"double": "minillm.model.gpt"}
    notebook = new_notebook(cells=cells)
    return pages.page(notebook, folder, chapter, SLUGS, homes, list(anchors), repository), notebook


def test_a_page_changes_no_code_and_no_output():
    code = new_code_cell("chapter = 1", metadata={"tags": ["nbval-check-output"]})
    code.outputs = [nbformat.v4.new_output("stream", text="chapter 1\n")]
    cells = [new_markdown_cell("# 9. X\n\nAs chapter 1 says."), code]
    page, notebook = made_page(cells)
    assert [c for c in page.cells if c.cell_type == "code"] == [code]
    assert notebook.cells == cells  # a copy was changed
    texts = [c.source for c in page.cells if c.cell_type == "markdown"]
    assert texts[0].startswith("# 9. X\n") and "Download notebook" in texts[0]
    assert texts[1] == "As [chapter\u00a01](../chapters/01_a.ipynb) says."


def test_finished_code_is_followed_by_its_place_in_the_package():
    source = "def double(x):\n    return 2 * x\n\n\ndef other(x):\n    return x"
    cells = [new_markdown_cell("# X"), new_code_cell(source, metadata={"tags": ["package"]})]
    line = made_page(cells)[0].cells[-1].source
    assert "`double <minillm.model.gpt.double>`" in line
    assert 'href="../_modules/minillm/model/gpt.html#double"' in line and "other" not in line


def test_a_picture_takes_its_words_along():
    cell = new_code_cell("plot()", metadata={"alt": "A line\nthat falls."})
    page, _ = made_page([new_markdown_cell("# X"), cell])
    assert page.cells[-1].metadata["mystnb"] == {"image": {"alt": "A line that falls."}}


def test_wide_pictures_and_long_lines_are_marked():
    def classes(width):
        cell = new_code_cell("plot()", metadata={"alt": "A line."})
        size = {"image/png": {"width": width, "height": 9}}
        cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": ""}, metadata=size)]
        return made_page([new_markdown_cell("# X"), cell])[0].cells[-1].metadata.mystnb.image

    assert classes(900)["classes"] == "wide" and "classes" not in classes(600)

    def tags(text):
        cell = new_code_cell("print()", outputs=[nbformat.v4.new_output("stream", text=text)])
        return made_page([new_markdown_cell("# X"), cell])[0].cells[-1].metadata.get("tags", [])

    assert tags("word " * 30) == ["long-lines"] and tags("word\n" * 30) == []


def test_apostrophes_in_folds_are_those_of_the_text():
    text = "can't <details><summary>It's</summary>\ncan't <code>d['a'b]</code>\n</details>"
    after = "can't <details><summary>It’s</summary>\ncan’t <code>d['a'b]</code>\n</details>"
    assert links.with_apostrophes(text) == after


def test_places_are_named_before_their_cells():
    cells = [new_markdown_cell("# X\n\nWords."), new_code_cell("1"), new_markdown_cell("More.")]
    page, _ = made_page(cells, anchors=[(2, "term-more"), (0, "term-words")])
    assert page.cells[-1].source == "(term-more)=\nMore."
    assert page.cells[1].source == "(term-words)=\nWords."


@pytest.mark.parametrize("folder", ["chapters", "solutions"])
def test_colab_and_binder_are_offered_where_the_repository_is_known(folder):
    cells = [new_markdown_cell("# X")]
    local = made_page(cells, "", folder)[0].cells[0].source
    assert "colab" not in local and "binder" not in local
    online = made_page(cells, "me/book", folder)[0].cells[0].source
    file = f"notebooks/{folder}/09_x.ipynb"
    assert f"https://colab.research.google.com/github/me/book/blob/gh-pages/{file}" in online
    binder = f"https://mybinder.org/v2/gh/me/book/gh-pages?urlpath=lab%2Ftree%2F{file}"
    assert binder.replace(file, file.replace("/", "%2F")) in online


def test_a_notebook_for_elsewhere_installs_the_package_first():
    text = new_markdown_cell("[`gpt.py`](../minillm/model/gpt.py)")
    notebook = new_notebook(cells=[text, new_code_cell("import minillm")])
    assert pages.to_run_elsewhere(notebook, "") == notebook
    moved = pages.to_run_elsewhere(notebook, "me/book")
    first, text, code = moved.cells
    assert first.source.endswith("    %pip install --quiet git+https://github.com/me/book")
    assert text.source == "[`gpt.py`](https://github.com/me/book/blob/main/minillm/model/gpt.py)"
    assert code == notebook.cells[1]
    nbformat.validate(moved)


def test_each_term_of_the_glossary_leads_to_a_cell_that_says_it():
    text = (ROOT / "chapters/glossary.md").read_text(encoding="utf-8")
    notebooks = {c["slug"]: notebook_of(c) for c in CHAPTERS}
    linked, anchors = links.glossary(text, notebooks)
    names = [name for places in anchors.values() for _, name in places]
    terms = text.split("## Glossary")[1].count("\n| ") - 1
    assert len(names) == len(set(names)) == terms == linked.count("](#term-")
    for slug, places in anchors.items():
        assert all(notebooks[slug].cells[i].cell_type == "markdown" for i, _ in places)


def test_a_term_is_looked_for_in_bold_first():
    cells = [new_code_cell("head"), new_markdown_cell("A head."), new_markdown_cell("**Heads**")]
    notebook = new_notebook(cells=cells)
    assert links.first_use("head", notebook) == 2
    assert links.first_use("long name (head)", new_notebook(cells=cells[:2])) == 1
    assert links.first_use("tail", notebook) is None


def test_the_reference_holds_every_public_name_of_the_package_once():
    found = [
        f"{module}.{name}"
        for _, entries in reference.WINGS.values()
        for entry in entries
        for module, file in reference.modules(ROOT, entry).items()
        for name in reference.definitions(file)
    ]
    public = []
    for file in sorted((ROOT / "minillm").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        public += [f"{module.removesuffix('.__init__')}.{name}" for name in names if name[0] != "_"]
    assert sorted(found) == sorted(public)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Uses `n_heads` heads.", "Uses ``n_heads`` heads."),
        ("A list of `Beam`s.", "A list of ``Beam``\\ s."),
        ("A line ` = Title = `.", "A line ``= Title =``."),
        ("model(*inputs), <|end|>", "model(\\*inputs), <\\|end\\|>"),
        ("Built in chapter 1.", "Built in :doc:`chapter 1 </chapters/01_a>`."),
        ("arXiv:1706.03762, 3", "`arXiv:1706.03762 <https://arxiv.org/abs/1706.03762>`__, 3"),
        (">>> f(*x)", ">>> f(*x)"),
        ("As *the* word.", "As *the* word."),
        (
            "As for `Heads`; `train`.",
            "As for :py:obj:`Heads <minillm.model.attention.Heads>`; ``train``.",
        ),
    ],
)
def test_a_line_of_a_docstring_in_restructured_text(before, after):
    assert reference.to_rst([before], SLUGS, HOMES) == [after]


def test_a_block_after_a_colon_is_code_until_its_end():
    lines = ["As here:", "", "    a * b", "", "    c", "", "Then a * b."]
    after = ["As here::", "", "    a * b", "", "    c", "", "Then a \\* b."]
    assert reference.to_rst(lines, {}, {}) == after
    assert reference.to_rst(["Args:", "    x: a"], {}, {}) == ["Args:", "    x: a"]


def test_what_is_returned_is_a_field_in_one_line_or_in_several():
    lines = [
        "Does it.",
        "Returns: a list:",
        "    of things.",
        "Raises: ValueError for `x`.",
        "More.",
    ]
    expected = [
        "Does it.",
        "",
        ":returns: a list:",
        "    of things.",
        "",
        ":raises: ValueError for ``x``.",
        "",
    ]
    assert reference.to_rst(lines, {}, {}) == [*expected, "More."]
    below = ["Returns:", "    one: two", "", "Raises:", "    ValueError: for x."]
    assert reference.to_rst(below, {}, {}) == ["", ":returns:", *below[1:]]


def test_what_an_example_prints_stays_as_it_is():
    lines = [">>> f('|')", "['<|x|>', '*']", "", "A | B"]
    assert reference.to_rst(lines, {}, {}) == [*lines[:3], "A \\| B"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/me/book.git", "me/book"),
        ("git@github.com:me/the.book", "me/the.book"),
        ("https://example.org/me/book", ""),
        (None, ""),
    ],
)
def test_the_repository_is_that_of_origin(tmp_path, url, expected):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    if url:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", url], check=True)
    assert website.find_repository({}, tmp_path) == expected
    assert website.find_repository({"GITHUB_REPOSITORY": "a/b"}, tmp_path) == "a/b"


def test_a_cache_older_than_the_code_is_told_from_a_newer_one(tmp_path):
    code, cache = tmp_path / "package/deep/code.py", tmp_path / "environment.pickle"
    code.parent.mkdir(parents=True)
    code.touch()
    assert not website.older(cache, [tmp_path / "package"])
    cache.touch()
    for seconds, expected in ((10, True), (-10, False)):
        os.utime(code, (cache.stat().st_mtime + seconds,) * 2)
        assert website.older(cache, [tmp_path / "package"]) == expected
