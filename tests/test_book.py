"""The book's own tests: pairs, outputs, package cells, parts, exercises, links, the one list.

Every check of bookcheck.py is tried twice: on the book, which must have no fault, and on a small
notebook with a deliberate fault, which it must name.
"""

import base64
import importlib
import io
import os
import re
import types

import bookcheck
import nbformat
import pytest
import yaml
from bookcheck import ROOT, book
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from minillm.checks import exercise, expect

CHAPTERS = book.load_chapters(ROOT)
DONE = [chapter for chapter in CHAPTERS if chapter["status"] == "written"]
WRITTEN = [chapter for chapter in DONE if not book.is_lab(chapter)]
LABS = [chapter for chapter in DONE if book.is_lab(chapter)]
PAIRS = [
    ROOT / folder / chapter["slug"] for chapter in WRITTEN for folder in ("chapters", "solutions")
] + [ROOT / "chapters" / lab["slug"] for lab in LABS]
STEMS = pytest.mark.parametrize("stem", PAIRS, ids=lambda stem: f"{stem.parent.name}/{stem.name}")
EACH = pytest.mark.parametrize("chapter", WRITTEN, ids=lambda chapter: chapter["slug"])


def read(stem):
    return book.read_notebook(stem.with_suffix(".ipynb"))


def sources(files):
    found = [
        path for file in files for path in ([ROOT / file, *sorted((ROOT / file).glob("*.py"))])
    ]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in found
        if path.is_file()
    }


# The book


def test_list_of_chapters():
    assert bookcheck.list_faults(ROOT) == []


def test_readme_has_the_table_of_chapters():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert bookcheck.table_faults(readme, CHAPTERS) == []


@STEMS
def test_pairs_are_in_sync(stem):
    text = stem.with_suffix(".md").read_text(encoding="utf-8")
    assert bookcheck.pair_faults(read(stem), text) == []


@STEMS
def test_outputs_are_clean(stem):
    size = stem.with_suffix(".ipynb").stat().st_size
    assert bookcheck.output_faults(read(stem)) + bookcheck.size_faults(size) == []
    assert bookcheck.metadata_faults(read(stem)) == []


@EACH
def test_chapter_has_its_parts(chapter):
    notebook = read(ROOT / "chapters" / chapter["slug"])
    assert bookcheck.parts_faults(notebook) + bookcheck.class_faults(notebook) == []


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab["slug"])
def test_lab_has_its_parts(lab):
    notebook = read(ROOT / "chapters" / lab["slug"])
    assert bookcheck.lab_faults(notebook) + bookcheck.class_faults(notebook) == []


@STEMS
def test_pictures_are_described_and_sharp(stem):
    assert bookcheck.picture_faults(read(stem)) == []


@EACH
def test_layers_are_compared_with_trusted_ones(chapter):
    if not any("minillm/model" in file for file in chapter["builds"]):
        return
    assert bookcheck.trust_faults(read(ROOT / "chapters" / chapter["slug"])) == []


@EACH
def test_no_chapter_uses_what_a_later_one_builds(chapter):
    for folder in ("chapters", "solutions"):
        notebook = read(ROOT / folder / chapter["slug"])
        assert bookcheck.order_faults(notebook, chapter["number"]) == []


@EACH
def test_exercises_have_solutions_and_checks(chapter):
    slug = chapter["slug"]
    checks = importlib.import_module(f"minillm.checks.{slug[3:]}")
    pair = [read(ROOT / folder / slug) for folder in ("chapters", "solutions")]
    assert bookcheck.exercise_faults(*pair, checks, chapter["number"]) == []


@EACH
def test_package_cells_are_the_package(chapter):
    notebook, modules = read(ROOT / "chapters" / chapter["slug"]), sources(chapter["builds"])
    assert bookcheck.package_faults(notebook, modules, chapter["not_shown"]) == []


