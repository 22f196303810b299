"""The built website, a server for it, and a browser: fixtures for all tests of this folder.

The site is built once in a run, with links to a repository that stands for any. Workers share it,
and what a visit to a page has shown, by files in the run's own folder. Without Chromium or Chrome
the tests that need a browser are skipped; those that only read the pages are not.
"""

import functools
import json
import os
import re
import sys
import threading
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import visits
from filelock import FileLock
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site"))
import printing  # noqa: E402
import website  # noqa: E402

SITE = ROOT / "build/tested/site"
REPOSITORY = "owner/book"
# A name of a host leads nowhere, so that nothing leaves this machine even if a page asks for it.
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """A function that makes something once in a run, whichever worker comes first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def make_once(name, make):
        file = folder / f"{name.replace('/', '-')}.json"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(json.dumps(make()), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    return make_once


def build_site() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Sphinx to the authors of its extensions
        website.build_html(SITE, REPOSITORY)
    return str(SITE)


@pytest.fixture(scope="session")
def site(once):
    """The folder of the built site."""
    return Path(once("site", build_site))


@pytest.fixture(scope="session")
def server(site):
    """The site's address on this machine, with a slash at its end."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Silent, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture(scope="session")
def browser():
    program = printing.find_browser(os.environ)
    if not program:
        pytest.skip("needs a browser: install Chromium or Chrome, or set CHROMIUM to its program")
    flags = [*printing.flags(), NOWHERE]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=flags)


@pytest.fixture
def new_page(browser, server, site):
    """A function that opens a page of the site in a window of its own.

    No fault may show in it until the test's end, but those that the pattern `excused` finds.
    """
    contexts, seen = [], []

    def open_page(address, excused="$^", **options):
        options = {"viewport": visits.WIDE, "reduced_motion": "reduce", **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(visits.PATIENCE_MS)
        seen.append((visits.watch(page, (server, site.as_uri())), excused))
        page.goto(address if ":" in address else server + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    faults = [
        fault for faults, excused in seen for fault in faults if not re.search(excused, fault)
    ]
    assert faults == []


@pytest.fixture(scope="session")
def visit(browser, server, once):
    """A function that returns what a page of the site shows; see visits.py for what is in it."""
    return lambda name: once(name, lambda: visits.visit(browser, server, name))
