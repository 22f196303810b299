"""Sphinx's settings for the book's website. website.py writes the pages and calls Sphinx."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "scripts")]
import book  # noqa: E402
import links  # noqa: E402
import reference  # noqa: E402

project = book.load_book()["title"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.githubpages",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
autodoc_inherit_docstrings = False  # torch's words about forward say nothing of ours
autodoc_preserve_defaults = True
viewcode_follow_imported_members = False  # or links back to the reference take a wrong name
napoleon_numpy_docstring = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(HERE / "static")]
html_css_files = ["style.css", "whole.css"]
html_js_files = [("search.js", {"defer": "defer"})]
html_favicon = str(HERE / "static/icon.svg")
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "use_download_button": False,  # each page has its own line of links
    "show_toc_level": 2,
    "max_navbar_depth": 3,
    "navbar_persistent": [],
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "Text and code are under the Apache License 2.0.",
}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is


def prepare_docstring(app, what, name, object_, options, lines):
    lines[:] = reference.to_rst(lines, SLUGS, HOMES)


def skip_fields(app, what, name, object_, skip, options):
    """Skips the fields of named tuples, of which Python only says which number they have."""
    return True if (object_.__doc__ or "").startswith("Alias for field number") else None


def name_parts(app, pagename, templatename, context, doctree):
    """Says to screen readers what they can't see: what an arrow unfolds, that a list is none."""
    draw_sidebar = context["generate_toctree_html"]

    def draw_named_sidebar(*args, **kwargs):
        sidebar = draw_sidebar(*args, **kwargs)
        for summary in sidebar.find_all("summary"):
            summary["aria-label"] = f"Pages of {summary.find_parent('li').a.get_text()}"
        return sidebar

    context["generate_toctree_html"] = draw_named_sidebar
    # Sphinx writes a signature of several lines as a list of meanings without terms.
    parameters = re.compile(r'<dl>(?=\s*<dd><em class="sig-param">)')
    context["body"] = parameters.sub('<dl role="presentation">', context.get("body", ""))


SLUGS = links.slugs_by_name(book.load_chapters())
HOMES = reference.homes(HERE.parent, reference.entries())


def setup(app):
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", name_parts, priority=900)  # after the theme