@EACH
def test_every_public_definition_is_shown(chapter):
    notebook, modules = read(ROOT / "chapters" / chapter["slug"]), sources(chapter["builds"])
    assert bookcheck.shown_faults([notebook], modules, chapter["not_shown"]) == []


def test_glossary_names_each_term_where_it_is_built():
    """In order of the alphabet; the chapter that it points to says the word."""
    file = ROOT / "chapters/glossary.md"
    text = file.read_text(encoding="utf-8")
    assert bookcheck.link_faults(text, file.parent) == []
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| \[\d+\]\((\w+)\.ipynb\) \|$", text, re.MULTILINE)
    terms = [term.lower() for term, _ in rows]
    assert len(rows) > 30 and terms == sorted(terms)
    for term, slug in rows:
        said = (ROOT / f"chapters/{slug}.md").read_text(encoding="utf-8").lower()
        for part in re.split(r", | \(|\)", term.lower()):
            assert part.removesuffix("s") in said, f"{slug} does not say {part!r}"


def test_links_resolve():
    files = [stem.with_suffix(".md") for stem in PAIRS]
    files += [ROOT / name for name in ("README.md", "CONTRIBUTING.md") if (ROOT / name).exists()]
    faults = {file: bookcheck.link_faults(file.read_text("utf-8"), file.parent) for file in files}
    assert {file.name: found for file, found in faults.items() if found} == {}


# The checks, on notebooks that are right and on notebooks that are wrong


def png(size=(8, 4), mode="RGBA"):
    """A picture in base64: RGBA as a kernel sends it, P, with a palette, as the book keeps it."""
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PNG = png(mode="P")


def picture():
    size = {"image/png": {"width": 4, "height": 2}}
    return new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"}, metadata=size)


def text(words, name="stdout"):
    return new_output("stream", name=name, text=words)


PACKAGE = '''def double(x):
    """Twice x."""
    return 2 * x
'''


def number_cells(notebook):
    ran = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for i, cell in enumerate(ran, start=1):
        cell.execution_count = i
    return book.clean(notebook)


HINT = "<details><summary>Hint</summary>\nTry.\n</details>"


def merge(cells, heading):
    """Join a cell of prose with the one before, as text without `+++` between them has it."""
    i = next(i for i, cell in enumerate(cells) if cell.source.startswith(heading))
    if cells[i - 1].cell_type == "markdown":
        cells[i - 1].source += "\n\n" + cells.pop(i).source


def good_chapter():
    objectives = "**In this chapter** you will\n\n- add;\n- subtract;\n- draw.\n\n*An hour.*"
    question = "Why?\n\n<details><summary>Answer</summary>\nSo.\n</details>"
    said = {"alt": "One line against the step, which falls at first and then stays where it is."}
    cells = [new_markdown_cell("# 9. Numbers"), new_markdown_cell(objectives)]
    cells += [new_code_cell(f"plot({i})", outputs=[picture()], metadata=said) for i in range(2)]
    checked = {"tags": ["nbval-check-output"]}
    cells += [
        new_code_cell(f"print({i})", outputs=[text(f"{i}\n")], metadata=checked) for i in range(10)
    ]
    cells += [new_code_cell(PACKAGE, metadata={"tags": ["package"]})]
    cells += [new_markdown_cell("\n\n".join(["## Recall", *[question] * 5]))]
    cells += [new_code_cell("import check"), new_markdown_cell("## Exercises\n\nThree.")]
    for i in range(1, 4):
        cells += [
            new_markdown_cell(f"### 9.{i} Task ★★ (10 minutes)\n\nDo it."),
            new_code_cell(f"def task{i}(x):\n    raise NotImplementedError"),
            new_code_cell(f"check.task{i}(task{i})", outputs=[text(f"· 9.{i} task{i}: not\n")]),
            new_markdown_cell(HINT),
        ]
    merge(cells, "### 9.1")
    merge(cells, "### 9.2")
    return number_cells(new_notebook(cells=cells))


