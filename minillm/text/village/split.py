"""Village texts cut into words and sentences, and put together again.

But: for village texts only; tokenizers for any text are in `minillm.text.tokenizers`.
"""

import re


def words(text: str) -> list[str]:
    """Split a village text into words and marks.

    Example:
        >>> words("So she went to the mill.")
        ['So', 'she', 'went', 'to', 'the', 'mill', '.']

    Built in chapter 1.
    """
    return re.findall(r"\w+|[^\w\s]", text)


def unwords(tokens: list[str]) -> str:
    """Put words and marks back into a text: the inverse of `words` on village texts.

    Example:
        >>> unwords(['So', 'she', 'went', '.'])
        'So she went.'

    Built in chapter 1.
    """
    text, inside = "", False  # inside a quotation, the next `"` closes it
    for token in tokens:
        closes = token == '"' and inside
        if not text or token in ".,?" or closes or (text.endswith('"') and inside):
            text += token
        else:
            text += " " + token
        inside ^= token == '"'
    return text


def sentences(text: str, cut: bool = False) -> list[str]:
    """A text's sentences; with `cut`, the last one is the unfinished one, maybe empty."""
    parts = re.split(r"(?<=\.) ", text)
    if cut and parts[-1].endswith("."):
        parts.append("")
    return parts if cut or text else []
