"""The authors' tool: brings notebooks and texts together, runs them, and draws up the contents.

    python scripts/book.py sync [NN ...]        .md and .ipynb to the same text, outputs kept
    python scripts/book.py execute [NN ...]     run in a fresh kernel, keep the outputs
    python scripts/book.py table                README's table of chapters, from book.yml
    python scripts/book.py pictures NN FOLDER   write a chapter's pictures as files, to look at

NN are numbers of chapters and labs (7, lab1); all when left out. Solutions go with their chapter.
"""

import argparse
import base64
import hashlib
import io
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from minillm.text.sets import SETS

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
# Twice the pixels, so that pictures are sharp on screens with fine pixels and in print.
SHARP = "--InlineBackend.figure_formats={'retina'}"
KEPT = ("tags", "alt")  # what a cell may say of itself; alt describes its picture in words
MARKERS = "<!-- chapters:begin -->", "<!-- chapters:end -->"


def load_book(root: Path = ROOT) -> dict:
    """Return book.yml: `title`, `parts` with their `chapters`, `appendices`."""
    return yaml.safe_load((root / "book.yml").read_text(encoding="utf-8"))


def load_chapters(root: Path = ROOT) -> list[dict]:
    """Return the chapters and labs of book.yml in order, each with its part's title as `part`."""
    return [
        {"part": part["title"], **chapter}
        for part in load_book(root)["parts"]
        for chapter in part["chapters"]
    ]


def is_lab(chapter: dict) -> bool:
    """Tell a lab, on real data and without exercises, from a chapter."""
    return isinstance(chapter["number"], str)


def lacking(lab: dict, environ: Mapping[str, str]) -> str:
    """Return why a lab can't run; "" if its folders are there, or may be had from the hub.

    An example: "needs sst2 in $MINILLM_DATA, or HF_HUB_OFFLINE=0 to load it from the hub".
    """
    for key, variable in (("data", "MINILLM_DATA"), ("models", "MINILLM_MODELS")):
        root = environ.get(variable)
        for name in lab[key]:
            if root and Path(root, name).is_dir():
                continue
            if key == "data" and SETS[name].hub is None:
                return f"needs {name} in ${variable}; it is not on the hub"
            if environ.get("HF_HUB_OFFLINE") != "0":
                return f"needs {name} in ${variable}, or HF_HUB_OFFLINE=0 to load it from the hub"
    return ""


def find_pairs(root: Path, numbers: list[str]) -> list[Path]:
    """Return the stems, without suffix, of the chapters and solutions that are there."""
    slugs = [c["slug"] for c in load_chapters(root) if not numbers or str(c["number"]) in numbers]
    stems = [root / folder / slug for slug in slugs for folder in ("chapters", "solutions")]
    return [stem for stem in stems if any(stem.with_suffix(s).exists() for s in (".md", ".ipynb"))]


def to_text(notebook: NotebookNode) -> str:
    """Return a notebook as md:myst without its outputs, and without jupytext's version numbers."""
    bare = nbformat.from_dict(notebook)
    bare.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    text = jupytext.writes(bare, fmt="md:myst")
    return re.sub(r"^    (format|jupytext)_version: .*\n", "", text, flags=re.MULTILINE)


def from_text(text: str) -> NotebookNode:
    """Return the notebook that an md:myst text holds."""
    return clean(jupytext.reads(text, fmt="md:myst"))


def read_notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def write_notebook(path: Path, notebook: NotebookNode) -> None:
    text = nbformat.writes(clean(notebook), version=nbformat.NO_CONVERT, indent=1)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook without what differs from run to run: metadata, ids, paths, chunks."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen = Counter()
    for cell in notebook.cells:
        cell.source = cell.source.strip("\n")  # as the .md keeps it
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        cell.id = f"{digest}-{seen[digest]}" if seen[digest] else digest
        seen[digest] += 1
        said = {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(said)
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(output) for output in _joined(cell.outputs)]
    return notebook


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    joined = []
    for output in outputs:  # the kernel may send one text in several parts
        same = joined and output.output_type == joined[-1].output_type == "stream"
        if same and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(nbformat.from_dict(output))
    return joined


def _clean_output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        output.text = _without_paths(output.text)
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = _without_paths(value)
    if "metadata" in output:
        size = output.metadata.get("image/png")  # in which to show a picture of more pixels
        output.metadata = nbformat.from_dict({"image/png": size} if size else {})
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _with_palette(output.data["image/png"])
    return output


def _with_palette(image: str) -> str:
    """Return a PNG, in base64, with at most 256 colours: a third of the bytes, looking the same."""
    picture = Image.open(io.BytesIO(base64.b64decode(image)))
    if picture.mode == "P":
        return image
    file = io.BytesIO()
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _without_paths(text: str) -> str:
    return text.replace(f"{ROOT}{os.sep}", "").replace(f"{Path.home()}{os.sep}", f"~{os.sep}")


def keep_outputs(notebook: NotebookNode, old: NotebookNode) -> NotebookNode:
    """Return a notebook with the outputs of the equal cells of an older one."""
    outputs = {}
    for cell in old.cells:
        if cell.cell_type == "code":
            outputs.setdefault(cell.source, []).append((cell.outputs, cell.execution_count))
    for cell in notebook.cells:
        if cell.cell_type == "code" and outputs.get(cell.source):
            cell.outputs, cell.execution_count = outputs[cell.source].pop(0)
    return notebook