def good_solution():
    cells = [new_markdown_cell("# 9. Numbers: solutions"), new_code_cell("import check")]
    for i in range(1, 4):
        cells += [
            new_markdown_cell(f"## 9.{i} Task"),
            new_code_cell(f"def task{i}(x):\n    return x"),
            new_code_cell(f"check.task{i}(task{i})", outputs=[text(f"✓ 9.{i} task{i}\n")]),
        ]
    return number_cells(new_notebook(cells=cells))


def good_checks():
    module = types.ModuleType("checks_of_9")
    for i in range(1, 4):

        def task(attempt):
            expect(attempt(1), 1)

        task.__name__ = f"task{i}"
        setattr(module, f"task{i}", exercise(f"9.{i}")(task))
    return module


def cell_with(notebook, words):
    return next(cell for cell in notebook.cells if words in cell.source)


def without(notebook, words):
    notebook.cells.remove(cell_with(notebook, words))


def test_a_good_chapter_has_no_fault():
    chapter, solution = good_chapter(), good_solution()
    for notebook in (chapter, solution):
        nbformat.validate(notebook)
        assert bookcheck.pair_faults(notebook, book.to_text(notebook)) == []
        assert bookcheck.output_faults(notebook) + bookcheck.metadata_faults(notebook) == []
    assert bookcheck.parts_faults(chapter) + bookcheck.class_faults(chapter) == []
    assert bookcheck.exercise_faults(chapter, solution, good_checks(), 9) == []
    modules = {"a.py": PACKAGE.replace("Twice x.", "Return twice a number.\n\n    Long.")}
    assert bookcheck.package_faults(chapter, modules, {}) == []
    assert bookcheck.shown_faults([chapter], modules, {}) == []


def test_a_pair_that_differs():
    chapter = good_chapter()
    right = book.to_text(chapter)
    for wrong, words in [
        (right.replace("Do it.", "Do that.", 1), "'Do that.' in the .md"),
        (right.replace(":tags: [package]\n", ""), ":tags: [package]"),
        (right + "\nMore.", "'More.' in the .md"),
        (right[: right.rindex("```{code-cell}")], "in the .ipynb"),
    ]:
        (fault,) = bookcheck.pair_faults(chapter, wrong)
        assert words in fault
    versions = right.replace("format_name: myst", "format_name: myst\n    format_version: 0.13")
    assert bookcheck.pair_faults(chapter, versions) == []


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda cell: cell.update(execution_count=None), "execution count None, expected 3"),
        (lambda cell: cell.update(execution_count=4), "execution count 4, expected 3"),
        (lambda cell: cell.outputs.clear(), "has no output"),
        (lambda cell: cell.outputs.append(new_output("error", ename="ValueError")), "ValueError"),
        (
            lambda cell: cell.outputs.append(text("warning", "stderr")),
            "writes to stderr, 'warning'",
        ),
        (lambda cell: cell.outputs.append(text("saved in /home/anna/x\n")), "path, '/home/a'"),
        (lambda cell: cell.outputs.append(text("at 2026-01-02 10:11:12\n")), "a time of day"),
        (
            lambda cell: cell.outputs.append(
                new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})
            ),
            "shows a widget",
        ),
        (
            lambda cell: cell.outputs.append(
                new_output("execute_result", {"text/plain": "'C:\\Users\\anna'"})
            ),
            "a machine's path",
        ),
    ],
)
def test_outputs_that_are_not_clean(break_it, words):
    chapter = good_chapter()
    break_it(cell_with(chapter, "print(0)"))
    (fault,) = bookcheck.output_faults(chapter)
    assert words in fault and "code cell 3 (print(0))" in fault


