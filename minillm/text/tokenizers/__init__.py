"""Tokenizers: text into the integers that a model reads, and back.

Three of them with one interface (`train`, `encode`, `decode`, `save`, `load`, `len`):

- `CharTokenizer`: one token a character. Small and exact, but sequences are long.
- `BPETokenizer`: GPT-2's byte-level byte-pair encoding. Encodes any text, and gives it back.
- `WordPieceTokenizer`: BERT's. Cleans the text first, and has [UNK] for what it can't cut.

All three are saved as Hugging Face's tokenizer.json. The pieces they are made of are in `base.py`
(vocabulary, special tokens), `pairs.py` (counting pairs in training) and `files.py`.

But: one text at a time, in plain Python; no batches, no offsets into the text.
"""

from pathlib import Path

from minillm.text.tokenizers.base import Tokenizer
from minillm.text.tokenizers.bpe import BPETokenizer
from minillm.text.tokenizers.char import CharTokenizer
from minillm.text.tokenizers.files import BERT_TOKENS, END_OF_TEXT
from minillm.text.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "BERT_TOKENS",
    "END_OF_TEXT",
    "BPETokenizer",
    "CharTokenizer",
    "Tokenizer",
    "WordPieceTokenizer",
    "load",
]


def load(path: str | Path) -> Tokenizer:
    """Read any of the three tokenizers.

    path: a folder with tokenizer.json, with vocab.json and merges.txt (GPT-2), or with vocab.txt
    (BERT); or a tokenizer.json or vocab.txt file.

    Returns the tokenizer, of the class that fits.

    Raises FileNotFoundError where there is none, ValueError in one line that names the file and
    what is broken or not supported in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     CharTokenizer.train(["Anna"]).save(folder)
    ...     load(folder).encode("Anna")
    [1, 3, 3, 2]

    Built in chapter 2.
    """
    return Tokenizer.load(path)
