"""What a reader does on the site: search, unfold an answer, go dark, open it without a server."""

import re

import pytest
import visits

CHAPTER = "chapters/05_positions.html"
VIEWER = "viewer.html"
# Of a colour as the browser says it, "rgb(20, 24, 30)": how light it is, from 0 to 1.
LIGHTNESS = """() => {
  const rgb = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number);
  return (0.21 * rgb[0] + 0.72 * rgb[1] + 0.07 * rgb[2]) / 255;
}"""
THEME = "() => document.documentElement.dataset.theme"


def look_for(page, words):
    """Type words into the page's field for searching, and return the addresses found."""
    page.locator("button.search-button__button:visible").first.click()
    page.locator("dialog input[name=q]").fill(words)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    return found.evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")


@pytest.mark.parametrize("size", [visits.WIDE, visits.NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    ("words", "file", "heading"),
    [
        ("rotary", CHAPTER, "Positions"),
        ("LoRA", "chapters/11_lora.html", "LoRA"),
        ("KeyValueCache", "reference/model.html", "Models"),
    ],
)
def test_search_finds_chapters_and_names(new_page, words, file, heading, size):
    page = new_page("chapters/01_language_models.html")
    page.set_viewport_size(size)
    found = look_for(page, words)
    assert file in {address.split("#")[0].split("?")[0] for address in found}
    page.locator(f"#search-results a[href^='{file}']").first.click()
    page.wait_for_url(f"**/{file}*")
    assert heading in page.locator("article h1").inner_text()


def test_search_says_when_nothing_is_found(new_page):
    page = new_page("search.html?q=xyzzyx")
    page.wait_for_function("() => /did not match/.test(document.body.innerText)")
    assert page.locator("#search-results li").count() == 0


def test_an_answer_unfolds_by_the_keyboard_alone(new_page):
    page = new_page(CHAPTER)
    focused = "() => document.activeElement.matches('main summary')"
    for _ in range(400):
        page.keyboard.press("Tab")
        if page.evaluate(focused):
            break
    assert page.evaluate(focused)
    fold = page.locator("main details:focus-within")
    name = fold.inner_text()
    assert name in ("Answer", "Hint")
    page.keyboard.press("Enter")
    assert len(fold.inner_text()) > len(name) + 20
    page.keyboard.press("Enter")
    assert fold.inner_text() == name


def test_the_sidebar_leads_to_chapters_on_a_phone(new_page):
    page = new_page("index.html", viewport=visits.NARROW)
    link = page.locator(f"nav.bd-links a[href='{CHAPTER}']")
    assert not link.is_visible()
    page.locator("button.primary-toggle").click()
    link.click()
    page.wait_for_url(f"**/{CHAPTER}")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_follow_the_system_until_the_switch_is_used(new_page, system):
    page = new_page(CHAPTER, color_scheme=system)
    other = {"light": "dark", "dark": "light"}[system]
    assert page.evaluate(THEME) == system
    assert (page.evaluate(LIGHTNESS) < 0.2) == (system == "dark")
    page.locator("button.theme-switch-button").click()
    page.locator(f"button.theme-change-button[data-mode={other}]").click()
    assert page.evaluate(THEME) == other
    page.reload()
    page.add_style_tag(content=visits.STILL)
    assert page.evaluate(THEME) == other
    lightness = page.evaluate(LIGHTNESS)
    assert lightness < 0.2 if other == "dark" else lightness > 0.9


def test_pictures_keep_a_white_ground_in_the_dark(new_page):
    page = new_page(CHAPTER, color_scheme="dark")
    ground = "(all) => all.map((e) => getComputedStyle(e).backgroundColor)"
    grounds = page.locator(".cell_output img").evaluate_all(ground)
    assert grounds and set(grounds) == {"rgb(255, 255, 255)"}


@pytest.mark.parametrize("name", ["index.html", CHAPTER])
def test_a_page_opens_as_a_file(new_page, site, name):
    page = new_page((site / name).as_uri())
    page.evaluate(visits.MATH_IS_SET)
    formulas = page.evaluate(visits.FORMULAS)
    assert formulas["unset"] == formulas["wrong"] == formulas["raw"] == []
    assert formulas["count"] > 0 or name == "index.html"
    assert [e["file"] for e in page.evaluate(visits.IMAGES) if e["pixels"] == 0] == []


def test_search_works_in_files(new_page, site):
    # A page opened as a file may not read others: what is found stands there without its context.
    excused = r"Access to fetch at 'file:|failed: file:.*\.html$|net::ERR_FAILED|Failed to fetch"
    page = new_page((site / CHAPTER).as_uri(), excused)
    assert CHAPTER in {address.split("#")[0].split("?")[0] for address in look_for(page, "rotary")}


@pytest.mark.parametrize("by", ["server", "file"])
def test_the_attention_viewer_shows_what_each_word_reads(new_page, site, by):
    page = new_page(VIEWER if by == "server" else (site / VIEWER).as_uri())
    words, reads = page.locator("#text .word"), page.locator("#reads")
    said = set()
    for place in (3, 5):
        words.nth(place).focus()
        assert words.nth(place).get_attribute("aria-selected") == "true"
        said.add(reads.inner_text())
    page.keyboard.press("ArrowRight")
    assert words.nth(6).get_attribute("aria-selected") == "true"
    said.add(reads.inner_text())
    assert len(said) == 3 and all(re.search(r" reads most, .* \d+%", text) for text in said)
    page.locator("#heads button").last.click()
    assert reads.inner_text() not in said