def test_a_file_too_large():
    assert bookcheck.size_faults(599_999) == [] and bookcheck.size_faults(600_000) != []


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda n: n.metadata.update(language_info={"version": "3.11"}), "notebook metadata"),
        (lambda n: n.metadata.pop("kernelspec"), "notebook metadata"),
        (lambda n: n.update(nbformat_minor=4), "format 4.4"),
        (lambda n: n.cells[2].update(id="random"), "cell 2: id"),
        (lambda n: n.cells[2].metadata.update(collapsed=True), "cell 2: id or metadata"),
        (lambda n: n.cells[2].metadata.update(tags=["pakage"]), "unknown tags ['pakage']"),
    ],
)
def test_metadata_that_is_not_minimal(break_it, words):
    chapter = good_chapter()
    break_it(chapter)
    (fault,) = bookcheck.metadata_faults(chapter)
    assert words in fault


@pytest.mark.parametrize(
    ("head", "n_faults"),
    [
        ("class A:", 0),
        ("class A:\n    k = 0", 1),
        ("@wraps\nclass A:", 1),
        ('class A:\n    """No docstring counts.\n\n    At all.\n    """\n', 0),
        ("import math\n\nclass A:", 0),
    ],
)
def test_a_class_too_long_to_read(head, n_faults):
    methods = "\n\n".join(f"    def f{i}(self):\n        return {i}" for i in range(14))
    chapter = good_chapter()
    chapter.cells.append(new_code_cell(f"{head}\n{methods}\n\n    x = 1"))
    assert len(bookcheck.class_faults(chapter)) == n_faults


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda n: without(n, "**In this chapter**"), "0 objectives"),
        (lambda n: without(n, "plot(0)"), "1 pictures"),
        (lambda n: without(n, "print(0)"), "9 checked outputs"),
        (lambda n: without(n, "## Recall"), "0 recall questions"),
        (lambda n: replace(n, "### 9.1 Task", "### Task"), "2 exercises"),
    ],
)
def test_a_chapter_without_a_part(break_it, words):
    chapter = good_chapter()
    break_it(chapter)
    (fault,) = bookcheck.parts_faults(chapter)
    assert words in fault


def replace(notebook, old, new):
    cell = cell_with(notebook, old)
    cell.source = cell.source.replace(old, new)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda c, s, m: replace(c, "9.1 Task ★★", "9.1 Task"), "9.1: no stars or minutes"),
        (lambda c, s, m: replace(c, "raise NotImplementedError", "return x"), "9.1: no stub"),
        (
            lambda c, s, m: replace(c, "check.task1(task1)", "task1"),
            "9.1: no cell with check.task1",
        ),
        (lambda c, s, m: replace(c, HINT, ""), "9.1: no hint"),
        (lambda c, s, m: replace(c, "### 9.1", "###"), "['9.2', '9.3'] in the chapter, ['9.1', "),
        (lambda c, s, m: without(s, "check.task1"), "9.1: its solution has no cell"),
        (lambda c, s, m: cell_with(s, "check.task1").outputs.clear(), "9.1: its solution does not"),
        (lambda c, s, m: replace(s, "return x", "raise NotImplementedError"), "is a stub"),
        (lambda c, s, m: without(s, "## 9.1"), "in the chapter, ['9.2', '9.3'] in the solutions"),
        (lambda c, s, m: delattr(m, "task1"), "in the chapter, ['9.2', '9.3'] in checks_of_9"),
    ],
)
def test_exercises_that_are_incomplete(break_it, words):
    chapter, solution, checks = good_chapter(), good_solution(), good_checks()
    break_it(chapter, solution, checks)
    faults = bookcheck.exercise_faults(chapter, solution, checks, 9)
    assert any(words in fault for fault in faults), faults
    assert bookcheck.exercise_faults(good_chapter(), good_solution(), good_checks(), 8)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (PACKAGE.replace("2 * x", "x * 2"), "double differs"),
        (PACKAGE.replace("(x)", "(x: int)"), "double differs"),
        (PACKAGE.replace("double", "triple"), "double is in a package cell, and not in ['a.py']"),
    ],
)
def test_a_package_cell_that_is_not_the_package(module, words):
    (fault,) = bookcheck.package_faults(good_chapter(), {"a.py": module}, {})
    assert words in fault