def sync(stem: Path) -> str:
    """Bring a pair to the text of the newer file; returns what was done, in a few words."""
    text_file, notebook_file = stem.with_suffix(".md"), stem.with_suffix(".ipynb")
    if not text_file.exists():
        text_file.write_text(to_text(read_notebook(notebook_file)), encoding="utf-8", newline="\n")
        return "wrote the .md"
    text = to_text(from_text(text_file.read_text(encoding="utf-8")))
    old = read_notebook(notebook_file) if notebook_file.exists() else None
    done = "in sync"
    if old is None or to_text(old) != text:
        if old is not None and notebook_file.stat().st_mtime > text_file.stat().st_mtime:
            text, done = to_text(old), "the .ipynb is newer: wrote the .md"
        else:
            done = "wrote the .ipynb"
    new = from_text(text)
    write_notebook(notebook_file, keep_outputs(new, old) if old else new)
    text_file.write_text(text, encoding="utf-8", newline="\n")
    return done


def execute(stem: Path) -> float:
    """Run a notebook in a fresh kernel, keep its outputs, and return the seconds it took."""
    sync(stem)
    notebook = read_notebook(stem.with_suffix(".ipynb"))
    resources = {"metadata": {"path": str(stem.parent)}}
    client = NotebookClient(
        notebook,
        timeout=1200,
        kernel_name="python3",
        resources=resources,
        extra_arguments=[SHARP],
    )
    start = time.perf_counter()
    client.execute(env={"HF_HUB_OFFLINE": "1", **os.environ, "MPLBACKEND": ""})
    seconds = time.perf_counter() - start
    write_notebook(stem.with_suffix(".ipynb"), notebook)
    return seconds


def note_seconds(slug: str, seconds: float, root: Path = ROOT) -> None:
    """Write a chapter's measured seconds into book.yml, and leave the rest as it stands."""
    file = root / "book.yml"
    text = file.read_text(encoding="utf-8")
    pattern = rf"(slug: {slug}\n(?:(?!.*slug:).*\n)*?\s*seconds:).*"
    file.write_text(re.sub(pattern, rf"\g<1> {seconds:.0f}", text), encoding="utf-8", newline="\n")


def chapter_table(chapters: list[dict]) -> str:
    """Return README's table of parts and chapters, in Markdown."""
    rows = ["| | chapter | builds | to read | to run |", "|--:|---|---|--:|--:|"]
    part = None
    for chapter in chapters:
        if chapter["part"] != part:
            part = chapter["part"]
            rows.append(f"| | **{part}** | | | |")
        written = chapter["status"] == "written"
        title = f"[{chapter['title']}](chapters/{chapter['slug']}.ipynb)"
        names = [f"`{file.removeprefix('minillm/')}`" for file in chapter["builds"]]
        links = [f"[{n}]({file})" for n, file in zip(names, chapter["builds"], strict=True)]
        cells = [
            str(chapter["number"]),
            title if written else f"{chapter['title']} (planned)",
            ", ".join(links if written else names),
            f"{chapter['minutes_to_read']} min" if written else "",
            f"{chapter['seconds']} s" if written else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def with_table(readme: str, table: str) -> str:
    """Return README with the table between its markers. Raises ValueError if they are missing."""
    begin, end = MARKERS
    if readme.count(begin) != 1 or readme.count(end) != 1:
        raise ValueError(f"README.md must hold {begin} and {end} once")
    return f"{readme.split(begin)[0]}{begin}\n{table}\n{end}{readme.split(end)[1]}"


def write_pictures(notebook: NotebookNode, name: str, folder: Path) -> list[Path]:
    """Write the PNG outputs of a notebook as files named by cell, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for i, cell in enumerate(notebook.cells):
        images = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
        for k, image in enumerate(filter(None, images)):
            files.append(folder / f"{name}_cell{i:03d}_{k}.png")
            files[-1].write_bytes(base64.b64decode(image))
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("sync", "execute"):
        commands.add_parser(command).add_argument("numbers", nargs="*", metavar="NN")
    commands.add_parser("table")
    pictures = commands.add_parser("pictures")
    pictures.add_argument("number", metavar="NN")
    pictures.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.command == "sync":
        for stem in find_pairs(ROOT, asked.numbers):
            print(f"{stem.relative_to(ROOT)}: {sync(stem)}")
    elif asked.command == "execute":
        for stem in find_pairs(ROOT, asked.numbers):
            try:
                seconds = execute(stem)
            except CellExecutionError as error:
                print(f"{stem.relative_to(ROOT)}: a cell failed\n{error}", file=sys.stderr)
                return 1
            print(f"{stem.relative_to(ROOT)}: {seconds:.0f} s")
            if stem.parent.name == "chapters":
                note_seconds(stem.name, seconds)
    elif asked.command == "table":
        readme = ROOT / "README.md"
        text = with_table(readme.read_text(encoding="utf-8"), chapter_table(load_chapters()))
        readme.write_text(text, encoding="utf-8", newline="\n")
    else:
        for stem in find_pairs(ROOT, [asked.number]):
            notebook = read_notebook(stem.with_suffix(".ipynb"))
            name = f"{stem.parent.name}_{stem.name}"
            print(*write_pictures(notebook, name, asked.folder), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
