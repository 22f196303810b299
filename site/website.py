"""Builds the book's website from book.yml and the committed notebooks, without running them.

python site/website.py html     pages into build/site, to open as files or to publish
python site/website.py serve    the same, then a server on this machine at http://localhost:8000
python site/website.py pdf      the whole book as build/book.pdf, printed by Chromium
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "scripts")]
import book  # noqa: E402
import links  # noqa: E402
import pages  # noqa: E402
import printing  # noqa: E402
import reference  # noqa: E402
import viewer  # noqa: E402
import whole  # noqa: E402
from sphinx.cmd.build import build_main  # noqa: E402


def find_repository(environ: Mapping[str, str], root: Path = ROOT) -> str:
    """Return OWNER/NAME on GitHub, for links that open a notebook elsewhere; "" where unknown.

    GITHUB_REPOSITORY says it, as in GitHub's own workflows, or else the remote `origin`.
    """
    if environ.get("GITHUB_REPOSITORY"):
        return environ["GITHUB_REPOSITORY"]
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return ""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", url)
    return found[1] if found else ""


def write(path: Path, text: str) -> None:
    """Write a file if it would change, so that Sphinx reads again only what is new."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def stage(source: Path, repository: str) -> dict[str, str]:
    """Write the pages that Sphinx reads; returns further files of the site, by path.

    Args:
        source: the folder for the pages; what is no longer written there goes.
        repository: as `find_repository` gives it.
    """
    contents = book.load_book()
    chapters = [c for c in book.load_chapters() if c["status"] == "written"]
    slugs = links.slugs_by_name(chapters)
    notebooks = {
        f"{stem.parent.name}/{stem.name}": book.read_notebook(stem.with_suffix(".ipynb"))
        for stem in book.find_pairs(ROOT, [])
    }
    texts = {
        a["slug"]: (ROOT / f"chapters/{a['slug']}.md").read_text(encoding="utf-8")
        for a in contents["appendices"]
    }
    by_slug = {c["slug"]: notebooks[f"chapters/{c['slug']}"] for c in chapters}
    texts["glossary"], anchors = links.glossary(texts["glossary"], by_slug)
    files, further = {}, {}
    for name, notebook in notebooks.items():
        folder, slug = name.split("/")
        chapter = next(c for c in chapters if c["slug"] == slug)
        homes = reference.homes(ROOT, chapter["builds"])
        places = anchors.get(slug, []) if folder == "chapters" else []
        shown = pages.page(notebook, folder, chapter, slugs, homes, places, repository)
        files[f"{name}.ipynb"] = pages.dump(shown)
        further[f"notebooks/{name}.ipynb"] = pages.dump(
            pages.to_run_elsewhere(notebook, repository)
        )
    files |= {f"chapters/{slug}.md": text for slug, text in texts.items()}
    files |= reference_pages(chapters)
    template, data = HERE / "viewer/viewer.html", HERE / "viewer/attention.json"
    further["viewer.html"] = viewer.page(
        template.read_text(encoding="utf-8"), data.read_text(encoding="utf-8")
    )
    solved = [c for c in chapters if not book.is_lab(c)]
    files["solutions/index.md"] = pages.solutions_page(solved)
    files["index.md"] = home(contents, chapters, repository)
    for name, text in files.items():
        write(source / name, text)
    for old in source.rglob("*"):
        if old.is_file() and old.relative_to(source).as_posix() not in files:
            old.unlink()
    return further


def reference_pages(chapters: list[dict]) -> dict[str, str]:
    """Return the pages of the reference, by path."""
    built_in: dict[str, list[str]] = {}
    for chapter in chapters:
        link = f"[chapter {chapter['number']}](../chapters/{chapter['slug']}.ipynb)"
        for entry in chapter["builds"]:
            for module in reference.modules(ROOT, entry):
                built_in.setdefault(module, []).append(link)
        if not book.is_lab(chapter):
            built_in[f"minillm.checks.{chapter['slug'][3:]}"] = [link]
    files = {"reference/index.md": reference.index_page()}
    for wing, (title, entries) in reference.WINGS.items():
        names: dict[str, Path] = {}
        for entry in entries:
            names |= reference.modules(ROOT, entry)
        files[f"reference/{wing}.md"] = reference.wing_page(title, names, built_in)
    return files