def test_package_cells_hold_constants_and_classes_too():
    chapter = good_chapter()
    cell_with(
        chapter, "def double"
    ).source = "import math\n\nEND = 1\n\nclass A:\n    'Doc.'\n    x = 1"
    same = "END = 1\nclass A:\n    '''Other.'''\n    x = 1"
    assert bookcheck.package_faults(chapter, {"a.py": same}, {}) == []
    for wrong in (same.replace("END = 1", "END = 2"), same.replace("x = 1", "x = 2")):
        assert len(bookcheck.package_faults(chapter, {"a.py": wrong}, {})) == 1
    cell_with(chapter, "import math").source = "import math"
    assert "defines nothing" in bookcheck.package_faults(chapter, {"a.py": same}, {})[0]


def test_a_method_that_a_shown_class_leaves_out():
    chapter = good_chapter()
    shown = "class A:\n    def one(self):\n        return 1\n"
    cell_with(chapter, "def double").source = shown
    modules = {"a.py": f"{shown}\n    def two(self):\n        return 2\n"}
    (fault,) = bookcheck.package_faults(chapter, modules, {})
    assert fault.startswith("A differs")
    reasons = {"A.two": "calls others"}
    assert bookcheck.package_faults(chapter, modules, reasons) == []
    assert bookcheck.shown_faults([chapter], modules, reasons) == []
    assert len(bookcheck.package_faults(chapter, modules, {"A.one": "why"})) == 1
    for stale in ("A.one", "A.three", "B.two"):
        (fault,) = bookcheck.shown_faults([chapter], modules, {stale: "why"})
        assert f"{stale} is shown, or does not exist" in fault
    (fault,) = bookcheck.shown_faults([chapter], modules, {"A.two": ""})
    assert fault == "not_shown: A.two has no reason"


def test_a_definition_that_no_chapter_shows():
    chapter = good_chapter()
    modules = {"a.py": f"{PACKAGE}\ndef hidden():\n    pass\n\ndef _own():\n    pass\n\nN = 1\n"}
    (fault,) = bookcheck.shown_faults([chapter], modules, {})
    assert "a.py: hidden is not shown" in fault
    assert bookcheck.shown_faults([chapter], modules, {"hidden": "in chapter 10"}) == []
    assert len(bookcheck.shown_faults([chapter], modules, {"hidden": ""})) == 1
    for stale in ("double", "gone"):
        (fault,) = bookcheck.shown_faults([chapter], modules, {"hidden": "why", stale: "why"})
        assert stale in fault


def test_layers_that_are_not_compared():
    cells = [new_code_cell(f"torch.testing.assert_close(a, {i})") for i in range(3)]
    assert bookcheck.trust_faults(new_notebook(cells=cells)) == []
    (fault,) = bookcheck.trust_faults(new_notebook(cells=[*cells[:2], new_code_cell("a == 2")]))
    assert fault.startswith("2 comparisons")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("from minillm.model.gpt import GPT", "GPT is used, and built in chapter 7"),
        ("from minillm.text import village\nvillage.sentiment(1)", "village.sentiment is used"),
        ("from minillm.text import village as v\nv.sentiment(1)", "v.sentiment is used"),
        ("def f():\n    from minillm.generate import generate", "generate is used"),
    ],
)
def test_a_name_that_comes_too_early(source, words):
    notebook = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell(source)])
    (fault,) = bookcheck.order_faults(notebook, 5)
    assert words in fault
    assert bookcheck.order_faults(notebook, 12) == []


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "here.md").touch()
    good = "[a](here.md) [b](here.md#part) [c](https://x.org/y.md) [d](#own) `[e](code.md)`"
    assert bookcheck.link_faults(good, tmp_path) == []
    assert bookcheck.link_faults(good + " [`f`](gone.md)", tmp_path) == [
        "link to gone.md: no such file"
    ]
    assert len(bookcheck.link_faults('<img src="gone.png"> ![x](lost.png)', tmp_path)) == 2


