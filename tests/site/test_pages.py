"""Each page as a browser shows it: nothing fails, nothing is cut off, everyone can read it.

What is judged here was noted in one visit to each page; see visits.py.
"""

import pytest
import visits
from sitecheck import DRAWN_UP, PAGES, SOLVED, WRITTEN

# The scope puts the tests of one page in a row, so that two workers are at two pages.
ALL = pytest.mark.parametrize("name", [*PAGES, *DRAWN_UP], scope="session")
EACH = pytest.mark.parametrize("name", PAGES, scope="session")
CHAPTERS = [f"chapters/{chapter['slug']}.html" for chapter in WRITTEN]
WITH_FORMULAS = [f"chapters/{SOLVED[i]['slug']}.html" for i in (0, 1, 2, 4)]
# Matplotlib rounds a picture's size to whole pixels, and the browser its width on the page.
SHARP = pytest.approx(2, abs=0.05)


@ALL
def test_nothing_fails_and_nothing_leaves_the_site(visit, name):
    assert visit(name)["faults"] == []


@EACH
def test_formulas_are_set(visit, name):
    formulas = visit(name)["formulas"]
    assert formulas["unset"] == formulas["wrong"] == formulas["raw"] == []
    assert formulas["count"] > 0 or name not in WITH_FORMULAS


@EACH
def test_pictures_are_there_and_said_in_words(visit, name):
    images = visit(name)["images"]
    assert [e["file"] for e in images if e["pixels"] == 0] == []
    wordless = [e["file"] for e in images if len(e["alt"].split()) < 3 or e["file"] in e["alt"]]
    assert wordless == []


@EACH
def test_pictures_are_sharp_and_fit_their_column(visit, name):
    images = [e for e in visit(name)["images"] if not e["file"].endswith(".svg")]
    assert [e["file"] for e in images if not 0 < e["shown"] <= e["column"]] == []
    assert [e["file"] for e in images if e["pixels"] / max(e["asked"], 1) != SHARP] == []


@pytest.mark.parametrize("width", ["wide", "narrow"])
@ALL
def test_no_page_scrolls_sideways_and_long_code_does(visit, name, width):
    overflow = visit(name)["overflow"][width]
    assert overflow["wide"] == overflow["cut"] == []
    assert overflow["page"] <= 0
    if width == "narrow" and name in CHAPTERS:  # their code is too long for a phone
        assert overflow["scrolling"] > 0


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
@EACH
def test_everyone_can_read_it(visit, name, look):
    assert visit(name)["axe"][look] == []


FAULTY = """<!doctype html><html lang="en"><head><title>x</title></head><body><main>
<img src="gone.png" width="100" alt="gone.png">
<p>Some $x$ and \\(y\\), but not <code>$z$</code>.</p>
<p style="color: #999; background: #fff">pale</p>
<p style="white-space: nowrap">{long}</p><pre style="overflow: hidden">{long}</pre>
<pre style="overflow: auto" tabindex="0">{long}</pre><span class="math">\\(z\\)</span>
<script>console.error("oh"); fetch("https://example.com/").catch(() => 0); none.at(0)</script>
</main></body></html>"""


def test_a_visit_notes_every_fault(browser, tmp_path):
    (tmp_path / "faulty.html").write_text(FAULTY.format(long="long " * 400), encoding="utf-8")
    address = f"{tmp_path.as_uri()}/"
    seen = visits.visit(browser, address, "faulty.html")
    said = " ".join(seen["faults"])
    for fault in ("failed: /gone.png", "leaves the site: https://example.com/", "oh", "none is"):
        assert fault in said
    formulas = seen["formulas"]
    assert formulas == {"count": 1, "unset": ["\\(z\\)"], "wrong": [], "raw": ["$x$", "\\("]}
    assert seen["images"][0]["pixels"] == 0
    for width in ("wide", "narrow"):
        overflow = seen["overflow"][width]
        assert overflow["page"] > 0 and overflow["scrolling"] == 1
        assert [what[:6] for what in overflow["wide"]] == ["p.: lo", "pre.: "]
        assert [what[:6] for what in overflow["cut"]] == ["pre.: "]
    assert "color-contrast" in " ".join(seen["axe"]["light"])
