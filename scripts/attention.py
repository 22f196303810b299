"""What the book's own models read, for the attention viewer of the website.

    python scripts/attention.py        # writes site/viewer/attention.json

Both models are taken from `minillm.zoo`, run on the stories of site/viewer/stories.yml, and their
weights kept as thousandths. What a head is said to read is measured, never written by hand.

But: a weight says where a head reads, not what it takes from there.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from minillm import zoo
from minillm.adapt.examples import join
from minillm.model.attention import attention_maps
from minillm.text.tokenizers import END_OF_TEXT

FOLDER = Path(__file__).resolve().parents[1] / "site" / "viewer"
STORIES, DATA = FOLDER / "stories.yml", FOLDER / "attention.json"
PARTS = 1000  # weights and probabilities are whole thousandths
LIKELIEST = 3  # how many next words, or guesses
MASK = "[MASK]"
SHARE = 0.3  # a head has a habit if on average so much of its weight goes there ...
TIMES_EVEN = 2  # ... and so many times what spreading it evenly would give
STEPS = {"two words back": -2, "the word before": -1, "itself": 0, "the word after": 1,
         "two words on": 2}  # fmt: skip
LABELS = (*STEPS, "the first word", "the same word", "the word to come")


def habits(words: list[str]) -> dict[str, list[tuple[int, list[int]]]]:
    """Returns where each habit that a head may have would show, in a text of these words.

    For each of `LABELS` its places: a word that reads, and the words that it would read. The first
    two words are left out as readers, as they have hardly a choice. "The word to come" is chapter
    4's: after each "the" the earlier places of the next word.
    """
    T, found = len(words), {name: [] for name in LABELS}
    for i in range(2, T):
        for name, step in STEPS.items():
            found[name].append((i, [i + step] if i + step < T else []))
        found["the first word"].append((i, [0]))
        found["the same word"].append((i, [j for j in range(T) if words[j] == words[i] and j != i]))
        if words[i] == "the" and i + 1 < T:
            found["the word to come"].append((i, [j for j in range(i) if words[j] == words[i + 1]]))
    return {name: [(i, read) for i, read in places if read] for name, places in found.items()}


def label(maps: list[Tensor], texts: list[list[str]]) -> dict[str, Any] | None:
    """Returns what one head mostly reads, measured over several texts.

    Args:
        maps: the head's weights (T, T) on each text.
        texts: the words of each, T strings.

    Returns:
        {"reads": one of `LABELS`, "weight": the mean weight that goes there}, of the habit with
        most; None if that is below `SHARE`, or less than `TIMES_EVEN` times what a head gives that
        spreads its weight evenly over all that it may read.
    """
    found = {}  # for each habit pairs: the weight that goes there, and evenly spread
    for weights, words in zip(maps, texts, strict=True):
        sees_all = bool(weights.triu(1).any())  # a GPT's words see no later ones
        for name, places in habits(words).items():
            found.setdefault(name, []).extend(
                (weights[i, read].sum().item(), len(read) / (len(words) if sees_all else i + 1))
                for i, read in places
            )
    means = {
        name: [sum(column) / len(pairs) for column in zip(*pairs, strict=True)]
        for name, pairs in found.items()
        if pairs
    }
    best = max(means, key=lambda name: means[name][0], default=None)
    if best is None or means[best][0] < max(SHARE, TIMES_EVEN * means[best][1]):
        return None
    return {"reads": best, "weight": round(means[best][0], 3)}


def spaced(tokens: list[str], text: str) -> list[str]:
    """Returns the tokens of a text with a blank before those that have one before them there.

    >>> spaced(["anna", "'", "s"], "Anna's")
    ['anna', "'", 's']
    """
    end, found = 0, []
    for token in tokens:
        piece = token.strip().removeprefix("##")
        start = text.lower().index(piece.lower(), end)
        found.append(" " * (start > end) + piece)
        end = start + len(piece)
    return found


def thousandths(weights: Tensor) -> list[list[int]]:
    """Returns a map (T, T) as rows of whole thousandths; zeros at a row's end are left out."""
    rows = (weights * PARTS).round().int().tolist()
    return [row[: max((j + 1 for j, x in enumerate(row) if x), default=0)] for row in rows]


def run(model: nn.Module, tokenizer: Any, story: dict) -> tuple[dict[str, Any], Tensor]:
    """Returns one story as the page needs it, and all its weights (L, H, T, T)."""
    is_bert = MASK in tokenizer.special_tokens
    texts = [story[part] for part in ("first", "second") if part in story]
    encoded = [tokenizer.encode(text) for text in texts]
    ids, segments = join(tokenizer, model.config.context_length, *encoded)
    row = [torch.tensor([part]) for part in ((ids, segments) if is_bert else (ids,))]
    maps = torch.cat([*attention_maps(model, *row).values()])  # (L, H, T, T)
    with torch.no_grad():
        best = model(*row)[0].softmax(dim=-1).topk(LIKELIEST)  # each (T, LIKELIEST)

    def name(i: int) -> str:
        token = tokenizer.id_to_token(i) if is_bert else tokenizer.decode([i]).strip()
        return "[end]" if token == END_OF_TEXT else token

    tokens = ["[CLS]" if is_bert else "[start]"]
    for text, some in zip(texts, encoded, strict=True):
        first, *others = spaced([name(i) for i in some], text)
        tokens += [f" {first}", *others, *([" [SEP]"] if is_bert else [])]
    words = [token.strip() for token in tokens]
    guesses = [
        [[name(i), round(p * PARTS)] for i, p in zip(which, chances, strict=True)]
        if word == MASK or not is_bert
        else None
        for word, chances, which in zip(words, *(part.tolist() for part in best), strict=True)
    ]
    about = {part: story[part] for part in ("name", "title", "ask")}
    look = max(i for i, word in enumerate(words) if word == story["look"])
    kept = [[thousandths(head) for head in layer] for layer in maps]
    return {**about, "look": look, "tokens": tokens, "guesses": guesses, "maps": kept}, maps


def measure(wanted: dict) -> dict[str, Any]:
    """Returns all that the page needs of one model, an entry of stories.yml."""
    model, tokenizer = zoo.load(wanted["model"])
    told, maps = zip(*(run(model, tokenizer, story) for story in wanted["stories"]), strict=True)
    texts = [[token.strip() for token in story["tokens"]] for story in told]
    L, H = maps[0].shape[:2]
    heads = [[label([m[i, h] for m in maps], texts) for h in range(H)] for i in range(L)]
    return {"name": wanted["model"], "about": wanted["about"], "heads": heads, "stories": told}


def main() -> int:
    wanted = yaml.safe_load(STORIES.read_text(encoding="utf-8"))
    data = {"models": [measure(model) for model in wanted]}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"
    DATA.write_text(text, encoding="utf-8")
    print(f"{DATA.name}: {len(text.encode()) // 1000} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