def write_list(root, **changes):
    chapter = {"number": 1, "slug": "01_a", "title": "A", "status": "planned", "seconds": None}
    chapter |= {"minutes_to_read": 5, "needs": [], "builds": [], "not_shown": {}, **changes}
    text = book.yaml.safe_dump({"title": "T", "parts": [{"title": "P", "chapters": [chapter]}]})
    (root / "book.yml").write_text(text)
    for folder in ("chapters", "solutions", "minillm/checks"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def test_a_list_of_chapters_that_is_wrong(tmp_path):
    write_list(tmp_path)
    assert bookcheck.list_faults(tmp_path) == []
    for change, words in [
        ({"number": 2, "slug": "02_a"}, "not numbered"),
        ({"slug": "02_a"}, "does not start with its number"),
        ({"status": "done"}, "status is done"),
        ({"needs": [1]}, "needs a later chapter"),
        ({"status": "written", "seconds": 9}, "chapters/01_a.ipynb is missing"),
        ({"status": "written", "builds": ["minillm/a.py"]}, "minillm/a.py is missing"),
    ]:
        write_list(tmp_path, **change)
        faults = bookcheck.list_faults(tmp_path)
        assert any(words in fault for fault in faults), faults
    files = [f"{d}/01_a{s}" for d in ("chapters", "solutions") for s in (".md", ".ipynb")]
    for file in [*files, "minillm/checks/a.py"]:
        (tmp_path / file).touch()
    write_list(tmp_path, status="written", seconds=9)
    assert bookcheck.list_faults(tmp_path) == []
    write_list(tmp_path, status="written")
    assert bookcheck.list_faults(tmp_path) == ["chapter 1: seconds or minutes_to_read is empty"]
    (tmp_path / "chapters/02_b.md").touch()
    assert "chapters/02_b.md is not in book.yml" in bookcheck.list_faults(tmp_path)


def test_a_lab_runs_where_its_folders_are(tmp_path):
    lab, books = {"data": ["sst2"], "models": ["poet"]}, {"data": ["gutenberg"], "models": []}
    folders = {"MINILLM_DATA": str(tmp_path), "MINILLM_MODELS": str(tmp_path)}
    online = {"HF_HUB_OFFLINE": "0"}
    (tmp_path / "sst2").mkdir()
    assert "needs sst2 in $MINILLM_DATA, or" in book.lacking(lab, {})
    assert "needs poet in $MINILLM_MODELS, or" in book.lacking(lab, folders)
    assert book.lacking(lab, folders | online) == book.lacking(lab, online) == ""
    assert "gutenberg in $MINILLM_DATA; it is not" in book.lacking(books, folders | online)
    (tmp_path / "poet").mkdir()
    (tmp_path / "gutenberg").mkdir()
    assert book.lacking(lab, folders) == book.lacking(books, folders) == ""


def test_a_lab_that_lacks_something():
    lab = good_chapter()
    assert "objectives" in " ".join(bookcheck.lab_faults(lab))  # it says "In this chapter"
    replace(lab, "In this chapter", "In this lab")
    assert bookcheck.lab_faults(lab) == []
    for cell in bookcheck.code_cells(lab):
        cell.outputs, cell.metadata = [], {}
    faults = " ".join(bookcheck.lab_faults(lab))
    assert "0 pictures" in faults and "0 checked outputs" in faults


def test_a_list_with_labs(tmp_path):
    (tmp_path / "chapters").mkdir()
    entry = {"status": "planned", "needs": [1], "builds": [], "title": "A", "seconds": None}
    one = {**entry, "number": 1, "slug": "01_a", "needs": []}

    def faults(*labs):
        parts = [{"title": "P", "chapters": [one, *({**entry, **lab} for lab in labs)]}]
        (tmp_path / "book.yml").write_text(yaml.safe_dump({"parts": parts}), "utf-8")
        return " ".join(bookcheck.list_faults(tmp_path))

    assert faults({"number": "lab1", "slug": "lab1_b"}) == ""
    assert "not numbered lab1" in faults({"number": "lab2", "slug": "lab2_b"})
    assert "does not start" in faults({"number": "lab1", "slug": "lab2_b"})
    assert "later chapter" in faults({"number": "lab1", "slug": "lab1_b", "needs": [2]})
    (tmp_path / "chapters/lab9_c.md").touch()
    assert "lab9_c.md is not in book.yml" in faults({"number": "lab1", "slug": "lab1_b"})


def test_a_table_that_is_stale():
    begin, end = book.MARKERS
    readme = book.with_table(f"# Title\n{begin}\n{end}\nMore.\n", book.chapter_table(CHAPTERS))
    assert bookcheck.table_faults(readme, CHAPTERS) == []
    assert readme.startswith("# Title\n") and readme.endswith("\nMore.\n")
    for chapter in CHAPTERS:
        assert chapter["title"] in readme and readme.count(f"**{chapter['part']}**") == 1
    assert "stale" in bookcheck.table_faults(readme.replace("Attention", "Attendance"), CHAPTERS)[0]
    assert "must hold" in bookcheck.table_faults("# Title\n", CHAPTERS)[0]


# The authors' tool


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda cell: cell.metadata.pop("alt"), "no alt: plot(0)"),
        (
            lambda cell: cell.metadata.update(alt="A line."),
            "alt of 7 letters, not 60 to 300: plot(0)",
        ),
        (lambda cell: cell.outputs.clear(), "alt without a picture: plot(0)"),
        (lambda cell: cell.outputs[0].metadata.clear(), "8 pixels wide, shown as None: plot(0)"),
    ],
)
def test_pictures_without_words_or_sharpness_are_named(change, fault):
    chapter = good_chapter()
    assert bookcheck.picture_faults(chapter) == []
    change(cell_with(chapter, "plot(0)"))
    assert bookcheck.picture_faults(chapter) == [fault]


