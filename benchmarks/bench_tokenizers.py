"""Speed of our tokenizers beside Rust's `tokenizers`, on one text, in one run.

    python benchmarks/bench_tokenizers.py

Reads $MINILLM_DATA/tinyshakespeare/input.txt, or takes 6,000 village stories where that file is
missing. Both sides have one thread (TOKENIZERS_PARALLELISM=false) and do the same
work: byte-level BPE with 1,024 tokens, trained on the text, then the whole text encoded in one
call and decoded again. WordPiece encodes with BERT's rules and one shared vocabulary. Each time is
the best of five, the two sides taking turns, each encoding with its cache of words empty.

But: Rust also records where in the text each token stands, which ours does not do.
"""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import time
from collections.abc import Callable
from pathlib import Path

import tokenizers as rust

from minillm.text.tokenizers import BPETokenizer, WordPieceTokenizer

VOCAB_SIZE = 1024
ROUNDS = 5


def read_text() -> tuple[str, str]:
    """Return the text and its name."""
    path = Path(os.environ.get("MINILLM_DATA", ".")) / "tinyshakespeare" / "input.txt"
    if path.exists():
        return path.read_text(encoding="utf-8"), "Tiny Shakespeare"
    from minillm.text import village

    return "\n".join(story.text for story in village.stories(6000)), "village stories"


def race(name: str, limit: float, ours: Callable, theirs: Callable, reset: Callable = lambda: None):
    """Time both sides in turn and print one line; returns what each gave in the last round.

    limit: the ratio that we want to stay under. reset: run before each round, untimed.
    """
    best = [float("inf"), float("inf")]
    results = [None, None]
    for _ in range(ROUNDS):
        reset()
        for side, work in enumerate((ours, theirs)):
            start = time.perf_counter()
            results[side] = work()
            best[side] = min(best[side], time.perf_counter() - start)
    verdict = "within" if best[0] <= limit * best[1] else "MISSES"
    print(
        f"{name:<18} minillm {best[0]:6.3f} s   Rust {best[1]:6.3f} s   "
        f"time minillm / Rust {best[0] / best[1]:5.2f}   ({verdict} {limit:g})"
    )
    return results


def train_rust(text: str) -> rust.Tokenizer:
    """Train Rust's byte-level BPE as ours is trained."""
    tokenizer = rust.Tokenizer(rust.models.BPE())
    tokenizer.pre_tokenizer = rust.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = rust.decoders.ByteLevel()
    trainer = rust.trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=rust.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def main() -> None:
    text, name = read_text()
    print(f"{name}: {len(text):,} characters; {VOCAB_SIZE:,} tokens; one thread each side")
    ours, theirs = race(
        "BPE training", 8, lambda: BPETokenizer.train([text], VOCAB_SIZE), lambda: train_rust(text)
    )

    def empty_caches() -> None:
        ours.word_ids.clear()
        theirs.model._clear_cache()

    ids, their_encoding = race(
        "BPE encoding", 2, lambda: ours.encode(text), lambda: theirs.encode(text), empty_caches
    )
    assert ids == their_encoding.ids
    back, their_back = race("BPE decoding", 2, lambda: ours.decode(ids), lambda: theirs.decode(ids))
    assert back == their_back == text

    pieces = WordPieceTokenizer.train([text], VOCAB_SIZE)
    bert = rust.BertWordPieceTokenizer(vocab=pieces.vocab, lowercase=True)
    ids, their_encoding = race(
        "WordPiece encoding",
        2,
        lambda: pieces.encode(text),
        lambda: bert.encode(text, add_special_tokens=False),
        pieces.word_ids.clear,
    )
    assert ids == their_encoding.ids


if __name__ == "__main__":
    main()
