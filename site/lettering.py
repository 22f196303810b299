"""How wide text is, and where its lines break, for pictures drawn where no browser is at hand.

But: widths are estimates, from Arial's; whole.css asks for a font that has them.
"""

import re
import unicodedata
from html import escape

LEADING = 1.25  # from line to line, for a font of size 1


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Estimate how wide a line in Arial, or a font cut to its widths, is at most."""
    width = 0.0
    for char in words:
        if unicodedata.east_asian_width(char) in "WF":
            width += 1.0
        elif char in " .,:;'|!/[]ftijlI":
            width += 0.29
        elif char in "r()-":
            width += 0.35
        elif char in "cksvxyzJ":
            width += 0.51
        elif char in "mwMW%@" or not char.isascii():
            width += 0.95
        else:
            width += 0.74 if char.isupper() else 0.56
    return width * size * (1.08 if bold else 1.0)


def wrap(words: str, room: float, size: float, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `room`; a word too long for a line is cut."""
    lines = [""]
    for word in words.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size, bold) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while text_width(word, size, bold) > room:
            fits = [n for n in range(1, len(word)) if text_width(word[:n], size, bold) <= room]
            most = max(fits, default=1)
            # After a mark that parts a name, if there is one; else wherever the line is full.
            marks = [match.end() for match in re.finditer(r"[/_-]", word[:most])]
            cut = max(marks, default=most)
            lines[-1:] = [word[:cut], ""]
            word = word[cut:]
        lines[-1] = word
    return [line for line in lines if line]


def text(kind: str, x: float, y: float, size: float, words: str) -> str:
    """Return one line of text; y is its baseline."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(words)}</text>'