def test_cleaning_changes_nothing_twice_and_takes_what_differs_from_run_to_run():
    chapter = good_chapter()
    assert book.clean(chapter) == chapter
    cell = cell_with(chapter, "print(0)")
    cell.id, cell.metadata.execution = "random", {"iopub.execute_input": "2026-01-02T10:11:12"}
    cell_with(chapter, "plot(0)").outputs[0].metadata["noise"] = 1
    cell.outputs = [
        text("a\n"),
        text("0\n"),
        text("!", "stderr"),
        text(f"in {ROOT / 'chapters'}\n"),
    ]
    chapter.metadata.language_info.version = "3.11.7"
    chapter.cells.append(new_code_cell("print(0)"))
    cleaned = book.clean(chapter)
    ids = [cell.id for cell in cleaned.cells]
    assert len(set(ids)) == len(ids) and "random" not in ids
    outputs = [output.text for output in cell_with(cleaned, "print(0)").outputs]
    assert outputs == ["a\n0\n", "!", "in chapters\n"]
    assert "2026" not in str(cleaned) and "3.11" not in str(cleaned)
    assert all(set(cell.metadata) <= {"tags", "alt"} for cell in cleaned.cells)
    assert "noise" not in str(cleaned) and "_version" not in book.to_text(cleaned)
    assert cell.id == "random"  # a copy was cleaned


def test_a_picture_keeps_its_size_on_the_page_and_few_colours():
    noisy = picture()
    noisy.data["image/png"] = png(size=(300, 200))
    cleaned = book.clean(new_notebook(cells=[new_code_cell("plot()", outputs=[noisy])]))
    output = cleaned.cells[0].outputs[0]
    small = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert small.mode == "P" and small.size == (300, 200)
    assert output.metadata == {"image/png": {"width": 4, "height": 2}}
    assert book.clean(cleaned) == cleaned


