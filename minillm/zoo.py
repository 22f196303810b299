"""The book's own trained models: trained once by their chapter's recipe, then kept.

    from minillm import zoo

    model, tokenizer = zoo.load("village-gpt")

Nothing is downloaded. The first call trains (a minute or two, with a progress bar) and keeps the
result under $MINILLM_HOME, or in the user's cache folder; later calls read it. A model is kept
under a name that depends on its recipe and on the code that made it: a change trains anew.

But: no weights of others; see `minillm.hub`.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import nn

import minillm
from minillm.train import bert_recipe, checkpoint, recipes

RECIPES = {
    "village-gpt": recipes.VILLAGE,
    "village-draft": recipes.DRAFT,
    "village-bert": bert_recipe.VILLAGE_BERT,
}
CODE = ("model", "text/tokenizers", "text/village", "train")  # what a trained model depends on


def load(name: str) -> tuple[nn.Module, Any]:
    """Return a trained model of the book and its tokenizer; train it first if need be.

    Args:
        name: "village-gpt", the GPT of chapter 7; "village-draft", a small one with the same
            tokenizer, for chapter 8's speculative decoding; "village-bert", the BERT of chapter 9.

    Returns:
        The model, in eval mode on the CPU, and its tokenizer.

    Raises:
        ValueError: there is no model of that name.
        KeyboardInterrupt: training was stopped; the next call goes on from there.

    Built in chapter 7.
    """
    if name not in RECIPES:
        raise ValueError(f"name ({name!r}) must be one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    folder = home() / f"{name}-{_key(recipe)}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # of two notebooks that ask at once, one trains, one waits
        if not (folder / "metrics.json").exists():
            resume = any(folder.rglob("step-*"))
            print(f"training {name}, once; it is kept in {home()}", file=sys.stderr)
            result = recipe.run(folder=folder, resume=resume, progress=True)
            if result.history.stopped == "interrupted":
                raise KeyboardInterrupt
    return checkpoint.load_model(folder)


def home() -> Path:
    """Return the folder of kept models: $MINILLM_HOME, or one in the user's cache folder.

    Built in chapter 7.
    """
    given = os.environ.get("MINILLM_HOME")
    if given:
        return Path(given)
    cache = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return Path(cache or Path.home() / ".cache") / "minillm"


def _key(recipe: Any) -> str:
    digest = hashlib.sha256(repr(recipe).encode())
    root = Path(minillm.__file__).parent
    for path in sorted(path for part in CODE for path in (root / part).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12]