def documents(contents: dict) -> list[tuple[str, list[str]]]:
    """Return the titles of the book's parts with their documents, in the order of the site."""
    parts = [
        (p["title"], [f"chapters/{c['slug']}" for c in p["chapters"] if c["status"] == "written"])
        for p in contents["parts"]
    ]
    appendices = [f"chapters/{a['slug']}" for a in contents["appendices"]]
    parts.append(("To look things up", [*appendices, "reference/index", "solutions/index"]))
    return [(title, names) for title, names in parts if names]


def home(contents: dict, chapters: list[dict], repository: str) -> str:
    """Return the home page's text.

    Args:
        contents: book.yml.
        chapters: its written chapters and labs.
        repository: as `find_repository` gives it.
    """
    url = f"https://github.com/{repository}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ten_lines = re.search(r"## `minillm` in ten lines\n\n```python\n(.*?)\n```", readme, re.S)[1]
    slots = {
        "title": contents["title"],
        "whole": whole.draw(contents["parts"]),
        "first": chapters[0]["slug"],
        "first_lab": next(c["slug"] for c in chapters if book.is_lab(c)),
        "ten_lines": ten_lines,
        "folder": f"[the book's folder]({url})" if repository else "the book's folder",
        "install": f"pip install git+{url}" if repository else "pip install .",
        "contents": pages.contents(documents(contents)),
    }
    text = (HERE / "home.md").read_text(encoding="utf-8")
    return re.sub(r"\{(\w+)\}", lambda found: slots.get(found[1], found[0]), text)


def older(file: Path, folders: list[Path]) -> bool:
    """Tell whether a file is there, and older than any Python file in the folders."""
    files = [path for folder in folders for path in folder.rglob("*.py")]
    return file.exists() and any(f.stat().st_mtime > file.stat().st_mtime for f in files)


def build(builder: str, repository: str, out: Path) -> dict[str, str]:
    """Have Sphinx build the book into a folder; beside it is kept what makes the next build quick.

    Args:
        builder: Sphinx's name for what to build: html or singlehtml.
        repository: as `find_repository` gives it.
        out: the folder.

    Returns:
        Further files of the site, by path.

    Raises:
        RuntimeError: for a page's fault, such as a dead link.
    """
    source, doctrees = out.parent / "pages", out.parent / f"doctrees-{builder}"
    if older(doctrees / "environment.pickle", [HERE, ROOT / "minillm"]):
        shutil.rmtree(doctrees)  # Sphinx keeps links to what the reference no longer holds
        shutil.rmtree(out / "_modules", ignore_errors=True)
    before = set(source.rglob("*.*"))
    further = stage(source, repository)
    for gone in before - set(source.rglob("*.*")):
        (out / gone.relative_to(source)).with_suffix(".html").unlink(missing_ok=True)
    options = ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", str(doctrees)]
    if build_main(["-b", builder, *options, str(source), str(out)]):
        shutil.rmtree(doctrees, ignore_errors=True)  # Sphinx says a fault once, then never again
        raise RuntimeError("the site has faults: see the lines above")
    return further


def build_html(out: Path, repository: str) -> None:
    """Build the site into a folder. Raises RuntimeError for a page's fault, such as a dead link."""
    for name, text in build("html", repository, out).items():
        write(out / name, text)


def build_pdf(out: Path, browser: str) -> int:
    """Print the book into a PDF; returns its sheets."""
    page = ROOT / "build/print"
    build("singlehtml", "", page)
    parts = [(title, names[0]) for title, names in documents(book.load_book())]
    return printing.print_book(page / "index.html", parts, out, browser)


def serve(folder: Path, port: int) -> None:
    """Serve a folder to this machine alone, until Ctrl-C."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    try:
        server = ThreadingHTTPServer(("localhost", port), handler)
    except OSError as error:
        raise RuntimeError(
            f"port {port} can't be used ({error.strerror}): try --port {port + 1}"
        ) from None
    with server:
        print(f"http://localhost:{port} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["html", "serve", "pdf"])
    parser.add_argument("--port", type=int, default=8000, help="of the server (default: 8000)")
    asked = parser.parse_args()
    try:
        if asked.what == "pdf":
            browser = printing.find_browser(os.environ)
            if not browser:
                raise RuntimeError(
                    "no browser to print with: install Chromium or Chrome, or set CHROMIUM to it"
                )
            print(f"build/book.pdf: {build_pdf(ROOT / 'build/book.pdf', browser)} pages")
            return 0
        repository = find_repository(os.environ)
        build_html(ROOT / "build/site", repository)
        print("build/site/index.html")
        if not repository:
            print("no links to Colab and Binder: GITHUB_REPOSITORY=OWNER/NAME would give them")
        if asked.what == "serve":
            serve(ROOT / "build/site", asked.port)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