def test_outputs_stay_with_their_cells():
    old, new = good_chapter(), good_chapter()
    for cell in bookcheck.code_cells(new):
        cell.outputs, cell.execution_count = [], None
    new.cells.insert(2, new_code_cell("print(3)"))
    replace(new, "plot(1)", "plot(1, 1)")
    kept = book.keep_outputs(new, old)
    assert kept.cells[2].outputs == cell_with(old, "print(3)").outputs  # equal text, first served
    assert cell_with(kept, "plot(0)").outputs == cell_with(old, "plot(0)").outputs
    assert cell_with(kept, "plot(1, 1)").outputs == []
    twins = [new_code_cell("next(x)", outputs=[text(words)]) for words in ("a", "b")]
    bare = new_notebook(cells=[new_code_cell("next(x)") for _ in twins])
    kept = book.keep_outputs(bare, new_notebook(cells=twins))
    assert [cell.outputs for cell in kept.cells] == [[text("a")], [text("b")]]


@pytest.fixture
def pair(tmp_path):
    stem = tmp_path / "09_numbers"
    book.write_notebook(stem.with_suffix(".ipynb"), good_chapter())
    assert book.sync(stem) == "wrote the .md"
    return stem


def age(file, seconds):
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - seconds))


def test_sync_follows_the_newer_file(pair):
    notebook_file, text_file = pair.with_suffix(".ipynb"), pair.with_suffix(".md")
    before = notebook_file.read_bytes(), text_file.read_bytes()
    assert book.sync(pair) == "in sync"
    assert (notebook_file.read_bytes(), text_file.read_bytes()) == before

    text_file.write_text(text_file.read_text("utf-8").replace("Do it.", "Do that."), "utf-8")
    age(notebook_file, 9)
    assert book.sync(pair) == "wrote the .ipynb"
    notebook = book.read_notebook(notebook_file)
    assert "Do that." in cell_with(notebook, "9.1").source
    assert cell_with(notebook, "plot(0)").outputs == [picture()]

    replace(notebook, "Do that.", "Do these.")
    book.write_notebook(notebook_file, notebook)
    age(text_file, 9)
    assert book.sync(pair) == "the .ipynb is newer: wrote the .md"
    assert "Do these." in text_file.read_text("utf-8")
    assert bookcheck.pair_faults(notebook, text_file.read_text("utf-8")) == []


def test_executed_twice_gives_the_same_bytes(tmp_path):
    cells = [
        new_code_cell("import matplotlib.pyplot as plt\n\nprint(1)\nprint(2)"),
        new_code_cell("plt.figure(figsize=(1, 1))\nplt.plot([1, 2]);"),
        new_markdown_cell("Words."),
        new_code_cell("1 + 1", metadata={"tags": ["nbval-check-output"]}),
    ]
    stem = tmp_path / "09_run"
    book.write_notebook(stem.with_suffix(".ipynb"), new_notebook(cells=cells))
    runs = []
    for _ in range(2):
        assert book.execute(stem) > 0
        runs.append(stem.with_suffix(".ipynb").read_bytes())
    assert runs[0] == runs[1]
    notebook = book.read_notebook(stem.with_suffix(".ipynb"))
    assert bookcheck.output_faults(notebook) + bookcheck.metadata_faults(notebook) == []
    assert [len(cell.outputs) for cell in bookcheck.code_cells(notebook)] == [1, 1, 1]
    (file,) = book.write_pictures(notebook, "run", tmp_path / "pictures")
    assert file.name == "run_cell001_0.png" and file.read_bytes().startswith(b"\x89PNG")


def test_seconds_are_noted_and_nothing_else_changes(tmp_path):
    original = (ROOT / "book.yml").read_text("utf-8")
    (tmp_path / "book.yml").write_text(original, "utf-8")
    slug = CHAPTERS[2]["slug"]
    book.note_seconds(slug, 41.7, tmp_path)
    changed = book.load_chapters(tmp_path)
    assert changed[2] == {**CHAPTERS[2], "seconds": 42}
    assert changed[:2] + changed[3:] == CHAPTERS[:2] + CHAPTERS[3:]
    before, after = original.split("\n"), (tmp_path / "book.yml").read_text("utf-8").split("\n")
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
