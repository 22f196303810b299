"""What a browser sees of a page: one visit notes all that the tests ask for.

A visit is at a desk's width in light colours first, then in dark ones, then at a phone's width.
"""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
MATH_IS_SET = "() => window.MathJax?.startup?.promise.then(() => true)"
STILL = "*, ::before, ::after { transition: none !important; animation: none !important }"
# The theme looks again for boxes that scroll, to let the Tab key reach them, 300 ms after a resize.
SETTLED_MS = 500
PATIENCE_MS = 120_000  # for what a page must show: a busy machine is no fault of the page

# Formulas that were not set, and what is left of TeX or Markdown in the text that a reader sees.
FORMULAS = r"""() => {
  const raw = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, parent = text.parentElement;
    if (parent.closest("pre, code, script, style, noscript, mjx-container")) continue;
    const found = text.data.match(/\$[^$\n]+\$|\\[a-zA-Z]{2,}|\\[()\[\]]|`[^`]+`|\*\*[^*]+\*\*/);
    if (found) raw.push(found[0]);
  }
  const all = [...document.querySelectorAll(".math")];
  return {
    count: all.length,
    unset: all.filter((e) => !e.querySelector("mjx-container")).map((e) => e.textContent),
    wrong: [...document.querySelectorAll("mjx-merror, merror, [data-mjx-error]")]
      .map((e) => e.dataset.mjxError ?? e.textContent),
    raw,
  };
}"""
IMAGES = """() => [...document.images].map((e) => ({
  file: e.getAttribute("src").split("/").at(-1), alt: e.alt, pixels: e.naturalWidth,
  asked: Number(e.getAttribute("width")), shown: e.width,
  column: (e.closest("p, .output, figure, div") ?? document.body).clientWidth,
}))"""
# What reaches beyond the window, and boxes whose content is cut off: neither seen nor scrolled to.
OVERFLOW = """() => {
  const named = (e) => `${e.localName}.${e.className}: ${e.textContent.trim().slice(0, 50)}`;
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const scroller = (e) => { while (e && !scrolls(e)) e = e.parentElement; return e; };
  // Text may run out of its box, but what a formula or a drawing says of its content is no width.
  const drawn = (e) => e.closest(".math, svg") || e.querySelector(".math");
  const inner = (e) => drawn(e) ? 0 : e.scrollWidth;
  const end = (box, e) => box.left + Math.max(box.width, inner(e));
  const waiting = ".bd-sidebar-secondary, mjx-assistive-mml";   // outside until it is asked for
  const wide = [...document.querySelectorAll("main *")].filter((e) =>
    end(e.getBoundingClientRect(), e) > innerWidth + 1
    && !scroller(e)?.closest("main") && !e.closest(waiting));
  const innermost = wide.filter((e) => !wide.some((other) => other !== e && e.contains(other)));
  const long = [...document.querySelectorAll("pre, table, mjx-container[display='true']")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.localName !== "table"
      || e.offsetWidth > e.parentElement.clientWidth + 1);
  return {
    page: document.scrollingElement.scrollWidth - innerWidth,
    wide: innermost.map(named),
    scrolling: long.filter((e) => scrolls(e) || scrolls(e.parentElement)).length,
    cut: long.filter((e) => !scrolls(e) && !scrolls(e.parentElement)).map(named),
  };
}"""
# Axe takes half a minute for the contrast of each word of code in a long chapter. A word of a kind
# that was there before, in the same kind of box, becomes a part of the text around it.
ONE_OF_EACH_KIND = """() => {
  const seen = new Set();
  for (const e of document.querySelectorAll("pre span, dt.sig span")) {
    const box = e.closest("pre, dt").parentElement, fold = e.closest("details") !== null;
    const kind = [e.className, e.parentElement.className, box.className, fold].join("|");
    if (seen.has(kind)) e.replaceWith(...e.childNodes);
    seen.add(kind);
  }
  document.body.normalize();
}"""


def watch(page: Page, own: tuple[str, ...]) -> list[str]:
    """Return a list to which is added what goes wrong on a page, as long as it is open.

    Args:
        page: before it goes anywhere.
        own: what the addresses of the site start with; all others are faults.
    """
    faults = []

    def note_console(message):
        if message.type == "error":
            faults.append(f"console: {message.text} ({message.location['url']})")

    def note_request(request):
        if not request.url.startswith((*own, "data:", "blob:")):
            faults.append(f"leaves the site: {request.url}")

    def note_response(response):
        if response.status >= 400:
            faults.append(f"status {response.status}: {response.url}")

    def note_failure(request):
        if request.failure != "net::ERR_ABORTED":  # the reader has gone on to another page
            faults.append(f"failed: {request.url}")

    page.on("console", note_console)
    page.on("pageerror", lambda error: faults.append(f"JavaScript: {error}"))
    page.on("request", note_request)
    page.on("response", note_response)
    page.on("requestfailed", note_failure)
    return faults


def axe(page: Page, rules: list[str] | None = None) -> list[str]:
    """Return axe-core's serious and critical faults of a page, all rules or only some."""
    options = {"resultTypes": ["violations"], "preload": False}
    if rules:
        options["runOnly"] = rules
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: "
        + re.sub(r"\s+", " ", node["failureSummary"])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def visit(browser: Browser, server: str, name: str) -> dict:
    """Return what a page shows, under the names that the tests use.

    Args:
        browser: that opens it.
        server: the site's address.
        name: of the page's file.
    """
    context = browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    faults = watch(page, (server,))
    page.goto(server + name)
    page.evaluate(MATH_IS_SET)
    page.add_style_tag(content=STILL)
    seen = {"formulas": page.evaluate(FORMULAS)}
    seen["images"] = page.evaluate(IMAGES)
    seen["overflow"] = {"wide": page.evaluate(OVERFLOW)}
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(SETTLED_MS)
    seen["overflow"]["narrow"] = page.evaluate(OVERFLOW)
    seen["axe"] = {"narrow": axe(page, ["scrollable-region-focusable"])}
    page.set_viewport_size(WIDE)
    page.evaluate(ONE_OF_EACH_KIND)
    seen["axe"]["light"] = axe(page)
    page.emulate_media(color_scheme="dark")
    seen["axe"]["dark"] = axe(page, ["color-contrast"])
    context.close()
    seen["faults"] = [fault.replace(server, "/") for fault in faults]
    return seen
